package sidecar

import (
	"context"
	"math"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// An elastic is the part, in percent, that work which can wait gets of its share of the
// processors: all of it while goroutines need not wait for one, and less while they do.
// It is safe for concurrent use.
type elastic struct {
	// least is the part that it gets however long others wait; with 100 nothing is taken
	// from it.
	least *atomic.Int64
	part  atomic.Int64
	// block is until when a block is at hand, in nanoseconds since 1970; 0 while none is.
	block atomic.Int64
	// wanted is set by work that has used up what it got.
	wanted  atomic.Bool
	metrics elasticMetrics
	every   time.Duration

	waiting float64 // smoothed, in seconds; run's
}

type elasticMetrics struct {
	part   *perfcore.Gauge
	pieces map[elasticWork]*perfcore.Timer
}

// An elasticWork is work that can wait, beside that for the mempool, which has metrics of
// its own.
type elasticWork string

const (
	elasticEvidence elasticWork = "evidence" // bundles that are judged again
	elasticMuHash   elasticWork = "muhash"   // all coins that are hashed afresh
)

func newElasticMetrics(rec perfcore.Recorder) elasticMetrics {
	m := elasticMetrics{
		part: rec.Gauge(perfcore.Metric{
			Name: "outrider_elastic_ratio", Help: "Part that work which can wait gets of its share of the processors: it falls while goroutines wait for one, and for as long as a block is at hand, and rises only while such work wants more.",
		}),
		pieces: make(map[elasticWork]*perfcore.Timer),
	}
	for _, work := range []elasticWork{elasticEvidence, elasticMuHash} {
		m.pieces[work] = rec.Timer(perfcore.Metric{
			Name: "outrider_elastic_piece_seconds", Help: "Time that pieces of work took which can wait, and does between them.",
			Labels: []string{"work", string(work)},
		})
	}
	return m
}

const (
	// elasticEvery is how often the part is set, and elasticTarget how long the slowest of a
	// hundred goroutines may wait for a processor. What was measured last weighs elasticWeight,
	// and counts as elasticMost at most, so that one wait, however long it was, has the part
	// fall for a quarter of a minute and no longer. The part falls faster than it rises, and
	// rises only for work that wants more (CockroachDB's admission control has the same law).
	elasticEvery             = 2500 * time.Millisecond
	elasticTarget            = 1e-3
	elasticMost              = 20e-3
	elasticWeight            = 0.3
	elasticFall, elasticRise = 0.8, 5
)

func newElastic(least *atomic.Int64, rec perfcore.Recorder) *elastic {
	e := &elastic{least: least, metrics: newElasticMetrics(rec), every: elasticEvery}
	e.set(100)
	return e
}

func (e *elastic) set(part int64) {
	e.part.Store(part)
	e.tell()
}

// now returns the part of this moment: the least of all while a block is at hand, for that is known
// before anybody waits for a processor.
func (e *elastic) now() int64 {
	part := e.part.Load()
	if until := e.block.Load(); until > 0 && time.Now().UnixNano() < until {
		return min(part, e.least.Load())
	}
	return part
}

func (e *elastic) tell() { e.metrics.part.Set(float64(e.now()) / 100) }

// elasticBlock is how long a block is at hand at most, as in perfcore/regime.
const elasticBlock = 30 * time.Second

// announce says that a block is at hand, until it has arrived, or for elasticBlock.
func (e *elastic) announce() {
	e.block.Store(time.Now().Add(elasticBlock).UnixNano())
	e.tell()
}

// arrived says that the block is done with.
func (e *elastic) arrived() {
	e.block.Store(0)
	e.tell()
}

// A pace is called behind each piece of work that can wait, with how long that took, and
// returns when the next may begin, or ctx's error when that ends. One goroutine at a time
// calls it. A nil one lets all work go on.
type pace func(ctx context.Context, took time.Duration) error

// elasticProcessors returns how many goroutines one kind of elastic work may have at work:
// half of the processors, so that it does not make itself wait for one.
func elasticProcessors() int { return max(runtime.GOMAXPROCS(0)/2, 1) }

// pace returns a pace at which work takes e's part of the time. A nil e has a nil one.
func (e *elastic) pace(work elasticWork) pace {
	if e == nil {
		return nil
	}
	b, pieces := budget{elastic: e, percent: new(atomic.Int64)}, e.metrics.pieces[work]
	b.percent.Store(100)
	return func(ctx context.Context, took time.Duration) error {
		pieces.Observe(took)
		b.spend(took)
		return b.wait(ctx)
	}
}

// step sets the part by how long the slowest of a hundred goroutines waited for a
// processor, in seconds.
func (e *elastic) step(waited float64) {
	e.waiting += elasticWeight * (min(waited, elasticMost) - e.waiting)
	part, wanted := float64(e.part.Load()), e.wanted.Swap(false)
	switch {
	case e.waiting > elasticTarget:
		part *= elasticFall
	case wanted:
		part += elasticRise
	}
	e.set(int64(math.Round(min(max(part, float64(e.least.Load())), 100))))
}

// run follows what the runtime says until ctx ends.
func (e *elastic) run(ctx context.Context) {
	var waits waits
	waits.slowest() // since the start
	for sleep(ctx, e.every) == nil {
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
