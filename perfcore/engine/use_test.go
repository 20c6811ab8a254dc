package engine

import (
	"context"
	"math"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/plant"
)

// watcher is an optimizer of a flat plant, with a target of the disk's latency.
func watcher(t *testing.T) (*PerformanceOptimizer, *tuner) {
	t.Helper()
	p := plant.New(plant.Config{Start: []int{5}, Surface: plant.Flat(), Seed: 1})
	o, err := New(Config{Knobs: p.Knobs(), Collector: p, Slice: time.Second, Seed: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := o.SetTargets(perfcore.Disk, perfcore.Targets{Latency: time.Second, Quantile: 0.9}); err != nil {
		t.Fatal(err)
	}
	return o, newTuner(o)
}

// saw shows what the disk did in a slice of the incumbent.
func (t *tuner) saw(u perfcore.Usage) {
	t.o.used(perfcore.Sample{Usage: map[perfcore.ResourceType]perfcore.Usage{perfcore.Disk: u}}, &t.budget)
}

// A latency that nobody has measured is no target that is met, and what is measured now and
// then stays as it was meanwhile.
func TestUsedFieldByField(t *testing.T) {
	o, tu := watcher(t)
	rate := perfcore.Usage{Utilization: perfcore.NotMeasured, Throughput: 10, Latency: perfcore.NotMeasured}
	tu.saw(rate)
	if len(o.aims()) != 0 || o.content() {
		t.Errorf("the latency was not measured: %+v, content %v", o.aims(), o.content())
	}
	o.settle(perfcore.Optimizing)
	if o.settle(perfcore.Optimized); o.Status(perfcore.Disk) != perfcore.Failed {
		t.Errorf("the latency was not measured, and the status is %v", o.Status(perfcore.Disk))
	}
	tu.saw(perfcore.Usage{Utilization: perfcore.NotMeasured, Throughput: 20, Latency: 2 * time.Second})
	tu.saw(rate)
	want := perfcore.Usage{Utilization: perfcore.NotMeasured, Throughput: 11.6, Latency: 2 * time.Second}
	got := o.usage[perfcore.Disk]
	if near := got.Throughput - want.Throughput; near > 1e-9 || near < -1e-9 || got.Latency != want.Latency || got.Utilization != want.Utilization {
		t.Errorf("it is used by %+v, want %+v", got, want)
	}
	if o.content() || !o.Hurried(perfcore.Disk) {
		t.Error("the latency is missed, and does not count")
	}
}

// What is missing is known before the first slice of a block under new targets.
func TestShortfallIsKnownFromTheFirst(t *testing.T) {
	_, tu := watcher(t)
	tu.saw(perfcore.Usage{Latency: 2 * time.Second})
	tu.refresh()
	for _, candidate := range []bool{true, false} {
		if got := tu.shortfall(perfcore.Sample{}, !candidate); math.Abs(got-math.Ln2) > 1e-12 {
			t.Errorf("a candidate (%v) that was not measured misses %v", candidate, got)
		}
	}
	twice := perfcore.Sample{Usage: map[perfcore.ResourceType]perfcore.Usage{perfcore.Disk: {Latency: 4 * time.Second}}}
	if got := tu.shortfall(twice, false); math.Abs(got-2*math.Ln2) > 1e-12 {
		t.Errorf("the first slice is of a candidate, and misses %v", got)
	}
}

// A target that is missed again ends the rest for a whole search, with short rests behind it.
func TestMissedAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late atomic.Bool
		latency := func([]int, int) float64 {
			if late.Load() {
				return 2
			}
			return -1
		}
		p := plant.New(plant.Config{
			Start: []int{5, 5, 5, 5, 5, 5}, Surface: plant.Flat(), Seed: 1,
			Uses: []plant.Use{{Resource: perfcore.Disk, Latency: latency}},
		})
		o, err := New(Config{Knobs: p.Knobs(), Collector: p, Slice: time.Second, Seed: 2})
		if err != nil {
			t.Fatal(err)
		}
		if err := o.SetTargets(perfcore.Disk, perfcore.Targets{Latency: time.Second, Quantile: 0.9}); err != nil {
			t.Fatal(err)
		}
		tu := newTuner(o)
		tu.saw(perfcore.Usage{Latency: time.Second / 2})
		tu.refresh()
		tu.retargeted = false
		tu.begin(tu.most())
		tu.rest = 4 * firstRest
		time.AfterFunc(10*time.Second, func() { late.Store(true) })
		if err := tu.park(t.Context()); err != nil {
			t.Fatal(err)
		}
		if tu.misses != 0 || tu.rest != firstRest || p.Slice() > 20 {
			t.Errorf("after %d slices there were %d misses, and the rest is %d", p.Slice(), tu.misses, tu.rest)
		}
		tu.begin(tu.most())
		if err := tu.park(t.Context()); err != nil {
			t.Fatal(err)
		}
		if tu.misses != tu.most()-auditProposals || tu.rest != 2*firstRest {
			t.Errorf("it was missed all the time: %d misses, and the rest is %d", tu.misses, tu.rest)
		}
	})
}

