package engine_test

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/engine"
	"github.com/outrider-project/outrider/perfcore/plant"
)

// A trap is a plant on which simpler optimizers go wrong. Each is run several
// times; excesses are shares of the oracle's cost.
type trap struct {
	name   string
	start  []int
	slices int
	// surface and world are those of one run.
	surface func(r *rand.Rand) plant.Surface
	world   func(w *plant.World)
	cfg     func(c *plant.Config)

	end   float64 // largest excess of the incumbent in the end, in at least 9 of 10 runs
	worst float64 // and in all
	mean  float64 // largest mean excess over the run
}

func bowl(bottom, weight float64) func(*rand.Rand) plant.Surface {
	return func(*rand.Rand) plant.Surface {
		return plant.Bowl{Bottom: []float64{bottom}, Weight: []float64{weight}}.Surface()
	}
}

func flat(*rand.Rand) plant.Surface { return plant.Flat() }

func TestTraps(t *testing.T) {
	if testing.Short() {
		t.Skip("the traps were not tried: they take seconds")
	}
	for _, tr := range []trap{
		{name: "plateau", start: []int{2, 2}, slices: 1500, surface: func(r *rand.Rand) plant.Surface {
			return plant.Plateau(plant.RandomBowl(r, 2), 2)
		}, end: 0.05, worst: 0.15, mean: 0.1},
		{name: "ridge", start: []int{1, 1}, slices: 3000, surface: func(*rand.Rand) plant.Surface { return plant.Ridge(8) },
			end: 0.1, worst: 0.25, mean: 0.15},
		// From the shallow basin no step of three levels shows the deep one.
		{name: "two basins", start: []int{2}, slices: 1500, surface: func(*rand.Rand) plant.Surface { return plant.Basins(0.1) },
			end: 0.12, worst: 0.12, mean: 0.13},
		{name: "no effect", start: []int{5, 5}, slices: 1500, surface: flat, end: 0.001, worst: 0.001, mean: 0.001},
		{name: "drift", start: []int{5}, slices: 1500, surface: bowl(5, 1.2), world: func(w *plant.World) { w.Drift = -0.002 },
			end: 0.02, worst: 0.05, mean: 0.02},
		{name: "rising drift", start: []int{5}, slices: 1500, surface: bowl(5, 1.2), world: func(w *plant.World) { w.Drift = 0.002 },
			end: 0.02, worst: 0.05, mean: 0.02},
		{name: "step", start: []int{5}, slices: 1500, surface: bowl(5, 1.2), world: func(w *plant.World) { w.Step, w.StepAt = 0.5, 400 },
			end: 0.02, worst: 0.05, mean: 0.02},
		{name: "season of a block's length", start: []int{5}, slices: 1500, surface: bowl(5, 1.2), world: func(w *plant.World) { w.Season, w.Period = 0.1, 7 },
			end: 0.02, worst: 0.05, mean: 0.02},
		{name: "heavy tails", start: []int{2}, slices: 1500, surface: bowl(7, 1.2), world: func(w *plant.World) { w.Tails = true },
			end: 0.05, worst: 0.1, mean: 0.06},
		{name: "neighbour, seen", start: []int{2}, slices: 1500, surface: bowl(7, 1.2), world: func(w *plant.World) { w.Neighbour, w.SeenNeighbour = 0.5, true },
			end: 0.05, worst: 0.1, mean: 0.1},
		{name: "neighbour, unseen", start: []int{2}, slices: 2500, surface: bowl(7, 1.2), world: func(w *plant.World) { w.Neighbour = 0.3 },
			end: 0.05, worst: 0.4, mean: 0.15},
		// Each level up drops 4 % of the work, and the cost seems to fall by that.
		{name: "Goodhart", start: []int{5}, slices: 1500, surface: bowl(5, 0.1), cfg: func(c *plant.Config) { c.Goodhart = 0.04 },
			end: 0.002, worst: 0.002, mean: 0.005},
		{name: "carry-over", start: []int{2}, slices: 2000, surface: bowl(8, 1.2), cfg: func(c *plant.Config) { c.Carry = 0.5 },
			end: 0.05, worst: 0.1, mean: 0.1},
		{name: "failing Apply", start: []int{2}, slices: 1500, surface: bowl(7, 1.2), cfg: func(c *plant.Config) { c.FailingApply = 0.02 },
			end: 0.05, worst: 0.4, mean: 0.15},
	} {
		t.Run(tr.name, func(t *testing.T) {
			const times = 20
			far := 0
			var means, ends []float64
			for seed := range uint64(times) {
				cfg := plant.Config{Start: tr.start, World: plant.Noisy(), Seed: seed}
				cfg.Surface = tr.surface(rand.New(rand.NewPCG(seed, 5)))
				if tr.world != nil {
					tr.world(&cfg.World)
				}
				if tr.cfg != nil {
					tr.cfg(&cfg)
				}
				got := run(t, tr.slices, 0, cfg, nil)
				end := got.incumbent[tr.slices-1]
				ends, means = append(ends, end), append(means, mean(got.spent))
				if end > tr.end+1e-9 {
					far++
				}
				if end > tr.worst {
					t.Errorf("seed %d ends %.3f from the oracle, want %.3f", seed, end, tr.worst)
				}
			}
			t.Logf("ends p90 %.4f, max %.4f; mean excess %.4f", quantile(ends, 0.9), quantile(ends, 1), mean(means))
			if far > times/10 {
				t.Errorf("%d of %d end more than %.3f from the oracle", far, times, tr.end)
			}
			if m := mean(means); m > tr.mean {
				t.Errorf("mean excess %.4f, want %.4f", m, tr.mean)
			}
		})
	}
}

