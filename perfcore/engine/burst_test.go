package engine_test

import (
	"strings"
	"testing"

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

// Between bursts of the background a change that is worth it is found when it has been
// through one, and later where nobody tells of them; a useless one is promoted in neither.
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
	if told.promoted < n-2 || got > untold*4/5 {
		t.Errorf("12 %% less was promoted in %d of %d plants with bursts, within %.0f slices", told.promoted, n, got)
	}
	cfg.Surface, cfg.Burst.Untold = plant.Flat(), false
	if got := tallied(t, n, cfg); got.promoted > got.trials/40+1 {
		t.Errorf("nothing at all was promoted in %d of %d trials", got.promoted, got.trials)
	}
}

// Where there is a burst in every slice, nothing is concluded.
func TestBurstsThatDoNotEnd(t *testing.T) {
	cfg := plant.Config{
		Start: []int{5}, Surface: plant.Step(5, -0.12), World: plant.Noisy(),
		Burst: plant.Burst{Every: 1, Length: 1, Cost: 0.9}, Seed: 1,
	}
	tr := run(t, 2000, 0, cfg, func(c *engine.Config) { c.Engine = fixed{6} })
	for _, d := range tr.decisions {
		if d.Verdict != perfcore.Inconclusive || d.Trigger != "calibration" || !strings.HasSuffix(d.Reason, ": the background is busy") {
			t.Errorf("%v", d)
		}
	}
	if len(tr.decisions) == 0 {
		t.Error("nobody was told")
	}
}

// A burst is no excuse for a candidate that costs more than the guard lets it, beside what
// bursts cost, or does nothing: it goes back behind the first slice.
func TestBurstsAreNoExcuse(t *testing.T) {
	for _, cfg := range []plant.Config{
		{Surface: plant.Step(5, 0.8)},
		{Surface: plant.Flat(), Stall: 6},
	} {
		cfg.Start, cfg.World, cfg.Burst = []int{5}, plant.Noisy(), plant.Burst{Every: 3, Length: 2, Cost: 0.3}
		tr := run(t, 4000, 0, cfg, func(c *engine.Config) { c.Engine = fixed{6} })
		visits, aborted := 0, 0
		for i, l := range tr.levels {
			if l[0] == 6 {
				visits++
				if tr.levels[i-1][0] == 6 {
					t.Fatalf("slice %d is the second in a row", i)
				}
			}
		}
		for _, d := range tr.decisions {
			if d.Verdict == perfcore.Aborted {
				aborted++
			}
		}
		if visits == 0 || aborted == 0 {
			t.Errorf("it was tried in %d slices, and aborted %d times", visits, aborted)
		}
	}
}

// Nobody is to blame for a burst, however long it is.
func TestLongBursts(t *testing.T) {
	trials, aborted := 0, 0
	for seed := range uint64(20) {
		cfg := plant.Config{
			Start: []int{5}, Surface: plant.Flat(), World: plant.Noisy(), Seed: seed,
			Burst: plant.Burst{Every: 60, Length: 12, Cost: 0.9},
		}
		tr := run(t, 1500, 0, cfg, func(c *engine.Config) { c.Engine = fixed{6} })
		for _, d := range tr.decisions {
			if len(d.Moves) > 0 {
				trials++
			}
			if d.Verdict == perfcore.Aborted {
				aborted++
			}
		}
	}
	if trials < 100 || aborted > 1 {
		t.Errorf("of %d trials %d were aborted", trials, aborted)
	}
}

// What a candidate saves between bursts it must not lose in them.
func TestDearerBursts(t *testing.T) {
	const n = 40
	cfg := plant.Config{
		Start: []int{5}, Surface: plant.Step(5, -0.06), World: plant.Noisy(),
		Burst: plant.Burst{Every: 16, Length: 4, Cost: 0.7, Dearer: 0.4},
	}
	if got := tallied(t, n, cfg); got.promoted > got.trials/10 {
		t.Errorf("6 %% less between bursts, and half as much again in a quarter of the slices: promoted in %d of %d trials", got.promoted, got.trials)
	}
	cfg.Burst.Dearer = 0
	if got := tallied(t, n, cfg); got.promoted < n/2 {
		t.Errorf("6 %% less, and no more in bursts: promoted in %d of %d plants", got.promoted, n)
	}
}
