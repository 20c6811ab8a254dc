package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// errHangs: a call of a knob's Apply or Read has not returned in time.
var errHangs = errors.New("it hangs")

// graceTime is what a call has to return in once its context has ended.
const graceTime = time.Second

// A leash calls a knob's Apply and Read on goroutines of their own, so that one that
// hangs takes nobody with it. While it does, nothing else is asked of the knob. When it
// returns after all, that is noted, and the knob can be asked again. It is safe for
// concurrent use.
type leash struct {
	name  string
	limit time.Duration
	apply func(ctx context.Context, value int64) error
	read  func() int64
	last  atomic.Int64 // that was read
	told  func(hangs bool)

	mu    sync.Mutex    // guards what follows
	calls int           // that hang: more than one if they began at once
	gone  chan struct{} // closed when all of them have returned; nil when none hangs
}

// newLeash puts k on a leash, by which it is called from then on. told is called, not
// concurrently with itself, when k begins to hang and when it returns.
func newLeash(k *perfcore.Knob, told func(hangs bool)) *leash {
	l := &leash{name: k.Name, limit: k.Within, apply: k.Apply, read: k.Read, told: told}
	if l.limit == 0 {
		l.limit = perfcore.DefaultWithin
	}
	k.Apply, k.Read = l.Apply, l.Read
	return l
}

// Apply is the knob's; it returns errHangs when that does not return in time.
func (l *leash) Apply(ctx context.Context, value int64) error {
	ctx, stop := context.WithTimeout(ctx, l.limit)
	defer stop()
	var err error
	if !l.call(ctx, func() { err = l.apply(ctx, value) }) {
		return errHangs
	}
	return err
}

// Read is the knob's. While that hangs it returns what was read last.
func (l *leash) Read() int64 {
	v, _ := l.readIn(context.Background())
	return v
}

// readIn is Read, in the time of ctx at most. It reports whether the value is of now.
func (l *leash) readIn(ctx context.Context) (value int64, now bool) {
	var v int64 // of its own: a call that hangs may set it late
	if !l.call(ctx, func() { v = l.read() }) {
		return l.last.Load(), false
	}
	l.last.Store(v)
	return v, true
}

// call calls do, and reports whether it has returned within graceTime of the end of ctx,
// or of the knob's limit; if not, do still runs. A panic of do is one of call.
func (l *leash) call(ctx context.Context, do func()) bool {
	if l.hanging() != nil {
		return false
	}
	limit := time.NewTimer(l.limit)
	defer limit.Stop()
	var failure any
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		defer func() { failure = recover() }()
		do()
	}()
	inTime := true
	select {
	case <-returned:
	case <-ctx.Done():
		inTime = closesWithin(returned, graceTime)
	case <-limit.C:
		inTime = closesWithin(returned, graceTime)
	}
	if !inTime {
		l.hang(returned)
		return false
	}
	if failure != nil {
		panic(failure)
	}
	return true
}

// closesWithin reports whether c is closed within limit.
func closesWithin(c <-chan struct{}, limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-c:
		return true
	case <-timer.C:
	}
	select { // both may have been ready
	case <-c:
		return true
	default:
		return false
	}
}

// hang notes that a call has not returned, and waits for it beside.
func (l *leash) hang(returned <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls++; l.calls == 1 {
		l.gone = make(chan struct{})
		l.told(true)
	}
	go func() {
		<-returned
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.calls--; l.calls == 0 {
			l.told(false)
			close(l.gone)
			l.gone = nil
		}
	}()
}

// hanging returns a channel that is closed when the calls that hang have returned; nil
// when none does.
func (l *leash) hanging() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gone
}

// join waits until no call of a knob hangs, or ctx ends; then its error says which do. What
// has returned is set back to its incumbent.
func (m *ResourceManager) join(ctx context.Context) error {
	var errs []error
	for _, l := range m.leashes {
		gone := l.hanging()
		if gone == nil {
			continue
		}
		select {
		case <-gone:
		case <-ctx.Done():
			errs = append(errs, fmt.Errorf("knob %s: a call of it has not returned: %w", l.name, errHangs))
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return errors.Join(append(errs, m.comeBack(ctx, true))...)
}
