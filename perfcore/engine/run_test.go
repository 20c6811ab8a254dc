package engine_test

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/engine"
	"github.com/outrider-project/outrider/perfcore/plant"
	"github.com/outrider-project/outrider/perfcore/snapshot"
)

// A fixed engine always proposes the same levels.
type fixed []int

func (f fixed) Propose(context.Context, engine.Space, func(plus, minus []int) (float64, error)) ([]int, error) {
	return slices.Clone(f), nil
}
func (fixed) Learn(perfcore.Verdict) {}
func (fixed) Forget()                {}

// A rig is an optimizer on a plant, for tests that act while it runs. It lives
// in a bubble.
type rig struct {
	*plant.Plant
	*engine.PerformanceOptimizer
	knobs []perfcore.Knob
}

func newRig(t *testing.T, cfg plant.Config, change func(*engine.Config)) *rig {
	t.Helper()
	r := &rig{Plant: plant.New(cfg)}
	c := engine.Config{Collector: r.Plant, Slice: 10 * time.Second, Seed: cfg.Seed + 1}
	c.Knobs = r.Plant.Knobs()
	if change != nil {
		change(&c)
	}
	r.knobs = c.Knobs
	var err error
	if r.PerformanceOptimizer, err = engine.New(c); err != nil {
		t.Fatal(err)
	}
	return r
}

// start runs the optimizer, and returns how to end it and take its error.
func (r *rig) start(t *testing.T) (stop func() error) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	return func() error {
		cancel()
		return <-ended
	}
}

// until lets virtual time pass, second by second, until done.
func until(t *testing.T, what string, limit time.Duration, done func() bool) {
	t.Helper()
	for range int(limit / time.Second) {
		synctest.Wait()
		if done() {
			return
		}
		<-time.After(time.Second)
	}
	t.Fatalf("%s: not within %v", what, limit)
}

// last returns the newest decision with the verdict.
func (r *rig) last(v perfcore.Verdict) (perfcore.Decision, bool) {
	all := r.Decisions(0)
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Verdict == v {
			return all[i], true
		}
	}
	return perfcore.Decision{}, false
}

func (r *rig) decided(v perfcore.Verdict) func() bool {
	return func() bool { _, ok := r.last(v); return ok }
}

// astray returns the knobs of the engine that read otherwise than their
// incumbents.
func (r *rig) astray() []string {
	var names []string
	for _, k := range r.Resources.Knobs() {
		if k.Owner == engine.Engine && k.Read() != k.Incumbent {
			names = append(names, k.Name)
		}
	}
	return names
}

// trying reports whether a candidate is in force.
func (r *rig) trying() bool { return len(r.astray()) > 0 }

// better is a plant whose knob costs 20 % less at 6 than at 5.
func better(seed uint64) plant.Config {
	return plant.Config{Start: []int{5}, Surface: plant.Step(6, 0.2), World: plant.Noisy(), Seed: seed}
}

// worse is a plant whose knob costs 10 % more anywhere but at 5: too little for
// the guard.
func worse(seed uint64) plant.Config {
	return plant.Config{Start: []int{5}, Surface: plant.Step(5, 0.1), World: plant.Noisy(), Seed: seed}
}

func propose(levels ...int) func(*engine.Config) {
	return func(c *engine.Config) { c.Engine = fixed(levels) }
}

