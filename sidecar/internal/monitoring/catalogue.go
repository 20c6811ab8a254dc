package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sidecar"
	"github.com/outrider-project/outrider/sidecar/perf"
	"github.com/outrider-project/outrider/sidecar/web"
)

// prefix begins the names of the program's own metrics.
const prefix = "outrider_"

// A part of the program is a section of the documentation and a row of the
// dashboard.
type part struct {
	title, about string
	// words are the first words of its metrics' names, behind the prefix.
	words []string
}

// parts returns all parts, in the order of reading.
func parts() []part {
	return []part{
		{"Verdicts", "Blocks that were judged, and the evidence that is kept where the node disagrees.", []string{"block", "blocks", "evidence"}},
		{"Chain", "The node's chain and mempool as they are followed.", []string{"feed", "judged", "chain"}},
		{"Node", "What is asked of the node, and what it sends.", []string{"node"}},
		{"Validation", "The checks of blocks.", []string{"blockval"}},
		{"Signatures", "The verification of signatures.", []string{"sigverify"}},
		{"Mempool", "Transactions whose scripts are verified before their block comes.", []string{"mempool"}},
		{"Coins", "The coins in memory, and what is asked of disk and node beyond.", []string{"utxo", "coins"}},
		{"Coin database", "The coins on disk, in full mode.", []string{"coindb"}},
		{"BOB", "The L2's heads, its nodes and its Bitcoin relay, where they are watched. What is not known is not a number.", []string{"bob"}},
		{"BitVM", "The bridges that are watched, and the claims on them.", []string{"bitvm"}},
		{"Performance", "The work that is done, what is asked, and the optimizer; and what other processes tell of.", []string{"work", "web", "rpc", "l2", "perf", "perfcore", "outside"}},
		{"Machine", "What the process and its machine do, as slices of time measure it. What was not measured is not a number.", []string{"process", "memory", "go", "elastic", "group", "machine", "pressure"}},
	}
}

// A metric is all series of one name.
type metric struct {
	web.Family
	unit, panel string
	// labels are the names of the labels in their order.
	labels []string
	alerts []perfcore.Alert
	// alerted are the label values, in the labels' order, of the series that have an
	// alert; nil when all series have the same one.
	alerted [][]string
}

// A section is a part and its metrics, by name in ascending order.
type section struct {
	part
	metrics []metric
}

// A catalogue is what a sidecar exports, and what calls for somebody.
type catalogue struct {
	sections []section
	// standard are the metrics of the Go runtime and the process.
	standard []web.Family
	rules    []perf.Rule
	// series counts the series of each name.
	series map[string]int
}

// newCatalogue returns the catalogue of the program.
func newCatalogue(ctx context.Context) (*catalogue, error) {
	dir, err := os.MkdirTemp("", "outrider-monitoring-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	var registry perfcore.Registry
	if err := sidecar.Describe(ctx, &registry, dir); err != nil {
		return nil, err
	}
	return catalogueOf(&registry)
}

// catalogueOf returns the catalogue of what is registered.
func catalogueOf(registry *perfcore.Registry) (*catalogue, error) {
	families, err := web.Families(registry)
	if err != nil {
		return nil, err
	}
	series := registry.Series()
	c := &catalogue{rules: perf.Rules(series), series: make(map[string]int)}
	described := make(map[string]*metric)
	for _, s := range series {
		m := described[s.Metric.Name]
		if m == nil {
			m = &metric{unit: s.Metric.Unit(), panel: s.Metric.Panel}
			for i := 0; i < len(s.Metric.Labels); i += 2 {
				m.labels = append(m.labels, s.Metric.Labels[i])
			}
			described[s.Metric.Name] = m
		}
		c.series[s.Metric.Name]++
		if a := s.Metric.Alert; a.Name != "" && !slices.Contains(m.alerts, a) {
			m.alerts = append(m.alerts, a)
		}
	}
	for _, r := range c.rules {
		name := r.Series[0].Metric.Name
		if len(r.Series) == c.series[name] {
			continue
		}
		for _, s := range r.Series {
			var values []string
			for i := 1; i < len(s.Metric.Labels); i += 2 {
				values = append(values, s.Metric.Labels[i])
			}
			described[name].alerted = append(described[name].alerted, values)
		}
	}
	for _, p := range parts() {
		c.sections = append(c.sections, section{part: p})
	}
	for _, f := range families {
		m := described[f.Name]
		if m == nil {
			c.standard = append(c.standard, f)
			continue
		}
		m.Family = f
		word, _, _ := strings.Cut(strings.TrimPrefix(f.Name, prefix), "_")
		i := slices.IndexFunc(c.sections, func(s section) bool { return slices.Contains(s.words, word) })
		if i < 0 || !strings.HasPrefix(f.Name, prefix) {
			return nil, fmt.Errorf("%s is of no part: add %q to one", f.Name, word)
		}
		if f.Help == "" {
			return nil, fmt.Errorf("%s has no help", f.Name)
		}
		c.sections[i].metrics = append(c.sections[i].metrics, *m)
	}
	for _, s := range c.sections {
		if len(s.metrics) == 0 {
			return nil, fmt.Errorf("the part %s has no metrics", s.title)
		}
	}
	return c, nil
}
