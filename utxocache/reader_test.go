package utxocache

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/btcsuite/btcd/wire/v2"
)

// heirlooms are coins that the first block creates. The block at height h
// spends the h-th, long after it left the ring, and the coin of the block
// before it; it creates one of its own. So a tip alone says what is unspent.
const heirlooms = 200

// readerBlock returns a block as heirlooms has it.
func readerBlock(prev Tip, serial uint64) Block {
	b := blockOn(prev, serial, testTx{scripts: outs(1)})
	b.Txids[0] = b.Hash
	if prev.Height > 0 {
		b.Txs = append(b.Txs, &wire.MsgTx{TxIn: []*wire.TxIn{
			{PreviousOutPoint: wire.OutPoint{Hash: prev.Hash}},
			{PreviousOutPoint: out(1, b.Height)},
		}})
		b.Txids = append(b.Txids, hashOf(serial<<32|1<<31))
	} else {
		b.Txs = append(b.Txs, blockOn(prev, serial, testTx{id: 1, scripts: outs(heirlooms)}).Txs...)
		b.Txids = append(b.Txids, hashOf(1))
	}
	return b
}

// questions are what readers ask as of tip: an answer of another tip differs
// in one place at least.
func questions(tip Tip) []wire.OutPoint {
	ops := make([]wire.OutPoint, 0, heirlooms+1)
	for i := range uint32(heirlooms) {
		ops = append(ops, out(1, i))
	}
	return append(ops, wire.OutPoint{Hash: tip.Hash})
}

func wantAnswers(t *testing.T, tip Tip, mustKnow bool, answers []Answer) {
	t.Helper()
	for i, a := range answers {
		unspent := i >= heirlooms || i < 2 || i > int(tip.Height)
		if a.State == Unknown && !mustKnow {
			continue
		}
		if unspent != (a.State == Unspent) || a.State == Unknown {
			t.Errorf("as of %s: answer %d is %s", tip, i, a.State)
			return
		}
	}
}

func TestReadersSeeOneTip(t *testing.T) {
	t.Run("room for all", func(t *testing.T) { testReaders(t, Options{Blocks: 4}) })
	t.Run("room for ten", func(t *testing.T) { testReaders(t, Options{Blocks: 4, Bytes: 3 * onePage}) })
	t.Run("one budget", func(t *testing.T) { testReaders(t, Options{Blocks: 4, Budget: 20_000}) })
}

func testReaders(t *testing.T, opts Options) {
	mustKnow := opts.Bytes == 0 && opts.Budget == 0
	seed := seedOf(t)
	t.Logf("UTXOCACHE_SEED=%d", seed)
	rnd := rand.New(rand.NewPCG(seed, 2))
	c := newCache(t, opts)
	c.Reset(Tip{Hash: hashOf(0)}, true)
	serial := uint64(1)
	apply(t, c, readerBlock(tipOf(t, c), serial))

	var done atomic.Bool
	var fetched, branched atomic.Int64
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			answers := make([]Answer, heirlooms+1)
			for !done.Load() {
				tip := tipOf(t, c)
				switch err := c.Fetch(tip.Hash, questions(tip), answers); {
				case err == nil:
					wantAnswers(t, tip, mustKnow, answers)
					fetched.Add(1)
				case !errors.Is(err, ErrTip):
					t.Error(err)
				}
				if readBranch(t, c, tip, mustKnow) {
					branched.Add(1)
				}
				if a, at := c.Get(wire.OutPoint{Hash: tip.Hash}); at == tip && a.State != Unspent {
					t.Errorf("as of %s: its coin is %s", tip, a.State)
				}
			}
		})
	}
	// This one is slow: it asks a view while the tip moves on and pages go.
	var stale atomic.Int64
	readers.Go(func() {
		for !done.Load() {
			v := c.view.Load()
			tip, _ := v.tip()
			for range 20 {
				answers := make([]Answer, heirlooms+1)
				v.lookAll(questions(tip), answers, &c.perf)
				wantAnswers(t, tip, v.complete, answers)
				if c.view.Load() != v {
					stale.Add(1)
				}
				runtime.Gosched()
			}
		}
	})
	for steps := 0; steps < 250 || stale.Load() < 100 || fetched.Load() < 100 || branched.Load() < 100; steps++ {
		tip := tipOf(t, c)
		if tip.Height == heirlooms-3 || tip.Height > 8 && rnd.IntN(4) == 0 {
			for range 1 + rnd.IntN(len(c.view.Load().ring)-1) {
				disconnect(t, c)
			}
		}
		serial++
		apply(t, c, readerBlock(tipOf(t, c), serial))
		if rnd.IntN(10) == 0 {
			resizeAndTell(t, c, rnd, opts)
		}
		runtime.Gosched()
	}
	done.Store(true)
	readers.Wait()
	t.Logf("%d blocks, %d batches, %d of branches, %d of stale views", serial, fetched.Load(), branched.Load(), stale.Load())
}

