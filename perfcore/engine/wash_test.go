package engine

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/plant"
)

// What is given up leaves the incumbents in force, and so the next block of it begins with
// a washout, whoever comes first.
func TestWashBehindARestoration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(8) {
			tu := settledTuner(t, plant.World{}, 0, seed)
			y := []int{6}
			if _, err := tu.incumbent(t.Context(), false); err != nil {
				t.Fatal(err)
			}
			if _, err := tu.one(t.Context(), y, false); err != nil {
				t.Fatal(err)
			}
			tu.conclude(t.Context(), "search", y, result{verdict: perfcore.Inconclusive})
			before := tu.budget.slices
			if _, err := tu.block(t.Context(), y, 1, &bill{}); err != nil {
				t.Fatal(err)
			}
			if got := tu.budget.slices - before; got != 7 {
				t.Errorf("seed %d: the block took %v slices, want 7", seed, got)
			}
		}
	})
}

// A washout that was broken off is completed.
func TestWashIsCompleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, ran := range []int{1, 2, 5} {
			for seed := range uint64(8) {
				tu := settledTuner(t, plant.World{}, 0, seed)
				y := []int{6}
				if _, err := tu.incumbent(t.Context(), false); err != nil {
					t.Fatal(err)
				}
				for _, x := range [][]int{y, tu.at} {
					for range ran {
						if _, err := tu.one(t.Context(), x, false); err != nil {
							t.Fatal(err)
						}
					}
				}
				before := tu.budget.slices
				if _, err := tu.block(t.Context(), y, 3, &bill{}); err != nil {
					t.Fatal(err)
				}
				want := [2]float64{13, float64(13 - min(ran, 3))} // by who comes first
				if got := tu.budget.slices - before; got != want[0] && got != want[1] {
					t.Errorf("seed %d: behind %d slices the block took %v, want one of %v", seed, ran, got, want)
				}
			}
		}
	})
}

// A carry-over that is noticed makes no washout shorter, not that of a knob that settles
// slowly either.
func TestCarryOverShortensNoWash(t *testing.T) {
	for settle, want := range map[time.Duration]int{1: 2, 3: 6, 5: maxWash, maxWash: maxWash, 12: 12} {
		p := plant.New(plant.Config{Start: []int{5}, Surface: plant.Flat(), Settle: settle * time.Second})
		o, err := New(Config{Knobs: p.Knobs(), Collector: p, Slice: time.Second, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		tu := newTuner(o)
		tu.lag.addZero([]float64{0.01, -0.01, 0.01, -0.01})
		tu.carriedOver([]int{6}, 0.1, []float64{1, 1, 1, 1})
		if got := tu.wash[0]; got != want {
			t.Errorf("a knob that settles within %d slices has a washout of %d behind its carry-over, want %d", settle, got, want)
		}
	}
}
