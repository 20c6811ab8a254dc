package engine_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/engine"
	"github.com/outrider-project/outrider/perfcore/plant"
	"github.com/outrider-project/outrider/perfcore/snapshot"
)

// A script is a plant at which something is done at the end of certain slices.
type script struct {
	*trace
	each func(slice int, o *engine.PerformanceOptimizer)
}

func (s *script) Collect() perfcore.Sample {
	s.each(s.Plant.Slice(), s.optimizer)
	return s.trace.Collect()
}

// scripted runs an optimizer on a plant, like run, and calls each in each slice.
func scripted(t *testing.T, n int, cfg plant.Config, each func(slice int, o *engine.PerformanceOptimizer), change func(*engine.Config)) *trace {
	t.Helper()
	return run(t, n, 0, cfg, func(c *engine.Config) {
		c.Collector = &script{c.Collector.(*trace), each}
		if change != nil {
			change(c)
		}
	})
}

// quickly returns the target of a latency.
func quickly(limit time.Duration) perfcore.Targets {
	return perfcore.Targets{Latency: limit, Quantile: 0.9}
}

// slow is a plant whose first knob makes the database faster by 12 % a level, at the price of
// 3 % more cost; the second costs least at 6.
func slow(seed uint64, start ...int) plant.Config {
	bowl := plant.Bowl{Bottom: []float64{0, 6}, Weight: []float64{0, 0.6}}.Surface()
	return plant.Config{
		Start: start, World: plant.Noisy(), Seed: seed,
		Surface: func(l []int, t int) float64 { return 0.03*float64(l[0]) + bowl(l, t) },
		Uses: []plant.Use{{
			Resource: perfcore.Database, Noise: 0.05,
			Latency: func(l []int, _ int) float64 { return -0.12 * float64(l[0]) },
		}},
	}
}

// ofDatabase has the first knob trade in the database.
func ofDatabase(c *engine.Config) { c.Knobs[0].Resource = perfcore.Database }

// set sets the targets of the database.
func set(t *testing.T, o *engine.PerformanceOptimizer, targets perfcore.Targets) {
	t.Helper()
	if err := o.SetTargets(perfcore.Database, targets); err != nil {
		t.Error(err)
	}
}

// What makes a resource faster at a price is kept while a target asks for it, and neither
// before nor afterwards.
func TestTargetsSteer(t *testing.T) {
	if testing.Short() {
		t.Skip("that targets steer was not checked: it takes a second")
	}
	const phase, times = 1500, 10
	right := 0
	var there, back []float64 // slices until it is where it should be
	for seed := range uint64(times) {
		tr := scripted(t, 3*phase, slow(seed, 3, 3), func(slice int, o *engine.PerformanceOptimizer) {
			switch slice {
			case phase:
				set(t, o, quickly(490*time.Millisecond)) // e^(-0.12·6) is 0.487
			case 2 * phase:
				set(t, o, perfcore.Targets{})
			}
		}, ofDatabase)
		before, with, after := tr.incumbents[phase-1][0], tr.incumbents[2*phase-1][0], tr.incumbents[3*phase-1][0]
		if before <= 1 && 5 <= with && with <= 8 && after <= 1 {
			right++
		} else {
			t.Logf("seed %d: %d before, %d with the target, %d afterwards", seed, before, with, after)
		}
		until := func(from int, right func(level int) bool) float64 {
			i := slices.IndexFunc(tr.incumbents[from:], func(l []int) bool { return right(l[0]) })
			if i < 0 {
				return phase
			}
			return float64(i)
		}
		there = append(there, until(phase, func(l int) bool { return 5 <= l }))
		back = append(back, until(2*phase, func(l int) bool { return l <= 1 }))
		steered := false
		for _, d := range tr.decisions {
			if d.Verdict != perfcore.Promoted || !strings.HasPrefix(d.Trigger, perfcore.TargetMissed) {
				continue
			}
			if !strings.HasPrefix(d.Trigger, "target-missed database.latency ") {
				t.Errorf("seed %d: trigger %q", seed, d.Trigger)
			}
			if e := d.Evidence; e.Targets > 0 && e.Effect-e.Targets < 0 {
				steered = true
				if e.Ratio < 10 || e.Effect < 0.015 || len(e.Diffs) < 2 {
					t.Errorf("seed %d: promoted on %+v", seed, e)
				}
			}
		}
		if !steered {
			t.Errorf("seed %d: nothing that costs more was promoted for its target", seed)
		}
	}
	t.Logf("%d of %d; slices there %.0f, and back %.0f, median", right, times, quantile(there, 0.5), quantile(back, 0.5))
	if right < times-1 {
		t.Errorf("%d of %d went there and back", right, times)
	}
}

