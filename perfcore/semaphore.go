package perfcore

import (
	"context"
	"slices"
	"sync"
)

// A Semaphore lets so many do something at once, a number that a knob may change
// meanwhile. Who waits longest is the next. It is safe for concurrent use.
type Semaphore struct {
	mu   sync.Mutex // guards what follows
	size int
	held int // more than size while those release it who came when that was more
	// queue are those who wait, each of whom is told by its channel's closing that it has
	// acquired it. It is empty while there is room.
	queue []chan struct{}
}

// NewSemaphore returns a semaphore of that size, which nobody holds.
func NewSemaphore(size int) *Semaphore { return &Semaphore{size: size} }

// TryAcquire acquires the semaphore until Release, and reports whether it has: not if it
// had to wait for it.
func (s *Semaphore) TryAcquire() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held >= s.size {
		return false
	}
	s.held++
	return true
}

// Acquire waits until it has acquired the semaphore, and returns nil, until Release; or it
// waits for ctx, whose error it returns.
func (s *Semaphore) Acquire(ctx context.Context) error {
	s.mu.Lock()
	if s.held < s.size {
		s.held++
		s.mu.Unlock()
		return nil
	}
	mine := make(chan struct{})
	s.queue = append(s.queue, mine)
	s.mu.Unlock()
	select {
	case <-mine:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.queue, mine); i >= 0 {
		s.queue = slices.Delete(s.queue, i, i+1)
	} else {
		s.held-- // it came at the same moment
		s.admit()
	}
	return ctx.Err()
}

// Release ends what Acquire or TryAcquire began.
func (s *Semaphore) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held--
	s.admit()
}

// admit lets those in who wait, as far as there is room. s.mu is held.
func (s *Semaphore) admit() {
	for len(s.queue) > 0 && s.held < s.size {
		close(s.queue[0])
		s.queue = slices.Delete(s.queue, 0, 1)
		s.held++
	}
}

// Resize sets how many may hold the semaphore at once. Nobody loses it: while more hold it
// than that, nobody else acquires it.
func (s *Semaphore) Resize(size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.size = size
	s.admit()
}

// Size returns how many may hold the semaphore at once.
func (s *Semaphore) Size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size
}

// Held returns how many hold the semaphore.
func (s *Semaphore) Held() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held
}
