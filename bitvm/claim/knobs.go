package claim

import (
	"context"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// Resource is what the knobs of a Verifier trade in: the judging of claims, whose
// throughput and latency are those of the metric outrider_bitvm_claim_seconds.
func Resource() perfcore.ResourceType { return perfcore.Custom(1) }

// settle is how long claims that were handed in under the value before may still show.
const settle = 5 * time.Second

// Knobs returns what may be tried at other values. They change nothing about a verdict.
func (v *Verifier) Knobs() []perfcore.Knob {
	set := func(n *int) func(context.Context, int64) error {
		return func(_ context.Context, value int64) error {
			v.mu.Lock()
			defer v.mu.Unlock()
			*n = int(value)
			v.employ()
			return nil
		}
	}
	read := func(n *int) func() int64 {
		return func() int64 {
			v.mu.Lock()
			defer v.mu.Unlock()
			return int64(*n)
		}
	}
	knobs := []perfcore.Knob{
		{
			Name: "bitvm.claims", Help: "How many goroutines judge claims of BitVM bridges at once.", Unit: "goroutines",
			Resource: Resource(), Carry: perfcore.Memoryless, Settle: settle, Hastens: true, // fewer take larger batches, which cost less
			Ladder: []int64{1, 2, 4, 8, 16, 32}, Apply: set(&v.parallel), Read: read(&v.parallel),
		},
		{
			Name: "bitvm.chunk", Help: "How many claims by the same verifying key a goroutine judges together at most.", Unit: "claims",
			Resource: Resource(), Carry: perfcore.Memoryless, Settle: settle, Hastens: true, // as fewer claims do
			Ladder: []int64{1, 2, 4, 8, 16, 32}, Apply: set(&v.chunk), Read: read(&v.chunk),
		},
		{
			Name: "bitvm.keys", Help: "Memory for prepared verifying keys.", Unit: "bytes",
			Resource: perfcore.Cache, Carry: perfcore.Stateful, Settle: time.Minute, Fills: true,
			Ladder: []int64{1 << 20, 2 << 20, 4 << 20, 8 << 20, 16 << 20, 32 << 20, 64 << 20},
			Apply:  func(_ context.Context, n int64) error { v.keys.resize(n); return nil },
			Read:   v.keys.bound,
		},
	}
	for i := range knobs {
		k := &knobs[i]
		k.Scope = perfcore.Live
		k.Ladder = perfcore.Ladder(k.Ladder, k.Read())
	}
	return knobs
}