func TestPromotion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, better(1), propose(6))
		if s := r.Status(perfcore.CPU); s != perfcore.NotOptimized {
			t.Errorf("at first the status is %v", s)
		}
		stop := r.start(t)
		until(t, "promotion", time.Hour, r.decided(perfcore.Promoted))
		d, _ := r.last(perfcore.Promoted)
		e := d.Evidence
		if len(d.Moves) != 1 || d.Moves[0] != (perfcore.Move{Knob: "plant.knob0", From: plant.Value(5), To: plant.Value(6)}) {
			t.Errorf("moves %v", d.Moves)
		}
		if !(e.Low <= 0.2 && 0.2 <= e.High && e.Ratio >= 10 && e.Effect >= 0.015 && len(e.Diffs) >= 2 && e.Slices >= 12) {
			t.Errorf("evidence %+v", e)
		}
		if d.Trigger != "search" || d.Reason == "" || d.Seq == 0 || d.At.IsZero() {
			t.Errorf("decision %+v", d)
		}
		until(t, "rest", 4*time.Hour, func() bool { return r.Status(perfcore.CPU) == perfcore.Optimized })
		if err := stop(); err != nil {
			t.Error(err)
		}
		if got := r.knobs[0].Read(); got != plant.Value(6) {
			t.Errorf("the knob reads %d in the end, want the promoted %d", got, plant.Value(6))
		}
		if s := r.Status(perfcore.CPU); s != perfcore.NotOptimized {
			t.Errorf("in the end the status is %v", s)
		}
	})
}

// A knob that is not the engine's to move does not make the calibration wait for what
// it carries over, a day for a cache of a day's blocks.
func TestCalibrationWaitsForOwnKnobsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, better(1), func(c *engine.Config) {
			var value atomic.Int64
			c.Knobs = append(c.Knobs, perfcore.Knob{
				Name: "plant.cache", Help: "A cache.", Unit: "bytes", Scope: perfcore.Live, Carry: perfcore.Stateful, Settle: 24 * time.Hour,
				Ladder: []int64{0, 1},
				Apply:  func(_ context.Context, v int64) error { value.Store(v); return nil },
				Read:   value.Load,
			})
			c.Engine = fixed{6, 0}
		})
		stop := r.start(t)
		until(t, "calibration", time.Hour, r.decided(perfcore.Calibrated))
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// However the loop ends, the incumbents are in force.
func TestLoopEnds(t *testing.T) {
	t.Run("context", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, worse(2), propose(6))
			stop := r.start(t)
			until(t, "a trial", time.Hour, r.trying)
			if err := stop(); err != nil {
				t.Error(err)
			}
			if a := r.astray(); a != nil {
				t.Errorf("%v are not at their incumbents", a)
			}
		})
	})
	t.Run("panic", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var r *rig
			r = newRig(t, worse(2), func(c *engine.Config) {
				c.Engine = fixed{6}
				c.Collector = &moody{Plant: c.Collector.(*plant.Plant), collect: func() {
					if r.trying() {
						panic("the collector is out of order")
					}
				}}
			})
			defer func() {
				if got := recover(); got != "the collector is out of order" {
					t.Errorf("recovered %v: the panic must go on", got)
				}
				if a := r.astray(); a != nil {
					t.Errorf("%v are not at their incumbents", a)
				}
			}()
			r.Run(t.Context())
		})
	})
	t.Run("hang", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var r *rig
			var hung time.Time
			free := make(chan struct{})
			var registry perfcore.Registry
			stalled := func() float64 {
				for _, s := range registry.Series() {
					if s.Metric.Alert.Name == "loop_stalled" {
						return s.Gauge.Value()
					}
				}
				return math.NaN()
			}
			r = newRig(t, worse(2), func(c *engine.Config) {
				c.Engine, c.Recorder = fixed{6}, &registry
				c.Collector = &moody{Plant: c.Collector.(*plant.Plant), collect: func() {
					if hung.IsZero() && r.trying() {
						hung = time.Now()
						<-free
					}
				}}
			})
			stop := r.start(t)
			until(t, "a trial", time.Hour, r.trying)
			until(t, "the watchdog", time.Minute, func() bool { return !r.trying() })
			// until looks once a second.
			if took := time.Since(hung); took > 3*10*time.Second+time.Second {
				t.Errorf("the incumbents were restored after %v, want three slices", took)
			}
			if stalled() != 1 {
				t.Error("nobody is told that the loop has stopped")
			}
			close(free)
			// The loop notices, gives the trial up and goes on.
			until(t, "the loop", time.Hour, func() bool {
				d, ok := r.last(perfcore.Aborted)
				return ok && strings.Contains(d.Reason, "had stopped")
			})
			if stalled() != 0 {
				t.Error("it is told that the loop has stopped while it goes on")
			}
			until(t, "the next verdict", time.Hour, r.decided(perfcore.Rejected))
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	})
}

