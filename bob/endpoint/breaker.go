package endpoint

import (
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// breakAfter is how many failures one after another open a breaker.
	breakAfter = 5
	// A breaker is open for minRest at first, and each time that the trial call fails
	// for twice as long, up to maxRest. An endpoint that limits the rate and does not
	// say for how long rests for minRest too.
	minRest = time.Second
	maxRest = time.Minute
)

// A breaker keeps calls from an endpoint that failed several times in a row, and lets
// one through now and then to try. A call that was let through must be settled, whatever
// became of it: a trial that is given up because another endpoint was faster says
// nothing, and the next call is the trial then. (That is why it is our own: breakers of
// libraries know success and failure only.)
type breaker struct {
	least, most time.Duration // minRest and maxRest

	mu       sync.Mutex // guards what follows, for a few instructions
	failures int        // one after another
	rest     time.Duration
	until    time.Time // closed if zero
	trial    bool      // a call is on its way to try
}

// A verdict is what became of a call that a breaker let through.
type verdict uint8

const (
	succeeded verdict = iota
	failed
	unjudged
)

// admit reports whether a call may go; it must then be settled.
func (b *breaker) admit(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.until.IsZero() {
		return true
	}
	if now.Before(b.until) || b.trial {
		return false
	}
	b.trial = true
	return true
}

// ready reports whether admit would let a call through.
func (b *breaker) ready(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.until.IsZero() || !now.Before(b.until) && !b.trial
}

// open reports whether calls are kept away, but for trials.
func (b *breaker) open() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.until.IsZero()
}

// settle takes what became of a call, and reports whether it ended a row of failures that
// had opened the breaker.
func (b *breaker) settle(v verdict, now time.Time) (closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	wasTrial := b.trial
	switch v {
	case unjudged:
		b.trial = false
	case succeeded:
		closed = b.failures >= breakAfter
		b.failures, b.rest, b.until, b.trial = 0, 0, time.Time{}, false
	case failed:
		b.failures++
		if b.until.IsZero() && b.failures >= breakAfter || wasTrial {
			b.rest = min(max(2*b.rest, b.least), b.most)
			b.until, b.trial = now.Add(jitter(b.rest)), false
		}
	}
	return closed
}

// hold keeps calls away for a while: the server asked for it.
func (b *breaker) hold(d time.Duration, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if until := now.Add(d); until.After(b.until) {
		b.until = until
	}
	b.trial = false
}

// jitter returns a duration between three quarters of d and d, so that clients do not
// march in step.
func jitter(d time.Duration) time.Duration { return d - rand.N(d/4+1) }
