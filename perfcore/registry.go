package perfcore

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// A Registry is the Recorder of a running program. The zero value is ready to
// use, and it is safe for concurrent use.
//
// Its methods panic when the series of one name do not fit together or a
// Metric is malformed, for both are mistakes in code: they differ in kind, in
// help, in label names or in panel; a name or a label name is none (of a-z, 0-9
// and _), is there twice, or is le; a counter's name does not end in _total, a
// timer's in _seconds; an alert has no name or help, is raised below where it is
// cleared, is a timer's, has the name of another, or is not that of the same
// series before.
type Registry struct {
	mu     sync.Mutex // guards what follows; only constructors and scrapes take it
	series map[string]Series
	first  map[string]Series // the first series of each name
	alerts map[string]Metric // the first metric with each alert
}

// A Series is one instrument and what it means. Exactly one of Counter, Gauge
// and Timer is set.
type Series struct {
	Metric  Metric
	Counter *Counter
	Gauge   *Gauge
	Timer   *Timer
}

// Counter implements Recorder.
func (r *Registry) Counter(m Metric) *Counter {
	return r.get(Series{Metric: m, Counter: new(Counter)}).Counter
}

// Gauge implements Recorder.
func (r *Registry) Gauge(m Metric) *Gauge {
	return r.get(Series{Metric: m, Gauge: new(Gauge)}).Gauge
}

// Timer implements Recorder.
func (r *Registry) Timer(m Metric) *Timer {
	return r.get(Series{Metric: m, Timer: new(Timer)}).Timer
}

// get returns the registered series of fresh's name and labels, which is fresh
// when it is the first.
func (r *Registry) get(fresh Series) Series {
	m := fresh.Metric
	m.Labels = slices.Clone(m.Labels)
	fresh.Metric = m
	mistake := fresh.mistake()

	r.mu.Lock()
	defer r.mu.Unlock()
	first, taken := r.first[m.Name]
	known, again := r.series[m.key()]
	other, alerts := r.alerts[m.Alert.Name]
	switch {
	case mistake != "":
	case taken && fresh.conflict(first) != "":
		mistake = fresh.conflict(first)
	case again && known.Metric.Alert != m.Alert:
		mistake = fmt.Sprintf("its alert is %+v", known.Metric.Alert)
	case alerts && (other.Name != m.Name || other.Alert != m.Alert):
		mistake = fmt.Sprintf("its alert %s is another one of %s", m.Alert.Name, other.Name)
	}
	if mistake != "" {
		panic("perfcore: metric " + m.Name + ": " + mistake)
	}
	if again {
		return known
	}
	if r.series == nil {
		r.series, r.first, r.alerts = make(map[string]Series), make(map[string]Series), make(map[string]Metric)
	}
	if !taken {
		r.first[m.Name] = fresh
	}
	if m.Alert.Name != "" && !alerts {
		r.alerts[m.Alert.Name] = m
	}
	r.series[m.key()] = fresh
	return fresh
}

// Drop ends the series of m's name and labels, if there is one: what its instrument records is
// told to nobody any more, and the next one is another.
func (r *Registry) Drop(m Metric) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.series, m.key())
}

// mistake says what is wrong with s alone; "" when nothing is.
func (s Series) mistake() string {
	m := s.Metric
	names := m.labelNames()
	switch {
	case !isName(m.Name):
		return "the name is none"
	case len(m.Labels)%2 != 0:
		return fmt.Sprintf("labels %q are not pairs", m.Labels)
	case slices.ContainsFunc(names, func(n string) bool { return !isName(n) }):
		return fmt.Sprintf("a label name in %q is none", m.Labels)
	case len(slices.Compact(slices.Sorted(slices.Values(names)))) != len(names):
		return fmt.Sprintf("a label name in %q is there twice", m.Labels)
	case slices.Contains(names, "le"):
		return "le is a histogram's own label"
	case s.Counter != nil && !strings.HasSuffix(m.Name, "_total"):
		return "a counter's name ends in _total"
	case s.Timer != nil && !strings.HasSuffix(m.Name, "_seconds"):
		return "a timer's name ends in _seconds"
	case s.Timer != nil && m.Alert != Alert{}:
		return "a timer has no alert"
	}
	return m.Alert.mistake()
}

// conflict says why s cannot stand beside another series of its name; "" when
// it can.
func (s Series) conflict(other Series) string {
	switch {
	case s.kind() != other.kind():
		return "it is registered as a " + other.kind()
	case s.Metric.Help != other.Metric.Help:
		return fmt.Sprintf("its help is %q", other.Metric.Help)
	case !slices.Equal(s.Metric.labelNames(), other.Metric.labelNames()):
		return fmt.Sprintf("its labels are %q", other.Metric.labelNames())
	case s.Metric.Panel != other.Metric.Panel:
		return fmt.Sprintf("its panel is %q", other.Metric.Panel)
	}
	return ""
}

func (s Series) kind() string {
	switch {
	case s.Counter != nil:
		return "counter"
	case s.Gauge != nil:
		return "gauge"
	}
	return "timer"
}

// isName reports whether s can name a metric or a label.
func isName(s string) bool {
	for i, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c == '_', i > 0 && c >= '0' && c <= '9':
		default:
			return false
		}
	}
	return s != ""
}

// labelNames returns every other of m.Labels, beginning with the first.
func (m Metric) labelNames() []string {
	var names []string
	for i := 0; i < len(m.Labels); i += 2 {
		names = append(names, m.Labels[i])
	}
	return names
}

func (m Metric) key() string {
	return strings.Join(append([]string{m.Name}, m.Labels...), "\xff")
}

// Series returns every instrument, sorted by name and labels.
func (r *Registry) Series() []Series {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Series, 0, len(r.series))
	for _, s := range r.series {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Series) int { return cmp.Compare(a.Metric.key(), b.Metric.key()) })
	return all
}
