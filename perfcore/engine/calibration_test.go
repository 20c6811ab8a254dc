package engine_test

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/engine"
	"github.com/outrider-project/outrider/perfcore/plant"
)

// A taciturn plant says nothing of the cost while it is silent, and always what the
// processors do. It is in the regime that a test says.
type taciturn struct {
	*placed
	silent atomic.Bool
}

func (p *taciturn) Collect() perfcore.Sample {
	s := p.placed.Collect()
	s.Usage = map[perfcore.ResourceType]perfcore.Usage{perfcore.Disk: {Utilization: 0.5}}
	if p.silent.Load() {
		s.Void = "only 14 units of work were done"
	}
	return s
}

// muted returns a rig on a taciturn plant, silent or not, in a regime.
func muted(t *testing.T, cfg plant.Config, regime string, silent bool) (*rig, *taciturn) {
	p := &taciturn{placed: new(placed)}
	p.regime.Store(regime)
	p.silent.Store(silent)
	r := newRig(t, cfg, func(c *engine.Config) {
		p.Plant = c.Collector.(*plant.Plant)
		c.Engine, c.Collector = fixed{6}, p
	})
	return r, p
}

// aim sets the target of the disk.
func (r *rig) aim(t *testing.T, utilization float64) {
	t.Helper()
	if err := r.SetTargets(perfcore.Disk, perfcore.Targets{Utilization: utilization}); err != nil {
		t.Fatal(err)
	}
}

// calibrates waits until n calibrations more have come to nothing.
func (r *rig) calibrates(t *testing.T, n int) {
	t.Helper()
	before := len(r.Decisions(0))
	until(t, "calibrations", 12*time.Hour, func() bool { return len(r.Decisions(0)) >= before+n })
}

// A calibration comes to an end, too, where the regime changes again and again and no slice
// says anything.
func TestCalibrationEndsBetweenRegimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := muted(t, better(1), "tip", true)
		stop := r.start(t)
		for i := range 60 {
			p.regime.Store([]string{"tip", "catch-up"}[i%2])
			time.Sleep(time.Minute)
		}
		synctest.Wait()
		all := r.Decisions(0)
		if i := slices.IndexFunc(all, func(d perfcore.Decision) bool { return d.Trigger == "calibration" }); i < 0 || all[i].Verdict != perfcore.Inconclusive {
			t.Errorf("within an hour it has decided %v", all)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// Where too few slices say something nobody is found different from himself: what resources
// do is known all the same, and when slices begin to say something it goes on at once.
func TestTooFewSlicesSaySomething(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := muted(t, better(1), "tip", true)
		r.aim(t, 0.4)
		stop := r.start(t)
		time.Sleep(12 * time.Hour)
		synctest.Wait()
		all := r.Decisions(0)
		for _, d := range all {
			if d.Verdict != perfcore.Inconclusive || d.Trigger != "calibration" || !strings.HasSuffix(d.Reason, ": only 14 units of work were done") {
				t.Errorf("decision %v", d)
			}
		}
		if len(all) < 4 || len(all) > 30 {
			t.Errorf("%d decisions within twelve hours", len(all))
		}
		if got := r.Status(perfcore.Disk); got != perfcore.Failed {
			t.Errorf("its target is missed, and the disk is %v", got)
		}
		if got := r.Status(perfcore.CPU); got != perfcore.NotOptimized {
			t.Errorf("nothing was tried, and the processors are %v", got)
		}
		r.aim(t, 0.6)
		until(t, "the target is met", 20*time.Minute, func() bool { return r.Status(perfcore.Disk) == perfcore.Optimized })
		r.aim(t, 0.4)
		r.calibrates(t, 6) // rests are long now
		time.Sleep(5 * time.Minute)
		p.silent.Store(false)
		until(t, "it is calibrated", 15*time.Minute, r.decided(perfcore.Calibrated))
		until(t, "a promotion", time.Hour, r.decided(perfcore.Promoted))
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// Between calibrations a regime gets at once what was verified in it.
func TestRecallBetweenCalibrations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := muted(t, better(1), "catch-up", false)
		stop := r.start(t)
		until(t, "a promotion", 6*time.Hour, r.decided(perfcore.Promoted))
		p.regime.Store("tip")
		p.silent.Store(true)
		time.Sleep(time.Minute)
		if err := stop(); err != nil {
			t.Error(err)
		}
		const knob = "plant.knob0"
		if err := r.Resources.Pin(t.Context(), knob, plant.Value(5)); err != nil {
			t.Fatal(err)
		}
		if err := r.Resources.Release(knob); err != nil {
			t.Fatal(err)
		}
		stop = r.start(t)
		r.calibrates(t, 4) // rests are long now
		time.Sleep(time.Minute)
		if got := r.knobs[0].Read(); got != plant.Value(5) {
			t.Fatalf("at the tip it reads %d", got)
		}
		p.regime.Store("catch-up")
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if got := r.knobs[0].Read(); got != plant.Value(6) {
			t.Errorf("in its regime it reads %d, want the verified %d", got, plant.Value(6))
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// A new target and an operator's word end the rest between calibrations, also where those
// find a difference.
func TestRestBetweenCalibrationsEnds(t *testing.T) {
	for name, act := range map[string]func(t *testing.T, r *rig, p *taciturn){
		"targets":  func(t *testing.T, r *rig, _ *taciturn) { r.aim(t, 0.4) },
		"operator": func(_ *testing.T, r *rig, _ *taciturn) { r.Audit() },
		"regime":   func(_ *testing.T, _ *rig, p *taciturn) { p.regime.Store("catch-up") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := better(10)
				cfg.Hostile = 0.2
				r, p := muted(t, cfg, "tip", false)
				r.aim(t, 0.3)
				stop := r.start(t)
				r.calibrates(t, 6) // rests are long now
				time.Sleep(time.Minute)
				n := len(r.Decisions(0))
				act(t, r, p)
				until(t, "the next calibration", 20*time.Minute, func() bool { return len(r.Decisions(0)) > n })
				for _, d := range r.Decisions(0) {
					if d.Verdict != perfcore.Miscalibrated {
						t.Errorf("decision %v", d)
					}
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