// resizeAndTell changes how much c holds, and tells it of coins again that it
// lost: so that coins move, and new pages take the places of others.
func resizeAndTell(t *testing.T, c *Cache, rnd *rand.Rand, opts Options) {
	t.Helper()
	if err := c.setBlocks(1 + rnd.IntN(8)); err != nil {
		t.Error(err)
	}
	var err error
	switch {
	case opts.Budget > 0:
		err = c.SetBudget(opts.Budget << rnd.IntN(3))
	case opts.Bytes > 0:
		err = c.setBytes(opts.Bytes << rnd.IntN(3))
	default:
		return
	}
	if err != nil {
		t.Error(err)
	}
	tip := tipOf(t, c)
	ops, coins := make([]wire.OutPoint, 0, heirlooms), make([]Coin, 0, heirlooms)
	for i := range uint32(heirlooms) {
		if i < 2 || i > tip.Height {
			ops, coins = append(ops, out(1, i)), append(coins, Coin{Value: int64(i) + 1, Script: []byte{0x51}, Height: 1})
		}
	}
	c.Remember(tip.Hash, ops, coins, false)
}

// Readers neither wait for a change that is being made, nor allocate.
func TestReadersWaitForNobody(t *testing.T) {
	c := newCache(t, Options{Blocks: 2})
	c.Reset(Tip{Hash: hashOf(100)}, true)
	for i := range uint64(6) {
		apply(t, c, blockOn(tipOf(t, c), 1, testTx{id: i, scripts: outs(40)}))
	}
	tip := tipOf(t, c)
	var ops []wire.OutPoint
	for i := range uint64(7) {
		for n := range uint32(40) {
			ops = append(ops, out(i, n))
		}
	}
	answers := make([]Answer, len(ops))

	c.mu.Lock() // as a change does
	defer c.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Complete()
		if at, ok := c.Tip(); !ok || at != tip {
			t.Errorf("the cache stands at %s", at)
		}
		b, err := c.Branch(tip)
		if err == nil {
			err = b.Apply(blockOn(tip, 2, testTx{id: 50}, testTx{id: 51, spends: ops[:1]}))
		}
		if err == nil {
			err = b.Fetch(ops, answers)
		}
		if err != nil || answers[0].State != Absent {
			t.Errorf("a branch: %v, and a coin that it spent is %s", err, answers[0].State)
		}
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("a reader waits for a change")
	}
	allocs := testing.AllocsPerRun(100, func() {
		if err := c.Fetch(tip.Hash, ops, answers); err != nil {
			t.Error(err)
		}
		for i := range ops {
			if a, _ := c.Get(ops[i]); a.State != answers[i].State || (a.State == Unspent) != (i < 240) {
				t.Fatalf("%s is %s, and was %s", ops[i], a.State, answers[i].State)
			}
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations for %d look-ups", allocs, 2*len(ops))
	}
}

// A reader may be at it while the cache is closed or reset: it then gets what
// was right, or Unknown.
func TestReadersBesideReset(t *testing.T) {
	c := newCache(t, Options{Blocks: 1})
	c.Reset(Tip{Hash: hashOf(0)}, true)
	apply(t, c, readerBlock(tipOf(t, c), 1))
	var done atomic.Bool
	var found, unknown atomic.Int64
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for i := uint32(0); !done.Load(); i++ {
				switch a, tip := c.Get(out(1, 100+i%100)); {
				case a.State == Unspent && a.Coin.Value == int64(101+i%100):
					found.Add(1)
				case a.State == Unknown && tip == Tip{}, a.State == Absent && tip.Hash == hashOf(0):
					unknown.Add(1)
				default:
					t.Errorf("as of %s: %+v", tip, a)
					return
				}
			}
		})
	}
	for serial := uint64(2); found.Load() < 1000 || unknown.Load() < 100; serial++ {
		c.Reset(Tip{Hash: hashOf(0)}, true)
		runtime.Gosched()
		for range 4 {
			apply(t, c, readerBlock(tipOf(t, c), serial))
			runtime.Gosched()
		}
		if t.Failed() {
			break
		}
	}
	c.Close()
	want(t, c, out(1, 100), Unknown, false)
	done.Store(true)
	readers.Wait()
}

// readBranch asks a branch at tip as a reader, and reports whether the cache
// stood still meanwhile.
func readBranch(t *testing.T, c *Cache, tip Tip, mustKnow bool) bool {
	t.Helper()
	b, err := c.Branch(tip)
	if err == nil {
		next := readerBlock(tip, 1<<30)
		err = b.Apply(next)
		tip = next.Tip
	}
	answers := make([]Answer, heirlooms+1)
	if err == nil {
		err = b.Fetch(questions(tip), answers)
	}
	if err == nil {
		wantAnswers(t, tip, mustKnow, answers)
		return true
	}
	if !errors.Is(err, ErrTip) && !errors.Is(err, ErrTooDeep) {
		t.Error(err)
	}
	return false
}
