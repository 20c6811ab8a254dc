package engine_test

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/engine"
	"github.com/outrider-project/outrider/perfcore/plant"
)

// A trace is a plant that an optimizer ran on: the true excess of cost over the
// oracle, slice by slice, as a share.
type trace struct {
	*plant.Plant
	surface   plant.Surface
	optimizer *engine.PerformanceOptimizer
	stop      context.CancelFunc
	slices    int
	moved     int     // slice in which the optimum moves; 0 for never
	best      float64 // the oracle's cost now
	start     int     // slice in which experiments begin

	spent      []float64 // of the levels that the slice ran with
	incumbent  []float64 // of the incumbents
	incumbents [][]int
	levels     [][]int
	decisions  []perfcore.Decision
}

func (tr *trace) Collect() perfcore.Sample {
	t := tr.Plant.Slice()
	levels := tr.Plant.Levels()
	if t == 0 || t == tr.moved {
		_, tr.best = plant.Oracle(tr.surface, len(levels), t)
	}
	at := make([]int, len(levels))
	for i, k := range tr.optimizer.Resources.Knobs() {
		at[i] = slices.Index(k.Ladder, k.Incumbent)
	}
	tr.levels = append(tr.levels, levels)
	tr.spent = append(tr.spent, math.Expm1(tr.surface(levels, t)-tr.best))
	tr.incumbents = append(tr.incumbents, at)
	tr.incumbent = append(tr.incumbent, math.Expm1(tr.surface(at, t)-tr.best))
	if len(tr.spent) == tr.slices {
		tr.stop()
	}
	return tr.Plant.Collect()
}

// run runs an optimizer for so many slices on a plant, in virtual time.
func run(t *testing.T, n, moved int, cfg plant.Config, change func(*engine.Config)) *trace {
	t.Helper()
	tr := &trace{Plant: plant.New(cfg), surface: cfg.Surface, slices: n, moved: moved}
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		tr.stop = stop
		c := engine.Config{
			Knobs: tr.Knobs(), Collector: tr, Slice: time.Second, Seed: cfg.Seed + 1,
			Decided: func(d perfcore.Decision) {
				if d.Verdict == perfcore.Calibrated && tr.start == 0 {
					tr.start = tr.Plant.Slice()
				}
				tr.decisions = append(tr.decisions, d)
			},
		}
		if change != nil {
			change(&c)
		}
		var err error
		if tr.optimizer, err = engine.New(c); err != nil {
			t.Fatal(err)
		}
		if err := tr.optimizer.Run(ctx); err != nil {
			t.Fatal(err)
		}
	})
	return tr
}

// hit returns how many slices after from the incumbents are within 5 % of the oracle, and
// stay so in every slice before to, thirty at least; infinitely many if they do not.
func (tr *trace) hit(from, to int) float64 {
	at := to
	for at > from && tr.incumbent[at-1] <= 0.05 {
		at--
	}
	if to-at < 30 {
		return math.Inf(1)
	}
	return float64(at - from)
}

func quantile(x []float64, q float64) float64 {
	if len(x) == 0 {
		return math.NaN()
	}
	x = slices.Sorted(slices.Values(x))
	return x[int(math.Ceil(q*float64(len(x))))-1]
}