// A moody collector does something else before it collects.
type moody struct {
	*plant.Plant
	collect func()
}

func (m *moody) Collect() perfcore.Sample {
	m.collect()
	return m.Plant.Collect()
}

// The guard ends a candidate within its first slice, and it stays away.
func TestGuard(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  plant.Config
	}{
		{"costs more", plant.Config{Surface: plant.Cliff(plant.Flat(), 6, 0.8)}},
		{"does less", plant.Config{Surface: plant.Flat(), Goodhart: 0.3}},
		{"does nothing", plant.Config{Surface: plant.Flat(), Stall: 6}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := tt.cfg
				cfg.Start, cfg.World, cfg.Seed = []int{5}, plant.Noisy(), 3
				r := newRig(t, cfg, propose(6))
				stop := r.start(t)
				until(t, "a trial", time.Hour, r.trying)
				began := time.Now()
				until(t, "the guard", time.Minute, func() bool { return !r.trying() })
				if took := time.Since(began); took > 13*time.Second {
					t.Errorf("it took %v, want one slice", took)
				}
				until(t, "the decision", time.Minute, r.decided(perfcore.Aborted))
				again := 0
				for range 3600 {
					time.Sleep(time.Second)
					synctest.Wait()
					if r.trying() {
						again++
					}
				}
				if again > 0 {
					t.Errorf("beyond the guard again for %d seconds", again)
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// An alarm needs no slice.
func TestAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := worse(4)
		cfg.AlarmAbove = 0.05
		var began time.Time
		var took []time.Duration
		cfg.Applied = func(levels []int) {
			switch {
			case levels[0] == 6:
				began = time.Now()
			case !began.IsZero():
				took, began = append(took, time.Since(began)), time.Time{}
			}
		}
		r := newRig(t, cfg, propose(6))
		stop := r.start(t)
		until(t, "the alarm", time.Hour, r.decided(perfcore.Aborted))
		if len(took) == 0 || slices.Max(took) > 1500*time.Millisecond {
			t.Errorf("the incumbents were back after %v, want a second", took)
		}
		if d, ok := r.last(perfcore.Aborted); !ok || !strings.Contains(d.Reason, "overheats") {
			t.Errorf("decision %v, want one that names the alarm", d)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// A knob that somebody else moves, at rest or in a trial, is left alone from
// then on, at the value that it was given.
func TestForeignChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := plant.Config{Start: []int{5, 5}, Surface: plant.Flat(), World: plant.Noisy(), Seed: 5}
		r := newRig(t, cfg, nil)
		stop := r.start(t)
		until(t, "a trial", time.Hour, r.trying)
		r.Interfere(1, 9)
		until(t, "isolation", time.Minute, func() bool { return r.Resources.Knobs()[1].Owner == engine.Nobody })
		for range 3600 {
			time.Sleep(time.Second)
			synctest.Wait()
			if got := r.knobs[1].Read(); got != plant.Value(9) {
				t.Fatalf("the isolated knob was moved to %d", got)
			}
		}
		if k := r.Resources.Knobs()[1]; !strings.Contains(k.Why, "somebody else") {
			t.Errorf("why: %q", k.Why)
		}
		if err := r.Resources.Release("plant.knob1"); err != nil {
			t.Error(err)
		}
		if k := r.Resources.Knobs()[1]; k.Owner != engine.Engine || k.Incumbent != plant.Value(9) {
			t.Errorf("once released its owner is %v, its incumbent %d", k.Owner, k.Incumbent)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// Knobs that lie or fail are given up; the others are optimized all the same.
func TestBadKnobs(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(*plant.Config)
	}{
		{"liar", func(c *plant.Config) { c.Liars = []int{1} }},
		{"broken", func(c *plant.Config) { c.Broken = []int{1} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := plant.Config{
					Start: []int{2, 5}, World: plant.Noisy(), Seed: 6,
					Surface: plant.Bowl{Bottom: []float64{8, 5}, Weight: []float64{1.2, 1.2}}.Surface(),
				}
				tt.spoil(&cfg)
				r := newRig(t, cfg, nil)
				stop := r.start(t)
				until(t, "isolation", 2*time.Hour, func() bool { return r.Resources.Knobs()[1].Owner == engine.Nobody })
				until(t, "the other knob's promotion", 10*time.Hour, func() bool { return r.Resources.Knobs()[0].Incumbent >= plant.Value(7) })
				if err := stop(); err != nil {
					t.Error(err)
				}
				if a := r.astray(); a != nil {
					t.Errorf("%v are not at their incumbents", a)
				}
			})
		})
	}
}

func TestFreeze(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, worse(7), propose(6))
		stop := r.start(t)
		until(t, "a trial", time.Hour, r.trying)
		thaw, other := r.Freeze("maintenance"), r.Freeze("a block")
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		before := r.Slice()
		for range 1000 {
			if r.trying() {
				t.Fatal("a frozen optimizer tries something")
			}
			time.Sleep(time.Second)
		}
		thaw()
		thaw() // is nothing
		time.Sleep(time.Minute)
		if r.trying() || r.Slice() != before {
			t.Fatal("the second freeze does not hold")
		}
		other()
		until(t, "a trial", time.Hour, r.trying)
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// The operator's pin ends a trial of the knob, and holds.
func TestPin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, worse(8), propose(6))
		stop := r.start(t)
		until(t, "a trial", time.Hour, r.trying)
		if err := r.Resources.Pin(t.Context(), "plant.knob0", plant.Value(3)); err != nil {
			t.Fatal(err)
		}
		for range 3600 {
			time.Sleep(time.Second)
			synctest.Wait()
			if got := r.knobs[0].Read(); got != plant.Value(3) {
				t.Fatalf("the pinned knob reads %d", got)
			}
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if got := r.knobs[0].Read(); got != plant.Value(3) {
			t.Errorf("in the end the pinned knob reads %d", got)
		}
	})
}

