package perf

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// An alert follows the quantity with hysteresis: it needs time to rise and to
// clear, and a quantity between the two limits changes nothing.
func TestAlertStates(t *testing.T) {
	rule := ruleOf("heat", perfcore.Alert{Name: "hot", Raise: 10, Clear: 5, For: 20 * time.Second, Keep: 30 * time.Second})
	none := math.NaN() // not measured
	for _, tt := range []struct {
		name   string
		values []float64 // every ten seconds
		want   string    // of the alerts told, by number of the value
	}{
		{"cool", []float64{1, 9, 1}, "[]"},
		{"a short peak", []float64{11, 11, 1, 11, 1}, "[]"},
		{"at the limit", []float64{10, 10, 10, 10}, "[]"},
		{"long enough", []float64{11, 11, 11, 11}, "[firing@2]"},
		{"cleared", []float64{11, 11, 11, 1, 1, 1, 1}, "[firing@2 cleared@6]"},
		{"hot again while clearing", []float64{11, 11, 11, 1, 1, 7, 1, 1, 1, 1}, "[firing@2 cleared@9]"},
		{"between the limits", []float64{11, 11, 11, 7, 7, 7, 7, 7, 7}, "[firing@2]"},
		{"not measured", []float64{11, none, none, 11, none, 1, none, none, 1, 1}, "[firing@3 cleared@8]"},
		{"infinite", []float64{math.Inf(1), 11, 11}, "[firing@2]"},
		{"twice", []float64{11, 11, 11, 1, 1, 1, 1, 11, 11, 11}, "[firing@2 cleared@6 firing@9]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			as := new(alerts)
			as.hold([]Rule{rule})
			var told []string
			for i, v := range tt.values {
				now := time.Unix(int64(10*i), 0)
				for _, a := range as.observe(now, func(string) (float64, bool) { return v, !math.IsNaN(v) }) {
					told = append(told, fmt.Sprintf("%s@%d", a.State, i))
				}
			}
			if got := fmt.Sprint(told); got != tt.want {
				t.Errorf("told %s, want %s", got, tt.want)
			}
		})
	}
}

// A square wave around the limit, as fast as can be measured, is one alert.
func TestAlertsDoNotFlap(t *testing.T) {
	as := new(alerts)
	as.hold([]Rule{ruleOf("heat", perfcore.Alert{Name: "hot", Raise: 10, Clear: 5, For: 20 * time.Second, Keep: 30 * time.Second})})
	told := 0
	for i := range 1000 {
		v := 10.1
		if i > 10 && i%2 == 0 {
			v = 4.9
		}
		told += len(as.observe(time.Unix(int64(10*i), 0), func(string) (float64, bool) { return v, true }))
	}
	if told != 1 {
		t.Errorf("told %d times", told)
	}
	if a := as.active(); len(a) != 1 || a[0].Times != 1 {
		t.Errorf("active: %+v", a)
	}
}

// Every alert of the metrics is a rule, and of several series with the same alert the
// sum is held against it.
func TestRules(t *testing.T) {
	var r perfcore.Registry
	hot := perfcore.Alert{Name: "hot", Help: "Cool it.", Raise: 3}
	lost := perfcore.Alert{Name: "lost", Help: "Look for it."}
	for _, room := range []string{"1", "2", "Attic A"} {
		m := perfcore.Metric{Name: "outrider_heat", Labels: []string{"room", room}}
		if room != "2" {
			m.Alert = hot
		}
		r.Gauge(m)
	}
	r.Counter(perfcore.Metric{Name: "outrider_losses_total", Labels: []string{"kind", "thing"}, Alert: lost})
	r.Timer(perfcore.Metric{Name: "outrider_wait_seconds"})
	slice := map[string]float64{"heat_1": 1, "heat_2": 10, "heat_attic_a": 2.5, "losses_thing_per_second": 0.5}
	var got []string
	for _, rule := range Rules(r.Series()) {
		v, of, measured := rule.value(func(q string) (float64, bool) { v, ok := slice[q]; return v, ok })
		got = append(got, fmt.Sprintf("%s: %s of %d is %v, of %q, %v, above %v", rule.Name, rule.Quantity, len(rule.Series), v, of, measured, rule.Raise))
	}
	want := []string{
		`hot: heat of 2 is 3.5, of ["heat_1" "heat_attic_a"], true, above 3`,
		`lost: losses_thing_per_second of 1 is 0.5, of [], true, above 0`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("the rules are %q, want %q", got, want)
	}
	for _, rule := range Rules(r.Series()) {
		if v, _, measured := rule.value(func(string) (float64, bool) { return 0, false }); v != 0 || measured {
			t.Errorf("%s: what was not measured is %v, %v", rule.Name, v, measured)
		}
	}
}

