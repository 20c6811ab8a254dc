package engine

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/plant"
)

// worlds are the kinds of noise that the error rates are shown in. A trial takes at most
// 56 slices, or twice as many where it promises something in the end.
var worlds = map[string]func(r *rand.Rand) plant.World{
	"independent": func(*rand.Rand) plant.World { return plant.World{SD: 0.05} },
	"AR(1)":       func(*rand.Rand) plant.World { return plant.World{SD: 0.05, Phi: 0.6} },
	"drift":       func(*rand.Rand) plant.World { return plant.World{SD: 0.05, Phi: 0.6, Drift: -0.15 / 56} },
	"step": func(r *rand.Rand) plant.World {
		return plant.World{SD: 0.05, Phi: 0.6, Step: -0.15, StepAt: r.IntN(56)}
	},
	"season": func(*rand.Rand) plant.World {
		return plant.World{SD: 0.05, Phi: 0.6, Season: 0.1, Period: 84}
	},
	"heavy tails": func(*rand.Rand) plant.World { return plant.World{SD: 0.05, Phi: 0.6, Tails: true} },
	"rare stalls": func(*rand.Rand) plant.World { return plant.World{SD: 0.05, Phi: 0.6, Hiccup: 0.7} },
}

// settledTuner returns a tuner on a plant whose first knob stands at 5 and
// changes the cost by effect when it moves to 6.
func settledTuner(t *testing.T, w plant.World, effect float64, seed uint64) *tuner {
	t.Helper()
	// Step is effect everywhere but at one level; the cost at 5 is 0 so.
	p := plant.New(plant.Config{Start: []int{5}, Surface: plant.Step(5, effect), World: w, Seed: seed})
	o, err := New(Config{Knobs: p.Knobs(), Collector: p, Slice: time.Second, Seed: seed + 1})
	if err != nil {
		t.Fatal(err)
	}
	return newTuner(o)
}

// trialOf runs one trial of a change with the true effect on the cost, in a
// world of its own, with what earlier ones said about the noise.
func trialOf(t *testing.T, w plant.World, effect float64, seed uint64, noise, lag spread) (result, *tuner) {
	tu := settledTuner(t, w, effect, seed)
	tu.noise, tu.plain, tu.lag = noise, noise, lag
	tu.effort.addZero(make([]float64, maxBlocks)) // its work has no noise
	r, err := tu.trial(t.Context(), []int{6}, tu.isBetter())
	if err != nil {
		t.Fatal(err)
	}
	return r, tu
}

// The error rates of promotion, in each world: useless changes at most 2 %,
// ones that are 5 % worse at most 0.1 %, and
// two thirds of those that are 5 % better are found, or more than half where
// blocks are noisier; the interval holds the true effect. The noise is not
// given: it comes from a calibration and from the trials themselves. Where one slice of
// fifty costs twice as much, the guard ends many trials, and a quarter are found.
//
// Of 10,000 trials of a change of a kind 200 useless and 10 harmful ones may be promoted.
// With 95 % confidence that excludes rates of 2.25 and 0.17 %, and not yet the ones just
// above the goals: the night's draw does, by bounds that are at the goals or below.
// The bounds are those of trials that do not depend on each other, and those of a program
// share what it knows of the noise. In 1000 programs of each world the variance of false
// promotions in a hundred trials was at most 1.10 of the binomial's, that of true ones 1.6.
func TestErrorRates(t *testing.T) {
	if testing.Short() {
		t.Skip("the error rates were not checked: they take seconds")
	}
	for name, world := range worlds {
		t.Run(name, func(t *testing.T) {
			power, plain := 0.65, 0.99
			switch name {
			case "independent", "step":
				power = 0.55
			case "rare stalls":
				power, plain = 0.25, 0.65
			}
			for _, tt := range []struct {
				effect   float64 // on the cost
				per      int     // of so many trials there is one of these
				min, max float64 // share promoted
			}{
				{0, 1, 0, 0.02},
				{0.05, 1, 0, 0.001},
				{-0.05, 10, power, 1},
				{-0.10, 50, plain, 1},
			} {
				draw := DrawOf(t, Trials, 10_000)
				draw.Size /= tt.per
				promoted, covered, decided := 0, 0, 0
				synctest.Test(t, func(t *testing.T) {
					r := rand.New(rand.NewPCG(7, draw.seed+7))
					var noise, lag spread
					for i, seed := range draw.Seeds() {
						if i%100 == 0 { // a program of its own
							tu := settledTuner(t, world(r), tt.effect, 1_000_000+seed)
							if _, err := tu.calibrate(t.Context()); err != nil {
								t.Fatal(err)
							}
							noise, lag = tu.noise, tu.lag
						}
						got, tu := trialOf(t, world(r), tt.effect, seed, noise, lag)
						noise, lag = tu.noise, tu.lag
						if got.verdict == perfcore.Promoted {
							promoted++
						}
						if e := got.evidence; len(e.Diffs) > 0 {
							decided++
							if e.Low <= -tt.effect && -tt.effect <= e.High {
								covered++
							}
						}
					}
				})
				draw.Within(t, fmt.Sprintf("effect %+.2f, promoted", tt.effect), promoted, tt.min, tt.max)
				coverage := float64(covered) / float64(decided)
				if coverage < 0.95 {
					t.Errorf("effect %+.2f: %.3f of the intervals hold it, want 0.95", tt.effect, coverage)
				}
			}
		})
	}
}