// A listener is still, and keeps what it was asked for.
type listener struct {
	still
	asked []Space
}

func (l *listener) Propose(ctx context.Context, s Space, probe func(plus, minus []int) (float64, error)) ([]int, error) {
	l.asked = append(l.asked, s)
	return l.still.Propose(ctx, s, probe)
}

// An audit under a missed target begins with knobs that trade in it, as a search does.
func TestAuditsAreAimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := plant.New(plant.Config{Start: []int{5, 5, 5, 5, 5, 5}, Surface: plant.Flat(), Seed: 1})
		knobs, l := p.Knobs(), &listener{}
		knobs[0].Resource = perfcore.Disk
		o, err := New(Config{Knobs: knobs, Collector: p, Engine: l, Slice: time.Second, Seed: 2})
		if err != nil {
			t.Fatal(err)
		}
		if err := o.SetTargets(perfcore.Disk, perfcore.Targets{Latency: time.Second, Quantile: 0.9}); err != nil {
			t.Fatal(err)
		}
		tu := newTuner(o)
		tu.saw(perfcore.Usage{Latency: 2 * time.Second})
		tu.begin(tu.most() - auditProposals)
		for range auditProposals {
			if err := tu.search(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if tu.misses != tu.most() {
			t.Errorf("an audit of %d proposals has come to %d misses of %d", auditProposals, tu.misses, tu.most())
		}
		for i, s := range l.asked {
			if wide := s.Low[1] < s.High[1]; wide != (i >= aimedProposals) || s.Low[0] >= s.High[0] {
				t.Errorf("proposal %d is about %+v", i, s)
			}
		}
	})
}

// A mover is a plant whose regime a test sets.
type mover struct {
	*plant.Plant
	regime string
}

func (m *mover) Regime() string { return m.regime }

