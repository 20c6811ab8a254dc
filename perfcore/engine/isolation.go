package engine

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// refused returns a knob to the level before, by until, when err has kept it from another,
// and isolates it when that was once too often in a row. The error is err, and what has kept
// it from going back. m.mu is held.
func (m *ResourceManager) refused(ctx context.Context, k *knob, before int, until time.Time, err error) error {
	k.failures++
	undo := m.setBack(ctx, k, before, until)
	if k.failures >= maxFailures && k.owner != Nobody {
		m.isolate(k, fmt.Errorf("it fails: %w", err))
	}
	return errors.Join(err, undo)
}

// setBack returns a knob to a level that it had, by until, and isolates it when it
// refuses several times. m.mu is held.
func (m *ResourceManager) setBack(ctx context.Context, k *knob, level int, until time.Time) error {
	ctx, stop := wayBack(ctx, until)
	defer stop()
	var err error
	for range maxFailures {
		if err = k.set(ctx, level); err == nil {
			k.hung = false
			return nil
		}
	}
	m.isolate(k, fmt.Errorf("it cannot be set back: %w", err))
	return err
}

// undoTimeout is the time that knobs have together for their way back, the program's end
// included. What one of them takes of it is not missing to the others: see wayBack.
const undoTimeout = 5 * time.Second

// wayBack returns the context of a way back: it does not end with ctx, and lasts until the
// time given, though for graceTime at least.
func wayBack(ctx context.Context, until time.Time) (context.Context, context.CancelFunc) {
	if least := time.Now().Add(graceTime); until.Before(least) {
		until = least
	}
	return context.WithDeadline(context.WithoutCancel(ctx), until)
}

// isolate takes a knob away from who owns it. m.mu is held.
func (m *ResourceManager) isolate(k *knob, why error) {
	k.owner, k.why = Nobody, why.Error()
	k.failed, k.hung = !errors.Is(why, errMoved), errors.Is(why, errHangs)
	m.epoch++
	m.count()
	if k.failed && m.failed != nil {
		m.failed()
	}
}

// isolateMoved isolates a knob of the engine that reads otherwise than it was set, and reports
// whether it does. m.mu is held.
func (m *ResourceManager) isolateMoved(k *knob, r *reading) bool {
	err := k.isAt(k.level, *r)
	if !errors.Is(err, errMoved) {
		return false
	}
	m.isolate(k, err)
	m.moved = append(m.moved, "knob "+k.Name+": "+k.why)
	return true
}

// news returns what isolateMoved has isolated since it was asked last.
func (m *ResourceManager) news() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	news := m.moved
	m.moved = nil
	return news
}

// backTimeout is the time that a knob has for its way back alone: what it asks for, at least.
func (k *knob) backTimeout() time.Duration { return max(undoTimeout, k.Within) }

// comeBack sets the knobs that hung, and have returned, to their incumbents: what was tried
// when they hung, or came late, was never verified. They stay isolated. One that hangs again
// is set back when it has returned again; of one that refuses the error tells, once. At the
// end of the program they share undoTimeout, and one that hangs is an error, too. m.mu is
// held.
func (m *ResourceManager) comeBack(ctx context.Context, end bool) error {
	var errs []error
	until := time.Now().Add(undoTimeout)
	for i := range m.knobs {
		k := &m.knobs[i]
		if !k.hung || k.leash.hanging() != nil {
			continue
		}
		if !end {
			until = time.Now().Add(k.backTimeout())
		}
		bounded, stop := wayBack(ctx, until)
		var err error
		for range maxFailures {
			if err = k.set(bounded, k.incumbent); err == nil || errors.Is(err, errHangs) {
				break
			}
		}
		stop()
		switch {
		case errors.Is(err, errHangs) && !end:
			continue
		case err != nil:
			m.isolate(k, fmt.Errorf("it cannot be set back: %w", err))
			errs = append(errs, err)
			continue
		}
		k.hung = false
		m.epoch++ // what a slice costs has other reasons now
	}
	return errors.Join(errs...)
}
