package engine

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/outrider-project/outrider/perfcore"
)

// An aim is what a resource has to do. What a slice misses of it is part of what the slice
// costs: by its logarithm, so that to come a per cent nearer is worth a per cent of the cost
// of a unit of work, and no more.
type aim struct {
	resource perfcore.ResourceType
	targets  perfcore.Targets
	short    average // Shortfall of the incumbent, between bursts
}

// sameAims reports whether two lists have the same targets.
func sameAims(a, b []aim) bool {
	return slices.EqualFunc(a, b, func(a, b aim) bool { return a.resource == b.resource && a.targets == b.targets })
}

// shortfall returns what is missing in a slice. A resource that was not measured in it
// counts as it does for the incumbent on average, whoever ran in the slice, so that nothing
// is won or lost by not being measured. One that was never measured under the incumbent does
// not count.
func (b *bench) shortfall(s perfcore.Sample, incumbent bool) (sum float64) {
	for i := range b.aims {
		a := &b.aims[i]
		u, measured := s.Usage[a.resource]
		now := a.targets.Shortfall(u)
		if measured && incumbent && s.Burst == "" {
			a.short.add(now)
		}
		if !measured || !a.short.known {
			now = a.short.value
		}
		sum += now
	}
	return sum
}

// aims returns the targets, in the order of their resources. What was never measured is
// none: nobody knows what is missing.
func (o *PerformanceOptimizer) aims() []aim {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []aim
	for r, t := range o.targets {
		if _, measured := o.usage[r]; measured {
			all = append(all, aim{resource: r, targets: t})
		}
	}
	slices.SortFunc(all, func(a, b aim) int { return cmp.Compare(a.resource, b.resource) })
	return all
}

// A miss is a resource that misses a target by what slices of the incumbent saw lately.
type miss struct {
	resource perfcore.ResourceType
	what     string // as Targets.Missed says it
	ofTime   bool   // a throughput or a latency is among what is missed
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
	all := o.aims()
	o.mu.Lock()
	defer o.mu.Unlock()
	var list []miss
	for _, a := range all {
		u := o.usage[a.resource]
		if what := a.targets.Missed(u); what != "" {
			a.targets.Utilization = 0
			list = append(list, miss{a.resource, what, a.targets.Missed(u) != ""})
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
	narrow := Space{At: s.At, Low: slices.Clone(s.Low), High: slices.Clone(s.High), Arms: slices.Clone(s.Arms)}
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
