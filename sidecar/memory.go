package sidecar

import (
	"context"
	"log/slog"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/collect"
	"github.com/outrider-project/outrider/perfcore/heap"
)

const (
	// otherMemory is what the process takes beside the coins: blocks in flight, the
	// mempool's transactions, what validates them, and the program.
	otherMemory = 768 << 20
	// leastOther is what it cannot do without.
	leastOther = 128 << 20
	// memoryEvery is how often the garbage collector's limit is set anew.
	memoryEvery = 2 * time.Second
)

// A memory keeps the process to what it may take: the garbage collector gets what memory
// that is not Go's leaves: the coin database's, and whatever else there is.
type memory struct {
	governor *heap.Governor
	log      *slog.Logger
	short    *perfcore.Gauge
	said     string // why memory is short; "" while it is not
}

const (
	// reserve is the share of the limit that stays free, and leastHeadroom what the heap
	// has beyond what is live however tight the limit is.
	reserve       = 0.08
	leastHeadroom = 32 << 20
)

// divide returns what the process may take, and how much of it the heap may have at
// first beyond what is live: what is left beside coins and what all else cannot do
// without. A limit of 0 means what coins may take, and all else. there is what the machine
// and the control groups have, which is the limit if it is less; 0 is not known.
func divide(limit, coins int64, there uint64) (all, headroom int64) {
	if limit == 0 {
		limit = coins + otherMemory
	}
	if there > 0 && there < uint64(limit) {
		limit = int64(there)
	}
	return limit, max(limit-int64(reserve*float64(limit))-coins-leastOther, leastHeadroom)
}

// newMemory returns a memory of limit bytes, of which the heap may have headroom beyond
// what is live. What is not Go's is what state declares, or what system tells if that is
// more.
func newMemory(limit, headroom int64, state *chainstate, system *collect.System, rec perfcore.Recorder, log *slog.Logger) (*memory, error) {
	if _, told := system.Anonymous(); !told {
		log.Info("the system does not tell what memory the process has that is not Go's: of that, the coin database's alone is counted within memory-limit")
	}
	g, err := heap.New(heap.Config{Limit: limit, Reserve: reserve, Headroom: headroom, OffHeap: state.offHeap, Anonymous: system.Anonymous})
	return &memory{governor: g, log: log, short: rec.Gauge(perfcore.Metric{
		Name: "outrider_memory_short", Help: "1 while what the process may take (memory-limit) is too little for what it holds, or somebody else has set Go's limit, else 0.",
		Alert: perfcore.Alert{
			Name: "memory_short", Help: "The process holds more than its memory-limit leaves room for, or somebody else has set Go's limit; the log says which. Raise the limit, or lower what the caches may take.",
			Keep: time.Minute,
		},
	})}, err
}

// run keeps to the limit until ctx ends.
func (m *memory) run(ctx context.Context) {
	defer m.governor.Release()
	for {
		m.step()
		if sleep(ctx, memoryEvery) != nil {
			return
		}
	}
}

// step sets the limit anew, and tells whether memory is short.
func (m *memory) step() {
	err := m.governor.Step()
	why := m.governor.Alarm()
	if err != nil {
		why = err.Error()
	}
	if why != "" && why != m.said {
		m.log.Warn("memory is short", "why", why)
	}
	m.said = why
	if why != "" {
		m.short.Set(1)
	} else {
		m.short.Set(0)
	}
}
