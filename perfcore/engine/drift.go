package engine

import (
	"context"
	"sync"

	"github.com/outrider-project/outrider/perfcore"
)

// inspection is the trigger of decisions about knobs that somebody else moved.
const inspection = "inspection"

// Inspect looks whether somebody else has moved a knob, or one cannot be read. Such a knob of
// the engine or of an arbiter is isolated; one that an operator owns stays the operator's, as
// it is, and KnobState.Drift says why it is not what was set. Of either it records a decision,
// Isolated or Drifted, of an operator's one for each time that it begins. While Run tries
// things, it looks at the engine's knobs itself, after each slice: Inspect leaves them to it
// and ends no trial, unless memory has moved. It waits while a knob is being set.
func (o *PerformanceOptimizer) Inspect(ctx context.Context) {
	o.mu.Lock()
	tries := o.running && o.thawed == nil
	o.mu.Unlock()
	isolated, drifted := o.Resources.inspect(ctx, !tries)
	o.tellOthers(perfcore.Isolated, isolated)
	o.tellOthers(perfcore.Drifted, drifted)
}

// tellMoved tells of knobs that were found moved where incumbents were put in force.
func (o *PerformanceOptimizer) tellMoved() { o.tellOthers(perfcore.Isolated, o.Resources.news()) }

// tellOthers records a decision, and logs, why each of some knobs is not what it was set to.
func (o *PerformanceOptimizer) tellOthers(v perfcore.Verdict, whys []string) {
	for _, why := range whys {
		o.cfg.Log.Warn("a knob is not what it was set to", "why", why)
		o.decide(perfcore.Decision{Trigger: inspection, Verdict: v, Reason: why})
	}
}

// inspect isolates the knobs of the arbiter, and with engines those of the engine, that do not
// read as they were set, and notes the drift of an operator's. It returns why, a sentence for
// each that was isolated and for each that has begun to drift. With engines, knobs that hung
// and have returned come back.
func (m *ResourceManager) inspect(ctx context.Context, engines bool) (isolated, drifted []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if engines {
		if err := m.comeBack(ctx, false); err != nil {
			isolated = append(isolated, err.Error())
		}
	}
	read := m.readings(ctx, func(k *knob) bool {
		return k.owner == Arbiter || k.owner == Operator && k.Scope == perfcore.Live || k.owner == Engine && engines
	})
	for i, r := range read {
		if r == nil {
			continue
		}
		k := &m.knobs[i]
		level := k.incumbent
		if k.owner == Engine {
			level = k.level
		}
		err := k.isAt(level, *r)
		switch {
		case err == nil:
			k.drift = ""
		case k.owner != Operator:
			m.isolate(k, err)
			isolated = append(isolated, "knob "+k.Name+": "+k.why)
		default:
			if k.drift == "" {
				drifted = append(drifted, "knob "+k.Name+" stays the operator's: "+err.Error())
			}
			k.drift = err.Error()
		}
	}
	return isolated, drifted
}

// readings reads those knobs that which selects, by index, and has nil for the others. It
// reads all at once: several that hang take the time of one. m.mu is held.
func (m *ResourceManager) readings(ctx context.Context, which func(*knob) bool) []*reading {
	all := make([]*reading, len(m.knobs))
	var reads sync.WaitGroup
	for i := range m.knobs {
		if k := &m.knobs[i]; which(k) {
			reads.Go(func() {
				r := k.read(ctx)
				all[i] = &r
			})
		}
	}
	reads.Wait()
	return all
}

// engines selects the knobs of the engine.
func engines(k *knob) bool { return k.owner == Engine }