// A target is not met at any price: to come a per cent nearer is worth a per cent of cost.
func TestTargetsHaveAPrice(t *testing.T) {
	const n = 40
	for _, tt := range []struct {
		dearer, faster float64
		promoted       bool
	}{{0.05, 0.2, true}, {0.2, 0.1, false}, {0, 0.12, true}, {0.05, 0, false}} {
		promoted := 0
		for seed := range uint64(n) {
			cfg := plant.Config{
				Start: []int{5}, World: plant.Noisy(), Seed: seed, Surface: plant.Step(5, tt.dearer),
				Uses: []plant.Use{{Resource: perfcore.Database, Noise: 0.05, Latency: plant.Step(5, -tt.faster)}},
			}
			tr := scripted(t, 400, cfg, func(slice int, o *engine.PerformanceOptimizer) {
				if slice == 0 {
					set(t, o, quickly(300*time.Millisecond))
				}
			}, func(c *engine.Config) { c.Engine = fixed{6} })
			if slices.ContainsFunc(tr.decisions, func(d perfcore.Decision) bool { return d.Verdict == perfcore.Promoted }) {
				promoted++
			}
		}
		if tt.promoted && promoted < n*9/10 || !tt.promoted && promoted > 1 {
			t.Errorf("%.0f %% dearer and %.0f %% faster: promoted in %d of %d plants", 100*tt.dearer, 100*tt.faster, promoted, n)
		}
	}
}

// Where no value meets the target, the best is kept, the status says so, and looking for
// better ones stays within the budget.
func TestUnreachableTarget(t *testing.T) {
	const n, times = 2000, 10
	for seed := range uint64(times) {
		var path []perfcore.OptimizationStatus
		tr := scripted(t, n, slow(seed, 10, 6), func(slice int, o *engine.PerformanceOptimizer) {
			if slice == 100 {
				set(t, o, quickly(100*time.Millisecond))
			}
			if s := o.Status(perfcore.Database); len(path) == 0 || path[len(path)-1] != s {
				path = append(path, s)
			}
		}, ofDatabase)
		set := slices.Index(path, perfcore.Failed)
		if set < 0 || slices.Contains(path[set:], perfcore.Optimized) {
			t.Errorf("seed %d: the statuses were %v", seed, path)
		}
		if got := tr.optimizer.Regret(); got > 0.02*(250+n)/n+2.0/n {
			t.Errorf("seed %d: a regret of %.4f is beyond the budget", seed, got)
		}
		var spent float64 // truly
		for i, l := range tr.levels {
			at := tr.incumbents[i]
			more := tr.surface(l, i) - tr.surface(at, i)
			if i > 100 {
				more += -0.12*float64(l[0]) + 0.12*float64(at[0])
			}
			spent += more
		}
		t.Logf("seed %d: regret %.4f, %.1f slices", seed, tr.optimizer.Regret(), spent)
		if spent > 0.02*(250+n)+2 {
			t.Errorf("seed %d: %.1f slices were spent, want at most 2 %%", seed, spent)
		}
		if end := tr.incumbents[n-1]; end[0] < 9 {
			t.Errorf("seed %d: it ends at %v", seed, end)
		}
	}
}