// What is told of slices is told by the name of the quantity, not before it was
// measured, and is not measured again.
func TestTold(t *testing.T) {
	var r perfcore.Registry
	told := newTold(&r)
	r.Gauge(perfcore.Metric{Name: "outrider_height"}).Set(7)
	r.Gauge(outsideMetric("depth")).Set(8) // another process's, which is a source of its own
	if others := told.others(r.Series()); len(others) != 1 || others[0].Metric.Name != "outrider_height" {
		t.Errorf("beside what is told there is %+v", others)
	}
	told.tell(map[string]float64{behind: 3, "go_gc_cpu_ratio": 0.5, "height": 8})
	told.tell(map[string]float64{behind: 4})
	for quantity, want := range map[string]float64{behind: 4, "go_gc_cpu_ratio": 0.5} {
		if got := told[quantity].Value(); got != want {
			t.Errorf("%s is %v, want %v", quantity, got, want)
		}
	}
	if v := told["memory_ratio"].Value(); !math.IsNaN(v) {
		t.Errorf("what was not measured is %v", v)
	}
	for _, rule := range Rules(r.Series()) {
		if rule.Quantity != strings.TrimPrefix(rule.Series[0].Metric.Name, "outrider_") {
			t.Errorf("%s looks at %s", rule.Name, rule.Quantity)
		}
		for _, part := range rule.parts {
			if told[part] == nil {
				t.Errorf("%s looks at %s, which is not told", rule.Name, part)
			}
		}
	}
}

// ruleOf returns an alert on one quantity.
func ruleOf(quantity string, a perfcore.Alert) Rule {
	return Rule{Alert: a, Quantity: quantity, parts: []string{quantity}}
}

// What fires comes first.
func TestActive(t *testing.T) {
	as := new(alerts)
	as.hold([]Rule{
		ruleOf("a", perfcore.Alert{Name: "a", For: time.Hour}),
		ruleOf("b", perfcore.Alert{Name: "b"}),
		ruleOf("c", perfcore.Alert{Name: "c"}),
	})
	as.observe(time.Unix(1, 0), func(q string) (float64, bool) { return 1, q != "b" })
	as.observe(time.Unix(2, 0), func(q string) (float64, bool) { return 1, q == "b" })
	var got []string
	for _, a := range as.active() {
		got = append(got, a.Name+" "+string(a.State))
	}
	if want := []string{"c firing", "b firing", "a pending"}; !slices.Equal(got, want) {
		t.Errorf("active: %q, want %q", got, want)
	}
}

// An anomaly says which quantity has left its range, from the slice in which it has until it
// is cleared, to the API, the stream and the webhook. That slices say nothing for that is said
// nowhere, for trials go on.
func TestAnomaly(t *testing.T) {
	all := watched
	t.Cleanup(func() { watched = all })
	watched = maps.Clone(all)
	delete(watched, "go_sched_latency_p99_seconds") // the machine's
	synctest.Test(t, func(t *testing.T) {
		m := newMill(t)
		fetch := m.registry.Timer(perfcore.Metric{Name: "outrider_feed_fetch_seconds", Help: "The time of a fetch."})
		ctx, cancel := context.WithCancel(t.Context())
		var working sync.WaitGroup
		working.Go(func() { m.work(ctx) })
		p, stop := m.start(t, Config{Mode: Observe, Webhook: "https://hooks.example/"}, 0)
		const part = "perf_anomalies_feed_fetch_mean"
		stands := func() (of []string, stands bool) {
			for _, a := range p.status().Alerts {
				if a.Name == "anomaly" && slices.Contains(a.Of, part) {
					return a.Of, a.State == Firing
				}
			}
			return nil, false
		}
		for range 60 {
			fetch.Observe(10 * time.Millisecond)
			time.Sleep(10 * time.Second)
		}
		if of, ok := stands(); ok {
			t.Errorf("while all is as usual there is an anomaly of %q", of)
		}
		for range 4 {
			fetch.Observe(time.Second)
			time.Sleep(10 * time.Second)
		}
		if of, ok := stands(); !ok || p.told[part].Value() != 1 {
			t.Errorf("it is an anomaly of %q; %s is %v", of, part, p.told[part].Value())
		}
		if s := p.status().Slice; s.Void != "" {
			t.Errorf("for an anomaly the slice is %+v", s)
		}
		if plan, err := p.plan(); err != nil || len(plan.Waits) != 1 {
			t.Errorf("for an anomaly the plan waits: %q, %v", plan.Waits, err)
		}
		if q, err := p.measurements(); err != nil || q.Values[part] != 1 || q.Values[anomalies] < 1 {
			t.Errorf("the quantities are %v, %v", q.Values, err)
		}
		for range 60 {
			fetch.Observe(10 * time.Millisecond)
			time.Sleep(10 * time.Second)
		}
		if of, ok := stands(); ok || p.told[part].Value() != 0 {
			t.Errorf("when it is over it is an anomaly of %q; %s is %v", of, part, p.told[part].Value())
		}
		var told []AlertState
		list, _, _ := p.events.after(0)
		for _, e := range list {
			var a Alert
			var m Measured
			if e.Kind == Sliced && json.Unmarshal(e.Data, &m) == nil && m.Work > 0 && m.Void != "" {
				t.Errorf("the stream told of the slice %+v", m)
			}
			if e.Kind == Alerted && json.Unmarshal(e.Data, &a) == nil && a.Name == "anomaly" && slices.Contains(a.Of, part) {
				told = append(told, a.State)
				if line := e.Line(); !strings.Contains(line, "limit 0, of ") || !strings.Contains(line, part) {
					t.Errorf("in words it is %q", line)
				}
			}
		}
		if !slices.Equal(told, []AlertState{Firing, Cleared}) {
			t.Errorf("the stream told of %v", told)
		}
		queue := p.webhook.queued()
		i := slices.IndexFunc(queue, func(n Notice) bool { return n.Name == "anomaly" })
		if i < 0 || !slices.Contains(queue[i].Of, part) {
			t.Errorf("the webhook is told %+v", queue)
		}
		cancel()
		working.Wait()
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}
