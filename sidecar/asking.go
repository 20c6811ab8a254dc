package sidecar

import (
	"sync/atomic"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// An asking counts the coins that the node was asked for, since nobody here knew them,
// and how long that took. It is safe for concurrent use; a nil one counts nothing.
type asking struct {
	coins, nanoseconds atomic.Uint64
	total              *perfcore.Counter
	took               *perfcore.Timer
}

func newAsking(rec perfcore.Recorder) *asking {
	return &asking{
		total: rec.Counter(perfcore.Metric{
			Name: "outrider_coins_asked_total", Help: "Coins that the node was asked for to judge blocks and transactions.",
		}),
		took: rec.Timer(perfcore.Metric{
			Name: "outrider_coins_asked_seconds", Help: "Time for the node to tell of the coins of one block, or of some transactions, that were not known.",
		}),
	}
}

// told counts coins that were asked for since start, and told of.
func (a *asking) told(coins int, start time.Time) {
	if a == nil {
		return
	}
	took := time.Since(start)
	a.coins.Add(uint64(coins))
	a.nanoseconds.Add(uint64(took))
	a.total.Add(uint64(coins))
	a.took.Observe(took)
}
