package engine_test

import (
	"context"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/engine"
	"github.com/outrider-project/outrider/perfcore/plant"
)

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
