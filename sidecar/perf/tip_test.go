package perf

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// verify verifies so many transactions of the mempool a second until ctx ends, in a bubble.
func (m *mill) verify(ctx context.Context, rate uint64) {
	for ctx.Err() == nil {
		m.done.Add(rate)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// At an ordinary tip, where seven transactions come in a second, slices say something and
// things are tried. Where there are two nothing is, and nobody is found different from
// himself for that; whether targets are missed is known.
func TestOrdinaryTip(t *testing.T) {
	for _, tt := range []struct {
		name    string
		rate    uint64
		verdict string // of the calibration
		status  string // of the resource whose target is missed
	}{{"ordinary", 7, "calibrated", ""}, {"calm", 3, "calibrated", ""}, {"idle", 1, "inconclusive", "failed"}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMill(t)
				ctx, cancel := context.WithCancel(context.Background())
				var working sync.WaitGroup
				working.Go(func() { m.verify(ctx, tt.rate) })
				p, stop := m.start(t, Config{Mode: Optimize, seed: 1}, 0)
				time.Sleep(time.Second)
				if err := p.target(perfcore.CPU, perfcore.Targets{Utilization: 0.4}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Hour)
				synctest.Wait()
				s := p.status()
				if s.Regime != "tip idle" || s.Slice == nil || (s.Slice.Void == "") != (tt.verdict == "calibrated") {
					t.Errorf("the status is %+v", s)
				}
				list, err := p.decisions(0)
				if err != nil {
					t.Fatal(err)
				}
				i := slices.IndexFunc(list, func(d Decision) bool { return d.Trigger == "calibration" })
				if i < 0 || list[i].Verdict != tt.verdict {
					t.Errorf("the decisions are %+v", list)
				}
				if i >= 0 && tt.verdict == "inconclusive" && !strings.Contains(list[i].Reason, "units of work were done") {
					t.Errorf("the reason is %q", list[i].Reason)
				}
				for _, r := range s.Resources {
					if r.Resource == perfcore.CPU.String() && tt.status != "" && r.Status != tt.status {
						t.Errorf("its target is missed, and the resource is %+v", r)
					}
				}
				for _, a := range p.alerts.active() {
					if a.Name == "miscalibrated" {
						t.Errorf("alert %v", a)
					}
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
				cancel()
				working.Wait()
			})
		})
	}
}