// A staller costs twice as much in one slice of fifty of the candidate.
type staller struct {
	*plant.Plant
	rand *rand.Rand
}

func (s *staller) Collect() perfcore.Sample {
	sample := s.Plant.Collect()
	if s.Levels()[0] == 6 && s.rand.IntN(50) == 0 {
		sample.Cost += 0.7
	}
	return sample
}

// Rare stalls of the candidate count in what it costs: one that is as good as the incumbent
// between them, or worse, is not promoted. One that saves between them what they cost is
// seldom: a trial into which none falls cannot know of them.
func TestRareStallsOfTheCandidate(t *testing.T) {
	if testing.Short() {
		t.Skip("the error rates with stalls of the candidate were not checked: they take seconds")
	}
	const cost = 0.7 / 50 // of the stalls
	for _, tt := range []struct {
		effect float64 // between the stalls
		most   float64 // share promoted
	}{{0, 0.02}, {0.05, 0.001}, {-cost, 0.05}} {
		draw, promoted := DrawOf(t, Trials, 2000), 0
		synctest.Test(t, func(t *testing.T) {
			w := worlds["AR(1)"](nil)
			var noise, lag spread
			for i, seed := range draw.Seeds() {
				tu := settledTuner(t, w, tt.effect, seed)
				if i%100 == 0 { // a program of its own
					if _, err := tu.calibrate(t.Context()); err != nil {
						t.Fatal(err)
					}
					noise, lag = tu.noise, tu.lag
				}
				tu.o.cfg.Collector = &staller{tu.o.cfg.Collector.(*plant.Plant), rand.New(rand.NewPCG(seed, 9))}
				tu.noise, tu.plain, tu.lag = noise, noise, lag
				tu.effort.addZero(make([]float64, maxBlocks))
				r, err := tu.trial(t.Context(), []int{6}, tu.isBetter())
				if err != nil {
					t.Fatal(err)
				}
				if noise, lag = tu.noise, tu.lag; r.verdict == perfcore.Promoted {
					promoted++
				}
			}
		})
		draw.AtMost(t, fmt.Sprintf("effect %+.3f between the stalls, promoted", tt.effect), promoted, tt.most)
	}
}

// A calibration seldom takes noise for a difference, and always sees one that
// follows the order of the arms.
func TestCalibration(t *testing.T) {
	const times = 500
	wrong := 0
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(times) {
			got, err := settledTuner(t, plant.Noisy(), 0, seed).calibrate(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got != perfcore.Calibrated {
				wrong++
			}
		}
	})
	t.Logf("%d of %d calibrations found a difference", wrong, times)
	if wrong > times*2/100 {
		t.Errorf("%d of %d calibrations found a difference where there is none", wrong, times)
	}
}

