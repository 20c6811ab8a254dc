package heap_test

import (
	"context"
	"math/rand/v2"
	"os"
	"slices"
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

// The optimizer turns GOGC of a real program in real time, for as long as
// OUTRIDER_PERFCORE_REAL says (4m): it must not have spent more than its budget,
// and what it leaves in force was there at first or promoted. What it finds
// depends on the machine; on one that others use too it finds nothing.
func TestOptimizerOnGOGC(t *testing.T) {
	env := os.Getenv("OUTRIDER_PERFCORE_REAL")
	if env == "" {
		t.Skip("a real program's GOGC was not optimized: OUTRIDER_PERFCORE_REAL does not say for how long")
	}
	length, err := time.ParseDuration(env)
	if err != nil {
		t.Fatal(err)
	}
	g, err := heap.New(heap.Config{Limit: 2 << 30, Settle: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Release()
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
		t.Fatal(err)
	}
	legal := []int64{g.Knobs()[0].Read()}
	o, err := engine.New(engine.Config{
		Knobs: g.Knobs(), Collector: c, Slice: time.Second, Seed: 1,
		Decided: func(d perfcore.Decision) {
			t.Log(d)
			if d.Verdict == perfcore.Promoted {
				legal = append(legal, d.Moves[0].To)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), length)
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { newChurn(50_000).run(ctx, done) }) // so few that a cycle takes no tenth of a second
	wg.Go(func() {
		for ctx.Err() == nil {
			if err := g.Step(); err != nil {
				t.Error(err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	})
	if err := o.Run(ctx); err != nil {
		t.Error(err)
	}
	stop()
	wg.Wait()
	if got := g.Knobs()[0].Read(); !slices.Contains(legal, got) {
		t.Errorf("GOGC is %d in the end, and only %d were there at first or promoted", got, legal)
	}
	// As if 250 slices more had passed, and the trial that ran.
	if r, most := o.Regret(), 0.02*(1+250/length.Seconds())+8/length.Seconds(); r > most {
		t.Errorf("a regret of %.4f is beyond %.4f", r, most)
	}
	t.Logf("%d coins; GOGC %d in the end; regret %.2f %%", done.Value(), g.Knobs()[0].Read(), 100*o.Regret())
}