// An optimizer whose targets are met is still, and one whose target is missed
// at rest says so.
func TestTargetsDecide(t *testing.T) {
	for _, tt := range []struct {
		name   string
		limit  float64
		status perfcore.OptimizationStatus
		still  bool
	}{
		{"met", 0.6, perfcore.Optimized, true},
		{"missed", 0.4, perfcore.Failed, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, worse(9), func(c *engine.Config) {
					c.Engine = fixed{6}
					c.Collector = &user{c.Collector.(*plant.Plant)}
				})
				if err := r.SetTargets(perfcore.CPU, perfcore.Targets{Utilization: tt.limit}); err != nil {
					t.Fatal(err)
				}
				stop := r.start(t)
				until(t, "the status", 5*time.Hour, func() bool { return r.Status(perfcore.CPU) == tt.status })
				tried := false
				for range 20_000 {
					time.Sleep(time.Second)
					tried = tried || r.trying()
				}
				if tried == tt.still {
					t.Errorf("something was tried: %v", tried)
				}
				if tt.still { // until a target is missed
					if err := r.SetTargets(perfcore.Network, perfcore.Targets{Throughput: 1}); err != nil {
						t.Fatal(err)
					}
					until(t, "a trial", 5*time.Minute, r.trying)
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A user uses half of the processor.
type user struct{ *plant.Plant }

func (u *user) Collect() perfcore.Sample {
	s := u.Plant.Collect()
	s.Usage = map[perfcore.ResourceType]perfcore.Usage{perfcore.CPU: {Utilization: 0.5}}
	return s
}

// A world that follows who takes turns is found out before anything is tried.
func TestHostileWorld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := better(10)
		cfg.Hostile = 0.2
		r := newRig(t, cfg, propose(6))
		stop := r.start(t)
		time.Sleep(12 * time.Hour)
		if err := stop(); err != nil {
			t.Error(err)
		}
		for _, d := range r.Decisions(0) {
			if d.Verdict != perfcore.Miscalibrated {
				t.Errorf("decision %v: experiments must be off", d)
			}
		}
		if len(r.Decisions(0)) < 2 {
			t.Errorf("%d calibrations in twelve hours, want another now and then", len(r.Decisions(0)))
		}
	})
}

func TestRunTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, worse(11), nil)
		stop := r.start(t)
		synctest.Wait()
		if err := r.Run(t.Context()); err == nil {
			t.Error("it runs twice at once")
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		stop = r.start(t)
		until(t, "a second run", time.Hour, r.trying)
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// Random hands pin, release, freeze, interfere, restore snapshots, change the
// regime and end the run, while Apply fails now and then and the collector says
// nothing now and then. At every instant the values are on their ladders (the
// plant panics otherwise) and pinned knobs stay; nothing is promoted without
// evidence, nor recalled without a change of the regime; every seventh change
// makes a snapshot, and all of them verify; and in the end the incumbents are in
// force.
//
// OUTRIDER_PERFCORE_HANDS sets how often the hands act in each of 20 runs (300);
// with 8000 of them values are applied a million times.
func TestRandomHands(t *testing.T) {
	hands, applied := 300, 0
	if env := os.Getenv("OUTRIDER_PERFCORE_HANDS"); env != "" {
		var err error
		if hands, err = strconv.Atoi(env); err != nil {
			t.Fatal(err)
		}
	}
	defer func() { t.Logf("values were applied %d times", applied) }()
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			hand := rand.New(rand.NewPCG(seed, 11))
			w := plant.Noisy()
			w.Neighbour, w.SeenNeighbour = 0.5, true
			cfg := plant.Config{
				Start: []int{5, 5, 5}, Surface: plant.Cliff(plant.RandomBowl(hand, 3).Surface(), 9, 0.8), World: w,
				Seed: seed, FailingApply: 0.02, Unordered: []int{2},
			}
			ring := snapshot.NewRing(7)
			traveller := new(traveller)
			regimes, recalled := 0, 0 // a snapshot may be of another regime, too
			var mu sync.Mutex
			pinned := make(map[int]int64)
			cfg.Applied = func(levels []int) {
				mu.Lock()
				defer mu.Unlock()
				applied++
				for i, v := range pinned {
					if plant.Value(levels[i]) != v {
						t.Errorf("seed %d: pinned knob %d is at %d, not %d", seed, i, plant.Value(levels[i]), v)
					}
				}
			}
			r := newRig(t, cfg, func(c *engine.Config) {
				c.Slice, c.Snapshots = time.Second, ring
				traveller.Plant = c.Collector.(*plant.Plant)
				c.Collector = traveller
				c.Decided = func(d perfcore.Decision) {
					if d.Verdict == perfcore.Recalled {
						recalled++
					}
					if e := d.Evidence; d.Verdict == perfcore.Promoted && !(e.Ratio >= 10 && e.Effect >= 0.015 && len(e.Diffs) >= 2) {
						t.Errorf("seed %d: promoted on %+v", seed, e)
					}
					if e := d.Evidence; d.Verdict == perfcore.Withdrawn && !(e.Effect > -0.015 && len(e.Diffs) >= 2 && len(d.Moves) == 1) {
						t.Errorf("seed %d: withdrawn on %+v", seed, e)
					}
				}
			})
			stop := r.start(t)
			for range hands {
				time.Sleep(time.Duration(hand.IntN(30)) * time.Second / 2)
				i := hand.IntN(3)
				name, value := r.knobs[i].Name, plant.Value(hand.IntN(9))
				switch hand.IntN(9) {
				case 0:
					mu.Lock()
					delete(pinned, i)
					mu.Unlock()
					if err := r.Resources.Pin(t.Context(), name, value); err == nil {
						mu.Lock()
						pinned[i] = value
						mu.Unlock()
					}
				case 1, 2:
					mu.Lock()
					delete(pinned, i)
					mu.Unlock()
					if err := r.Resources.Release(name); err != nil {
						t.Errorf("seed %d: %v", seed, err)
					}
				case 3:
					thaw := r.Freeze("a random hand")
					time.Sleep(5 * time.Second)
					thaw()
				case 4:
					mu.Lock()
					if _, ok := pinned[i]; !ok && hand.IntN(3) == 0 {
						r.Interfere(i, hand.IntN(9))
					}
					mu.Unlock()
				case 5:
					if err := stop(); err != nil && !strings.Contains(err.Error(), "stuck") {
						t.Errorf("seed %d: %v", seed, err)
					}
					if a := r.astray(); a != nil {
						t.Errorf("seed %d: %v are not at their incumbents", seed, a)
					}
					stop = r.start(t)
				case 6:
					traveller.inL2.Store(!traveller.inL2.Load())
					regimes++
				case 7:
					all := ring.Snapshots()
					if len(all) == 0 {
						break
					}
					mu.Lock()
					clear(pinned)
					mu.Unlock()
					if _, err := r.Restore(t.Context(), all[hand.IntN(len(all))].Seq); err != nil && !strings.Contains(err.Error(), "stuck") {
						t.Errorf("seed %d: %v", seed, err)
					}
					regimes++
					mu.Lock()
					for i, k := range r.Resources.Knobs() {
						if k.Owner == engine.Operator {
							pinned[i] = k.Incumbent
						}
					}
					mu.Unlock()
				}
			}
			if err := stop(); err != nil && !strings.Contains(err.Error(), "stuck") {
				t.Errorf("seed %d: %v", seed, err)
			}
			if a := r.astray(); a != nil {
				t.Errorf("seed %d: %v are not at their incumbents", seed, a)
			}
			if err := ring.Verify(); err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
			if recalled > regimes {
				t.Errorf("seed %d: values were recalled %d times, and the regime changed, or may have, %d times", seed, recalled, regimes)
			}
			for _, s := range slices.Backward(ring.Snapshots()) {
				if s.Cause != snapshot.Counted {
					continue
				}
				if want := ring.Changes() / 7 * 7; s.Changes != want {
					t.Errorf("seed %d: the newest counted snapshot is behind %d changes, want %d", seed, s.Changes, want)
				}
				break
			}
		})
	}
}