// A block is ABBA or BAAB by lot, with a slice left out behind each switch and
// none where there is no switch.
func TestBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tu := settledTuner(t, plant.World{}, 0.1, 1)
		p := tu.o.cfg.Collector.(*plant.Plant)
		var ran []int
		tu.o.cfg.Collector = &witness{p, &ran}
		seen := make(map[string]int)
		if _, err := tu.incumbent(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			ran = nil
			one, err := tu.block(t.Context(), []int{6}, 1, new(bill))
			if err != nil {
				t.Fatal(err)
			}
			if math.Abs(one.diff+0.1) > 1e-9 {
				t.Errorf("difference %v, want -0.1", one.diff)
			}
			order := make([]byte, len(ran))
			for i, l := range ran {
				order[i] = "AB"[l-5]
			}
			seen[string(order)]++
		}
		for order := range seen {
			switch order {
			case "ABBBAA", "AABBBAA", "BAAABB", "BBAAABB":
			default:
				t.Errorf("a block ran as %s", order)
			}
		}
		if len(seen) < 4 {
			t.Errorf("blocks ran as %v, want both orders behind both arms", seen)
		}
	})
}

// A witness notes the level of the first knob in each slice.
type witness struct {
	*plant.Plant
	ran *[]int
}

func (w *witness) Collect() perfcore.Sample {
	*w.ran = append(*w.ran, w.Levels()[0])
	return w.Plant.Collect()
}

