package sidecar

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
	"github.com/outrider-project/outrider/sidecar/perf"
)

// exports returns what the rider's /metrics says of each metric: its kind, and its
// help.
func (r *rider) exports(t *testing.T) map[string][2]string {
	t.Helper()
	code, body := r.get(t, "/metrics")
	if code != 200 {
		t.Fatalf("/metrics answers %d", code)
	}
	families := make(map[string][2]string)
	for line := range strings.Lines(string(body)) {
		word := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
		if len(word) < 4 || word[0] != "#" {
			continue
		}
		f := families[word[2]]
		switch word[1] {
		case "TYPE":
			f[0] = word[3]
		case "HELP":
			f[1] = strings.NewReplacer(`\\`, `\`, `\n`, "\n").Replace(word[3])
		}
		families[word[2]] = f
	}
	return families
}

// What sidecars export beside both kinds of node is documented, with its kind and its
// help, and is what Describe registers; and nothing else is.
func TestMetricsAreDocumented(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("that all metrics are documented was not checked: those of the process are others here, and the documentation is of Linux")
	}
	beside := newRider(t, nodetest.BtcdOptions{})
	beside.cfg.UTXOMode, beside.cfg.Perf, beside.cfg.BOB = UTXOFull, perf.Optimize, nobodysBOB()
	var err error
	if beside.cfg.BitVM, err = nobodysBridge(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	beside.btcd.Mine(3)
	beside.run(t)
	beside.s.Claims()
	beside.awaitTip(t)
	lag := perf.ObserveRequest{Values: map[string]float64{"l2_lag_seconds": 12}}
	if err := beside.dialPerf(t).Post(t.Context(), "observe", lag, nil); err != nil {
		t.Fatal(err)
	}
	exported := beside.exports(t)

	core := newCoreRider(t, nodetest.CoreOptions{})
	core.cfg.UTXOMode, core.cfg.Perf = UTXOFull, perf.Optimize
	core.core.Mine(3)
	core.run(t)
	core.awaitTip(t)
	core.dialPerf(t)
	maps.Copy(exported, core.exports(t))

	document, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range exported {
		row := fmt.Sprintf("(?m)^\\| `%s` \\| %s \\| .*%s \\|$", name, f[0], regexp.QuoteMeta(strings.ReplaceAll(f[1], "|", `\|`)))
		if f[1] == "" || !regexp.MustCompile(row).Match(document) {
			t.Errorf("%s, a %s with the help %q, is not in docs/metrics.md: run go generate", name, f[0], f[1])
		}
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z0-9_]+)` \\| (?:counter|gauge|histogram|summary) ").FindAllSubmatch(document, -1) {
		if _, ok := exported[string(row[1])]; !ok {
			t.Errorf("%s is documented, and neither sidecar exports it", row[1])
		}
	}

	var registry perfcore.Registry
	if err := Describe(t.Context(), &registry, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	described := make(map[string]bool)
	for _, s := range registry.Series() {
		described[s.Metric.Name] = true
	}
	for name := range exported {
		if strings.HasPrefix(name, "outrider_") != described[name] {
			t.Errorf("%s is described: %v", name, described[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(described)) {
		if _, ok := exported[name]; !ok {
			t.Errorf("%s is described, and neither sidecar exports it", name)
		}
	}
}

// What alerts look at is measured in a running sidecar, by the names that its rules
// have; what only some systems tell of is left out.
func TestAlertsAreMeasured(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{})
	r.cfg.UTXOMode, r.cfg.Perf = UTXOFull, perf.Observe
	r.btcd.Mine(3)
	r.run(t)
	r.awaitTip(t)
	c := r.dialPerf(t)
	checkQuantities(t, c, &r.cfg)
	var q perf.Measurements
	if err := c.Get(t.Context(), "quantities", &q); err != nil {
		t.Fatal(err)
	}
	rules := perf.Rules(r.s.registry.Series())
	if len(rules) < 15 {
		t.Errorf("there are %d rules", len(rules))
	}
	sometimes := []string{"go_gc_cpu_ratio", "group_throttled_ratio", "pressure_memory_full_ratio", "memory_ratio"}
	for _, rule := range rules {
		if _, ok := q.Values[rule.Quantity]; !ok && len(rule.Series) == 1 && !slices.Contains(sometimes, rule.Quantity) {
			t.Errorf("%s looks at %s, which is not measured", rule.Name, rule.Quantity)
		}
	}
}
