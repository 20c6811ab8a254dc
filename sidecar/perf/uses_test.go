package perf

import (
	"encoding/json"
	"math"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/collect"
)

// used returns what a slice of ten seconds says of the resources, in which do happens.
func used(t *testing.T, registry *perfcore.Registry, knobs []perfcore.Knob, do func()) (usage map[perfcore.ResourceType]perfcore.Usage, s collect.Slice) {
	t.Helper()
	c, err := collect.New(collect.Config{Sources: []collect.Source{newUses(registry.Series(), knobs)}, Objective: objective()})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(*testing.T) {
		for range 2 { // what is measured is of the slice, not of all time
			c.Begin()
			do()
			time.Sleep(10 * time.Second)
			usage = c.Collect().Usage
		}
	})
	return usage, c.Slice()
}

// The use of the network and the cache is what the parts count.
func TestUses(t *testing.T) {
	registry := new(perfcore.Registry)
	timer := func(name string, labels ...string) *perfcore.Timer {
		return registry.Timer(perfcore.Metric{Name: name, Help: "Times.", Labels: labels})
	}
	block := timer("outrider_node_rpc_seconds", "method", "getblock")
	tip := timer("outrider_node_rpc_seconds", "method", "getbestblockhash")
	call := timer("outrider_bob_rpc_seconds", "class", "call")
	hit, miss := timer(lookupTimer, "answer", "ring"), timer(lookupTimer, "answer", "absent")
	timer("outrider_other_seconds").Observe(time.Hour)
	counter := func(answer string) *perfcore.Counter {
		return registry.Counter(perfcore.Metric{Name: lookupCounter, Help: "Look-ups.", Labels: []string{"answer", answer}})
	}
	hits, misses := counter("ring"), counter("absent")
	gauge := func(tier string) *perfcore.Gauge {
		return registry.Gauge(perfcore.Metric{Name: coinBytes, Help: "Bytes.", Labels: []string{"tier", tier}})
	}
	ring, older := gauge("ring"), gauge("ristretto")
	budget := int64(4000)
	knobs := []perfcore.Knob{{Name: "plant.other", Read: func() int64 { return 1 }}, {Name: coinBudget, Read: func() int64 { return budget }}}
	usage, slice := used(t, registry, knobs, func() {
		for range 80 {
			tip.Observe(time.Millisecond)
		}
		for range 15 {
			call.Observe(100 * time.Millisecond)
		}
		for range 5 {
			block.Observe(time.Second)
		}
		for range 95 {
			hit.Observe(time.Microsecond)
		}
		for range 5 {
			miss.Observe(time.Millisecond)
		}
		hits.Add(300)
		misses.Add(100)
		ring.Set(1000)
		older.Set(2000)
	})
	near := func(got, want time.Duration) bool { return got >= want && float64(got) < 1.13*float64(want) }
	if u := usage[perfcore.Network]; u.Throughput != 10 || !near(u.Latency, 100*time.Millisecond) || u.Utilization >= 0 {
		t.Errorf("the network is %+v", u)
	}
	if u := usage[perfcore.Cache]; u.Utilization != 0.75 || u.Throughput != 40 || !near(u.Latency, time.Microsecond) {
		t.Errorf("the cache is %+v", u)
	}
	for _, name := range []string{networkRate, networkP90, cacheUsed, cacheRate, cacheP90} {
		if v, measured := slice.Value(name); !measured || math.IsNaN(v) {
			t.Errorf("%s is not measured", name)
		}
	}
	budget = 3000
	usage, slice = used(t, registry, knobs, func() {})
	if u := usage[perfcore.Cache]; u.Utilization != 1 || u.Throughput != 0 {
		t.Errorf("a full cache of which nobody asks is %+v", u)
	}
	if u, measured := usage[perfcore.Network]; !measured || u != (perfcore.Usage{Utilization: perfcore.NotMeasured, Latency: perfcore.NotMeasured}) {
		t.Errorf("a network that is not used is %+v, measured %t", u, measured)
	}
	if _, measured := slice.Value(networkP90); measured {
		t.Error("there is a latency of nothing")
	}
}

// What was not measured of a resource is told to nobody.
func TestUsageInPart(t *testing.T) {
	u := perfcore.Unmeasured()
	u.Throughput = 0
	r := Resource{Resource: "network", Usage: newUsage(u)}
	text, err := json.Marshal(r.Usage)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(text); got != `{"throughput":0}` {
		t.Errorf("the usage is %s", got)
	}
	if got := r.clause(); got != "; 0 exchanges with nodes a second" {
		t.Errorf("it is said %q", got)
	}
}

// What nobody counts is not measured.
func TestUsesOfNobody(t *testing.T) {
	usage, slice := used(t, new(perfcore.Registry), nil, func() {})
	if len(usage) != 0 {
		t.Errorf("nobody counts, and there is %v", usage)
	}
	slice.Each(func(name string, _ float64) { t.Errorf("nobody counts, and there is %s", name) })
	listed, err := os.ReadFile("../../docs/metrics.md") // from what the parts register
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append([]string{lookupCounter, lookupTimer, coinBytes}, exchangeTimers...) {
		if !strings.Contains(string(listed), "`"+name+"`") {
			t.Errorf("%s is no metric of ours", name)
		}
	}
}

// The manual says of every resource what its numbers are, and of no other.
func TestUsesAreInTheManual(t *testing.T) {
	manual, err := os.ReadFile("../../docs/perf.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(manual), "## Targets\n")
	section, _, _ = strings.Cut(section, "\n## ")
	all := objective().Uses
	rows := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|(.*)\\|(.*)\\|(.*)\\|$").FindAllStringSubmatch(section, -1)
	if len(rows) != len(all) {
		t.Errorf("the manual tells of %d resources, want %d", len(rows), len(all))
	}
	for _, row := range rows {
		r, err := perfcore.ParseResourceType(row[1])
		if err != nil {
			t.Error(err)
			continue
		}
		use := all[r]
		for i, quantity := range []string{use.Utilization, use.Throughput, use.Latency} {
			if told := strings.TrimSpace(row[2+i]) != ""; told != (quantity != "") {
				t.Errorf("column %d of %s is told: %t, and is measured by %q", i+1, row[1], told, quantity)
			}
		}
		if of := throughputOf(row[1]); use.Throughput != "" && !strings.HasPrefix(strings.TrimSpace(row[3]), of) {
			t.Errorf("the throughput of %s is one of %s, and the manual says %s", row[1], of, row[3])
		}
	}
}

// A target for the network or the cache can be set, and is missed where it is.
func TestUsesAreTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMill(t)
		tip := m.registry.Timer(perfcore.Metric{Name: "outrider_node_rpc_seconds", Help: "Calls.", Labels: []string{"method", "x"}})
		p, stop := m.start(t, Config{Mode: Observe}, 0)
		time.Sleep(time.Minute)
		if err := p.target(perfcore.Network, perfcore.Targets{Latency: time.Second, Quantile: latencyQuantile}); err != nil {
			t.Fatal(err)
		}
		missed := func() string {
			for _, r := range p.status().Resources {
				if r.Resource == "network" {
					return r.Missed
				}
			}
			return "not measured"
		}
		tip.Observe(time.Millisecond)
		if time.Sleep(10 * time.Second); missed() != "" {
			t.Errorf("a fast network: %s", missed())
		}
		for range 20 {
			tip.Observe(4 * time.Second)
			time.Sleep(10 * time.Second)
		}
		if !strings.HasPrefix(missed(), "latency 4") && !strings.HasPrefix(missed(), "latency 3.9") {
			t.Errorf("a slow network: %q", missed())
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}
