package engine

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/plant"
)

// A trial waits for bursts where what it saves between them could be lost in them, and only there.
func TestClearSavingsWaitForNoBurst(t *testing.T) {
	for saves, blocks := range map[float64]int{0.7: 2, 0.03: maxBlocks} {
		synctest.Test(t, func(t *testing.T) {
			p := plant.New(plant.Config{Start: []int{5}, Surface: linear(-saves), Seed: 1})
			o, err := New(Config{Knobs: p.Knobs(), Collector: p, Slice: time.Second, Seed: 2})
			if err != nil {
				t.Fatal(err)
			}
			tu := newTuner(o)
			calm(tu)
			tu.ran, tu.often, tu.burst = 1000, 0.2, average{0.7, true}
			r, err := tu.trial(t.Context(), []int{6}, tu.isBetter())
			if err != nil {
				t.Fatal(err)
			}
			if len(r.evidence.Diffs) != blocks || r.verdict != perfcore.Promoted {
				t.Errorf("%v less is %v behind %d blocks, want %d", saves, r.verdict, len(r.evidence.Diffs), blocks)
			}
		})
	}
}

// How often there are bursts, and what they cost, is of a regime: the next one knows nothing of it, and
// a regime that is back has what it had.
func TestBurstsAreOfARegime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &there{Plant: plant.New(plant.Config{Start: []int{5}, Surface: linear(-0.03), Seed: 1}), regime: "first"}
		o, err := New(Config{Knobs: p.Knobs(), Collector: p, Slice: time.Second, Seed: 2})
		if err != nil {
			t.Fatal(err)
		}
		tu := newTuner(o)
		tu.ran, tu.often, tu.burst = 1000, 0.2, average{0.7, true}
		for _, in := range []struct {
			regime string
			waits  bool
		}{{"first", true}, {"second", false}, {"first", true}} {
			p.regime = in.regime
			if tu.switched() {
				tu.enter(t.Context())
			}
			if tu.burst.known != in.waits || (tu.ran > 0) != in.waits {
				t.Errorf("%s: of bursts it is known that %+v", in.regime, tu.knowledge)
			}
			calm(tu)
			r, err := tu.trial(t.Context(), []int{6}, tu.isBetter())
			if err != nil {
				t.Fatal(err)
			}
			o.restore(t.Context())
			if waits := len(r.evidence.Diffs) == maxBlocks; waits != in.waits || r.verdict != perfcore.Promoted {
				t.Errorf("%s: %v behind %d blocks", in.regime, r.verdict, len(r.evidence.Diffs))
			}
		}
	})
}
