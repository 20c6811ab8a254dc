package engine_test

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/engine"
	"github.com/outrider-project/outrider/perfcore/plant"
)

// Around is the simple way with a knob without an order: it proposes one arm
// after the other.
type around struct{ next int }

func (a *around) Propose(_ context.Context, s engine.Space, _ func(plus, minus []int) (float64, error)) ([]int, error) {
	y := slices.Clone(s.At)
	for range plant.Levels {
		a.next = (a.next + 1) % plant.Levels
		if a.next != s.At[0] && slices.Contains(s.Arms[0], a.next) {
			y[0] = a.next
			break
		}
	}
	return y, nil
}
func (*around) Learn(perfcore.Verdict) {}
func (*around) Forget()                {}

// Along is the simple way with several knobs that have one: it moves one at a
// time, goes on in the direction that was right last, turns once, and takes
// smaller steps each time it has been through all.
type along struct{ knobs, knob, way, step, failed int }

func newAlong(knobs int) *along { return &along{knobs: knobs, way: 1, step: 3} }

func (a *along) Propose(_ context.Context, s engine.Space, _ func(plus, minus []int) (float64, error)) ([]int, error) {
	y := slices.Clone(s.At)
	for range 2 * a.knobs {
		y[a.knob] = min(max(s.At[a.knob]+a.way*a.step, s.Low[a.knob]), s.High[a.knob])
		if y[a.knob] != s.At[a.knob] {
			break
		}
		a.Learn(perfcore.Rejected) // there is no room that way
	}
	return y, nil
}

func (a *along) Learn(v perfcore.Verdict) {
	if v == perfcore.Promoted {
		a.failed = 0
		return
	}
	a.way = -a.way
	if a.failed++; a.failed < 2 {
		return
	}
	a.failed = 0
	if a.knob++; a.knob == a.knobs {
		a.knob, a.step = 0, max(a.step-1, 1)
	}
}

func (a *along) Forget() { *a = *newAlong(a.knobs) }

// An outcome is how one engine did on many plants: the share that it did not
// bring near the oracle, the median of slices until it did, and the mean excess
// over the oracle in the whole run and its second half.
type outcome struct{ missed, hit50, total, tail float64 }

// try runs an engine, the standard one if e is nil, on plants.
func try(t *testing.T, draw engine.Draw, slices int, random func(seed uint64) (plant.Config, int), e func() engine.OptimizationEngine) outcome {
	t.Helper()
	var o outcome
	var hits []float64
	for _, seed := range draw.Seeds() {
		cfg, moved := random(seed)
		tr := run(t, slices, moved, cfg, func(c *engine.Config) {
			if e != nil {
				c.Engine = e()
			}
		})
		hits = append(hits, tr.hit(max(tr.start, moved), slices))
		o.total += mean(tr.spent) / float64(draw.Size)
		o.tail += mean(tr.spent[slices/2:]) / float64(draw.Size)
	}
	o.missed = float64(beyond(hits, math.MaxFloat64)) / float64(draw.Size)
	o.hit50 = quantile(hits, 0.5)
	return o
}

// randomArms returns a plant of one knob whose values have no order. Their
// costs are spread, and one lies beyond the guard; in slice moved, unless that
// is 0, they are dealt again.
func randomArms(seed uint64, spread float64, moved int) plant.Config {
	r := rand.New(rand.NewPCG(seed, 7))
	deal := func() plant.Surface {
		var costs [plant.Levels]float64
		for i := range costs {
			costs[i] = spread * r.NormFloat64()
		}
		costs[r.IntN(plant.Levels)] = 0.8
		return plant.Arms(costs)
	}
	surface := deal()
	if moved > 0 {
		surface = plant.Moved(surface, deal(), moved)
	}
	return plant.Config{Start: []int{5}, Unordered: []int{0}, Surface: surface, World: plant.Noisy(), Seed: seed}
}

// On a knob without an order Thompson sampling beats going around, or it would
// not be used (docs/adr/0022).
func TestArms(t *testing.T) {
	if testing.Short() {
		t.Skip("Thompson sampling was not held against the simple way: it takes a second")
	}
	for _, w := range []struct {
		name   string
		spread float64
		moved  int
		even   float64 // the excess by which the learned way may lose
	}{
		{"far apart", 0.15, 0, 0},
		{"close", 0.05, 0, 0},
		{"dealt again", 0.15, 1000, 0},
		{"all the same", 0, 0, 0.001},
	} {
		t.Run(w.name, func(t *testing.T) {
			draw := engine.DrawOf(t, engine.Plants, 30)
			random := func(seed uint64) (plant.Config, int) { return randomArms(seed, w.spread, w.moved), w.moved }
			sampled := try(t, draw, 2000, random, nil)
			simple := try(t, draw, 2000, random, func() engine.OptimizationEngine { return new(around) })
			t.Logf("Thompson %.4f", sampled)
			t.Logf("around   %.4f", simple)
			if !(sampled.total <= simple.total+w.even) {
				t.Errorf("excess %.4f by Thompson sampling, %.4f by going around", sampled.total, simple.total)
			}
		})
	}
}

// On knobs with an order the hybrid engine beats moving one at a time.
func TestVectors(t *testing.T) {
	if testing.Short() {
		t.Skip("the hybrid engine was not held against the simple way: it takes a second")
	}
	all := []goal{
		{name: "three knobs", knobs: 3, slices: 2000},
		{name: "one knob", knobs: 1, slices: 1200},
		{name: "six knobs", knobs: 6, slices: 4000},
		{name: "cliff", knobs: 3, slices: 2000, cliff: true},
		{name: "moved optimum", knobs: 3, slices: 4000, moved: true},
		{name: "three knobs, optimal", knobs: 3, slices: 500, optimal: true},
	}
	draw := engine.DrawOf(t, engine.Plants, 0)
	if draw.Size == 0 { // the full comparison is for whoever changes an engine
		draw.Size, all = 12, all[:1]
	}
	for _, g := range all {
		t.Run(g.name, func(t *testing.T) {
			random := func(seed uint64) (plant.Config, int) { return g.random(seed) }
			hybrid := try(t, draw, g.slices, random, nil)
			simple := try(t, draw, g.slices, random, func() engine.OptimizationEngine { return newAlong(g.knobs) })
			t.Logf("hybrid %.4f", hybrid)
			t.Logf("along  %.4f", simple)
			if !(hybrid.total <= simple.total) {
				t.Errorf("excess %.4f by the hybrid engine, %.4f by moving one knob at a time", hybrid.total, simple.total)
			}
		})
	}
}

// An arm at which the guard fires stays away for a while, and its neighbours do
// not.
func TestArmBeyondTheGuard(t *testing.T) {
	cfg := randomArms(3, 0, 0)
	var costs [plant.Levels]float64
	costs[6], costs[7] = 0.8, -0.3
	cfg.Surface = plant.Arms(costs)
	tr := run(t, 450, 0, cfg, nil)
	visits := 0
	for _, l := range tr.levels {
		if l[0] == 6 {
			visits++
		}
	}
	if visits > 1 {
		t.Errorf("%d slices beyond the guard in less than its time, want one at most", visits)
	}
	if end := tr.levels[len(tr.levels)-1][0]; end != 7 {
		t.Errorf("it ends at %d; the arm behind the bad one is the best", end)
	}
}
