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