// A change of the targets ends the trial that runs, and whatever is concluded was
// measured under the same ones.
func TestTargetsChangeInATrial(t *testing.T) {
	cfg := plant.Config{
		Start: []int{5}, Surface: plant.Step(5, 0.1), Seed: 1, // without noise
		Uses: []plant.Use{{Resource: perfcore.Database, Latency: plant.Step(5, -0.15)}},
	}
	ended := 0
	for every := 3; every < 60; every++ {
		changes := 0
		tr := scripted(t, 600, cfg, func(slice int, o *engine.PerformanceOptimizer) {
			if slice > 70 && slice%every == 0 { // it is calibrated
				changes++
				set(t, o, quickly([]time.Duration{500, 950}[changes%2]*time.Millisecond))
			}
		}, func(c *engine.Config) { c.Engine = &swing{at: 5} })
		for _, d := range tr.decisions {
			for _, diff := range d.Evidence.Diffs {
				if diff-d.Evidence.Diffs[0] > 1e-9 || d.Evidence.Diffs[0]-diff > 1e-9 {
					t.Errorf("changes every %d slices: %v\nwas measured under several targets: %v", every, d, d.Evidence.Diffs)
					break
				}
			}
			if len(d.Moves) > 0 && d.Verdict == perfcore.Inconclusive && strings.Contains(d.Reason, "targets") {
				ended++
			}
		}
	}
	if ended < 100 {
		t.Errorf("%d trials were ended by a change", ended)
	}
}

// A calibration is under the same targets, too.
func TestTargetsChangeInACalibration(t *testing.T) {
	const at = 30
	tr := scripted(t, 200, slow(1, 5, 5), func(slice int, o *engine.PerformanceOptimizer) {
		if slice == at {
			set(t, o, quickly(time.Second/2))
		}
	}, ofDatabase)
	if tr.start < at+8*4 {
		t.Errorf("it ends in slice %d: less than eight blocks behind slice %d", tr.start, at)
	}
}

// What was known in another regime was known under the targets of that time.
func TestTargetsChangeElsewhere(t *testing.T) {
	cfg := plant.Config{
		Start: []int{5}, Surface: plant.Step(5, 0.1), Seed: 1,
		Uses: []plant.Use{{Resource: perfcore.Database, Latency: plant.Step(5, -0.3)}},
	}
	tr := run(t, 1200, 0, cfg, func(c *engine.Config) {
		c.Engine = fixed{6}
		each := func(slice int, o *engine.PerformanceOptimizer) {
			if slice == 450 { // in the second regime; the search in the first has come to rest
				set(t, o, quickly(time.Second/2))
			}
		}
		c.Collector = &commuting{script{c.Collector.(*trace), each}, 300}
	})
	found := slices.IndexFunc(tr.incumbents, func(l []int) bool { return l[0] == 6 })
	if found < 450 || found > 550 {
		t.Errorf("the new target was met in slice %d", found)
	}
	if got := tr.incumbents[899][0]; got != 6 {
		t.Errorf("back in the first regime it ends at %d", got)
	}
}

// A commuting script is in each of two regimes for a while.
type commuting struct {
	script
	stay int
}

func (c *commuting) Regime() string { return []string{"tip", "sync"}[c.Plant.Slice()/c.stay%2] }

