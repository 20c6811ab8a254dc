package contract

import (
	"slices"
	"testing"

	"github.com/outrider-project/outrider/bob/relay"
)

// TestDeepRetarget adds a retarget so far below the best header that its period may be in
// the deep past: it counts up to 2,015 below. The headers are real ones of difficulty 1,
// which have the target that is due after exactly a fortnight.
func TestDeepRetarget(t *testing.T) {
	early := histories(t)[3].chain
	end := early[5000]
	start := slices.Clone(early[0])
	setTime(start, timeOf(end)-fortnight)
	const height = 3*epoch - 1
	for _, tt := range []struct {
		above  int
		counts bool
	}{{1, true}, {epoch - 1, true}, {epoch, false}, {epoch + 1, false}} {
		p := newPair(t, end, height, hash256(start))
		p.do(t, "addHeaders", relay.Call{Function: "addHeaders", Args: [][]byte{end, slices.Concat(early[5001 : 5001+tt.above]...)}})
		best := 0
		for best < tt.above {
			next := min(best+epoch, tt.above)
			p.do(t, "markNewHeaviest", relay.Call{
				Function: "markNewHeaviest", Args: [][]byte{early[5000+best], early[5000+next]},
				Ancestor: hash256(early[5000+best]), Limit: epoch,
			})
			best = next
		}
		p.do(t, "addHeadersWithRetarget", relay.Call{Function: "addHeadersWithRetarget", Args: [][]byte{start, end, early[5001]}})
		model, contract := p.m.PrevEpochDifficulty(), p.d.storage()[slot(6)]
		want := relay.Uint256{}
		if tt.counts {
			want[0] = 1
		}
		if model != want || contract != word(want) {
			t.Errorf("%d above: the difficulty before is %v, in the contract %x; want %v", tt.above, model, contract, want)
		}
	}
}
