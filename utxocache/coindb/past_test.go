package coindb

import (
	"errors"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// A Past is what the model had then, of every coin that there is in one of the
// two and of coins that never were, down to the last block that can be undone.
func TestPast(t *testing.T) {
	const blocks, undo = 60, 40
	c := newChain(seedOf(t))
	d := mustOpen(t, vfs.NewMem(), Options{UndoBlocks: undo})
	must(t, d.Reset(c.top().tip, true))
	for range blocks {
		must(t, d.Apply(c.mine()))
	}
	v, err := d.View()
	must(t, err)
	defer v.Close()
	for range 5 { // none of which the view knows
		must(t, d.Apply(c.mine()))
	}
	at := c.moments[blocks]
	for height := blocks - undo; height <= blocks; height++ {
		m := c.moments[height]
		p, err := v.Past(m.tip)
		must(t, err)
		if p.Tip() != m.tip {
			t.Fatalf("the coins are as of %s, must be of %s", p.Tip(), m.tip)
		}
		ops := []wire.OutPoint{{Hash: c.hash()}}
		for op := range m.coins {
			ops = append(ops, op)
		}
		for op := range at.coins {
			ops = append(ops, op)
		}
		answers := make([]Answer, len(ops))
		must(t, p.GetBatch(ops, answers))
		for i, op := range ops {
			coin, ok := m.coins[op]
			if answers[i].Found != ok || ok && !equalCoin(answers[i].Coin, coin) {
				t.Fatalf("at %s: %s is %+v, must be %+v (%t)", m.tip, op, answers[i], coin, ok)
			}
		}
	}
	for name, tt := range map[string]struct {
		tip  Tip
		want error
	}{
		"too deep":      {c.moments[blocks-undo-1].tip, ErrTooDeep},
		"above":         {c.moments[blocks+1].tip, ErrTip},
		"another chain": {Tip{c.hash(), blocks - 2}, ErrTip},
	} {
		if _, err := v.Past(tt.tip); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}
