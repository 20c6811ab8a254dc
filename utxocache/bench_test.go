package utxocache

import (
	"math/rand/v2"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"
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
	for _, op := range w.coins {
		switch _, found := c.look(op); found {
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
	if len(ring) < 8000 || len(old) < 8000 {
		b.Fatalf("%d coins in the ring, %d in ristretto", len(ring), len(old))
	}
	return c, w, ring, old
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
	ops, coins := make([]wire.OutPoint, 8000), make([]Coin, 8000)
	for i, r := range records(8000) {
		ops[i], coins[i] = r.op, r.coin
		coins[i].Height = 0
	}
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		c.Reset(Tip{}, false)
		b.StartTimer()
		c.Remember(Tip{}.Hash, ops, coins)
	}
}
