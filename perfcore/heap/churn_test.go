package heap_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/collect"
	"github.com/outrider-project/outrider/perfcore/engine"
	"github.com/outrider-project/outrider/perfcore/heap"
)

// A churn keeps many small coins live and replaces them one after the other, as
// a cache of coins does.
type churn struct{ coins map[uint64][]byte }

func newChurn(coins int) *churn {
	c := &churn{make(map[uint64][]byte, coins)}
	for i := range coins {
		c.coins[uint64(i)] = make([]byte, 64)
	}
	return c
}

func (c *churn) run(ctx context.Context, done *perfcore.Counter) {
	r := rand.New(rand.NewPCG(1, 1))
	n := uint64(len(c.coins))
	for ctx.Err() == nil {
		for range 1000 {
			c.coins[r.Uint64N(n)] = make([]byte, 64+r.IntN(128))
		}
		done.Add(1000)
	}
}

// The optimizer turns GOGC of a real program, in four minutes of real
// time, and says what it found, and on which evidence (go test -bench Optimizer
// -benchtime 1x -v).
func BenchmarkOptimizer(b *testing.B) {
	for b.Loop() {
		g, err := heap.New(heap.Config{Limit: 2 << 30, Settle: time.Second})
		if err != nil {
			b.Fatal(err)
		}
		done := new(perfcore.Counter)
		c, err := collect.New(collect.Config{
			Sources: []collect.Source{
				collect.Linux(), collect.NewRuntime(), &collect.Instruments{Counters: map[string]*perfcore.Counter{"coins_per_second": done}},
			},
			Objective: collect.Objective{
				Terms: []collect.Term{{Quantity: "process_cpu_cores", Weight: 1, PerWork: true, Floor: 1e-9}}, Work: "coins_per_second",
			},
		})
		if err != nil {
			b.Fatal(err)
		}
		o, err := engine.New(engine.Config{
			Knobs: g.Knobs(), Collector: c, Slice: time.Second, Seed: 1,
			Decided: func(d perfcore.Decision) { b.Log(d) },
		})
		if err != nil {
			b.Fatal(err)
		}
		ctx, stop := context.WithTimeout(b.Context(), 240*time.Second)
		var wg sync.WaitGroup
		wg.Go(func() { newChurn(500_000).run(ctx, done) })
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := g.Step(); err != nil {
					b.Error(err)
				}
				select {
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
			}
		})
		if err := o.Run(ctx); err != nil {
			b.Error(err)
		}
		stop()
		wg.Wait()
		b.ReportMetric(float64(o.Resources.Knobs()[0].Incumbent), "gogc")
		b.ReportMetric(100*o.Regret(), "%regret")
		g.Release()
	}
}
