package perf

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// What slices would tell nothing of at this moment is not in the plan, and why.
func TestPlanOfAKnobThatIsUnready(t *testing.T) {
	for _, tt := range []struct {
		mute []int64
		to   []int64
	}{{nil, []int64{1, 3}}, {[]int64{3}, []int64{1}}, {[]int64{1, 3}, nil}, {[]int64{2}, nil}} {
		synctest.Test(t, func(t *testing.T) {
			m := newMill(t)
			m.leases = []perfcore.Knob{{
				Name: "go.gogc", Help: "A knob of the test.", Unit: "things", Scope: perfcore.Live, Carry: perfcore.Warm,
				Ladder: []int64{1, 2, 3}, Apply: func(context.Context, int64) error { return nil }, Read: func() int64 { return 2 },
				Unready: func(v int64) string {
					if slices.Contains(tt.mute, v) {
						return "the heap is hardly ever collected"
					}
					return ""
				},
			}}
			p, stop := m.start(t, Config{Mode: Observe}, 0)
			time.Sleep(time.Minute)
			plan, err := p.plan()
			if err != nil {
				t.Fatal(err)
			}
			var to []int64
			for _, one := range plan.Trials {
				if one.Knob == "go.gogc" {
					to = one.To
				}
			}
			left := slices.Contains(plan.Left, Left{"go.gogc", "the heap is hardly ever collected"})
			if !slices.Equal(to, tt.to) || left != (tt.to == nil) {
				t.Errorf("without %v the plan is %+v", tt.mute, plan)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// At the tip a knob that buys time is in the plan only while a target asks for time.
func TestPlanOfAKnobThatHastens(t *testing.T) {
	for _, mode := range []Mode{Optimize, Observe} {
		t.Run(string(mode), func(t *testing.T) { planOfAKnobThatHastens(t, mode) })
	}
}

func planOfAKnobThatHastens(t *testing.T, mode Mode) {
	synctest.Test(t, func(t *testing.T) {
		m := newMill(t)
		var haste atomic.Int64
		m.leases = []perfcore.Knob{{
			Name: "plant.haste", Help: "A knob of the test.", Unit: "things", Scope: perfcore.Live, Resource: perfcore.CPU,
			Carry: perfcore.Memoryless, Hastens: true, Ladder: []int64{0, 1},
			Apply: func(_ context.Context, n int64) error { haste.Store(n); return nil }, Read: haste.Load,
		}}
		ctx, cancel := context.WithCancel(t.Context())
		var working sync.WaitGroup
		working.Go(func() { m.work(ctx) })
		p, stop := m.start(t, Config{Mode: mode, seed: 1}, 0)
		for _, tt := range []struct {
			targets perfcore.Targets
			tried   bool
		}{
			{perfcore.Targets{}, false}, {perfcore.Targets{Throughput: 1e9}, true}, {perfcore.Targets{Utilization: 0.01}, false},
		} {
			time.Sleep(time.Minute)
			if err := p.target(perfcore.CPU, tt.targets); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			plan, err := p.plan()
			if err != nil {
				t.Fatal(err)
			}
			tried := slices.ContainsFunc(plan.Trials, func(t Trial) bool { return t.Knob == "plant.haste" })
			left := slices.ContainsFunc(plan.Left, func(l Left) bool { return l.Knob == "plant.haste" && strings.Contains(l.Why, "cpu misses") })
			if tried != tt.tried || left == tt.tried {
				t.Errorf("with targets of %+v the plan is %+v", tt.targets, plan)
			}
		}
		cancel()
		working.Wait()
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// What the plan lists is not tried while it says why not: by the engine's state, the regime, a
// freeze and targets that are met.
func TestPlanWaits(t *testing.T) {
	for _, mode := range []Mode{Optimize, Observe} {
		t.Run(string(mode), func(t *testing.T) { planWaits(t, mode) })
	}
}

func planWaits(t *testing.T, mode Mode) {
	synctest.Test(t, func(t *testing.T) {
		m := newMill(t)
		defer m.works(t)()
		p, stop := m.start(t, Config{Mode: mode, seed: 1}, 0)
		waits := func(word string) bool {
			t.Helper()
			plan, err := p.plan()
			if err != nil || len(plan.Trials) == 0 {
				t.Fatalf("the plan is %+v, %v", plan, err)
			}
			return slices.ContainsFunc(plan.Waits, func(why string) bool { return strings.Contains(why, word) })
		}
		expect := func(when, word string, want bool) {
			t.Helper()
			if got := waits(word); got != want {
				t.Errorf("%s, it waits because of %q: %t", when, word, got)
			}
		}
		time.Sleep(time.Minute)
		expect("at the start", "calibration", mode == Optimize)
		expect("at the start", "targets", false)
		expect("at the start", "tip block", false)
		p.Announce()
		expect("with a block at hand", "tip block", true)
		p.Arrived()
		expect("behind the block", "tip block", false)
		for _, limit := range []float64{0.9, 0.1} {
			if err := p.target(perfcore.CPU, perfcore.Targets{Utilization: limit}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * time.Hour)
			expect("with a target", "all targets are met", limit > 0.5)
		}
		rests := false
		for range 300 {
			rests = rests || waits("next audit")
			time.Sleep(time.Minute)
		}
		if rests != (mode == Optimize) {
			t.Errorf("it waits for an audit: %t", rests)
		}
		if err := p.freeze("maintenance"); err != nil {
			t.Fatal(err)
		}
		expect("frozen", "maintenance", true)
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}
