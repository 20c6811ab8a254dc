package engine

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/plant"
)

// unreadyTuner returns a tuner of one knob, at 5 and cheaper at 6, which says why not.
func unreadyTuner(t *testing.T, unordered []int, whyNot func(value int64) string) *tuner {
	t.Helper()
	p := plant.New(plant.Config{Start: []int{5}, Surface: plant.Step(6, 0.2), World: plant.Noisy(), Seed: 1, Unordered: unordered})
	knobs := p.Knobs()
	knobs[0].Unready = whyNot
	o, err := New(Config{Knobs: knobs, Collector: p, Slice: time.Second, Seed: 2})
	if err != nil {
		t.Fatal(err)
	}
	return newTuner(o)
}

// A knob is not tried while slices would tell nothing of it, and is as soon as they do.
func TestUnreadyIsNotTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ready atomic.Bool
		tu := unreadyTuner(t, nil, func(int64) string {
			if ready.Load() {
				return ""
			}
			return "it is early"
		})
		o := tu.o
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- o.Run(ctx) }()
		for range 1800 {
			if time.Sleep(time.Second); o.Resources.Knobs()[0].Read() != plant.Value(5) {
				t.Fatal("a knob was tried that would tell nothing")
			}
		}
		ready.Store(true)
		time.Sleep(30 * time.Minute)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		var promoted []perfcore.Decision
		for _, d := range o.Decisions(0) {
			if d.Verdict == perfcore.Promoted {
				promoted = append(promoted, d)
			}
		}
		if len(promoted) == 0 || o.Resources.Knobs()[0].Incumbent != plant.Value(6) {
			t.Errorf("what is better is not in force; decisions %+v", o.Decisions(0))
		}
	})
}

// What is proposed lies between levels that would tell something, and is nothing where the
// incumbent would not.
func TestUnreadyLevels(t *testing.T) {
	for _, tt := range []struct {
		mute      []int
		low, high int
		arms      []int
		moves     bool
	}{
		{nil, 0, 10, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, true},
		{[]int{8}, 0, 7, []int{0, 1, 2, 3, 4, 5, 6, 7, 9, 10}, true},
		{[]int{2, 6}, 3, 5, []int{0, 1, 3, 4, 5, 7, 8, 9, 10}, true},
		{[]int{5}, 5, 5, []int{5}, false},
	} {
		why := func(v int64) string {
			if slices.ContainsFunc(tt.mute, func(l int) bool { return plant.Value(l) == v }) {
				return "it is early"
			}
			return ""
		}
		ordered, unordered := unreadyTuner(t, nil, why), unreadyTuner(t, []int{0}, why)
		if s := ordered.space(); s.Low[0] != tt.low || s.High[0] != tt.high || s.Arms[0] != nil {
			t.Errorf("without %v there are %+v", tt.mute, s)
		}
		if s := unordered.space(); !slices.Equal(s.Arms[0], tt.arms) {
			t.Errorf("without %v, and without an order, there are %v", tt.mute, s.Arms[0])
		}
		if ordered.canMove() != tt.moves {
			t.Errorf("without %v a knob that moves is %v", tt.mute, ordered.canMove())
		}
	}
}

// What is on probation waits while a test would say nothing, and a trial in which that comes to
// be so has no verdict.
func TestUnreadyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		early := 0.0 // the slice from which on nothing is told
		var tu *tuner
		tu = unreadyTuner(t, nil, func(v int64) string {
			if tu.budget.slices >= early && v == plant.Value(6) {
				return "it is early"
			}
			return ""
		})
		tu.trials = []probation{{from: []int{6}, to: []int{5}}}
		if err := tu.retest(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if len(tu.trials) != 1 || tu.trials[0].passed != 0 || tu.trials[0].due != probations[0] || tu.budget.slices != 0 {
			t.Errorf("behind %v slices there are on probation: %+v", tu.budget.slices, tu.trials)
		}
		early = 3
		r, err := tu.trial(t.Context(), []int{6}, tu.isBetter())
		if err != nil {
			t.Fatal(err)
		}
		if r.verdict != perfcore.Inconclusive || len(r.evidence.Diffs) != 0 || !strings.Contains(r.reason, "plant.knob0 cannot be tried: it is early") {
			t.Errorf("the trial came to %+v", r)
		}
		early = 1e9
		if r, err = tu.trial(t.Context(), []int{6}, tu.isBetter()); err != nil || r.verdict != perfcore.Promoted {
			t.Errorf("the trial came to %+v, %v", r, err)
		}
		early = 0
		tu.apart = ablation{from: []int{6}, to: []int{5}, knobs: []int{0}}
		if before := tu.budget.slices; tu.ablate(t.Context()) != nil || tu.apart.due() || tu.budget.slices != before {
			t.Errorf("behind %v slices more there is to be taken apart: %+v", tu.budget.slices-before, tu.apart)
		}
	})
}
