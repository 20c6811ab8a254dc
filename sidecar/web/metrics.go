package web

import (
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/outrider-project/outrider/perfcore"
)

// newMetricsHandler returns the handler of /metrics: what registry holds, and
// the Go runtime and the process.
func newMetricsHandler(registry *perfcore.Registry, log *slog.Logger) (http.Handler, error) {
	prom, err := newExporter(registry)
	if err != nil {
		return nil, err
	}
	return promhttp.HandlerFor(prom, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(log.Handler(), slog.LevelError),
		MaxRequestsInFlight: 4,
	}), nil
}

// newExporter returns what is exported.
func newExporter(registry *perfcore.Registry) (*prometheus.Registry, error) {
	prom := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{
		collector{registry},
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := prom.Register(c); err != nil {
			return nil, err
		}
	}
	return prom, nil
}

// A Family is all series of one name, as /metrics exports them.
type Family struct {
	Name, Help string
	// Kind is Prometheus's: counter, gauge, histogram or summary.
	Kind string
	// Labels has the values that each label takes, in ascending order.
	Labels map[string][]string
}

// Families returns what /metrics exports of registry, the Go runtime and the
// process, by name in ascending order.
func Families(registry *perfcore.Registry) ([]Family, error) {
	prom, err := newExporter(registry)
	if err != nil {
		return nil, err
	}
	gathered, err := prom.Gather()
	if err != nil {
		return nil, err
	}
	families := make([]Family, 0, len(gathered))
	for _, g := range gathered {
		f := Family{
			Name: g.GetName(), Help: g.GetHelp(), Kind: strings.ToLower(g.GetType().String()),
			Labels: make(map[string][]string),
		}
		for _, m := range g.GetMetric() {
			for _, l := range m.GetLabel() {
				f.Labels[l.GetName()] = append(f.Labels[l.GetName()], l.GetValue())
			}
		}
		for name, values := range f.Labels {
			slices.Sort(values)
			f.Labels[name] = slices.Compact(values)
		}
		families = append(families, f)
	}
	return families, nil
}

// A collector exports a perfcore.Registry to Prometheus as it is when scraped.
type collector struct{ registry *perfcore.Registry }

// Describe describes nothing, which makes the collector unchecked: its series
// come into being as parts of the program do. The registry keeps their names
// consistent.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	for _, s := range c.registry.Series() {
		desc := prometheus.NewDesc(s.Metric.Name, s.Metric.Help, nil, labels(s.Metric.Labels))
		switch {
		case s.Counter != nil:
			ch <- constant(desc, prometheus.CounterValue, float64(s.Counter.Value()))
		case s.Gauge != nil:
			ch <- constant(desc, prometheus.GaugeValue, s.Gauge.Value())
		case s.Timer != nil:
			ch <- histogram(desc, s.Timer.Snapshot())
		}
	}
}

func constant(desc *prometheus.Desc, kind prometheus.ValueType, value float64) prometheus.Metric {
	m, err := prometheus.NewConstMetric(desc, kind, value)
	if err != nil {
		return prometheus.NewInvalidMetric(desc, err)
	}
	return m
}

// The upper bounds of an exported timer are the powers of two nanoseconds from
// about a microsecond to about a minute: every timer has the same, so that they
// can be added up, and a perfcore.Timer's own buckets never straddle one.
const (
	minBound = 10 // 1.024 µs
	maxBound = 36 // 68.7 s
)

// histogram returns d as a classic histogram in seconds.
func histogram(desc *prometheus.Desc, d perfcore.Distribution) prometheus.Metric {
	bounds := make(map[float64]uint64, maxBound-minBound+1)
	var below uint64
	rest := d.Buckets
	for exp := minBound; exp <= maxBound; exp++ {
		bound := time.Duration(1) << exp
		for len(rest) > 0 && rest[0].Max <= bound {
			below += rest[0].Count
			rest = rest[1:]
		}
		bounds[math.Ldexp(1, exp)/1e9] = below
	}
	m, err := prometheus.NewConstHistogram(desc, d.Count, d.Sum.Seconds(), bounds)
	if err != nil {
		return prometheus.NewInvalidMetric(desc, err)
	}
	return m
}

// labels turns name, value, name, value… into a map.
func labels(pairs []string) prometheus.Labels {
	m := make(prometheus.Labels, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}
