package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A panel draws one metric, or several of one part that have one unit.
type panel struct {
	title   string
	metrics []metric
}

// panels returns the panels of a section: each stands where its first metric does.
func (s *section) panels() ([]panel, error) {
	var list []panel
	for _, m := range s.metrics {
		title := m.panel
		if title == "" {
			title = inWords(m.Name)
		}
		i := slices.IndexFunc(list, func(p panel) bool { return p.title == title })
		if i < 0 {
			list = append(list, panel{title: title, metrics: []metric{m}})
			continue
		}
		if first := list[i].metrics[0]; first.drawnIn() != m.drawnIn() {
			return nil, fmt.Errorf("the panel %q draws %s in %s and %s in %s", title, first.Name, first.drawnIn(), m.Name, m.drawnIn())
		}
		list[i].metrics = append(list[i].metrics, m)
	}
	return list, nil
}

// acronyms are words that are not written as others.
var acronyms = map[string]string{"rpc": "RPC", "zmq": "ZeroMQ", "cpu": "CPU", "gc": "GC", "utxo": "UTXO", "bob": "BOB", "l2": "L2", "seconds": "time"}

// inWords returns the name of a metric as a title.
func inWords(name string) string {
	words := strings.Split(strings.TrimSuffix(strings.TrimPrefix(name, prefix), "_total"), "_")
	for i, w := range words {
		if as, ok := acronyms[w]; ok {
			words[i] = as
		}
	}
	title := strings.Join(words, " ")
	return strings.ToUpper(title[:1]) + title[1:]
}

// drawnIn returns the unit of Grafana's in which m is drawn.
func (m *metric) drawnIn() string {
	rate := m.Kind == "counter"
	switch {
	case m.unit == "bytes" && rate:
		return "binBps"
	case m.unit == "bytes":
		return "bytes"
	case m.unit == "ratio" && !rate:
		return "percentunit"
	case m.unit == "seconds" && !rate:
		return "s"
	case rate:
		return "cps"
	}
	return "short"
}

// queries returns what p draws, by legend: of a counter what it grows by in a
// second, of a histogram quantiles, of a gauge the value.
func (p *panel) queries() []target {
	var list []target
	add := func(expr string, legend ...string) {
		list = append(list, target{
			Source: source, Expr: expr, Legend: strings.Join(append(legend, "{{instance}}"), " "),
			Ref: string(rune('A' + len(list))),
		})
	}
	for _, m := range p.metrics {
		var legend []string
		if len(p.metrics) > 1 {
			legend = append(legend, strings.ToLower(inWords(m.Name)))
		}
		for _, l := range m.labels {
			legend = append(legend, "{{"+l+"}}")
		}
		by := strings.Join(append([]string{"instance"}, m.labels...), ", ")
		switch m.Kind {
		case "counter":
			add(fmt.Sprintf("sum by (%s) (rate(%s[$__rate_interval]))", by, shown(m.Name)), legend...)
		case "histogram":
			percentiles := []int{50, 90, 99}
			if len(p.metrics) > 1 || len(m.labels) > 0 { // else there are too many lines
				percentiles = []int{90}
			}
			for _, q := range percentiles {
				add(fmt.Sprintf("histogram_quantile(0.%d, sum by (le, %s) (rate(%s[$__rate_interval])))", q, by, shown(m.Name+"_bucket")),
					append(slices.Clone(legend), fmt.Sprintf("p%d", q))...)
			}
		default:
			add(shown(m.Name), legend...)
		}
	}
	return list
}

// shown selects the series of the sidecars that the dashboard shows.
func shown(name string) string { return name + `{instance=~"$instance"}` }

// help says what p draws, and what is alerted of.
func (p *panel) help() string {
	var said []string
	for _, m := range p.metrics {
		if len(p.metrics) == 1 {
			said = append(said, m.Help)
		} else {
			said = append(said, fmt.Sprintf("%s: %s", strings.ToLower(inWords(m.Name)), m.Help))
		}
		for _, a := range m.alerts {
			said = append(said, fmt.Sprintf("Above %s%s: %s", number(a.Raise), lasting(a.For), a.Help))
		}
	}
	return strings.Join(said, "\n\n")
}

// limit returns the lowest limit of the alerts that all series of one of p's metrics
// have, and whether there is one.
func (p *panel) limit() (lowest float64, there bool) {
	for _, m := range p.metrics {
		for _, a := range m.alerts {
			if m.alerted == nil && (!there || a.Raise < lowest) {
				lowest, there = a.Raise, true
			}
		}
	}
	return lowest, there
}

// alerted returns, as regular expressions, how the legends begin of the series that
// alone of their metric have an alert.
func (p *panel) alerted() []string {
	var begins []string
	for _, m := range p.metrics {
		for _, values := range m.alerted {
			if len(p.metrics) > 1 {
				values = append([]string{strings.ToLower(inWords(m.Name))}, values...)
			}
			begins = append(begins, "/^"+regexp.QuoteMeta(strings.Join(values, " "))+" /")
		}
	}
	return begins
}
