package engine

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/plant"
)

// Decided hears of decisions in their order, however many decide at once.
func TestDecisionsAreInOrder(t *testing.T) {
	const deciders, each = 8, 500
	var heard []uint64
	p := plant.New(plant.Config{Start: []int{5}, Surface: plant.Flat(), Seed: 1})
	o, err := New(Config{
		Knobs: p.Knobs(), Collector: p, Slice: time.Second, Seed: 2,
		Decided: func(d perfcore.Decision) { heard = append(heard, d.Seq) },
	})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range deciders {
		all.Go(func() {
			for range each {
				o.Decide(perfcore.Decision{Verdict: perfcore.Advised})
			}
		})
	}
	all.Wait()
	if len(heard) != deciders*each || !slices.IsSorted(heard) {
		t.Errorf("%d decisions were heard of, in order: %v", len(heard), slices.IsSorted(heard))
	}
}
