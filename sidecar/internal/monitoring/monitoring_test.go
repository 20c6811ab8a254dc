package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/outrider-project/outrider/perfcore"
)

// made returns the catalogue of the program.
func made(t *testing.T) *catalogue {
	t.Helper()
	c, err := newCatalogue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A model is a dashboard as Grafana reads it.
type model struct {
	ID         *int
	UID        string
	Title      string
	Templating struct{ List []struct{ Name, Type string } }
	Panels     []modelPanel
}

type modelPanel struct {
	ID          int
	Type, Title string
	Description string
	DataSource  struct{ Type, UID string }
	GridPos     grid
	Collapsed   bool
	Panels      []modelPanel
	Targets     []struct {
		RefID, Expr, LegendFormat string
		DataSource                struct{ UID string }
	}
	FieldConfig struct {
		Defaults struct {
			Unit       string
			Thresholds struct {
				Steps []struct{ Value *float64 }
			}
		}
		Overrides []struct {
			Matcher struct{ ID, Options string }
		}
	}
}

// parsed returns the dashboard of c as Grafana reads it.
func parsed(t *testing.T, c *catalogue) model {
	t.Helper()
	text, err := c.dashboard()
	if err != nil {
		t.Fatal(err)
	}
	var m model
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// all calls f for every panel, the rows among them.
func (m *model) all(f func(p *modelPanel)) {
	for i := range m.Panels {
		f(&m.Panels[i])
		for j := range m.Panels[i].Panels {
			f(&m.Panels[i].Panels[j])
		}
	}
}

// queriesOf returns every query of the dashboard.
func queriesOf(t *testing.T, m model) []string {
	t.Helper()
	var queries []string
	m.all(func(p *modelPanel) {
		for _, target := range p.Targets {
			queries = append(queries, target.Expr)
		}
	})
	if len(queries) == 0 {
		t.Fatal("the dashboard has no queries")
	}
	return queries
}

// substituted returns a query as Grafana sends it.
func substituted(query string) string {
	return strings.NewReplacer("$__rate_interval", "1m", "$instance", ".*").Replace(query)
}

// Every panel has a query of the chosen data source, a place that no other takes, and
// a number of its own; and the dashboard has no identity that another could have.
func TestDashboard(t *testing.T) {
	m := parsed(t, made(t))
	if m.ID != nil || m.UID != "" || m.Title == "" {
		t.Errorf("the dashboard is %v %q %q", m.ID, m.UID, m.Title)
	}
	var variables []string
	for _, v := range m.Templating.List {
		variables = append(variables, v.Type+" "+v.Name)
	}
	if want := []string{"datasource datasource", "query instance"}; !slices.Equal(variables, want) {
		t.Errorf("the variables are %q, want %q", variables, want)
	}
	ids := make(map[int]string)
	m.all(func(p *modelPanel) {
		if other, taken := ids[p.ID]; taken || p.ID == 0 {
			t.Errorf("%s has the number %d of %s", p.Title, p.ID, other)
		}
		ids[p.ID] = p.Title
		if p.Title == "" {
			t.Errorf("panel %d has no title", p.ID)
		}
		if p.Type == "row" {
			if !p.Collapsed || len(p.Panels) == 0 {
				t.Errorf("the row %s is empty", p.Title)
			}
			return
		}
		if len(p.Targets) == 0 || p.DataSource.UID != "${datasource}" {
			t.Errorf("%s draws nothing of %q", p.Title, p.DataSource.UID)
		}
		refs := make(map[string]bool)
		for _, target := range p.Targets {
			if target.Expr == "" || target.LegendFormat == "" || target.DataSource.UID != "${datasource}" || refs[target.RefID] {
				t.Errorf("%s: %+v", p.Title, target)
			}
			refs[target.RefID] = true
		}
		if p.FieldConfig.Defaults.Unit == "" {
			t.Errorf("%s has no unit", p.Title)
		}
	})
	checkGrid(t, "the dashboard", m.Panels)
	for _, p := range m.Panels {
		checkGrid(t, p.Title, p.Panels)
	}
}

// checkGrid fails the test where panels overlap, or leave the grid.
func checkGrid(t *testing.T, where string, panels []modelPanel) {
	t.Helper()
	taken := make(map[[2]int]string)
	for _, p := range panels {
		g := p.GridPos
		if g.X < 0 || g.Y < 0 || g.W < 1 || g.H < 1 || g.X+g.W > 24 {
			t.Errorf("%s: %s is at %+v", where, p.Title, g)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other, is := taken[[2]int{x, y}]; is {
					t.Fatalf("%s: %s and %s overlap", where, other, p.Title)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}

// named finds the names of metrics in a query. What stands in quotes is none.
var (
	named  = regexp.MustCompile(`\b(?:outrider|go|process)_[a-z0-9_]+`)
	quoted = regexp.MustCompile(`"[^"]*"`)
)

// used returns the metrics that a query uses, those of histograms by their own names.
func used(query string, histograms map[string]bool) []string {
	var names []string
	for _, name := range named.FindAllString(quoted.ReplaceAllString(query, ""), -1) {
		if base := strings.TrimSuffix(name, "_bucket"); histograms[base] {
			name = base
		}
		names = append(names, name)
	}
	return names
}

// Everything that the dashboard and the rules use is exported, and every metric of
// the program is drawn.
func TestUsedIsExported(t *testing.T) {
	c := made(t)
	exported, histograms, undrawn := make(map[string]bool), make(map[string]bool), make(map[string]bool)
	for _, s := range c.sections {
		for _, m := range s.metrics {
			exported[m.Name], undrawn[m.Name] = true, true
			histograms[m.Name] = m.Kind == "histogram"
		}
	}
	for _, f := range c.standard {
		exported[f.Name] = true
	}
	for _, q := range queriesOf(t, parsed(t, c)) {
		names := used(q, histograms)
		if len(names) == 0 && !strings.Contains(q, "up{") && !strings.Contains(q, "ALERTS{") {
			t.Errorf("%s uses no metric", q)
		}
		for _, name := range names {
			delete(undrawn, name)
			if !exported[name] {
				t.Errorf("%s is drawn, and not exported", name)
			}
		}
	}
	for name := range undrawn {
		t.Errorf("%s is not drawn", name)
	}
	for _, r := range committedRules(t) {
		names := used(r.Expr, histograms)
		if len(names) == 0 && r.Alert != down.Alert {
			t.Errorf("%s looks at no metric", r.Alert)
		}
		for _, name := range names {
			if !exported[name] {
				t.Errorf("%s looks at %s, which is not exported", r.Alert, name)
			}
		}
	}
}

// The limits of alerts are in the panels of their metrics.
func TestLimitsAreDrawn(t *testing.T) {
	c := made(t)
	limits := make(map[string]float64)
	for _, s := range c.sections {
		panels, err := s.panels()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range panels {
			if limit, there := p.limit(); there {
				limits[p.title] = limit
			}
		}
	}
	if _, there := limits["Block verdicts"]; there || limits["Chain blocks behind"] != 5 || limits["Memory pressure ratio"] != 0.96 || limits["Time waiting"] != 0.1 {
		t.Errorf("the limits are %v", limits)
	}
	m := parsed(t, c)
	m.all(func(p *modelPanel) {
		if p.Title == "Block verdicts" { // one of three series has the alert
			if o := p.FieldConfig.Overrides; len(o) != 1 || o[0].Matcher.ID != "byRegexp" || o[0].Matcher.Options != "/^differ /" {
				t.Errorf("of the verdicts, other colours have %+v", o)
			}
			if got := p.Targets[0].LegendFormat; got != "{{outcome}} {{instance}}" {
				t.Errorf("the legend of verdicts is %q", got)
			}
		}
		limit, there := limits[p.Title]
		steps := p.FieldConfig.Defaults.Thresholds.Steps
		if p.Type != "timeseries" || !there && len(steps) == 1 {
			return
		}
		if !there || len(steps) != 2 || *steps[1].Value < limit || *steps[1].Value > limit+1e-300 && limit == 0 {
			t.Errorf("%s: a limit of %v, %v is drawn as %+v", p.Title, limit, there, steps)
		}
	})
}

// Metrics with different units are not drawn in one panel, and each is of a part.
func TestMistakes(t *testing.T) {
	for _, tt := range []struct {
		name    string
		metrics []perfcore.Metric
		want    string
	}{
		{"no part", []perfcore.Metric{{Name: "outrider_news_total", Help: "News."}}, `add "news" to one`},
		{"no prefix", []perfcore.Metric{{Name: "node_news_total", Help: "News."}}, "is of no part"},
		{"no help", []perfcore.Metric{{Name: "outrider_node_news_total"}}, "has no help"},
		{"units", []perfcore.Metric{
			{Name: "outrider_node_news_total", Help: "News.", Panel: "News"},
			{Name: "outrider_node_news_bytes_total", Help: "News.", Panel: "News"},
		}, `the panel "News" draws`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r perfcore.Registry
			for _, p := range parts() { // none is empty
				r.Gauge(perfcore.Metric{Name: prefix + p.words[0] + "_something", Help: "Something."})
			}
			if c, err := catalogueOf(&r); err != nil {
				t.Fatal(err)
			} else if _, err := c.files(); err != nil {
				t.Fatal(err)
			}
			for _, m := range tt.metrics {
				r.Counter(m)
			}
			c, err := catalogueOf(&r)
			if err == nil {
				_, err = c.files()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// The same metrics make the same files.
func TestDeterministic(t *testing.T) {
	first, err := made(t).files()
	if err != nil {
		t.Fatal(err)
	}
	second, err := made(t).files()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(first)) {
		if !bytes.Equal(first[name], second[name]) {
			t.Errorf("%s is another each time", name)
		}
	}
}

// committedRules returns the rules that are deployed.
func committedRules(t *testing.T) []rule {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(deployed, ruleFileName))
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Groups []ruleGroup }
	if err := yaml.Load(text, &file, yaml.WithKnownFields()); err != nil {
		t.Fatal(err)
	}
	if len(file.Groups) != 1 {
		t.Fatalf("%d groups of rules", len(file.Groups))
	}
	return file.Groups[0].Rules
}

// Every alert of the metrics is a rule, with its times, and every rule is one of them
// or about a sidecar that is gone; and each is tried: it fires in one place and does
// not in another.
func TestAlertsAreTried(t *testing.T) {
	rules := make(map[string]rule)
	for _, r := range committedRules(t) {
		rules[r.Alert] = r
	}
	tries := triedAlerts(t)
	alerts := map[string]string{down.Alert: down.For + "/"}
	for _, r := range made(t).rules {
		alerts[alertName(r.Name)] = period(r.For) + "/" + period(r.Keep)
	}
	for name, times := range alerts {
		r, there := rules[name]
		if got := r.For + "/" + r.Keep; !there || got != times {
			t.Errorf("%s: there is a rule: %v; it takes %s, want %s", name, there, got, times)
		}
		delete(rules, name)
		if tries[name] != (tried{fires: true, silent: true}) {
			t.Errorf("%s is tried where it fires: %v, and where it does not: %v", name, tries[name].fires, tries[name].silent)
		}
		delete(tries, name)
	}
	for name := range rules {
		t.Errorf("%s is the alert of no metric", name)
	}
	for name := range tries {
		t.Errorf("%s is tried, and is no alert", name)
	}
}

// tried says where an alert is tried.
type tried struct{ fires, silent bool }

// triedAlerts returns what the tests of the rules try.
func triedAlerts(t *testing.T) map[string]tried {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(deployed, "outrider.rules.test.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Tests []struct {
			Tests []struct {
				Alert  string `yaml:"alertname"`
				Alerts []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		} `yaml:"tests"`
	}
	if err := yaml.Load(text, &file); err != nil {
		t.Fatal(err)
	}
	tries := make(map[string]tried)
	for _, group := range file.Tests {
		for _, one := range group.Tests {
			it := tries[one.Alert]
			it.fires = it.fires || len(one.Alerts) > 0
			it.silent = it.silent || len(one.Alerts) == 0
			tries[one.Alert] = it
		}
	}
	return tries
}

// The expression of a rule selects the series that have the alert, and no other.
func TestRuleOf(t *testing.T) {
	alert := perfcore.Alert{Name: "hot_room", Help: "Cool it.", Raise: 3, Clear: 2}
	for _, tt := range []struct {
		name         string
		rooms, other []string
		counter      bool
		want         string
	}{
		{"all", []string{"1", "2"}, nil, false,
			`sum without (room) (outrider_node_heat) > 3 or sum without (room) (outrider_node_heat) > 2`},
		{"one", []string{"1"}, []string{"2"}, false,
			`outrider_node_heat{room="1"} > 3 or outrider_node_heat{room="1"} > 2`},
		{"some", []string{"2", "1"}, []string{"3"}, false,
			`sum without (room) (outrider_node_heat{room=~"1|2"}) > 3 or sum without (room) (outrider_node_heat{room=~"1|2"}) > 2`},
		{"counter", []string{"1"}, []string{"2"}, true,
			`rate(outrider_node_heat_total{room="1"}[5m]) > 3 or rate(outrider_node_heat_total{room="1"}[5m]) > 2`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r perfcore.Registry
			for i, room := range append(slices.Clone(tt.rooms), tt.other...) {
				m := perfcore.Metric{Name: "outrider_node_heat", Help: "Heat.", Labels: []string{"room", room}}
				if i < len(tt.rooms) {
					m.Alert = alert
				}
				if tt.counter {
					m.Name += "_total"
					r.Counter(m)
				} else {
					r.Gauge(m)
				}
			}
			for _, p := range parts() {
				r.Gauge(perfcore.Metric{Name: prefix + p.words[0] + "_something", Help: "Something."})
			}
			c, err := catalogueOf(&r)
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.ruleOf(c.rules[0])
			if err != nil {
				t.Fatal(err)
			}
			want := tt.want + ` and ignoring (alertname, alertstate, severity) ALERTS{alertname="OutriderHotRoom", alertstate="firing"}`
			if expr := strings.ReplaceAll(got.Expr, "\n", " "); expr != want {
				t.Errorf("%s, want %s", expr, want)
			}
		})
	}
}

// Of a histogram that stands alone three quantiles are drawn, else one.
func TestQuantiles(t *testing.T) {
	legends := make(map[string]string)
	m := parsed(t, made(t))
	m.all(func(p *modelPanel) {
		for _, target := range p.Targets {
			if quantile, _, ok := strings.Cut(target.Expr, ", sum by"); ok {
				legends[p.Title] += strings.TrimPrefix(quantile, "histogram_quantile(") + " " + target.LegendFormat + "; "
			}
		}
	})
	for title, want := range map[string]string{
		"Block verdict time": "0.50 p50 {{instance}}; 0.90 p90 {{instance}}; 0.99 p99 {{instance}}; ",
		"Node RPC time":      "0.90 {{method}} p90 {{instance}}; ",
		"Time of a block":    "0.90 coindb apply time p90 {{instance}}; 0.90 coindb muhash time p90 {{instance}}; 0.90 coindb undo time p90 {{instance}}; ",
	} {
		if legends[title] != want {
			t.Errorf("%s draws %q, want %q", title, legends[title], want)
		}
	}
}

func TestInWords(t *testing.T) {
	for name, want := range map[string]string{
		"outrider_node_rpc_seconds": "Node RPC time", "outrider_blocks_landed_total": "Blocks landed", "outrider_go_gc_cpu_ratio": "Go GC CPU ratio",
	} {
		if got := inWords(name); got != want {
			t.Errorf("%s is %q in words, want %q", name, got, want)
		}
	}
}

// The documentation has every metric, with its kind and its help.
func TestDocument(t *testing.T) {
	c := made(t)
	text := string(c.document())
	check := func(name, kind, help string) {
		if !regexp.MustCompile(fmt.Sprintf("(?m)^\\| `%s` \\| %s \\| .*%s \\|$", name, kind, regexp.QuoteMeta(help))).MatchString(text) {
			t.Errorf("%s is not in the document", name)
		}
	}
	for _, s := range c.sections {
		for _, m := range s.metrics {
			check(m.Name, m.Kind, m.Help)
		}
	}
	for _, f := range c.standard {
		check(f.Name, f.Kind, f.Help)
	}
	for _, r := range c.rules {
		if !strings.Contains(text, fmt.Sprintf("| `%s` | `%s` |", r.Name, alertName(r.Name))) {
			t.Errorf("%s is not in the document", r.Name)
		}
	}
}
