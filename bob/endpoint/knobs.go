package endpoint

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// Knobs returns what may be set to other values while the pool is in use. They turn the pools
// beside it, too, which are all made before. None of them
// changes what is answered. Only how many calls go in one exchange is tried by an optimizer:
// what is seen later, or waited for longer, costs less, and no measure of cost tells what it
// is worth, so that the others are an operator's.
func (p *Pool) Knobs() []perfcore.Knob {
	knob := func(name, help, unit string, v *atomic.Int64, ladder ...int64) perfcore.Knob {
		return perfcore.Knob{
			Name: "bob." + p.opts.Layer + "_" + name, Help: help, Unit: unit,
			Scope: perfcore.Live, Resource: perfcore.Network, Ladder: ladder,
			Apply: func(_ context.Context, n int64) error { v.Store(n); return nil },
			Read:  v.Load,
		}
	}
	polls := []int64{100, 250, 500, 1000, 2000, 4000, 8000}
	if p.opts.Layer == "l1" {
		polls = []int64{1000, 2000, 4000, 6000, 12_000}
	}
	batch := knob("batch_size", "How many calls go in one exchange.", "calls", &p.batchSize, 1, 5, 10, 20, 50, 100)
	batch.Carry, batch.Settle = perfcore.Memoryless, 30*time.Second
	return []perfcore.Knob{
		knob("poll_interval", "How long those who follow the chain wait between two questions.", "milliseconds",
			&p.pollInterval, polls...),
		batch,
		{
			Name: "bob." + p.opts.Layer + "_concurrency", Unit: "exchanges",
			Help:  "How many exchanges an endpoint has open at once, within what it allows.",
			Scope: perfcore.Live, Resource: perfcore.Network, Ladder: p.concurrency.ladder(),
			Apply: p.concurrency.set, Read: p.concurrency.get,
		},
		knob("hedge_delay", "How long a read may take before it is asked at a second endpoint; 0 is for ever.", "milliseconds",
			&p.hedgeDelay, 0, 50, 100, 250, 500, 1000),
	}
}
