package utxocache

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/wire/v2"
	"github.com/dgraph-io/ristretto/v2"
)

// filled returns a cache with a full ring of 8 blocks of 2,000 transactions,
// 40 blocks below it in ristretto, and the outpoints of each.
func filled(b *testing.B) (c *Cache, w *workload, ring, old []wire.OutPoint) {
	c = newCache(b, Options{Blocks: 8})
	c.Reset(Tip{}, true)
	w = new(workload)
	for range 48 {
		apply(b, c, w.block(tipOf(b, c), 2000, 2, 3))
	}
	ring, old = w.split(c)
	if len(ring) < 8000 || len(old) < 8000 {
		b.Fatalf("%d coins in the ring, %d in ristretto", len(ring), len(old))
	}
	return c, w, ring, old
}

// split returns the workload's coins by where c has them, in random order.
func (w *workload) split(c *Cache) (ring, old []wire.OutPoint) {
	for _, op := range w.coins {
		k := keyOf(&op)
		switch c.view.Load().look(&k).tier {
		case tierRing:
			ring = append(ring, op)
		case tierRistretto:
			old = append(old, op)
		}
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	for _, ops := range [][]wire.OutPoint{ring, old} {
		rnd.Shuffle(len(ops), func(i, j int) { ops[i], ops[j] = ops[j], ops[i] })
	}
	return ring, old
}

func benchmarkFetch(b *testing.B, c *Cache, ops []wire.OutPoint, batch int) {
	tip, answers := tipOf(b, c), make([]Answer, batch)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if err := c.Fetch(tip.Hash, ops[i:i+batch], answers); err != nil {
			b.Fatal(err)
		}
		if answers[batch-1].State != Unspent {
			b.Fatalf("%s is %s", ops[i+batch-1], answers[batch-1].State)
		}
		if i += batch; i+batch > len(ops) {
			i = 0
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/coin")
}

func BenchmarkFetch(b *testing.B) {
	c, _, ring, old := filled(b)
	mixed := make([]wire.OutPoint, 0, 16_000)
	for i := range 8000 {
		mixed = append(mixed, ring[i], old[i])
	}
	b.Run("ring", func(b *testing.B) { benchmarkFetch(b, c, ring, 1) })
	b.Run("ristretto", func(b *testing.B) { benchmarkFetch(b, c, old, 1) })
	b.Run("batch8000", func(b *testing.B) { benchmarkFetch(b, c, mixed, 8000) })
}

// rival is what look-ups are measured against: a map of Go's own, and ristretto
// as it comes, both with the same coins.
type rival struct {
	plain     map[key]*Answer
	ristretto *ristretto.Cache[[]byte, *Answer]
}

func newRival(b *testing.B, c *Cache, ops []wire.OutPoint) *rival {
	r := &rival{plain: make(map[key]*Answer, len(ops))}
	var err error
	r.ristretto, err = ristretto.NewCache(&ristretto.Config[[]byte, *Answer]{
		NumCounters: 10 * int64(len(ops)), MaxCost: 1 << 40, BufferItems: 64, IgnoreInternalCost: true,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(r.ristretto.Close)
	for i, op := range ops {
		a, _ := c.Get(op)
		k := keyOf(&op)
		r.plain[k] = &a
		r.ristretto.Set(k[:], &a, 1)
		if i%8192 == 0 {
			r.ristretto.Wait()
		}
	}
	r.ristretto.Wait()
	return r
}

// Look-ups of 800,000 coins in a ring of 144 blocks and of 800,000 below it, in
// random order, beside the rivals: in turns, of which the medians are reported,
// and the ratio to the map.
func BenchmarkLookup(b *testing.B) {
	const blocks, few = 144, 8000
	c := newCache(b, Options{Blocks: blocks, Bytes: 1 << 30})
	c.Reset(Tip{}, true)
	w := new(workload)
	for range 2 * blocks {
		apply(b, c, w.block(tipOf(b, c), 2000, 1, 4))
	}
	ring, old := w.split(c)
	all := slices.Concat(ring, old)
	rand.New(rand.NewPCG(5, 6)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	r := newRival(b, c, all)
	v, tip, answers := c.view.Load(), tipOf(b, c), make([]Answer, few)
	runs := []struct {
		name string
		ops  []wire.OutPoint
		ask  func(ops []wire.OutPoint)
	}{
		{"map", all, func(ops []wire.OutPoint) {
			for i := range ops {
				k := keyOf(&ops[i])
				answers[i] = *r.plain[k]
			}
		}},
		{"ristretto-alone", all, func(ops []wire.OutPoint) {
			for i := range ops {
				k := keyOf(&ops[i])
				a, _ := r.ristretto.Get(k[:])
				answers[i] = *a
			}
		}},
		{"ring", ring, func(ops []wire.OutPoint) {
			for i := range ops {
				answers[i], _ = c.Get(ops[i])
			}
		}},
		{"ristretto-tier", old, func(ops []wire.OutPoint) {
			for i := range ops {
				answers[i], _ = c.Get(ops[i])
			}
		}},
		{"batch", all, func(ops []wire.OutPoint) {
			if err := c.Fetch(tip.Hash, ops, answers); err != nil {
				b.Fatal(err)
			}
		}},
		{"batch-cold-order", all, func(ops []wire.OutPoint) {
			for i := range ops {
				k := keyOf(&ops[i])
				answers[i] = v.look(&k).Answer
			}
		}},
	}
	took := make([][]float64, len(runs))
	rnd := rand.New(rand.NewPCG(7, 8))
	for b.Loop() {
		for i, run := range runs {
			at := rnd.IntN(len(run.ops) - few)
			start := time.Now()
			run.ask(run.ops[at : at+few])
			took[i] = append(took[i], float64(time.Since(start).Nanoseconds())/few)
		}
	}
	var anchor float64
	for i, run := range runs {
		slices.Sort(took[i])
		median := took[i][len(took[i])/2]
		if i == 0 {
			anchor = median
		}
		b.ReportMetric(median, run.name+"-ns")
		b.ReportMetric(median/anchor, run.name+"/map")
	}
	b.ReportMetric(0, "ns/op")
	b.Logf("%d coins in the ring, %d below it", len(ring), len(old))
}

// How many times as many look-ups two goroutines do as one does, in turns, beside
// how many times as many hashes, which share nothing: what the machine can give.
func BenchmarkCores(b *testing.B) {
	c, _, ring, old := filled(b)
	const few = 8000
	hash := func() {
		var k key
		for i := range few * 10 {
			k[0] = byte(i) ^ byte(c.hasher.of(&k))
		}
	}
	get := func(ops []wire.OutPoint) func() {
		return func() {
			at := rand.IntN(len(ops) - few)
			for _, op := range ops[at : at+few] {
				c.Get(op)
			}
		}
	}
	names, work := []string{"hashes", "ring", "ristretto"}, []func(){hash, get(ring), get(old)}
	ratios := make([][]float64, len(work))
	took := func(goroutines int, f func()) float64 {
		start := time.Now()
		var wg sync.WaitGroup
		for range goroutines {
			wg.Go(f)
		}
		wg.Wait()
		return float64(time.Since(start))
	}
	for b.Loop() {
		for i, f := range work {
			ratios[i] = append(ratios[i], 2*took(1, f)/took(2, f))
		}
	}
	for i, r := range ratios {
		slices.Sort(r)
		b.ReportMetric(r[len(r)/2], names[i]+"-x")
		b.ReportMetric(r[len(r)*9/10], names[i]+"-p90-x")
	}
	b.ReportMetric(0, "ns/op")
}

func BenchmarkGet(b *testing.B) {
	c, _, ring, old := filled(b)
	for name, ops := range map[string][]wire.OutPoint{"ring": ring, "ristretto": old} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := rand.IntN(len(ops)); pb.Next(); i++ {
					c.Get(ops[i%len(ops)])
				}
			})
		})
	}
}