// While a target is missed, what does nothing for it is promoted in one trial of fifty at
// most, though what is missing is noisier than the cost was when the noise was learned. Not to
// be measured is no way to meet a target.
func TestUselessUnderATarget(t *testing.T) {
	if testing.Short() {
		t.Skip("useless changes under a target were not tried: it takes seconds")
	}
	later := func(_ []int, t int) float64 {
		if t < 200 {
			return -1.5
		}
		return 0
	}
	for _, tt := range []struct {
		name    string
		noise   float64
		latency plant.Surface
		unseen  func(levels []int, t int) bool
	}{
		{name: "a target that is set", noise: 0.05},
		{name: "with noise of the target", noise: 0.1},
		{name: "with more", noise: 0.2},
		{name: "missed by and by", noise: 0.1, latency: later},
		{name: "the candidate is not measured", noise: 0.05, unseen: func(l []int, _ int) bool { return l[0] == 6 }},
		{name: "measured now and then", noise: 0.05, unseen: func(_ []int, t int) bool { return t%3 > 0 }},
	} {
		if tt.latency == nil {
			tt.latency = plant.Flat()
		}
		trials, promoted := 0, 0
		for seed := range uint64(300) {
			cfg := plant.Config{
				Start: []int{5}, Surface: plant.Flat(), World: plant.Noisy(), Seed: seed,
				Uses: []plant.Use{{Resource: perfcore.Database, Noise: tt.noise, Latency: tt.latency, Unseen: tt.unseen}},
			}
			tr := scripted(t, 600, cfg, func(slice int, o *engine.PerformanceOptimizer) {
				if slice == 80 {
					set(t, o, quickly(time.Second/2))
				}
			}, func(c *engine.Config) { c.Engine = fixed{6} })
			for _, d := range tr.decisions {
				if strings.HasPrefix(d.Trigger, perfcore.TargetMissed) && len(d.Moves) > 0 {
					trials++
				}
				if d.Verdict == perfcore.Promoted {
					promoted++
					break
				}
			}
		}
		t.Logf("%s: %d of %d", tt.name, promoted, trials)
		if trials < 1000 || promoted > trials/50 {
			t.Errorf("%s: of %d trials of useless changes %d were promoted", tt.name, trials, promoted)
		}
	}
}

// A resource that is measured now and then only steers as well, and says nothing about the
// other slices.
func TestSeldomMeasured(t *testing.T) {
	met := 0
	for seed := range uint64(10) {
		cfg := slow(seed, 3, 6)
		cfg.Uses[0].Unseen = func(_ []int, t int) bool { return t%3 == 0 }
		tr := scripted(t, 1500, cfg, func(slice int, o *engine.PerformanceOptimizer) {
			if slice == 0 {
				set(t, o, quickly(490*time.Millisecond))
			}
		}, ofDatabase)
		if end := tr.incumbents[1499][0]; 5 <= end && end <= 8 {
			met++
		}
	}
	if met < 8 {
		t.Errorf("of 10 plants %d met the target", met)
	}
}

// Of what is missed, those knobs are tried first that trade in it.
func TestAimedProposals(t *testing.T) {
	cfg := plant.Config{
		Start: []int{5, 5, 5}, Surface: plant.Flat(), World: plant.Noisy(), Seed: 2,
		Uses: []plant.Use{{Resource: perfcore.Database, Noise: 0.05, Latency: plant.Flat()}},
	}
	tried := func(knob int, target bool) (first, others int) {
		tr := scripted(t, 1000, cfg, func(slice int, o *engine.PerformanceOptimizer) {
			if slice == 0 && target {
				set(t, o, quickly(time.Second/2))
			}
		}, func(c *engine.Config) {
			if knob >= 0 {
				c.Knobs[knob].Resource = perfcore.Database
			}
		})
		for _, d := range tr.decisions {
			if len(d.Moves) == 0 || d.Trigger == "ablation" {
				continue
			}
			if target != strings.HasPrefix(d.Trigger, perfcore.TargetMissed) {
				t.Errorf("trigger %q", d.Trigger)
			}
			alone := knob >= 0 && len(d.Moves) == 1 && d.Moves[0].Knob == tr.optimizer.Resources.Knobs()[knob].Name
			switch {
			case alone && others == 0:
				first++
			case !alone:
				others++
			}
		}
		return first, others
	}
	if first, others := tried(1, true); first < 2 || others == 0 {
		t.Errorf("%d trials of the knob that trades in what is missed, then %d of others", first, others)
	}
	if first, others := tried(-1, true); first != 0 || others < 2 {
		t.Errorf("no knob trades in what is missed: %d and %d trials", first, others)
	}
	if first, others := tried(1, false); first > 1 || others < 2 {
		t.Errorf("without a target: %d and %d trials", first, others)
	}
}

