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

// A knob that hangs while a candidate is in force is left alone when its time is over,
// with the others at their incumbents, and somebody is told. The loop goes on with the
// others, and Run ends all the same, and says so. What hung is waited for when it returns.
func TestKnobHangs(t *testing.T) {
	for _, tt := range []struct {
		name    string
		returns bool // before Run ends
	}{{"and returns", true}, {"for ever", false}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var registry perfcore.Registry
				gauge := func(alert string) float64 {
					for _, s := range registry.Series() {
						if s.Metric.Alert.Name == alert {
							return s.Gauge.Value()
						}
					}
					return math.NaN()
				}
				free := make(chan struct{})
				var hung atomic.Bool
				var aborted [][]string // the knobs that were astray at each end of a trial
				var statuses []perfcore.OptimizationStatus
				cfg := plant.Config{
					Start: []int{5, 5}, World: plant.Noisy(), Seed: 2,
					Surface: plant.Bowl{Bottom: []float64{9, 5}, Weight: []float64{1, 0}}.Surface(),
				}
				var r *rig
				r = newRig(t, cfg, func(c *engine.Config) {
					c.Recorder = &registry
					c.Decided = func(d perfcore.Decision) {
						if d.Verdict == perfcore.Aborted {
							aborted, statuses = append(aborted, r.astray()), append(statuses, r.Status(perfcore.CPU))
						}
					}
					apply := c.Knobs[1].Apply
					c.Knobs[1].Apply = func(ctx context.Context, v int64) error {
						if _, on := r.last(perfcore.Calibrated); on && v == plant.Value(5) && !hung.Swap(true) { // on its way back
							<-free
						}
						return apply(ctx, v)
					}
				})
				stop := r.start(t)
				until(t, "a call that hangs", time.Hour, hung.Load)
				time.Sleep(perfcore.DefaultWithin + 2*time.Second) // in which nobody can ask for knobs
				synctest.Wait()
				if k := r.Resources.Knobs()[1]; k.Owner != engine.Nobody {
					t.Errorf("it is the %v's", k.Owner)
				}
				if len(aborted) == 0 || aborted[0] != nil {
					t.Errorf("when it was given up, %v were not at their incumbents", aborted)
				}
				if len(statuses) == 0 || statuses[0] != perfcore.Failed {
					t.Errorf("when it was given up, the status was %v", statuses)
				}
				if gauge("knob_hangs") != 1 {
					t.Error("nobody is told that a knob hangs")
				}
				if d, ok := r.last(perfcore.Aborted); !ok || !strings.Contains(d.Reason, "plant.knob1") || !strings.Contains(d.Reason, "hangs") {
					t.Errorf("it was decided %v", d)
				}
				until(t, "the other knob's promotion", 20*time.Hour, func() bool { return r.Resources.Knobs()[0].Incumbent >= plant.Value(7) })
				until(t, "the end of the search", 20*time.Hour, func() bool { return r.Status(perfcore.CPU) != perfcore.Optimizing })
				if got := r.Status(perfcore.CPU); got != perfcore.Failed {
					t.Errorf("with a knob that hangs the status is %v", got)
				}
				if tt.returns {
					close(free)
					synctest.Wait()
					if gauge("knob_hangs") != 0 {
						t.Error("it is told that a knob hangs, and it has returned")
					}
				}
				began := time.Now()
				err := stop()
				if tt.returns != (err == nil) || err != nil && !strings.Contains(err.Error(), "plant.knob1") {
					t.Errorf("Run: %v", err)
				}
				if took := time.Since(began); took > 6*time.Second {
					t.Errorf("Run ended within %v", took)
				}
				if !tt.returns {
					close(free)
				}
			})
		})
	}
}
