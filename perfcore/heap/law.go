package heap

import (
	"fmt"
	"math"
	"time"
)

// A law says how many bytes the Go runtime may use. It is a pure function of
// what it is shown, and of what it has seen before.
type law struct {
	// limit is what the process may use, in bytes, ceiling what the operator
	// lets Go alone use; MaxInt64 for no ceiling.
	limit, ceiling int64
	reserve        float64

	offHeap float64   // highest lately
	lifted  time.Time // until when the limit is lifted
	stormed float64   // the collector's share then
}

// A reading is what the law is shown.
type reading struct {
	at time.Time
	// declared are bytes outside of Go's memory that others may take, seen those
	// that they have, as far as is known.
	declared, seen int64
	// live is what the last cycle marked, other what Go has mapped for anything
	// but the heap: stacks, and the runtime's own.
	live, other int64
	// gc is the share of the processor time that the collector took since the
	// last reading; 0 when that is not known.
	gc float64
	// held says that the heap would grow further if it were not for the limit.
	held bool
	// share is the part of what is left that Go may use, from 0 to 1.
	share float64
	// headroom is how much the heap may have beyond what is live; 0 for no bound.
	headroom int64
}

const (
	// forgotten is the share of the high-water mark of off-heap bytes that is
	// forgotten with each reading: what was needed once may be needed again.
	forgotten = 1.0 / 256
	// leastRoom is how much of the live heap must be free for the collector at
	// least, as a share, and leastBytes how many bytes. Below that it runs all
	// the time (golang/go#58106).
	leastRoom  = 0.25
	leastBytes = 16 << 20
	// storm is the share of the processor time at which the collector does
	// nothing else any more, and liftFor how long the limit is lifted then, by
	// liftBy, for the program to get over it.
	storm   = 0.25
	liftBy  = 1.1
	liftFor = time.Minute
)

// next returns the limit for Go's memory, in bytes, and why the program is in
// trouble; "" when it is not.
func (l *law) next(r reading) (limit int64, trouble string) {
	l.offHeap = max(l.offHeap*(1-forgotten), float64(r.seen), float64(r.declared))
	room := float64(l.limit)*(1-l.reserve) - l.offHeap
	want := r.share * room
	if r.headroom > 0 {
		want = min(want, float64(r.live)+float64(r.other)+float64(r.headroom))
	}
	if r.gc >= storm && r.held {
		l.lifted, l.stormed = r.at.Add(liftFor), r.gc
	}
	if r.at.Before(l.lifted) {
		// The reserve is for moments like this one, half of it at least.
		want = min(want*liftBy, float64(l.limit)*(1-l.reserve/2)-l.offHeap)
		trouble = fmt.Sprintf("the garbage collector took %.0f %% of the processor time at the memory limit, which is lifted for a minute", 100*l.stormed)
	}
	// What is live cannot be freed: a limit below it only burns the processor.
	least := float64(r.live)*(1+leastRoom) + leastBytes + float64(r.other)
	switch {
	case want >= least:
	case least <= r.share*room: // the bound on the headroom is too low: it is no trouble
		want = least
	default:
		trouble = fmt.Sprintf("%d MiB are left for Go, and %d MiB are live: the process may use more than its %d MiB",
			int64(want)>>20, r.live>>20, l.limit>>20)
		want = least
	}
	return int64(min(want, float64(l.ceiling), math.MaxInt64/2)), trouble
}