// A knob that buys time is tried where time counts: in its regimes, and while what it
// trades in misses a target of time.
func TestHastenForATarget(t *testing.T) {
	for _, tt := range []struct {
		name     string
		resource perfcore.ResourceType
		targets  perfcore.Targets
		tried    bool
	}{
		{"no target", perfcore.Database, perfcore.Targets{}, false},
		{"a latency", perfcore.Database, quickly(time.Second / 2), true},
		{"a latency that is met", perfcore.Database, quickly(2 * time.Second), false},
		{"a throughput", perfcore.Database, perfcore.Targets{Throughput: 10}, true},
		{"a utilization", perfcore.Database, perfcore.Targets{Utilization: 0.1}, false},
		{"a latency of something else", perfcore.Disk, quickly(time.Second / 2), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := plant.Config{
				Start: []int{5}, Surface: plant.Step(5, 0.1), World: plant.Noisy(), Seed: 3,
				Uses: []plant.Use{{Resource: perfcore.Database, Latency: plant.Step(5, -0.4)}, {Resource: perfcore.Disk, Latency: plant.Flat()}},
			}
			tr := run(t, 400, 0, cfg, func(c *engine.Config) {
				ofDatabase(c)
				c.Knobs[0].Hastens = true
				c.Timed = []string{"sync"}
				c.Engine = fixed{6}
				each := func(slice int, o *engine.PerformanceOptimizer) {
					if slice == 0 {
						if err := o.SetTargets(tt.resource, tt.targets); err != nil {
							t.Error(err)
						}
					}
				}
				c.Collector = &busy{script{c.Collector.(*trace), each}}
			})
			tried := slices.ContainsFunc(tr.decisions, func(d perfcore.Decision) bool { return len(d.Moves) > 0 })
			if tried != tt.tried {
				t.Errorf("it was tried: %v, want %v", tried, tt.tried)
			}
		})
	}
}

// A busy script's resources are all in use.
type busy struct{ script }

func (b *busy) Collect() perfcore.Sample {
	s := b.script.Collect()
	for r, u := range s.Usage {
		u.Utilization, u.Throughput = 1, 0
		s.Usage[r] = u
	}
	return s
}

func (b *busy) Regime() string { return "tip" }