// A traveller is a plant that goes from one regime to another.
type traveller struct {
	*plant.Plant
	inL2 atomic.Bool
}

func (t *traveller) Regime() string {
	if t.inL2.Load() {
		return "L2 heavy"
	}
	return "tip idle"
}

func TestConfig(t *testing.T) {
	p := plant.New(better(1))
	for _, tt := range []struct {
		spoil func(*engine.Config)
		want  string // "" when the configuration is right
	}{
		{func(*engine.Config) {}, ""},
		{func(c *engine.Config) { c.Collector = nil }, "collector"},
		{func(c *engine.Config) { c.MinEffect = -1 }, "minimum effect"},
		{func(c *engine.Config) { c.Guard = 1 }, "guard"},
		{func(c *engine.Config) { c.Budget = math.NaN() }, "budget"},
		{func(c *engine.Config) { c.Slice = -1 }, "slice"},
		{func(c *engine.Config) { c.Knobs = append(c.Knobs, c.Knobs[0]) }, "twice"},
		{func(c *engine.Config) { c.Knobs[0].Ladder = nil }, "empty"},
		{func(c *engine.Config) { c.Knobs[0].Ladder = []int64{1} }, "reads"},
		{func(c *engine.Config) { c.Knobs[0].Name = "blockval.scripts" }, "may be optimized"},
	} {
		c := engine.Config{Knobs: p.Knobs(), Collector: p}
		tt.spoil(&c)
		switch _, err := engine.New(c); {
		case tt.want == "" && err != nil:
			t.Errorf("New: %v", err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("New: %v, want a word on %q", err, tt.want)
		}
	}
	r := newRig(t, better(1), nil)
	for _, err := range []error{
		r.SetTargets(0, perfcore.Targets{}),
		r.SetTargets(perfcore.CPU, perfcore.Targets{Utilization: 2}),
	} {
		if err == nil {
			t.Error("a bad target was taken")
		}
	}
}
