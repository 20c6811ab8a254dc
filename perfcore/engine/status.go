package engine

import (
	"maps"

	"github.com/outrider-project/outrider/perfcore"
)

// settle brings the resources that have a target, or that the engine's knobs trade in, to
// a status, as far as its transitions allow; Optimized becomes Failed where a target is
// missed or a knob is isolated because it fails, and so does Optimizing where there is no other
// knob to try.
func (o *PerformanceOptimizer) settle(s perfcore.OptimizationStatus) {
	o.Resources.mu.Lock()
	defer o.Resources.mu.Unlock()
	o.settleHeld(s)
}

// failed settles what a knob trades in that was isolated because it fails, if there is a search.
// o.Resources.mu is held.
func (o *PerformanceOptimizer) failed() {
	o.mu.Lock()
	running := o.running
	o.mu.Unlock()
	if running {
		o.settleHeld(perfcore.Failed)
	}
}

// settleHeld is settle with o.Resources.mu held.
func (o *PerformanceOptimizer) settleHeld(s perfcore.OptimizationStatus) {
	for range o.setStatuses(s) {
		o.Resources.count()
	}
}

// setStatuses returns how many statuses it changed, but for those that only follow what is
// measured at rest: how often that is, is the noise's doing. o.Resources.mu is held.
func (o *PerformanceOptimizer) setStatuses(s perfcore.OptimizationStatus) (changed int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	owned, tried, broken := make(map[perfcore.ResourceType]bool), make(map[perfcore.ResourceType]bool), make(map[perfcore.ResourceType]bool)
	for i := range o.Resources.knobs {
		switch k := &o.Resources.knobs[i]; {
		case k.Resource == 0:
		case k.owner == Engine:
			owned[k.Resource], tried[k.Resource] = true, true
		case k.owner == Nobody:
			owned[k.Resource] = true
			broken[k.Resource] = broken[k.Resource] || k.failed
		}
	}
	all := maps.Clone(owned)
	for r := range o.targets {
		all[r] = true
	}
	for r, was := range o.statuses {
		if !all[r] {
			delete(o.statuses, r)
			if was != perfcore.NotOptimized {
				changed++
			}
		}
	}
	for r := range all {
		was, next := o.statuses[r], s
		aimed, met := o.verdict(r)
		switch {
		case !broken[r] && s == perfcore.Failed:
			continue // it is no knob of this resource that failed
		case o.unheard && s == perfcore.Optimized && !aimed && !broken[r]:
			next = perfcore.NotOptimized // nobody has searched
		case broken[r] && (s == perfcore.Optimized || s == perfcore.Optimizing && !tried[r]):
			next = perfcore.Failed
		case !owned[r] && s == perfcore.Optimizing && met:
			next = perfcore.Optimized
		case s == perfcore.Optimized && aimed && !met:
			next = perfcore.Failed
		}
		if was == perfcore.Failed && next == perfcore.Optimized {
			next = perfcore.NotOptimized // that it failed is out of date
		}
		if was.CanBecome(next) {
			o.statuses[r] = next
			if s != perfcore.Optimized || was == perfcore.Optimizing {
				changed++
			}
		}
	}
	return changed
}