// Each regime has its own usage: in another one a target is as it is there, what was never
// measured there is none, and a switch is no change of targets.
func TestUsageHasARegime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		latency, unseen := 1.0, false
		m := &mover{plant.New(plant.Config{
			Start: []int{5}, Surface: plant.Flat(), Seed: 1,
			Uses: []plant.Use{{
				Resource: perfcore.Disk, Latency: func([]int, int) float64 { return latency },
				Unseen: func([]int, int) bool { return unseen },
			}},
		}), "tip"}
		o, err := New(Config{Knobs: m.Knobs(), Collector: m, Slice: time.Second, Seed: 2})
		if err != nil {
			t.Fatal(err)
		}
		if err := o.SetTargets(perfcore.Disk, perfcore.Targets{Latency: time.Second, Quantile: 0.9}); err != nil {
			t.Fatal(err)
		}
		tu := newTuner(o)
		if err := tu.idle(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		tu.refresh()
		tu.retarget()
		tu.budget.saved, tu.misses, tu.noise.freedom, tu.noise.sum = 50, 2, maxFreedom, 1
		if err := tu.idle(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		move := func(regime string) {
			t.Helper()
			m.regime = regime
			tu.enter(t.Context())
			if tu.fresh {
				if err := tu.look(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if err := tu.idle(t.Context(), 2); err != nil {
				t.Fatal(err)
			}
			if tu.refresh(); tu.retargeted {
				t.Errorf("in the regime %s the targets are others", regime)
			}
		}
		latency = -1
		move("sync")
		if !o.content() || len(tu.aims) != 1 || tu.misses != 0 {
			t.Errorf("in sync the target is met: %v, of %+v", o.content(), tu.aims)
		}
		unseen = true
		move("block")
		if len(tu.aims) != 0 || o.content() || o.Hurried(perfcore.Disk) {
			t.Errorf("nothing is measured here: %+v", tu.aims)
		}
		unseen, latency = false, 1
		move("tip")
		if !o.Hurried(perfcore.Disk) || len(tu.aims) != 1 || tu.misses != 2 || tu.noise.freedom != maxFreedom {
			t.Errorf("at the tip the target is missed: %v, %+v, %d misses, noise %+v", o.Hurried(perfcore.Disk), tu.aims, tu.misses, tu.noise)
		}
		unseen = true
		move("sync")
		if !o.content() {
			t.Error("back in sync it is not known that the target is met")
		}
		unseen, latency = false, -1
		m.regime = "block"
		tu.enter(t.Context())
		tu.fresh = false // by a slice in which it was not measured
		if err := tu.idle(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		if tu.refresh(); !tu.retargeted {
			t.Fatal("what costs were without the target counts under it")
		}
		tu.retarget()
		if tu.budget.saved != 50 || tu.memory["tip"].misses != 2 {
			t.Errorf("what is measured here for the first time ends what is known elsewhere: %+v", tu.memory["tip"])
		}
	})
}

// What is missing of a target is no danger: a guard and the detector of shifts look at the
// cost without it.
func TestGuardsSeeNoTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		later := 0.0
		p := plant.New(plant.Config{
			Start: []int{5}, Surface: plant.Flat(), Seed: 1,
			Uses: []plant.Use{{Resource: perfcore.Disk, Latency: func(l []int, _ int) float64 { return 2*float64(l[0]-5) + later }}},
		})
		o, err := New(Config{Knobs: p.Knobs(), Collector: p, Slice: time.Second, Seed: 2})
		if err != nil {
			t.Fatal(err)
		}
		if err := o.SetTargets(perfcore.Disk, perfcore.Targets{Latency: time.Second, Quantile: 0.9}); err != nil {
			t.Fatal(err)
		}
		tu := newTuner(o)
		tu.noise.addZero([]float64{0.01, -0.01, 0.01, -0.01})
		tu.plain, tu.effort, tu.lag = tu.noise, tu.noise, tu.noise
		if err := tu.idle(t.Context(), 20); err != nil {
			t.Fatal(err)
		}
		if tu.refresh(); len(tu.aims) != 1 {
			t.Fatal("there is no target")
		}
		r, err := tu.trial(t.Context(), []int{6}, tu.isBetter())
		if err != nil || r.verdict != perfcore.Rejected || r.evidence.Targets > -1 {
			t.Errorf("a candidate that is slow, and no dearer, is %v: %s; %+v, %v", r.verdict, r.reason, r.evidence, err)
		}
		later = 2
		if err := tu.idle(t.Context(), 100); err != nil {
			t.Fatal(err)
		}
		if tu.changed {
			t.Error("a target that is missed is a change of the world")
		}
	})
}

