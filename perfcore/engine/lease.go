package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// whyLeased is why the engine leaves a lease alone.
const whyLeased = "the arbiter divides memory, and tries nothing"

// Entrust hands knobs over to an arbiter, who moves them by Lease. An operator may
// still pin them, and Release gives them back to it. Names that are none are left
// out.
func (m *ResourceManager) Entrust(names []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.knobs {
		k := &m.knobs[i]
		if k.Scope == perfcore.Live && slices.Contains(names, k.Name) {
			k.leased = true
			k.owner, k.why = k.first()
			m.epoch++
		}
	}
}

// Lease sets a knob that the arbiter owns to a value of its ladder, which is an
// accepted change, and ends a trial that runs: what it measures has another reason
// now. When it fails the knob goes back to what it was. It fails for a knob that has another
// owner, or gets one because somebody else has moved it.
func (m *ResourceManager) Lease(ctx context.Context, name string, value int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, err := m.find(name)
	if err != nil {
		return err
	}
	if k.owner != Arbiter {
		return fmt.Errorf("knob %s is the %v's", k.Name, k.owner)
	}
	if err := k.isAt(k.incumbent, k.read(ctx)); err != nil {
		m.isolate(k, err)
		return fmt.Errorf("knob %s: %w", k.Name, err)
	}
	level, ok := slices.BinarySearch(k.Ladder, value)
	if !ok {
		return fmt.Errorf("knob %s: %d is not one of its values", k.Name, value)
	}
	if err := k.set(ctx, level); err != nil {
		return m.refused(ctx, k, k.incumbent, time.Now().Add(k.backTimeout()), err)
	}
	k.incumbent, k.failures = level, 0
	m.epoch++ // what a slice costs has other reasons now
	m.count()
	return nil
}
