package sidecar

import (
	"context"
	"math"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

// An elastic is the part, in percent, that work which can wait gets of its share of the
// processors: all of it while goroutines need not wait for one, and less while they do.
// It is safe for concurrent use.
type elastic struct {
	// least is the part that it gets however long others wait; with 100 nothing is taken
	// from it.
	least *atomic.Int64
	part  atomic.Int64
	// wanted is set by work that has used up what it got.
	wanted atomic.Bool

	waiting float64 // smoothed, in seconds; run's
}

const (
	// elasticEvery is how often the part is set, and elasticTarget how long the
	// slowest of a hundred goroutines may wait for a processor. What was measured last
	// weighs elasticWeight. The part falls faster than it rises, and rises only for work
	// that wants more (CockroachDB's admission control has the same law).
	elasticEvery             = 2500 * time.Millisecond
	elasticTarget            = 1e-3
	elasticWeight            = 0.3
	elasticFall, elasticRise = 0.8, 5
)

func newElastic(least *atomic.Int64) *elastic {
	e := &elastic{least: least}
	e.part.Store(100)
	return e
}

// step sets the part by how long the slowest of a hundred goroutines waited for a
// processor, in seconds.
func (e *elastic) step(waited float64) {
	e.waiting += elasticWeight * (waited - e.waiting)
	part, wanted := float64(e.part.Load()), e.wanted.Swap(false)
	switch {
	case e.waiting > elasticTarget:
		part *= elasticFall
	case wanted:
		part += elasticRise
	}
	e.part.Store(int64(math.Round(min(max(part, float64(e.least.Load())), 100))))
}

// run follows what the runtime says until ctx ends.
func (e *elastic) run(ctx context.Context) {
	var waits waits
	waits.slowest() // since the start
	for sleep(ctx, elasticEvery) == nil {
		e.step(waits.slowest())
	}
}

// A waits reads how long goroutines waited for a processor.
type waits struct{ before []uint64 }

// slowest returns how long the slowest of a hundred goroutines waited since the last call,
// in seconds, at most; 0 when none was ready.
func (w *waits) slowest() float64 {
	sample := []metrics.Sample{{Name: "/sched/latencies:seconds"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindFloat64Histogram {
		return 0
	}
	h := sample[0].Value.Float64Histogram()
	total, since := uint64(0), make([]uint64, len(h.Counts))
	for i, n := range h.Counts {
		if since[i] = n; len(w.before) == len(h.Counts) {
			since[i] -= w.before[i]
		}
		total += since[i]
	}
	w.before = append(w.before[:0], h.Counts...)
	above := uint64(0)
	for i := len(since) - 1; i >= 0; i-- {
		if above += since[i]; total > 0 && 100*above >= total {
			return min(h.Buckets[i+1], 1) // the last one has no end
		}
	}
	return 0
}
