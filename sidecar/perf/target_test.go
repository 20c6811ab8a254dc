package perf

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/bitvm/claim"
	"github.com/outrider-project/outrider/perfcore"
)

// A target of what no part of this program measures is refused, and one that was kept when
// a part did is left out.
func TestTargetOfNobody(t *testing.T) {
	latency := perfcore.Targets{Latency: time.Second, Quantile: latencyQuantile}
	synctest.Test(t, func(t *testing.T) {
		m := newMill(t)
		p, stop := m.start(t, Config{Mode: Optimize, seed: 1}, 0)
		time.Sleep(time.Minute)
		for r, word := range map[perfcore.ResourceType]string{
			claim.Resource(): "outrider_bitvm_claim_seconds", perfcore.Database: "mode full", perfcore.Network: "outrider_node_rpc_seconds", perfcore.Cache: lookupTimer,
		} {
			if err := p.target(r, latency); err == nil || !strings.Contains(err.Error(), word) {
				t.Errorf("a latency of %v is a target: %v", r, err)
			}
		}
		if err := p.target(perfcore.CPU, perfcore.Targets{Throughput: 1}); err != nil {
			t.Errorf("what is measured is no target: %v", err)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}

		m.registry.Timer(perfcore.Metric{Name: "outrider_coindb_batch_seconds", Help: "Coins."})
		p, stop = m.start(t, Config{Mode: Optimize, seed: 1}, 0)
		time.Sleep(time.Minute)
		if err := p.target(perfcore.Database, latency); err != nil {
			t.Fatal(err)
		}
		kept, err := p.snap()
		if err != nil {
			t.Fatal(err)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}

		m.registry = newMill(t).registry // without a database
		p, stop = m.start(t, Config{Mode: Optimize, seed: 1}, 0)
		time.Sleep(time.Minute)
		check := func(when string) {
			for _, r := range p.status().Resources {
				if (r.Target != Targets{}) != (r.Resource == perfcore.CPU.String()) {
					t.Errorf("%s the target of %s is %+v", when, r.Resource, r.Target)
				}
			}
		}
		check("after a restart")
		refused, err := p.restore(t.Context(), kept.Seq)
		if err != nil || !slices.ContainsFunc(refused, func(why string) bool { return strings.Contains(why, "database") }) {
			t.Errorf("restoring it refuses %q, %v", refused, err)
		}
		check("restored")
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// What is said to measure a resource is a metric of ours.
func TestRecordersExist(t *testing.T) {
	listed, err := os.ReadFile("../../docs/metrics.md") // from what the parts register
	if err != nil {
		t.Fatal(err)
	}
	for quantity, by := range recorders {
		for _, name := range by.metrics {
			if !strings.Contains(string(listed), "`"+name+"`") {
				t.Errorf("%s, by which %s is measured, is no metric of ours", name, quantity)
			}
		}
	}
	system := []string{"process_cpu_ratio", "memory_ratio", "pressure_io_some_ratio"} // by Linux
	for r, use := range objective().Uses {
		for _, quantity := range []string{use.Utilization, use.Throughput, use.Latency} {
			if _, known := recorders[quantity]; quantity != "" && !known && !slices.Contains(system, quantity) {
				t.Errorf("nobody is known to measure %s of %v", quantity, r)
			}
		}
	}
}

// A latency that is asked for without a quantile is that of nine operations in ten, and another
// quantile is refused.
func TestTargetWithoutAQuantile(t *testing.T) {
	m := newMill(t)
	m.registry.Timer(perfcore.Metric{Name: "outrider_coindb_batch_seconds", Help: "Coins."})
	p, c := m.served(t, Config{Mode: Optimize, seed: 1})
	if err := c.Post(t.Context(), "target", TargetRequest{"database", Targets{Latency: 0.25}}, nil); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(p.status().Resources, func(r Resource) bool { return r.Resource == perfcore.Database.String() })
	if got, want := p.status().Resources[i].Target, (Targets{Latency: 0.25, Quantile: 0.9}); got != want {
		t.Errorf("the target is %+v, want %+v", got, want)
	}
	err := c.Post(t.Context(), "target", TargetRequest{"database", Targets{Latency: 0.25, Quantile: 0.5}}, nil)
	if err == nil || !strings.Contains(err.Error(), "0.9") {
		t.Errorf("a median is a target: %v", err)
	}
}
