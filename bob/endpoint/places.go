package endpoint

import (
	"context"
	"slices"
	"sync"
)

// A places lets so many have a place at once, a number that may change meanwhile. Who
// waits longest is the next. It is safe for concurrent use.
type places struct {
	mu    sync.Mutex // guards what follows
	most  int
	taken int // more than most while those leave who came when that was more
	// queue are those who wait, each of whom is told by its channel's closing that it has
	// a place. It is empty while one is free.
	queue []chan struct{}
}

// newPlaces returns so many places, all of them free.
func newPlaces(most int) *places { return &places{most: most} }

// tryTake takes a place, which ends with leave, and reports whether it has: not if it had
// to wait for it.
func (p *places) tryTake() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken >= p.most {
		return false
	}
	p.taken++
	return true
}

// take waits for a place, which ends with leave; or for ctx, whose error it returns.
func (p *places) take(ctx context.Context) error {
	p.mu.Lock()
	if p.taken < p.most {
		p.taken++
		p.mu.Unlock()
		return nil
	}
	mine := make(chan struct{})
	p.queue = append(p.queue, mine)
	p.mu.Unlock()
	select {
	case <-mine:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.queue, mine); i >= 0 {
		p.queue = slices.Delete(p.queue, i, i+1)
	} else {
		p.taken-- // it came at the same moment
		p.admit()
	}
	return ctx.Err()
}

// leave gives a place back.
func (p *places) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	p.admit()
}

// admit gives the places that are free to those who wait. p.mu is held.
func (p *places) admit() {
	for len(p.queue) > 0 && p.taken < p.most {
		close(p.queue[0])
		p.queue = slices.Delete(p.queue, 0, 1)
		p.taken++
	}
}

// set sets how many may have a place at once. Nobody loses one: while more have one than
// that, nobody else gets one.
func (p *places) set(most int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.most = most
	p.admit()
}

// open returns how many have a place.
func (p *places) open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken
}
