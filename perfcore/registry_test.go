package perfcore_test

import (
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

func TestRegistryReturnsTheSameInstrument(t *testing.T) {
	var r perfcore.Registry
	m := perfcore.Metric{Name: "verdicts_total", Help: "Verdicts.", Labels: []string{"outcome", "agree"}}
	other := perfcore.Metric{Name: "verdicts_total", Help: "Verdicts.", Labels: []string{"outcome", "differ"}}
	if first, again := r.Counter(m), r.Counter(m); first != again {
		t.Error("the same metric has two counters")
	}
	if r.Counter(m) == r.Counter(other) {
		t.Error("two label values share a counter")
	}
	timer := perfcore.Metric{Name: "verdict_seconds"}
	if first, again := r.Timer(timer), r.Timer(timer); first != again {
		t.Error("the same metric has two timers")
	}
	gauge := perfcore.Metric{Name: "mempool_transactions"}
	if first, again := r.Gauge(gauge), r.Gauge(gauge); first != again {
		t.Error("the same metric has two gauges")
	}
	if n := len(r.Series()); n != 4 {
		t.Errorf("%d series, want 4", n)
	}
}

// The caller may use its Labels again.
func TestRegistryKeepsItsOwnLabels(t *testing.T) {
	var r perfcore.Registry
	labels := []string{"outcome", "agree"}
	r.Counter(perfcore.Metric{Name: "verdicts_total", Labels: labels})
	labels[1] = "differ"
	if got := r.Series()[0].Metric.Labels[1]; got != "agree" {
		t.Errorf("the label became %q", got)
	}
}

func TestRegistrySeries(t *testing.T) {
	var r perfcore.Registry
	r.Timer(perfcore.Metric{Name: "b_seconds"}).Observe(time.Second)
	r.Gauge(perfcore.Metric{Name: "c"}).Set(3)
	r.Counter(perfcore.Metric{Name: "a_total", Labels: []string{"x", "2"}}).Add(2)
	r.Counter(perfcore.Metric{Name: "a_total", Labels: []string{"x", "1"}}).Add(1)
	s := r.Series()
	if len(s) != 4 || s[0].Counter.Value() != 1 || s[1].Counter.Value() != 2 ||
		s[2].Timer.Snapshot().Count != 1 || s[3].Gauge.Value() != 3 {
		t.Fatalf("Series = %+v", s)
	}
	for _, one := range s {
		set := 0
		for _, is := range []bool{one.Counter != nil, one.Gauge != nil, one.Timer != nil} {
			if is {
				set++
			}
		}
		if set != 1 {
			t.Errorf("%s has %d instruments, want 1", one.Metric.Name, set)
		}
	}
}

// A series that is dropped is gone, and its name is free for one that fits to those before.
func TestRegistryDrop(t *testing.T) {
	var r perfcore.Registry
	one, other := perfcore.Metric{Name: "heat", Labels: []string{"room", "1"}}, perfcore.Metric{Name: "heat", Labels: []string{"room", "2"}}
	was := r.Gauge(one)
	was.Set(1)
	r.Gauge(other).Set(2)
	r.Drop(one)
	r.Drop(one)
	if s := r.Series(); len(s) != 1 || s[0].Gauge.Value() != 2 {
		t.Errorf("Series = %+v", s)
	}
	r.Drop(other)
	if s := r.Series(); len(s) != 0 {
		t.Errorf("Series = %+v", s)
	}
	if is := r.Gauge(one); is == was || is.Value() != 0 {
		t.Errorf("the next gauge is the one before, or says %v", is.Value())
	}
}

func TestUnit(t *testing.T) {
	for name, want := range map[string]string{
		"verdict_seconds": "seconds", "cpu_seconds_total": "seconds", "received_bytes_total": "bytes", "cache_bytes": "bytes",
		"hit_ratio": "ratio", "blocks_total": "", "height": "", "seconds": "", "megabytes": "",
	} {
		if got := (perfcore.Metric{Name: name}).Unit(); got != want {
			t.Errorf("the unit of %s is %q, want %q", name, got, want)
		}
	}
}

func TestRegistryPanicsOnMistakes(t *testing.T) {
	taken := perfcore.Metric{Name: "taken", Help: "Taken.", Labels: []string{"a", "1", "b", "2"}}
	alert := perfcore.Alert{Name: "hot", Help: "Cool it.", Raise: 2, Clear: 1}
	alerted := perfcore.Metric{Name: "heat", Labels: []string{"room", "1"}, Panel: "Heat", Alert: alert}
	with := func(change func(*perfcore.Metric)) func(*perfcore.Registry) {
		return func(r *perfcore.Registry) {
			r.Gauge(alerted)
			m := alerted
			change(&m)
			r.Gauge(m)
		}
	}
	counter := func(m perfcore.Metric) func(*perfcore.Registry) {
		return func(r *perfcore.Registry) { r.Counter(m) }
	}
	gauge := func(m perfcore.Metric) func(*perfcore.Registry) {
		return func(r *perfcore.Registry) { r.Gauge(m) }
	}
	for _, tt := range []struct {
		name string
		do   func(*perfcore.Registry)
		want string // in the panic; "" for none
	}{
		{"same again", gauge(taken), ""},
		{"other value", gauge(perfcore.Metric{Name: "taken", Help: "Taken.", Labels: []string{"a", "1", "b", "3"}}), ""},
		{"other kind, same labels", func(r *perfcore.Registry) {
			r.Timer(perfcore.Metric{Name: "x_seconds"})
			r.Gauge(perfcore.Metric{Name: "x_seconds"})
		}, "registered as a timer"},
		{"other kind, other labels", func(r *perfcore.Registry) {
			r.Counter(perfcore.Metric{Name: "x_total", Labels: []string{"a", "1"}})
			r.Gauge(perfcore.Metric{Name: "x_total", Labels: []string{"a", "2"}})
		}, "registered as a counter"},
		{"other help", gauge(perfcore.Metric{Name: "taken", Help: "Other.", Labels: taken.Labels}), "its help is"},
		{"label missing", gauge(perfcore.Metric{Name: "taken", Help: "Taken.", Labels: []string{"a", "1"}}), "its labels are"},
		{"labels in another order", gauge(perfcore.Metric{Name: "taken", Help: "Taken.", Labels: []string{"b", "2", "a", "1"}}), "its labels are"},
		{"labels not in pairs", gauge(perfcore.Metric{Name: "x", Labels: []string{"a"}}), "not pairs"},
		{"label twice", gauge(perfcore.Metric{Name: "x", Labels: []string{"a", "1", "a", "2"}}), "twice"},
		{"label name", gauge(perfcore.Metric{Name: "x", Labels: []string{"a-b", "1"}}), "label name"},
		{"label le", gauge(perfcore.Metric{Name: "x", Labels: []string{"le", "1"}}), "le is"},
		{"no name", gauge(perfcore.Metric{}), "the name is none"},
		{"name", gauge(perfcore.Metric{Name: "1x"}), "the name is none"},
		{"name in capitals", gauge(perfcore.Metric{Name: "Height"}), "the name is none"},
		{"counter's suffix", counter(perfcore.Metric{Name: "blocks"}), "ends in _total"},
		{"timer's suffix", func(r *perfcore.Registry) { r.Timer(perfcore.Metric{Name: "verdict_ms"}) }, "ends in _seconds"},
		{"same alert again", with(func(*perfcore.Metric) {}), ""},
		{"same alert, other series", with(func(m *perfcore.Metric) { m.Labels = []string{"room", "2"} }), ""},
		{"no alert, other series", with(func(m *perfcore.Metric) { m.Labels, m.Alert = []string{"room", "2"}, perfcore.Alert{} }), ""},
		{"other alert, other series", with(func(m *perfcore.Metric) { m.Labels, m.Alert.Name = []string{"room", "2"}, "cold" }), ""},
		{"other panel", with(func(m *perfcore.Metric) { m.Panel = "" }), "its panel is"},
		{"no alert, same series", with(func(m *perfcore.Metric) { m.Alert = perfcore.Alert{} }), "its alert is"},
		{"alert changed", with(func(m *perfcore.Metric) { m.Labels, m.Alert.Raise = []string{"room", "2"}, 3 }), "another one of heat"},
		{"alert of another metric", with(func(m *perfcore.Metric) { m.Name = "cold" }), "another one of heat"},
		{"alert's name", gauge(perfcore.Metric{Name: "x", Alert: perfcore.Alert{Help: "Look."}}), "no name of an alert"},
		{"alert's help", gauge(perfcore.Metric{Name: "x", Alert: perfcore.Alert{Name: "hot"}}), "says nothing"},
		{"alert upside down", gauge(perfcore.Metric{Name: "x", Alert: perfcore.Alert{Name: "hot", Help: "Look.", Clear: 1}}), "cleared at 1"},
		{"alert at not a number", gauge(perfcore.Metric{Name: "x", Alert: perfcore.Alert{Name: "hot", Help: "Look.", Raise: math.NaN()}}), "raised at NaN"},
		{"alert in no time", gauge(perfcore.Metric{Name: "x", Alert: perfcore.Alert{Name: "hot", Help: "Look.", For: -1}}), "less than no time"},
		{"alert of a timer", func(r *perfcore.Registry) {
			r.Timer(perfcore.Metric{Name: "x_seconds", Alert: alert})
		}, "a timer has no alert"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r perfcore.Registry
			r.Gauge(taken)
			defer func() {
				got, _ := recover().(string)
				if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
					t.Errorf("panic %q, want %q", got, tt.want)
				}
			}()
			tt.do(&r)
		})
	}
}