// What a knob that hastens was promoted to is recalled in the regime where it was, though it is
// not tried there any more; and where nothing was promoted it stays as it is. A knob that an
// operator has meanwhile is recalled another time.
func TestHasteIsRecalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mover{plant.New(plant.Config{Start: []int{5, 5}, Surface: plant.Flat(), Seed: 1}), "tip"}
		knobs := m.Knobs()
		knobs[0].Hastens = true
		o, err := New(Config{Knobs: knobs, Collector: m, Slice: time.Second, Seed: 2, Timed: []string{"sync"}})
		if err != nil {
			t.Fatal(err)
		}
		tu := newTuner(o)
		move := func(regime string) {
			m.regime = regime
			tu.enter(t.Context())
			tu.refresh()
		}
		promote := func(levels ...int) {
			t.Helper()
			if !o.Resources.promote(levels, tu.epoch) {
				t.Fatal("nothing was promoted")
			}
			tu.refresh()
		}
		stands := func(what string, want ...int) {
			t.Helper()
			if !slices.Equal(tu.at, want) {
				t.Errorf("%s: the incumbents are %v, want %v", what, tu.at, want)
			}
		}
		move("sync")
		promote(7, 7)
		move("tip")
		stands("at the tip, where nothing was promoted", 7, 5)
		promote(9, 5) // for a target
		move("sync")
		stands("in sync", 7, 7)
		move("tip")
		stands("back at the tip", 9, 5)
		move("sync")
		if err := o.Resources.Pin(t.Context(), "plant.knob0", plant.Value(3)); err != nil {
			t.Fatal(err)
		}
		tu.refresh()
		move("tip")
		stands("with a pin", 3, 5)
		move("sync")
		if err := o.Resources.Release("plant.knob0"); err != nil {
			t.Fatal(err)
		}
		tu.refresh()
		move("tip")
		stands("without it", 9, 5)
	})
}

// What was missed is met again when it is well within its limit, and what is met is missed
// beyond it; statuses that go to and fro with that are no accepted changes.
func TestHovering(t *testing.T) {
	o, tu := watcher(t)
	targets := perfcore.Targets{Utilization: 0.5, Throughput: 100, Latency: time.Second, Quantile: 0.9}
	if err := o.SetTargets(perfcore.Disk, targets); err != nil {
		t.Fatal(err)
	}
	of := map[string]func(much float64) perfcore.Usage{
		"utilization": func(much float64) perfcore.Usage {
			return perfcore.Usage{Utilization: 0.5 * much, Throughput: 1e3}
		},
		"throughput": func(much float64) perfcore.Usage { return perfcore.Usage{Throughput: 100 / much} },
		"latency": func(much float64) perfcore.Usage {
			return perfcore.Usage{Throughput: 1e3, Latency: time.Duration(much * float64(time.Second))}
		},
	}
	o.settle(perfcore.Optimizing)
	before := o.cfg.Snapshots.Changes()
	for name, use := range of {
		for _, tt := range []struct {
			much float64
			met  bool
		}{{0.5, true}, {0.99, true}, {1.01, false}, {0.96, false}, {0.94, true}, {0.99, true}, {1.01, false}, {0.94, true}} {
			for range 60 {
				tu.saw(use(tt.much))
				o.settle(perfcore.Optimized)
			}
			want := perfcore.Failed
			if tt.met {
				want = perfcore.Optimized
			}
			if o.content() != tt.met || (len(o.missed()) == 0) != tt.met || o.Status(perfcore.Disk) != want {
				t.Errorf("%s at %v of its limit: content %v, missed %v, %v", name, tt.much, o.content(), o.missed(), o.Status(perfcore.Disk))
			}
		}
	}
	if n := o.cfg.Snapshots.Changes() - before; n > 2 { // the search has ended, for the disk and the knob's resource
		t.Errorf("%d changes were counted", n)
	}
	tu.saw(of["latency"](3))
	if err := o.SetTargets(perfcore.Disk, perfcore.Targets{Latency: 2 * time.Second, Quantile: 0.9}); err != nil {
		t.Fatal(err)
	}
	if !o.content() {
		t.Errorf("a new target is judged by the one before: %v", o.missed())
	}
}
