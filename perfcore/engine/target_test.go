package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/engine"
	"github.com/outrider-project/outrider/perfcore/plant"
)

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