// An optimizer at rest looks at a new target within a slice.
func TestTargetsWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, worse(9), func(c *engine.Config) {
			c.Engine = fixed{6}
			c.Collector = &user{c.Collector.(*plant.Plant)}
		})
		stop := r.start(t)
		until(t, "rest", 10*time.Hour, func() bool { return r.Status(perfcore.CPU) == perfcore.Optimized })
		time.Sleep(10 * time.Hour) // rests are long now
		until(t, "a new rest", 10*time.Hour, func() bool { return r.Status(perfcore.CPU) == perfcore.Optimizing })
		until(t, "its begin", 10*time.Hour, func() bool { return r.Status(perfcore.CPU) == perfcore.Optimized })
		time.Sleep(3 * time.Minute)
		if err := r.SetTargets(perfcore.CPU, perfcore.Targets{Utilization: 0.4}); err != nil {
			t.Fatal(err)
		}
		until(t, "the search", 13*time.Second, func() bool { return r.Status(perfcore.CPU) == perfcore.Optimizing })
		until(t, "a trial", time.Minute, r.trying)
		if err := r.SetTargets(perfcore.CPU, perfcore.Targets{Utilization: 0.6}); err != nil {
			t.Fatal(err)
		}
		until(t, "rest with the target met", 13*time.Second, func() bool { return r.Status(perfcore.CPU) == perfcore.Optimized && !r.trying() })
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// A resource that no knob trades in has a status by its target, which changes as it is met
// or missed; each change is counted once.
func TestStatusOfATarget(t *testing.T) {
	for _, knobs := range []string{"searched", "pinned", "none"} {
		t.Run(knobs, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ring := snapshot.NewRing(0)
				quick := plant.Flat()
				cfg := worse(9)
				cfg.Uses = []plant.Use{{Resource: perfcore.Disk, Latency: func(l []int, t int) float64 { return quick(l, t) }}}
				var mu sync.Mutex
				var path []perfcore.OptimizationStatus
				is, changes := make(map[perfcore.ResourceType]perfcore.OptimizationStatus), uint64(0)
				// saw takes what the statuses are now.
				saw := func(status func(perfcore.ResourceType) perfcore.OptimizationStatus) {
					mu.Lock()
					defer mu.Unlock()
					for _, of := range []perfcore.ResourceType{perfcore.Disk, perfcore.CPU} {
						was, now := is[of], status(of)
						if now == was {
							continue
						}
						if !was.CanBecome(now) {
							t.Errorf("%v was %v and is %v", of, was, now)
						}
						rests := was != perfcore.Optimizing && now != perfcore.Optimizing && (was == perfcore.Failed || now != perfcore.NotOptimized)
						if !rests { // what only follows what is measured is not counted
							changes++
						}
						is[of] = now
						if of == perfcore.Disk {
							path = append(path, now)
						}
					}
				}
				var r *rig
				r = newRig(t, cfg, func(c *engine.Config) {
					c.Engine, c.Snapshots = fixed{6}, ring
					if knobs == "none" {
						c.Knobs = nil
					}
					c.Decided = func(d perfcore.Decision) {
						if saw(r.Status); d.Verdict == perfcore.Shifted { // what was known is out of date, for a moment
							saw(func(perfcore.ResourceType) perfcore.OptimizationStatus { return perfcore.NotOptimized })
						}
					}
				})
				if err := r.SetTargets(perfcore.Disk, quickly(time.Second/2)); err != nil {
					t.Fatal(err)
				}
				if knobs == "pinned" {
					if err := r.Resources.Pin(t.Context(), "plant.knob0", plant.Value(5)); err != nil {
						t.Fatal(err)
					}
				}
				before := ring.Changes()
				// pass lets time pass until the disk has a status.
				pass := func(want perfcore.OptimizationStatus) {
					t.Helper()
					until(t, want.String(), 10*time.Hour, func() bool {
						saw(r.Status)
						return r.Status(perfcore.Disk) == want
					})
				}
				stop := r.start(t)
				pass(perfcore.Failed)
				want := []perfcore.OptimizationStatus{perfcore.Optimizing, perfcore.Failed}
				if knobs != "searched" {
					want = want[1:]
				}
				if !slices.Equal(path, want) {
					t.Errorf("the statuses were %v, want %v", path, want)
				}
				quick = func([]int, int) float64 { return -2 }
				pass(perfcore.Optimized)
				quick = plant.Flat()
				if knobs == "searched" {
					pass(perfcore.Optimizing)
				}
				pass(perfcore.Failed)
				if got := ring.Changes() - before; got != changes {
					t.Errorf("%d changes were counted, and there were %d", got, changes)
				}
				if err := r.SetTargets(perfcore.Disk, perfcore.Targets{}); err != nil {
					t.Fatal(err)
				}
				pass(perfcore.NotOptimized)
				if err := stop(); err != nil {
					t.Error(err)
				}
				s, err := r.Snapshot()
				if err != nil {
					t.Fatal(err)
				}
				state, err := s.State()
				if err != nil || slices.ContainsFunc(state.Resources, func(r snapshot.Resource) bool { return r.Type == uint64(perfcore.Disk) }) {
					t.Errorf("without its target the disk is in %+v, %v", state.Resources, err)
				}
			})
		})
	}
}