// Blocks of 2,000 transactions, 4,000 inputs and 6,000 outputs, with a full
// ring: each also moves the survivors of the oldest block to ristretto.
func BenchmarkApply(b *testing.B) {
	c, w, _, _ := filled(b)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		block := w.block(tipOf(b, c), 2000, 2, 3)
		b.StartTimer()
		if err := c.Apply(block); err != nil {
			b.Fatal(err)
		}
	}
	if !c.Complete() {
		b.Error("ristretto lost coins")
	}
}

func BenchmarkDisconnect(b *testing.B) {
	c, w, _, _ := filled(b)
	b.ReportAllocs()
	block := w.block(tipOf(b, c), 2000, 2, 3)
	for b.Loop() {
		b.StopTimer()
		apply(b, c, block)
		b.StartTimer()
		if err := c.Disconnect(block.Tip); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBranch(b *testing.B) {
	c, w, _, _ := filled(b)
	fork := tipOf(b, c)
	apply(b, c, w.block(fork, 2000, 2, 3))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Branch(fork); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRemember8000(b *testing.B) {
	c := newCache(b, Options{})
	ops, coins := toldCoins(8000)
	for i := range coins {
		coins[i].Height = 0
	}
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		c.Reset(Tip{}, false)
		b.StartTimer()
		c.Remember(Tip{}.Hash, ops, coins, false)
	}
}