// What is plain is promoted although a neighbour was busy during the calibration, and
// what is useless is not.
func TestNoiseThatHasGone(t *testing.T) {
	if testing.Short() {
		t.Skip("trials behind a noisy calibration were not tried: they take a second")
	}
	for _, tt := range []struct {
		effect   float64
		per      int
		min, max float64
	}{{-0.2, 10, 0.98, 1}, {0, 1, 0, 0.02}, {0.05, 1, 0, 0.001}} {
		draw, promoted := DrawOf(t, Trials, 2000), 0
		draw.Size /= tt.per
		synctest.Test(t, func(t *testing.T) {
			var tu *tuner
			for i, seed := range draw.Seeds() {
				if i%100 == 0 { // a program of its own
					tu = settledTuner(t, plant.World{SD: 0.2}, 0, 1_000_000+seed)
					if _, err := tu.calibrate(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				got, _ := trialOf(t, worlds["AR(1)"](nil), tt.effect, seed, tu.noise, tu.lag)
				if got.verdict == perfcore.Promoted {
					promoted++
				}
			}
		})
		draw.Within(t, fmt.Sprintf("effect %+.2f, promoted", tt.effect), promoted, tt.min, tt.max)
	}
}

// A guard lies beyond the noise, where that is known, and never beyond a doubling.
func TestGuardBesideNoise(t *testing.T) {
	const inflated = 1 + 2.0/maxFreedom // see deviation
	for _, tt := range []struct{ noise, guard, want float64 }{
		{0.01, 0.25, math.Log(1.25)}, {0.1, 0.25, 0.4 * inflated}, {0.5, 0.25, math.Ln2}, {0.5, 2, math.Log(3)},
	} {
		b := &bench{o: &PerformanceOptimizer{cfg: Config{Guard: tt.guard}}}
		for range 100 {
			b.plain.addZero([]float64{tt.noise, -tt.noise})
			b.effort.addZero([]float64{tt.noise, -tt.noise})
		}
		for _, below := range []bool{true, false} {
			past := tt.want * 1.01
			if below {
				past = tt.want * 0.99
			}
			dear, idle := seen{perfcore.Sample{Cost: past + 1, Work: 1}, 1}, seen{perfcore.Sample{Work: math.Exp(-past)}, 0}
			if b.beyondGuard(dear, 0, 0) == below || b.beyondGuard(idle, 0, 0) == below {
				t.Errorf("noise of %v, guard %v: %v is not where it ends", tt.noise, tt.guard, past)
			}
		}
	}
}

// Work that is less by no more than its own noise is looked at again, and not what is
// clearly less, or what is enough.
func TestMayDoLess(t *testing.T) {
	b := &bench{o: &PerformanceOptimizer{cfg: Config{MinEffect: 0.015}}}
	for _, tt := range []struct {
		work []float64
		want bool
	}{
		{[]float64{-0.2, 0.1}, true}, {[]float64{-0.1, 0.05, -0.03}, true},
		{[]float64{-0.2, -0.21}, false}, {[]float64{-0.3, -0.29, -0.31}, false},
		{[]float64{0.1, -0.1}, false}, {[]float64{-0.01, -0.01}, false},
	} {
		if got := b.mayDoLess(tt.work); got != tt.want {
			t.Errorf("%v: %v, want %v", tt.work, got, tt.want)
		}
	}
}

// Less work is no reason to reject what saves far more than that, as long as it may be
// noise; it is one where it is plain, or where nothing is saved but the work.
func TestDoesLess(t *testing.T) {
	b := &bench{o: &PerformanceOptimizer{cfg: Config{MinEffect: 0.015}}}
	for _, tt := range []struct {
		name   string
		effect float64
		work   []float64
		want   bool
	}{
		{"as much work", 0.2, []float64{0.02, -0.01}, false},
		{"less within the minimum", 0.2, []float64{-0.01, -0.01}, false},
		{"less within noise", 0.2, []float64{-0.1, 0.06}, false},
		{"plainly less", 0.2, []float64{-0.1, -0.11}, true},
		{"less within noise, and nothing else saved", 0.03, []float64{-0.1, 0.06}, true},
	} {
		e := perfcore.Evidence{Effect: tt.effect, Work: mean(tt.work)}
		if got := b.doesLess(&e, tt.work); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// A moment costs more, at those slices of the candidate that are named by their number.
type moment struct {
	*plant.Plant
	ran int
	at  []int
	by  float64
}

func (m *moment) Collect() perfcore.Sample {
	s := m.Plant.Collect()
	if m.Levels()[0] == 6 {
		if m.ran++; slices.Contains(m.at, m.ran) {
			s.Cost += m.by
		}
	}
	return s
}

// One slice beyond the guard ends a trial in its first block, and not once the candidate
// has been fine for one; two do. Each time the incumbent is in force behind it. What is
// pardoned counts: by half of what it was beyond, as if the block's other slices were alike.
func TestGuardPardonsOnce(t *testing.T) {
	for _, tt := range []struct {
		name   string
		effect float64
		at     []int
		by     float64
		want   perfcore.Verdict
	}{
		{"never", -0.2, nil, 0, perfcore.Promoted},
		{"in the first block", -0.2, []int{2}, 0.7, perfcore.Aborted},
		{"in the second", -0.2, []int{5}, 0.7, perfcore.Promoted},
		{"in the second, by far more than is saved", -0.2, []int{5}, 3, perfcore.Rejected},
		{"in the second, and nothing is saved", 0, []int{5}, 0.7, perfcore.Rejected},
		{"twice", -0.2, []int{5, 6}, 0.7, perfcore.Aborted},
	} {
		synctest.Test(t, func(t *testing.T) {
			tu := settledTuner(t, plant.World{}, tt.effect, 1)
			m := &moment{Plant: tu.o.cfg.Collector.(*plant.Plant), at: tt.at, by: tt.by}
			tu.o.cfg.Collector = m
			tu.noise.addZero([]float64{0.04, -0.04, 0.04, -0.04})
			tu.plain = tu.noise
			tu.effort.addZero(make([]float64, maxBlocks))
			r, err := tu.trial(t.Context(), []int{6}, tu.isBetter())
			if err != nil || r.verdict != tt.want {
				t.Errorf("%s: %v, %s, %v; want %v", tt.name, r.verdict, r.reason, err, tt.want)
			}
			if len(tt.at) > 0 && m.ran < tt.at[len(tt.at)-1] {
				t.Errorf("%s: the candidate ran in %d slices, and never in the bad one", tt.name, m.ran)
			}
			if len(tt.at) > 0 && tt.at[0] == 5 {
				if want := -(tt.effect + tt.by) / 2; len(r.evidence.Diffs) < 2 || math.Abs(r.evidence.Diffs[1]-want) > 1e-9 {
					t.Errorf("%s: the differences are %v, want %v for the second", tt.name, r.evidence.Diffs, want)
				}
			}
		})
	}
}

// A there is a plant in the regime that it is told.
type there struct {
	*plant.Plant
	regime string
}

func (a *there) Regime() string { return a.regime }

// A regime that was left before its calibration ended knows nothing of the noise, and
// takes what the next one's calibration found.
func TestRegimeLeftDuringCalibration(t *testing.T) {
	p := &there{Plant: plant.New(plant.Config{Start: []int{5}, Surface: plant.Step(5, 0), Seed: 1}), regime: "first"}
	o, err := New(Config{Knobs: p.Knobs(), Collector: p, Slice: time.Second, Seed: 2})
	if err != nil {
		t.Fatal(err)
	}
	tu := newTuner(o)
	p.regime = "second"
	tu.enter(t.Context())
	tu.noise.addZero([]float64{0.01, -0.01, 0.02, -0.02})
	tu.effort.addZero([]float64{0.01, -0.01, 0.02, -0.02})
	want := tu.noise.elsewhere()
	p.regime = "first"
	tu.enter(t.Context())
	if tu.noise != want || tu.effort.freedom == 0 {
		t.Errorf("back in the first regime the noise is %+v, want %+v", tu.noise, want)
	}
	p.regime = "second"
	tu.enter(t.Context())
	if tu.noise != want {
		t.Errorf("in the second regime the noise is %+v, want %+v", tu.noise, want)
	}
}

// Under a target that is missed, with noise that no calibration has seen, a candidate that
// costs 5 % more and does nothing for the target is promoted in one trial of a thousand at most.
func TestErrorRatesUnderATarget(t *testing.T) {
	if testing.Short() {
		t.Skip("the error rates under a target were not checked: they take seconds")
	}
	for _, sd := range []float64{0.05, 0.1, 0.2} {
		draw, promoted := DrawOf(t, Trials, 3000), 0
		synctest.Test(t, func(t *testing.T) {
			var noise, plain, lag spread
			for i, seed := range draw.Seeds() {
				p := plant.New(plant.Config{
					Start: []int{5}, Surface: plant.Step(5, 0.05), World: plant.Noisy(), Seed: seed,
					Uses: []plant.Use{{Resource: perfcore.Disk, Noise: sd, Latency: plant.Flat()}},
				})
				o, err := New(Config{Knobs: p.Knobs(), Collector: p, Slice: time.Second, Seed: seed + 1})
				if err != nil {
					t.Fatal(err)
				}
				tu := newTuner(o)
				if i%100 == 0 { // a program of its own
					if _, err := tu.calibrate(t.Context()); err != nil {
						t.Fatal(err)
					}
					noise, plain, lag = tu.noise.doubted(), tu.plain, tu.lag.doubted()
				}
				if err := o.SetTargets(perfcore.Disk, perfcore.Targets{Latency: time.Second / 2, Quantile: 0.9}); err != nil {
					t.Fatal(err)
				}
				if err := tu.idle(t.Context(), 3); err != nil {
					t.Fatal(err)
				}
				if tu.refresh(); len(tu.aims) != 1 {
					t.Fatal("there is no target")
				}
				tu.disregard()
				tu.noise, tu.plain, tu.lag = noise, plain, lag
				tu.effort.addZero(make([]float64, maxBlocks))
				r, err := tu.trial(t.Context(), []int{6}, tu.isBetter())
				if err != nil {
					t.Fatal(err)
				}
				if noise, plain, lag = tu.noise, tu.plain, tu.lag; r.verdict == perfcore.Promoted {
					promoted++
				}
			}
		})
		draw.AtMost(t, fmt.Sprintf("noise of the target %v, 5 %% worse, promoted", sd), promoted, 0.001)
	}
}
