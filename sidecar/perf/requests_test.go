package perf

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/collect"
	"github.com/outrider-project/outrider/perfcore/regime"
)

// Requests that are served, calls of the node and exchanges with an L2's nodes say which
// regime it is, and are foreseen and told.
func TestRequestsAreARegime(t *testing.T) {
	for _, tt := range []struct {
		name  string
		count func(r *perfcore.Registry) func() // counts one
		load  string
		rate  int
		want  string
	}{
		{"served", func(r *perfcore.Registry) func() {
			c := r.Counter(perfcore.Metric{Name: "outrider_web_requests_total", Help: "Requests."})
			return func() { c.Add(1) }
		}, rpcLoad, 150, regime.RPCBurst},
		{"of the node", func(r *perfcore.Registry) func() {
			c := r.Timer(perfcore.Metric{Name: "outrider_node_rpc_seconds", Help: "Calls.", Labels: []string{"method", "getblock"}})
			return func() { c.Observe(time.Millisecond) }
		}, rpcLoad, 150, regime.RPCBurst},
		{"few", func(r *perfcore.Registry) func() {
			c := r.Counter(perfcore.Metric{Name: "outrider_web_requests_total", Help: "Requests."})
			return func() { c.Add(1) }
		}, rpcLoad, 50, regime.TipIdle},
		{"of an L2", func(r *perfcore.Registry) func() {
			c := r.Timer(perfcore.Metric{Name: "outrider_bob_rpc_seconds", Help: "Exchanges.", Labels: []string{"class", "call"}})
			return func() { c.Observe(time.Millisecond) }
		}, l2Load, 75, regime.L2Heavy},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMill(t)
				count := tt.count(m.registry)
				ctx, cancel := context.WithCancel(context.Background())
				var asking sync.WaitGroup
				asking.Go(func() {
					for ctx.Err() == nil {
						for range tt.rate {
							count()
						}
						select {
						case <-ctx.Done():
						case <-time.After(time.Second):
						}
					}
				})
				p, stop := m.start(t, Config{Mode: Observe}, 0)
				time.Sleep(time.Minute)
				synctest.Wait()
				if got := p.classifier.Regime(); got != tt.want {
					t.Errorf("the regime is %s, want %s", got, tt.want)
				}
				if got := p.told[tt.load].Value(); got < 0.8*float64(tt.rate) || got > 1.2*float64(tt.rate) {
					t.Errorf("it is told that there are %v in a second, and there are %d", got, tt.rate)
				}
				if tt.load == rpcLoad {
					p.mu.RLock()
					p.following.mu.Lock()
					_, skilled := p.following.quantities[rpcLoad+"_forecast_skill"]
					p.following.mu.Unlock()
					p.mu.RUnlock()
					if !skilled {
						t.Error("nobody forecasts them")
					}
				}
				cancel()
				asking.Wait()
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A load that nobody counts is absent, and not nothing. What counts it is what the parts
// register.
func TestRequestsOfNobody(t *testing.T) {
	var registry perfcore.Registry
	registry.Counter(perfcore.Metric{Name: "outrider_other_total", Help: "Others."})
	c, err := collect.New(collect.Config{Sources: []collect.Source{newRequests(rpcLoad, registry.Series())}, Objective: objective()})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		c.Begin()
		time.Sleep(time.Second)
		c.Collect()
	})
	slice := c.Slice()
	if v, measured := slice.Value(rpcLoad); measured {
		t.Errorf("%v requests are measured, and nobody counts them", v)
	}
	listed, err := os.ReadFile("../../docs/metrics.md") // from what the parts register
	if err != nil {
		t.Fatal(err)
	}
	for load, names := range requestCounters {
		for _, name := range names {
			if !strings.Contains(string(listed), "`"+name+"`") {
				t.Errorf("%s of %s is no metric of ours", name, load)
			}
		}
	}
}
