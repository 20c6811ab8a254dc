package engine_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/engine"
	"github.com/outrider-project/outrider/perfcore/plant"
)

// waitsFor returns whether a reason to wait has the word.
func (r *rig) waitsFor(word string) func() bool {
	return func() bool {
		return slices.ContainsFunc(r.Waits(), func(why string) bool { return strings.Contains(why, word) })
	}
}

// Why nothing is tried is told while nothing is, and no longer.
func TestWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, worse(9), func(c *engine.Config) {
			c.Engine, c.Collector = fixed{6}, &user{c.Collector.(*plant.Plant)}
		})
		if got := r.Waits(); got != nil {
			t.Errorf("before it runs it waits: %q", got)
		}
		stop := r.start(t)
		until(t, "it waits for a calibration", time.Minute, r.waitsFor("calibration"))
		until(t, "a trial", 2*time.Hour, r.trying)
		if got := r.Waits(); got != nil {
			t.Errorf("in a trial it waits: %q", got)
		}
		until(t, "it waits for an audit", 12*time.Hour, r.waitsFor("next audit, in 30 slices"))
		until(t, "less of that is left", 10*time.Minute, r.waitsFor("next audit, in 9 slices"))
		if r.trying() {
			t.Error("at rest something is tried")
		}
		r.Audit()
		until(t, "a trial", time.Hour, r.trying)
		if got := r.Waits(); got != nil {
			t.Errorf("in a trial of an audit it waits: %q", got)
		}
		if err := r.SetTargets(perfcore.CPU, perfcore.Targets{Utilization: 0.6}); err != nil {
			t.Fatal(err)
		}
		until(t, "the targets are met", 3*time.Hour, r.waitsFor("all targets are met"))
		if err := r.SetTargets(perfcore.CPU, perfcore.Targets{Utilization: 0.4}); err != nil {
			t.Fatal(err)
		}
		until(t, "a trial", time.Hour, r.trying)
		if got := r.Waits(); got != nil {
			t.Errorf("in a trial for a target it waits: %q", got)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if got := r.Waits(); got != nil {
			t.Errorf("behind its end it waits: %q", got)
		}
	})
}

// Between calibrations the verdict of the last one is why nothing is tried.
func TestWaitsForACalibration(t *testing.T) {
	for word, hostile := range map[string]float64{"inconclusive": 0, "different from itself": 0.2} {
		t.Run(word, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := better(10)
				cfg.Hostile = hostile
				r, p := muted(t, cfg, "tip", hostile == 0)
				stop := r.start(t)
				until(t, "a calibration has come to nothing", 6*time.Hour, r.waitsFor(word))
				if len(r.Decisions(0)) == 0 {
					t.Error("nothing was decided")
				}
				if p.silent.Load() {
					p.silent.Store(false)
					until(t, "it is calibrated", time.Hour, r.decided(perfcore.Calibrated))
					until(t, "a trial", time.Hour, r.trying)
					if got := r.Waits(); got != nil {
						t.Errorf("in a trial it waits: %q", got)
					}
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A budget that is spent is why nothing is tried.
func TestWaitsForTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, worse(9), func(c *engine.Config) { c.Engine, c.Budget = fixed{6}, 1e-4 })
		stop := r.start(t)
		until(t, "the budget is spent", 2*time.Hour, r.waitsFor("of what they may cost"))
		time.Sleep(time.Minute)
		if r.trying() || r.Spent() <= 1 {
			t.Errorf("something is tried: %t, with %v spent", r.trying(), r.Spent())
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}