// A panic must leave the registry usable by the rest of the program.
func TestRegistryAfterPanic(t *testing.T) {
	var r perfcore.Registry
	func() {
		defer func() { recover() }()
		r.Counter(perfcore.Metric{Name: "blocks"})
	}()
	if n := len(r.Series()); n != 0 {
		t.Errorf("%d series after a refused one, want none", n)
	}
	r.Gauge(perfcore.Metric{Name: "blocks"}).Set(1)
}

func TestConcurrentUse(t *testing.T) {
	const goroutines, rounds = 8, 1000
	var r perfcore.Registry
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			c := r.Counter(perfcore.Metric{Name: "a_total"})
			tm := r.Timer(perfcore.Metric{Name: "b_seconds"})
			g := r.Gauge(perfcore.Metric{Name: "c"})
			for i := range rounds {
				c.Add(1)
				tm.Observe(time.Duration(i))
				g.Set(float64(i))
				if i%100 == 0 {
					r.Series()
					tm.Snapshot()
				}
			}
		})
	}
	wg.Wait()
	s := r.Series()
	if got := s[0].Counter.Value(); got != goroutines*rounds {
		t.Errorf("counter = %d, want %d", got, goroutines*rounds)
	}
	d := s[1].Timer.Snapshot()
	if want := time.Duration(goroutines * rounds * (rounds - 1) / 2); d.Count != goroutines*rounds || d.Sum != want {
		t.Errorf("timer has %d observations, sum %d; want %d, %d", d.Count, d.Sum, goroutines*rounds, want)
	}
	if got := s[2].Gauge.Value(); got != rounds-1 {
		t.Errorf("gauge = %v, want %d", got, rounds-1)
	}
}
