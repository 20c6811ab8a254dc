package engine_test

import (
	"testing"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/engine"
	"github.com/outrider-project/outrider/perfcore/plant"
)

// A tally is of plants on which nothing but one level up was tried.
type tally struct {
	trials, promoted int
	waits            []float64 // slices until it was promoted; all there are if it was not
}

func tallied(t *testing.T, n int, cfg plant.Config) (sum tally) {
	for seed := range uint64(n) {
		cfg.Seed = seed
		tr := run(t, 400, 0, cfg, func(c *engine.Config) { c.Engine = fixed{cfg.Start[0] + 1} })
		for _, d := range tr.decisions {
			if d.Trigger == "search" || d.Trigger == "audit" {
				sum.trials++
			}
			if d.Verdict == perfcore.Promoted {
				sum.promoted++
				break
			}
		}
		wait := 0
		for wait < len(tr.incumbents) && tr.incumbents[wait][0] == cfg.Start[0] {
			wait++
		}
		sum.waits = append(sum.waits, float64(wait-tr.start))
	}
	return sum
}

// Between bursts of the background a change that is worth it is found about as soon as
// where there are none, and later where nobody tells of them; a useless one is promoted in
// neither.
func TestBursts(t *testing.T) {
	const n = 40
	cfg := plant.Config{Start: []int{5}, Surface: plant.Step(5, -0.12), World: plant.Noisy()}
	calm := quantile(tallied(t, n, cfg).waits, 0.5)
	cfg.Burst = compactions
	told := tallied(t, n, cfg)
	cfg.Burst.Untold = true
	untold := quantile(tallied(t, n, cfg).waits, 0.5)
	got := quantile(told.waits, 0.5)
	t.Logf("slices until it is found: %.0f without bursts, %.0f between them, %.0f where they are not told", calm, got, untold)
	if told.promoted < n-2 || got > 1.5*calm || got > untold/2 {
		t.Errorf("12 %% less was promoted in %d of %d plants with bursts, within %.0f slices", told.promoted, n, got)
	}
	cfg.Surface, cfg.Burst.Untold = plant.Flat(), false
	if got := tallied(t, n, cfg); got.promoted > got.trials/40+1 {
		t.Errorf("nothing at all was promoted in %d of %d trials", got.promoted, got.trials)
	}
}

// Where there is a burst in every slice, slices count all the same.
func TestBurstsThatDoNotEnd(t *testing.T) {
	cfg := plant.Config{
		Start: []int{5}, Surface: plant.Step(5, -0.12), World: plant.Noisy(),
		Burst: plant.Burst{Every: 1, Length: 1, Cost: 0.9}, Seed: 1,
	}
	tr := run(t, 2000, 0, cfg, func(c *engine.Config) { c.Engine = fixed{6} })
	if at := tr.incumbents[len(tr.incumbents)-1]; at[0] != 6 {
		t.Errorf("the incumbent is at level %d, want 6: %v", at[0], tr.decisions)
	}
}

// A burst is no excuse for a candidate that costs far more than one, or does nothing: it
// goes back behind the first slice.
func TestBurstsAreNoExcuse(t *testing.T) {
	for _, cfg := range []plant.Config{
		{Surface: plant.Step(5, 1.8)},
		{Surface: plant.Flat(), Stall: 6},
	} {
		cfg.Start, cfg.World, cfg.Burst = []int{5}, plant.Noisy(), plant.Burst{Every: 1, Length: 1, Cost: 0.3}
		tr := run(t, 2000, 0, cfg, func(c *engine.Config) { c.Engine = fixed{6} })
		visits := 0
		for i, l := range tr.levels {
			if l[0] == 6 {
				visits++
				if tr.levels[i-1][0] == 6 {
					t.Fatalf("slice %d is the second in a row", i)
				}
			}
		}
		if visits == 0 {
			t.Error("it was never tried")
		}
	}
}

// Of a knob that shows late, as many slices are measured behind a switch as are left out,
// so that a block of independent noise differs by less.
func TestBlocksOfLateKnobs(t *testing.T) {
	const n = 20
	noise := func(settle int) (sum float64) {
		for seed := range uint64(n) {
			tr := run(t, 400, 0, plant.Config{
				Start: []int{5}, Surface: plant.Flat(), World: plant.World{SD: 0.05}, Seed: seed, Settle: time.Duration(settle) * time.Second,
			}, func(c *engine.Config) { c.Engine = fixed{6} })
			sum += tr.decisions[0].Evidence.Noise / n
		}
		return sum
	}
	if late, at := noise(4), noise(1); late > 0.6*at || late < 0.4*at {
		t.Errorf("a block has a deviation of %.4f with four slices left out, and of %.4f with one; want about half", late, at)
	}
}
