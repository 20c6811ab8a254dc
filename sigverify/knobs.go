package sigverify

import (
	"context"
	"runtime"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// refill is how long the size before shows in what the cache holds: about as long as
// it takes for blocks to confirm most of what the mempool had.
const refill = time.Hour

// Knobs returns what may be tried at other values. They change nothing about a
// verdict. How often verdicts are checked again is none of them.
func (v *Verifier) Knobs() []perfcore.Knob {
	workers, chunk := v.pool.settings()
	return []perfcore.Knob{
		{
			Name: "sigverify.workers", Help: "How many goroutines verify signatures at once.", Unit: "goroutines",
			Scope: perfcore.Live, Resource: perfcore.CPU, Carry: perfcore.Memoryless, Hastens: true, Ladder: perfcore.Ladder(workerSteps(), int64(workers)),
			Apply: func(_ context.Context, n int64) error { v.pool.set(int(n), 0); return nil },
			Read:  func() int64 { n, _ := v.pool.settings(); return int64(n) },
		},
		{
			Name: "sigverify.chunk", Help: "How many signatures a worker takes at a time.", Unit: "signatures",
			Scope: perfcore.Live, Resource: perfcore.CPU, Carry: perfcore.Memoryless, Hastens: true, Ladder: perfcore.Ladder([]int64{16, 32, 64, 128, maxChunk}, int64(chunk)),
			Apply: func(_ context.Context, n int64) error { v.pool.set(0, int(n)); return nil },
			Read:  func() int64 { _, n := v.pool.settings(); return int64(n) },
		},
		{
			Name: "sigverify.cache", Help: "Memory for signatures that were verified before their block came.", Unit: "bytes",
			Scope: perfcore.Live, Carry: perfcore.Stateful, Settle: refill, Fills: true,
			Ladder: perfcore.Ladder([]int64{0, 1 << 20, 2 << 20, 4 << 20, 8 << 20, 16 << 20, 32 << 20, 64 << 20, 128 << 20, 256 << 20},
				v.cache.limit.Load()),
			Apply: func(_ context.Context, n int64) error { v.cache.resize(n); return nil },
			Read:  func() int64 { return v.cache.limit.Load() },
		},
	}
}

// workerSteps returns numbers of workers up to twice the processors.
func workerSteps() []int64 {
	steps := []int64{1, 2}
	for n := int64(2); n < 2*int64(runtime.GOMAXPROCS(0)); n *= 2 {
		steps = append(steps, n*3/2, n*2)
	}
	return steps
}
