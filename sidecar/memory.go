package sidecar

import (
	"context"
	"log/slog"
	"time"

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

// A memory keeps the process to what it may take: the garbage collector gets what the
// coin database, whose memory is not Go's, leaves.
type memory struct {
	governor *heap.Governor
	log      *slog.Logger
}

const (
	// reserve is the share of the limit that stays free, and leastHeadroom what the heap
	// has beyond what is live however tight the limit is.
	reserve       = 0.08
	leastHeadroom = 32 << 20
)

// divide returns what the process may take, and how much of it the heap may have at
// first beyond what is live: what is left beside coins and what all else cannot do
// without. A limit of 0 means what coins may take, and all else.
func divide(limit, coins int64) (all, headroom int64) {
	if limit == 0 {
		limit = coins + otherMemory
	}
	return limit, max(limit-int64(reserve*float64(limit))-coins-leastOther, leastHeadroom)
}

// newMemory returns a memory of limit bytes, of which the heap may have headroom beyond
// what is live.
func newMemory(limit, headroom int64, state *chainstate, log *slog.Logger) (*memory, error) {
	g, err := heap.New(heap.Config{Limit: limit, Reserve: reserve, Headroom: headroom, OffHeap: state.offHeap})
	return &memory{governor: g, log: log}, err
}

// run keeps to the limit until ctx ends.
func (m *memory) run(ctx context.Context) {
	defer m.governor.Release()
	said := ""
	for {
		err := m.governor.Step()
		why := m.governor.Alarm()
		if err != nil {
			why = err.Error()
		}
		if why != "" && why != said {
			m.log.Warn("memory is short", "why", why)
		}
		said = why
		if sleep(ctx, memoryEvery) != nil {
			return
		}
	}
}
