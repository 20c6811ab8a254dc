package engine

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// An aim is one thing that a resource has to do. What a slice misses of it is part of what the slice
// costs: by its logarithm, so that to come a per cent nearer is worth a per cent of the cost
// of a unit of work, and no more.
type aim struct {
	resource perfcore.ResourceType
	targets  perfcore.Targets // of one field
	short    average          // Shortfall of the incumbent, between bursts; it is known
}

// sameAims reports whether two lists have the same targets.
func sameAims(a, b []aim) bool {
	return slices.EqualFunc(a, b, func(a, b aim) bool { return a.resource == b.resource && a.targets == b.targets })
}

// shortfall returns what is missing in a slice. What was not measured in it counts as it
// does for the incumbent on average, whoever ran in the slice, so that nothing is won or lost
// by not being measured.
func (b *bench) shortfall(s perfcore.Sample, incumbent bool) (sum float64) {
	for i := range b.aims {
		a := &b.aims[i]
		u := useOf(s.Usage, a.resource)
		now, measured := a.targets.Shortfall(u), a.targets.Measured(u)
		if measured && incumbent && s.Burst == "" {
			a.short.add(now)
		}
		if !measured {
			now = a.short.value
		}
		sum += now
	}
	return sum
}

// split returns the targets one by one.
func split(t perfcore.Targets) (all []perfcore.Targets) {
	for _, one := range []perfcore.Targets{{Utilization: t.Utilization}, {Throughput: t.Throughput}, {Latency: t.Latency, Quantile: t.Quantile}} {
		if one != (perfcore.Targets{}) {
			all = append(all, one)
		}
	}
	return all
}

// aims returns the targets, in the order of their resources, and what is missing of each by
// what slices of the incumbent saw lately. What was never measured is none: nobody knows what
// is missing.
func (o *PerformanceOptimizer) aims() []aim {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []aim
	for r, t := range o.targets {
		for _, one := range split(t) {
			if u := useOf(o.usage, r); one.Measured(u) {
				all = append(all, aim{r, one, average{one.Shortfall(u), true}})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b aim) int { return cmp.Compare(a.resource, b.resource) })
	return all
}

// nearer is the share of a limit below which what was above it is met again; above its
// inverse, for what is to be more. Usage is an average of noisy slices.
const nearer = 0.95

// limits returns the targets by which u is judged, where it was judged by others before:
// those that it misses are nearer, until these are met.
func limits(t, before perfcore.Targets, u perfcore.Usage) perfcore.Targets {
	near := perfcore.Targets{
		Utilization: nearer * t.Utilization, Throughput: t.Throughput / nearer,
		Latency: max(time.Duration(nearer*float64(t.Latency)), min(t.Latency, 1)), Quantile: t.Quantile,
	}
	if u.Utilization > before.Utilization {
		t.Utilization = near.Utilization
	}
	if u.Throughput >= 0 && u.Throughput < before.Throughput {
		t.Throughput = near.Throughput
	}
	if u.Latency > before.Latency {
		t.Latency = near.Latency
	}
	return t
}

// judge takes the limits by which the usage is judged from now on. o.mu is held.
func (o *PerformanceOptimizer) judge() {
	before := o.limits
	o.limits = make(map[perfcore.ResourceType]perfcore.Targets, len(o.targets))
	for r, t := range o.targets {
		was, judged := before[r]
		if !judged {
			was = t
		}
		o.limits[r] = limits(t, was, useOf(o.usage, r))
	}
}

// verdict says whether there is a target of a resource, and whether all of them were
// measured and are met. o.mu is held.
func (o *PerformanceOptimizer) verdict(r perfcore.ResourceType) (aimed, met bool) {
	t, aimed := o.limits[r]
	u := useOf(o.usage, r)
	return aimed, aimed && t.Measured(u) && t.Missed(u) == ""
}

// allTargets returns the targets that were set.
func (o *PerformanceOptimizer) allTargets() map[perfcore.ResourceType]perfcore.Targets {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.targets)
}

// A miss is a target of a resource that is missed by what slices of the incumbent saw lately.
type miss struct {
	resource perfcore.ResourceType
	what     string // as Targets.Missed says it
	ofTime   bool   // it is of a throughput or a latency
}

func (m miss) String() string { return fmt.Sprintf("%v.%s", m.resource, m.what) }

// sentence lists what is missed.
func sentence(missed []miss) string {
	words := make([]string, len(missed))
	for i, m := range missed {
		words[i] = m.String()
	}
	return strings.Join(words, ", ")
}

// missed returns what is missed, in the order of the resources.
func (o *PerformanceOptimizer) missed() []miss {
	o.mu.Lock()
	defer o.mu.Unlock()
	var list []miss
	for _, r := range slices.Sorted(maps.Keys(o.targets)) {
		near := split(o.limits[r])
		for i, one := range split(o.targets[r]) {
			u := useOf(o.usage, r)
			if what := cmp.Or(one.Missed(u), near[i].Missed(u)); what != "" {
				list = append(list, miss{r, what, one.Utilization == 0})
			}
		}
	}
	return list
}

// Hurried reports whether a resource misses a target of its throughput or its latency:
// knobs that hasten, and trade in it, are then tried in every regime.
func (o *PerformanceOptimizer) Hurried(r perfcore.ResourceType) bool {
	return slices.ContainsFunc(o.missed(), func(m miss) bool { return m.resource == r && m.ofTime })
}

// aimedProposals is how many proposals in a row that come to nothing are about knobs that
// trade in what is missed, before all knobs are tried.
const aimedProposals = 3

// aimed returns s without the knobs that trade in nothing that is missed, if others can
// be moved.
func (t *tuner) aimed(s Space, missed []miss) Space {
	narrow := s
	narrow.Low, narrow.High, narrow.Arms = slices.Clone(s.Low), slices.Clone(s.High), slices.Clone(s.Arms)
	any := false
	for i, r := range t.trades {
		if slices.ContainsFunc(missed, func(m miss) bool { return m.resource == r }) {
			any = any || s.Low[i] < s.High[i] || len(s.Arms[i]) > 1
			continue
		}
		narrow.Low[i], narrow.High[i] = s.At[i], s.At[i]
		if s.Arms[i] != nil {
			narrow.Arms[i] = []int{s.At[i]}
		}
	}
	if !any {
		return s
	}
	return narrow
}