// A washout that is too short is noticed in half of the plants, and grows: the first slice
// behind a switch stands between the old cost and the new.
func TestCarryOverIsNoticed(t *testing.T) {
	const times = 24
	noticed := 0
	for seed := range uint64(times) {
		var lengths []float64 // of blocks, in slices
		cfg := plant.Config{Start: []int{5}, Surface: plant.Step(6, 0.15), World: plant.Noisy(), Carry: 0.6, Seed: seed}
		run(t, 3000, 0, cfg, func(c *engine.Config) {
			c.Engine = &swing{at: 5}
			decided := c.Decided
			c.Decided = func(d perfcore.Decision) {
				decided(d)
				if e := d.Evidence; d.Verdict == perfcore.Promoted || d.Verdict == perfcore.Rejected {
					lengths = append(lengths, float64(e.Slices)/float64(len(e.Diffs)))
				}
			}
		})
		if len(lengths) > 6 && lengths[len(lengths)-1] >= lengths[0]+2 {
			noticed++
		}
	}
	t.Logf("it was noticed in %d of %d plants", noticed, times)
	if noticed < times/3 {
		t.Errorf("it was noticed in %d of %d plants, want a third", noticed, times)
	}
}

// A swing proposes 6 when the knob is at 5, and 5 when it is elsewhere.
type swing struct {
	fixed
	at int
}

func (s *swing) Propose(_ context.Context, sp engine.Space, _ func(plus, minus []int) (float64, error)) ([]int, error) {
	if sp.At[0] == s.at {
		return []int{s.at + 1}, nil
	}
	return []int{s.at}, nil
}

// A promotion is tested again later, and goes back with evidence when the value
// before has become the better one, which the incumbent's own cost does not
// show.
func TestProbation(t *testing.T) {
	turned := 0
	const times = 10
	for seed := range uint64(times) {
		surface := func(levels []int, t int) float64 {
			if levels[0] == 6 {
				return 0
			}
			return math.Copysign(0.1, 149.5-float64(t))
		}
		cfg := plant.Config{Start: []int{5}, Surface: surface, World: plant.Noisy(), Seed: seed}
		tr := run(t, 1200, 150, cfg, func(c *engine.Config) { c.Engine = fixed{6} })
		promoted := false
		for _, d := range tr.decisions {
			if d.Verdict != perfcore.Promoted {
				continue
			}
			if d.Trigger == "search" {
				promoted = true
			}
			if d.Trigger == "probation" && promoted {
				turned++
				break
			}
		}
	}
	t.Logf("%d of %d went back", turned, times)
	if turned < times/2 {
		t.Errorf("%d of %d promotions went back, want half at least", turned, times)
	}
}
