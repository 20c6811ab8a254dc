package node

import (
	"context"
	"sync"
)

// A turns lets so many have a turn at once, a number that may change meanwhile. It is
// safe for concurrent use.
type turns struct {
	mu      sync.Mutex // guards what follows
	most    int64
	taken   int64
	changed chan struct{} // closed when somebody who waits may look again
}

func newTurns(most int) *turns { return &turns{most: int64(most), changed: make(chan struct{})} }

// take waits for a turn, which ends with give; or for ctx, whose error it returns.
func (t *turns) take(ctx context.Context) error {
	for {
		t.mu.Lock()
		if t.taken < t.most {
			t.taken++
			t.mu.Unlock()
			return nil
		}
		changed := t.changed
		t.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// give ends a turn.
func (t *turns) give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.taken--
	t.wake()
}

// wake has those who wait look again. t.mu is held.
func (t *turns) wake() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// set sets how many may have a turn at once. Nobody loses one.
func (t *turns) set(most int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.most = most
	t.wake()
}

// get returns how many may have a turn at once.
func (t *turns) get() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.most
}
