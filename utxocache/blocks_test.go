package utxocache

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/perfcore"
)

func hashOf(n uint64) chainhash.Hash {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], n)
	return chainhash.HashH(b[:])
}

const (
	// coinsPerPage is how many coins with scripts of up to 20 bytes a page of
	// the smallest size has, and onePage what it takes.
	coinsPerPage = smallestPage / place
	onePage      = smallestPage + coinsPerPage*(4+indexBytes) + pageOverhead
)

// inRing returns what the ring of v says, by going through its blocks.
func inRing(v *view) map[key]Answer {
	known := make(map[key]Answer)
	for _, d := range v.ring {
		for _, l := range []*layer{d.layer, d.carried} {
			if l == nil {
				continue
			}
			for i := range l.entries {
				known[l.entries[i].key] = l.answer(&l.entries[i])
			}
		}
	}
	return known
}

// newCache returns a cache that the test closes.
func newCache(t testing.TB, opts Options) *Cache {
	t.Helper()
	c, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func tipOf(t testing.TB, c *Cache) Tip {
	t.Helper()
	tip, ok := c.Tip()
	if !ok {
		t.Fatal("the cache stands at no tip")
	}
	return tip
}

func apply(t testing.TB, c *Cache, b Block) {
	t.Helper()
	if err := c.Apply(b); err != nil {
		t.Fatal(err)
	}
}

func disconnect(t testing.TB, c *Cache) {
	t.Helper()
	if err := c.Disconnect(tipOf(t, c)); err != nil {
		t.Fatal(err)
	}
}

// want checks op's answer.
func want(t testing.TB, c *Cache, op wire.OutPoint, state State, own bool) {
	t.Helper()
	if a, _ := c.Get(op); a.State != state || a.Own != own {
		t.Errorf("%s is %s, own %t; must be %s, own %t", op, a.State, a.Own, state, own)
	}
}

// A testTx is a transaction by its id, what it spends, and the scripts of its
// outputs, whose values are their indexes plus one.
type testTx struct {
	id      uint64
	spends  []wire.OutPoint
	scripts [][]byte
}

// outs returns n scripts.
func outs(n int) [][]byte { return slices.Repeat([][]byte{{0x51}}, n) }

// out returns the outpoint of an output of the testTx id.
func out(id uint64, index uint32) wire.OutPoint { return wire.OutPoint{Hash: hashOf(id), Index: index} }

// blockOn returns a block on top of prev; its hash tells it from others with
// other serials.
func blockOn(prev Tip, serial uint64, txs ...testTx) Block {
	b := Block{Tip: Tip{Hash: hashOf(serial<<32 | uint64(prev.Height)), Height: prev.Height + 1}, Prev: prev.Hash}
	for _, tx := range txs {
		msg := new(wire.MsgTx)
		for _, op := range tx.spends {
			msg.AddTxIn(&wire.TxIn{PreviousOutPoint: op})
		}
		for i, script := range tx.scripts {
			msg.AddTxOut(&wire.TxOut{Value: int64(i) + 1, PkScript: script})
		}
		b.Txs, b.Txids = append(b.Txs, msg), append(b.Txids, hashOf(tx.id))
	}
	return b
}

// A workload makes blocks that spend the coins of the blocks before them: half
// of them young, as on mainnet.
type workload struct {
	rnd    *rand.Rand
	serial uint64
	coins  []wire.OutPoint
}

// block returns a block of txs transactions with ins inputs and outs outputs.
func (w *workload) block(prev Tip, txs, ins, outs int) Block {
	if w.rnd == nil {
		w.rnd = rand.New(rand.NewPCG(1, 2))
	}
	w.serial++
	b := Block{Tip: Tip{Hash: hashOf(w.serial), Height: prev.Height + 1}, Prev: prev.Hash}
	for i := range txs {
		w.serial++
		tx, txid := new(wire.MsgTx), hashOf(w.serial)
		for range ins {
			if i > 0 && len(w.coins) > 0 {
				tx.AddTxIn(&wire.TxIn{PreviousOutPoint: w.take()})
			}
		}
		for n := range outs {
			tx.AddTxOut(&wire.TxOut{Value: int64(w.serial), PkScript: make([]byte, 22)})
			w.coins = append(w.coins, wire.OutPoint{Hash: txid, Index: uint32(n)})
		}
		b.Txs, b.Txids = append(b.Txs, tx), append(b.Txids, txid)
	}
	return b
}

func (w *workload) take() wire.OutPoint {
	i := w.rnd.IntN(len(w.coins))
	if w.rnd.IntN(2) == 0 {
		i = max(len(w.coins)-1-w.rnd.IntN(5000), 0)
	}
	op := w.coins[i]
	last := len(w.coins) - 1
	w.coins[i] = w.coins[last]
	w.coins = w.coins[:last]
	return op
}

// drop frees what the workload holds.
func (w *workload) drop() { w.coins = nil }

// metric returns a series by its name and the value of its label.
func metric(t testing.TB, reg *perfcore.Registry, name, value string) perfcore.Series {
	t.Helper()
	for _, s := range reg.Series() {
		if s.Metric.Name == name && (value == "" || slices.Contains(s.Metric.Labels, value)) {
			return s
		}
	}
	t.Fatalf("no metric %s %s", name, value)
	return perfcore.Series{}
}