func mean(x []float64) float64 {
	var sum float64
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

// A goal is what the optimizer must reach on random plants of one kind. Windows
// are slices, from the end of the calibration or the optimum's move, and infinitely many
// of a plant that missed; excesses are shares of the oracle's cost, and a zero bound is none,
// but for the shares of plants.
type goal struct {
	name                 string
	knobs, slices, times int
	moved, cliff, bursts bool
	optimal              bool

	hit50, hit95, missed float64 // windows, windows, share of the plants
	tail                 float64 // mean excess in the second half
	total, total95       float64 // excess over the whole run
	ruined               float64 // share of plants that end more than 2 % worse than they began
	visits               int     // to levels beyond the cliff, in one plant
}

// random returns a plant of the goal's kind, and the slice in which its optimum
// moves.
func (g goal) random(seed uint64) (plant.Config, int) {
	r := rand.New(rand.NewPCG(seed, 99))
	bowl := plant.RandomBowl(r, g.knobs)
	start := make([]int, g.knobs)
	for i := range start {
		start[i] = 1 + r.IntN(9)
		if g.optimal {
			start[i] = int(math.Round(bowl.Bottom[i]))
		}
	}
	if g.cliff {
		bowl.Bottom[0] = cliffLevel - 1.5
		start[0] = min(start[0], cliffLevel-1)
	}
	surface, moved := bowl.Surface(), 0
	if g.moved {
		moved = g.slices / 2
		surface = plant.Moved(surface, plant.RandomBowl(r, g.knobs).Surface(), moved)
	}
	if g.cliff {
		surface = plant.Cliff(surface, cliffLevel, 0.8)
	}
	w := plant.Noisy()
	w.Season, w.Period = 0.05, 700
	cfg := plant.Config{Start: start, Surface: surface, World: w, Seed: seed}
	if g.bursts {
		cfg.Burst = compactions
	}
	return cfg, moved
}

const cliffLevel = 9

// compactions are bursts as Pebble's compactions are in a replay of blocks.
var compactions = plant.Burst{Every: 38, Length: 5, Cost: 0.9}

// visits returns how often the first knob went over the cliff, and how many
// slices it stayed there.
func (tr *trace) visits() (visits, stayed int) {
	for i, l := range tr.levels {
		if l[0] < cliffLevel {
			continue
		}
		stayed++
		if i == 0 || tr.levels[i-1][0] < cliffLevel {
			visits++
		}
	}
	return visits, stayed
}

// The goals of the design, on plants like those that its thresholds were measured on.
// Incumbents hit the oracle when they are within 5 % of it and stay so to the end of the
// run: one that is left again, by a wrong promotion too, is no hit.
//
// A hundred plants tell little of rare misses: where none of them missed, a share of 2.95 %
// is not excluded with 95 % confidence, and where two did, one of 6.2 %. The night's draw shows
// the shares and the quantiles, which are shares of plants beyond them.
func TestGoals(t *testing.T) {
	if testing.Short() {
		t.Skip("the goals on random plants were not checked: they take seconds")
	}
	for _, g := range []goal{
		{name: "one knob", knobs: 1, slices: 1200, times: 100, hit50: 40, hit95: 200, tail: 0.015},
		{name: "three knobs", knobs: 3, slices: 2000, times: 100, hit50: 100, hit95: 900, missed: 0.05, tail: 0.03},
		{name: "six knobs", knobs: 6, slices: 4000, times: 50, hit50: 650, missed: 0.07, tail: 0.045},
		{name: "cliff", knobs: 3, slices: 2000, times: 100, cliff: true, hit50: 100, missed: 0.05, tail: 0.035, visits: 5},
		{name: "three knobs, bursts", knobs: 3, slices: 2000, times: 40, bursts: true, hit50: 150, hit95: 1500, missed: 0.05, tail: 0.03},
		{name: "moved optimum", knobs: 3, slices: 4000, times: 100, moved: true, hit50: 120, missed: 0.02, tail: 0.045},
		{name: "one knob, optimal", knobs: 1, slices: 500, times: 100, optimal: true, total: 0.015, total95: 0.02, ruined: 0.003},
		{name: "three knobs, optimal", knobs: 3, slices: 500, times: 100, optimal: true, total: 0.015, total95: 0.02, ruined: 0.003},
		{name: "six knobs, optimal", knobs: 6, slices: 500, times: 100, optimal: true, total: 0.015, total95: 0.02, ruined: 0.003},
		{name: "six knobs, optimal, longer", knobs: 6, slices: 2000, times: 50, optimal: true, total: 0.015, total95: 0.02, ruined: 0.003},
	} {
		t.Run(g.name, func(t *testing.T) { g.check(t) })
	}
}

func (g goal) check(t *testing.T) {
	var hits, tails, totals []float64
	var ruined, visits int
	draw := engine.DrawOf(t, engine.Plants, g.times)
	if g.optimal { // three of a thousand may be ruined
		draw = draw.Larger(10)
	}
	for _, seed := range draw.Seeds() {
		cfg, moved := g.random(seed)
		tr := run(t, g.slices, moved, cfg, nil)
		hits = append(hits, tr.hit(max(tr.start, moved), g.slices))
		tails = append(tails, mean(tr.spent[g.slices/2:]))
		totals = append(totals, mean(tr.spent))
		if moved == 0 && tr.incumbent[g.slices-1] > tr.incumbent[0]+0.02 {
			ruined++
		}
		if went, stayed := tr.visits(); g.cliff {
			visits = max(visits, went)
			if stayed != went {
				t.Errorf("seed %d: %d visits over the cliff took %d slices, want one each", seed, went, stayed)
			}
		}
		if r := tr.optimizer.Regret(); r > 0.02*(250+float64(g.slices))/float64(g.slices)+1/float64(g.slices) && g.optimal {
			t.Errorf("seed %d: a regret of %.4f is beyond the budget", seed, r)
		}
	}
	t.Logf("hit p50 %.0f, p95 %.0f; excess: tail %.4f, total %.4f, p95 %.4f; visits %d",
		quantile(hits, 0.5), quantile(hits, 0.95), mean(tails), mean(totals), quantile(totals, 0.95), visits)
	draw.AtMost(t, "not within 5 % of the oracle to the end", beyond(hits, math.MaxFloat64), g.missed)
	if !g.moved {
		draw.AtMost(t, "ended more than 2 % worse", ruined, g.ruined)
	}
	for _, q := range []struct {
		what         string
		of           []float64
		bound, share float64
	}{
		{"later within 5 % of the oracle than the median may be", hits, g.hit50, 0.5},
		{"later within 5 % of the oracle than the p95 may be", hits, g.hit95, 0.05},
		{"more excess than the p95 may be", totals, g.total95, 0.05},
	} {
		if q.bound != 0 {
			draw.AtMost(t, q.what, beyond(q.of, q.bound), q.share)
		}
	}
	if g.tail != 0 {
		draw.MeanAtMost(t, "excess in the second half", tails, g.tail)
	}
	if g.total != 0 {
		draw.MeanAtMost(t, "excess", totals, g.total)
	}
	if visits > g.visits {
		t.Errorf("%d visits over the cliff, want at most %d", visits, g.visits)
	}
}

// beyond returns how many exceed a bound.
func beyond(x []float64, bound float64) (n int) {
	for _, v := range x {
		if v > bound {
			n++
		}
	}
	return n
}

// What was near the oracle and is not any more has not hit it, nor has what came near it too
// late to tell.
func TestHit(t *testing.T) {
	near, far := slices.Repeat([]float64{0.05}, 30), []float64{0.06}
	for _, tt := range []struct {
		name      string
		incumbent []float64
		want      float64
	}{
		{"at once", near, 0},
		{"later", slices.Concat(far, far, near), 2},
		{"left, and back", slices.Concat(near, far, near), 31},
		{"left before it counts", slices.Concat(near, far, near)[1:], 30},
		{"left", slices.Concat(near, near, far), math.Inf(1)},
		{"left, and back too late", slices.Concat(near, far, near[1:]), math.Inf(1)},
		{"never", far, math.Inf(1)},
	} {
		tr := &trace{incumbent: slices.Concat(far, tt.incumbent, far)}
		if got := tr.hit(1, 1+len(tt.incumbent)); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	missed := []float64{3, math.Inf(1), 1, math.Inf(1)}
	if quantile(missed, 0.5) != 3 || !math.IsInf(quantile(missed, 0.95), 1) || beyond(missed, 2) != 3 {
		t.Error("what missed the oracle does not count as infinitely late")
	}
}

// Experiments that cost something stop when the budget is spent: what they have
// truly cost stays within it, but for the one that was running.
func TestBudgetBinds(t *testing.T) {
	if testing.Short() {
		t.Skip("that the budget binds was not checked: it takes seconds")
	}
	const n, share, oneTrial, times = 6000, 0.0005, 3, 8
	const most = (share*(250+n) + oneTrial) / n
	var unbound float64
	for seed := range uint64(times) {
		cfg := plant.Config{Start: []int{5}, Surface: plant.Step(5, 0.15), World: plant.Noisy(), Seed: seed}
		spend := func(budget float64) float64 {
			tr := run(t, n, 0, cfg, func(c *engine.Config) { c.Engine, c.Budget = fixed{6}, budget })
			return mean(tr.spent)
		}
		if got := spend(share); got > most {
			t.Errorf("seed %d: %.5f was spent, want at most %.5f", seed, got, most)
		}
		unbound += spend(0.5) / times
	}
	if unbound < 2*most {
		t.Errorf("%.5f was spent without a budget, so %.5f is no bound", unbound, most)
	}
}
