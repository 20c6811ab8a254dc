package engine_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/plant"
)

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
