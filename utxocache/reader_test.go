package utxocache

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

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
	t.Run("room for all", func(t *testing.T) { testReaders(t, 0) })
	t.Run("room for ten", func(t *testing.T) { testReaders(t, 10*(entryBytes+recordBytes+8)) })
}

func testReaders(t *testing.T, budget int64) {
	mustKnow := budget == 0
	seed := seedOf(t)
	t.Logf("UTXOCACHE_SEED=%d", seed)
	rnd := rand.New(rand.NewPCG(seed, 2))
	c := newCache(t, Options{Blocks: 4, Bytes: budget})
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
	for steps := 0; steps < 250 || fetched.Load() < 100 || branched.Load() < 100; steps++ {
		tip := tipOf(t, c)
		if tip.Height == heirlooms-3 || tip.Height > 8 && rnd.IntN(4) == 0 {
			for range 1 + rnd.IntN(len(c.ring)-1) {
				disconnect(t, c)
			}
		}
		serial++
		apply(t, c, readerBlock(tipOf(t, c), serial))
		runtime.Gosched()
	}
	done.Store(true)
	readers.Wait()
	t.Logf("%d blocks, %d batches, %d of branches", serial, fetched.Load(), branched.Load())
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
