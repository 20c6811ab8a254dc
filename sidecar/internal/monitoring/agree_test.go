package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sidecar/perf"
)

// A wander is a metric whose value goes to and fro around the limits of its alert.
type wander struct {
	metric perfcore.Metric
	gauge  *perfcore.Gauge
	values []float64
	firing []bool // in the sidecar, behind each value
}

// wanders returns metrics with alerts of all shapes.
func wanders() []*wander {
	var list []*wander
	for i, a := range []perfcore.Alert{
		{Raise: 3, Clear: 1},
		{Raise: 3, Clear: 1, For: 20 * time.Second},
		{Raise: 3, Clear: 1, Keep: 30 * time.Second},
		{Raise: 3, Clear: 1, For: 10 * time.Second, Keep: 20 * time.Second},
		{Raise: 2, Clear: 2, For: 10 * time.Second, Keep: 20 * time.Second},
		{},
	} {
		a.Name, a.Help = fmt.Sprintf("wander_%c", 'a'+i), "It wanders."
		list = append(list, &wander{metric: perfcore.Metric{Name: prefix + "node_" + a.Name, Help: "A value.", Alert: a}})
	}
	return list
}

// slice is what the sidecar measures at a time, and what lies between two evaluations
// of Prometheus's.
const slice = 10 * time.Second

// The sidecar and Prometheus, by the rules that are written for it, raise and clear
// an alert at the same values, whatever these do. OUTRIDER_SEED repeats a run.
func TestSidecarAndPrometheusAgree(t *testing.T) {
	seed := rand.Uint64()
	if s := os.Getenv("OUTRIDER_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("OUTRIDER_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	list := wanders()
	var registry perfcore.Registry
	for _, w := range list {
		for v := 0.0; len(w.values) < 120; {
			if rng.IntN(3) == 0 {
				v = float64(rng.IntN(6))
			}
			w.values = append(w.values, v)
		}
		w.gauge = registry.Gauge(w.metric)
	}
	synctest.Test(t, func(t *testing.T) { inSidecar(t, &registry, list) })
	for _, w := range list {
		fired, silent := false, false
		for _, f := range w.firing {
			fired, silent = fired || f, silent || !f
		}
		if !fired || !silent {
			t.Errorf("%s fires: %v, and is silent: %v; that says little", w.metric.Name, fired, silent)
		}
	}

	for _, p := range parts() {
		registry.Gauge(perfcore.Metric{Name: prefix + p.words[0] + "_something", Help: "Something."})
	}
	c, err := catalogueOf(&registry)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := c.ruleFile()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string][]byte{ruleFileName: rules, "agree.yml": expected(t, list)} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	promtool(t, "that the sidecar and Prometheus raise the same alerts", "test", "rules", filepath.Join(dir, "agree.yml"))
}

// inSidecar has a sidecar's alerts look at the values, and notes which fire.
func inSidecar(t *testing.T, registry *perfcore.Registry, list []*wander) {
	dir := t.TempDir()
	p, err := perf.New(perf.Config{Mode: perf.Observe, Datadir: dir, Registry: registry, Slice: slice})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var following sync.WaitGroup
	following.Go(func() {
		err = p.Follow(ctx, perf.Plant{
			Network: "regtest", Dir: filepath.Join(dir, "perf"), Behind: func() (float64, bool) { return 0, true },
		})
	})
	for i := range list[0].values {
		for _, w := range list {
			w.gauge.Set(w.values[i])
		}
		length := slice
		if i == 0 {
			length /= 10 // the first is short
		}
		<-time.After(length)
		synctest.Wait()
		firing := firingNow(t, p)
		for _, w := range list {
			w.firing = append(w.firing, firing[w.metric.Alert.Name])
		}
	}
	cancel()
	if following.Wait(); err != nil {
		t.Error(err)
	}
}

// firingNow returns the alerts that p has raised, and not cleared.
func firingNow(t *testing.T, p *perf.Performance) map[string]bool {
	t.Helper()
	w := httptest.NewRecorder()
	p.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", perf.Prefix+"alerts", nil))
	var alerts []perf.Alert
	if err := json.Unmarshal(w.Body.Bytes(), &alerts); err != nil || w.Code != 200 {
		t.Fatalf("%d %v: %s", w.Code, err, w.Body)
	}
	firing := make(map[string]bool)
	for _, a := range alerts {
		firing[a.Name] = a.State == perf.Firing || a.State == perf.Clearing
	}
	return firing
}

// expected returns a test that Prometheus raises what the sidecar did.
func expected(t *testing.T, list []*wander) []byte {
	t.Helper()
	type series struct {
		Series string `yaml:"series"`
		Values string `yaml:"values"`
	}
	type sample struct {
		Labels string  `yaml:"labels"`
		Value  float64 `yaml:"value"`
	}
	type query struct {
		Expr    string   `yaml:"expr"`
		At      string   `yaml:"eval_time"`
		Samples []sample `yaml:"exp_samples"`
	}
	type test struct {
		Interval string   `yaml:"interval"`
		Input    []series `yaml:"input_series"`
		Queries  []query  `yaml:"promql_expr_test"`
	}
	one := test{Interval: slice.String()}
	for _, w := range list {
		var values strings.Builder
		for i, v := range w.values {
			values.WriteString(number(v) + " ")
			var firing []sample
			name := alertName(w.metric.Alert.Name)
			if w.firing[i] {
				firing = []sample{{fmt.Sprintf(`ALERTS{alertname=%q, alertstate="firing", instance="a", severity="warning"}`, name), 1}}
			}
			one.Queries = append(one.Queries, query{
				fmt.Sprintf(`ALERTS{alertname=%q, alertstate="firing"}`, name), (time.Duration(i) * slice).String(), firing,
			})
		}
		one.Input = append(one.Input, series{w.metric.Name + `{instance="a"}`, values.String()})
	}
	text, err := yaml.Dump(struct {
		Files    []string `yaml:"rule_files"`
		Interval string   `yaml:"evaluation_interval"`
		Tests    []test   `yaml:"tests"`
	}{[]string{ruleFileName}, slice.String(), []test{one}}, yaml.WithLineWidth(1<<30))
	if err != nil {
		t.Fatal(err)
	}
	return text
}
