package perfcore

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Who waits longest is the next, whoever releases it and however many may hold it.
func TestSemaphore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSemaphore(2)
		if !s.TryAcquire() || s.Acquire(t.Context()) != nil || s.TryAcquire() {
			t.Fatal("a semaphore of two is not held by two")
		}
		var mu sync.Mutex // guards came
		var came []int
		var waiting sync.WaitGroup
		impatient, leave := context.WithCancel(t.Context())
		for i := range 6 {
			ctx := t.Context()
			if i == 1 {
				ctx = impatient
			}
			waiting.Go(func() {
				if s.Acquire(ctx) == nil {
					mu.Lock()
					defer mu.Unlock()
					came = append(came, i)
				}
			})
			synctest.Wait()
		}
		step := func(do func(), open int, want ...int) {
			t.Helper()
			do()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if s.Held() != open || !slices.Equal(came, want) {
				t.Errorf("%d hold it and %v came, want %d and %v", s.Held(), came, open, want)
			}
		}
		step(func() { s.Resize(1) }, 2)
		step(leave, 2) // the second in the queue
		step(s.Release, 1)
		if s.TryAcquire() {
			t.Error("who did not wait is let in")
		}
		step(s.Release, 1, 0)
		step(func() { s.Resize(2) }, 2, 0, 2)
		step(func() { s.Resize(3) }, 3, 0, 2, 3)
		step(s.Release, 3, 0, 2, 3, 4)
		step(func() { s.Resize(9) }, 4, 0, 2, 3, 4, 5)
		waiting.Wait()
		for range 4 {
			s.Release()
		}
		if s.Held() != 0 || len(s.queue) != 0 {
			t.Errorf("%d hold it and %d wait when all have released it", s.Held(), len(s.queue))
		}
	})
}

// Whatever happens at the same moment, no turn is lost and none is given twice.
func TestSemaphoreRace(t *testing.T) {
	const most = 8
	s := NewSemaphore(most)
	var in, came, gaveUp atomic.Int64
	ended := make(chan struct{})
	var setting, callers sync.WaitGroup
	setting.Go(func() {
		for {
			select {
			case <-ended:
				return
			default:
				s.Resize(1 + rand.IntN(most))
			}
		}
	})
	for range 4 * most {
		callers.Go(func() {
			for range 500 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(200))*time.Microsecond)
				if s.Acquire(ctx) != nil {
					gaveUp.Add(1)
				} else {
					if n := in.Add(1); n > most {
						t.Errorf("%d hold it", n)
					}
					came.Add(1)
					in.Add(-1)
					s.Release()
				}
				cancel()
			}
		})
	}
	callers.Wait()
	close(ended)
	setting.Wait()
	if s.Held() != 0 || len(s.queue) != 0 || came.Load() == 0 {
		t.Errorf("%d hold it and %d wait in the end; %d came and %d gave up", s.Held(), len(s.queue), came.Load(), gaveUp.Load())
	}
	s.Resize(most)
	for i := range most {
		if !s.TryAcquire() {
			t.Fatalf("of %d turns %d are left", most, i)
		}
	}
}

// A late is a context that is over, which calls then when somebody begins to wait for it.
type late struct {
	context.Context
	then func()
}

func (l late) Done() <-chan struct{} {
	l.then()
	return l.Context.Done()
}

// Who is let in at the moment in which it gives up either holds it or has left it to
// the next.
func TestSemaphoreAtTheSameMoment(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	s := NewSemaphore(1)
	gaveUp := 0
	for range 64 {
		if err := s.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s.Acquire(late{over, s.Release}) != nil {
			gaveUp++
		} else {
			s.Release()
		}
		if n := s.Held(); n != 0 {
			t.Fatalf("%d hold it when all have released it", n)
		}
	}
	if gaveUp == 0 {
		t.Error("nobody gave up")
	}
}

// Acquiring what is free allocates nothing.
func TestSemaphoreAllocate(t *testing.T) {
	s := NewSemaphore(1)
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		if s.Acquire(ctx) == nil {
			s.Release()
		}
	}); n != 0 {
		t.Errorf("an acquisition costs %v allocations", n)
	}
}
