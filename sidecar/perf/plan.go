package perf

import (
	"fmt"
	"slices"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/engine"
)

// A Plan is what the optimizer would do now, if it were to: a dry run. It moves
// nothing.
type Plan struct {
	// Waits say, in a sentence each, why nothing is tried at this moment.
	Waits []string `json:"waits"`
	// Trials are the single moves from which changes are made, those that are
	// tried. A change may move several knobs, and farther.
	Trials []Trial `json:"trials"`
	// Left says of every other knob why it is left alone.
	Left []Left `json:"left"`
	// Rule says when a change is kept.
	Rule string `json:"rule"`
}

// A Trial is a knob and the values next to the incumbent.
type Trial struct {
	Knob string  `json:"knob"`
	From int64   `json:"from"`
	To   []int64 `json:"to"`
	Unit string  `json:"unit"`
}

// A Left is a knob that is left alone, and why.
type Left struct {
	Knob string `json:"knob"`
	Why  string `json:"why"`
}

// plan returns the dry run.
func (p *Performance) plan() (plan Plan, err error) {
	plan = Plan{Waits: []string{}, Trials: []Trial{}, Left: []Left{}, Rule: p.cfg.Tolerance.rule(p.cfg.Slice)}
	s := p.status()
	if s.Mode != Optimize {
		plan.Waits = append(plan.Waits, fmt.Sprintf("the setting perf is %s; with optimize, the following is tried", s.Mode))
	}
	if s.Frozen != "" {
		plan.Waits = append(plan.Waits, "it is frozen: "+s.Frozen)
	}
	if s.Problem != "" {
		plan.Waits = append(plan.Waits, "the optimizer has ended: "+s.Problem)
	}
	if slices.Contains(quiet, s.Regime) {
		plan.Waits = append(plan.Waits, fmt.Sprintf("the regime is %s, in which nothing is tried", s.Regime))
	}
	if s.Slice != nil && s.Slice.Void != "" {
		plan.Waits = append(plan.Waits, "the last slice says nothing: "+s.Slice.Void)
	}
	err = p.read(func(f *following) error {
		plan.Waits = append(plan.Waits, f.optimizer.Waits()...)
		if s.Mode != Optimize && f.content() {
			plan.Waits = append(plan.Waits, "all targets are met")
		}
		for _, k := range f.optimizer.Resources.Knobs() {
			near := neighbours(k)
			told, why := ready(k, near)
			switch {
			case k.Owner != engine.Engine:
				plan.Left = append(plan.Left, Left{k.Name, k.Why})
			case k.Hastens && !slices.Contains(timed, s.Regime) && !f.hurried(k.Resource):
				plan.Left = append(plan.Left, Left{k.Name, fmt.Sprintf("what it buys is time: it is tried while the sidecar is behind its node, or while %v misses a latency or a throughput", k.Resource)})
			case len(near) == 0:
				plan.Left = append(plan.Left, Left{k.Name, "it has one value only"})
			case len(told) == 0:
				plan.Left = append(plan.Left, Left{k.Name, why})
			default:
				plan.Trials = append(plan.Trials, Trial{k.Name, k.Incumbent, told, k.Unit})
			}
		}
		return nil
	})
	return plan, err
}

// content reports whether there are targets, and what is observed meets all of them.
func (f *following) content() bool {
	f.mu.Lock()
	usage := f.usage
	f.mu.Unlock()
	targets := 0
	for r := range f.objective.Uses {
		t := f.optimizer.Targets(r)
		if t == (perfcore.Targets{}) {
			continue
		}
		targets++
		if u, measured := usage[r]; !measured || !t.Measured(u) || t.Missed(u) != "" {
			return false
		}
	}
	return targets > 0
}

// hurried reports whether a resource misses a target of its throughput or its latency: by
// what the optimizer saw of the incumbents, or where it does not run, by what is observed.
func (f *following) hurried(r perfcore.ResourceType) bool {
	if f.p.cfg.Mode == Optimize {
		return f.optimizer.Hurried(r)
	}
	f.mu.Lock()
	u, measured := f.usage[r]
	f.mu.Unlock()
	t := f.optimizer.Targets(r)
	t.Utilization = 0
	return measured && t.Missed(u) != ""
}

// ready returns those of the values near the incumbent of which slices would tell at this
// moment what they cost, beside it, and why they would not of others.
func ready(k engine.KnobState, near []int64) (told []int64, why string) {
	if why = k.WhyNot(k.Incumbent); why != "" {
		return nil, why
	}
	for _, v := range near {
		if not := k.WhyNot(v); not != "" {
			why = not
		} else {
			told = append(told, v)
		}
	}
	return told, why
}

// neighbours returns the values next to the incumbent; all others, of a knob whose
// values have no order.
func neighbours(k engine.KnobState) (near []int64) {
	for i, v := range k.Ladder {
		below := i+1 < len(k.Ladder) && k.Ladder[i+1] == k.Incumbent
		above := i > 0 && k.Ladder[i-1] == k.Incumbent
		if below || above || k.Unordered && v != k.Incumbent {
			near = append(near, v)
		}
	}
	return near
}
