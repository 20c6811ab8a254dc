package utxocache

import (
	"bytes"
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// A source makes the choices of a run: a random generator, or a fuzzer's bytes.
type source interface{ IntN(n int) int }

// A moment is the chain at one block, as the model has it: every coin.
type moment struct {
	tip   Tip
	coins map[wire.OutPoint]Coin
	// block led here; touched are the outpoints that it changed, and before
	// what the cache said of them then.
	block   Block
	touched []wire.OutPoint
	created map[wire.OutPoint]bool
	before  []Answer
}

// A world drives a cache and a plain model side by side.
type world struct {
	t     testing.TB
	src   source
	cache *Cache
	// chain ends with the tip; what is below the ring is kept for a while.
	chain []moment
	// base is the height at which the cache was last reset; ring is how many
	// blocks it must be able to disconnect.
	base uint32
	ring int
	// mustKnow says that no answer may be Unknown, and that the cache is never
	// reset.
	mustKnow bool

	// size is how much the cache may hold at most, and at first.
	size Options
	// past are views that were taken earlier.
	past []pastView

	told      map[telling]bool // by the node, since the last reset
	serial    uint64
	asked     []wire.OutPoint // what may be asked for, the newest last
	coinbases []chainhash.Hash
	// calls are those of the cache's methods, of which some applied and disconnected
	// blocks.
	calls, applied, disconnected int
	answers                      [3]int
}

// A telling is the node's word for a coin. The outpoint alone does not name it:
// BIP30's exceptions put another coin in its place, which their disconnection
// takes away again.
type telling struct {
	op     wire.OutPoint
	height uint32
}

// A pastView is a view and what it must be right about.
type pastView struct {
	view   *view
	moment moment
	base   uint32
	told   map[telling]bool
	lost   bool
}

type worldOptions struct {
	Options
	genesis, mustKnow bool
	mask              uint64
}

func newWorld(t testing.TB, src source, opts worldOptions) *world {
	cache, err := New(opts.Options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cache.Close)
	if opts.mask != 0 {
		cache.hasher.mask = opts.mask
	}
	w := &world{t: t, src: src, cache: cache, mustKnow: opts.mustKnow, size: opts.Options}
	w.chain = []moment{{tip: Tip{Hash: w.hash()}, coins: map[wire.OutPoint]Coin{}}}
	if !opts.genesis {
		for range 30 {
			w.chain = append(w.chain, w.mine(w.top(), false))
		}
	}
	w.reset(opts.genesis)
	return w
}

func (w *world) top() *moment       { return &w.chain[len(w.chain)-1] }
func (w *world) chance(in int) bool { return w.src.IntN(in) == 0 }

// hash returns one that was never seen.
func (w *world) hash() chainhash.Hash {
	w.serial++
	return hashOf(w.serial)
}

func (w *world) reset(genesis bool) {
	w.cache.Reset(w.top().tip, genesis)
	w.base, w.ring, w.told = w.top().tip.Height, 0, make(map[telling]bool)
}

// pick returns an outpoint to ask for or to spend, a recent one mostly.
func (w *world) pick() wire.OutPoint {
	if len(w.asked) == 0 || w.chance(50) {
		return wire.OutPoint{Hash: w.hash(), Index: uint32(w.src.IntN(3))}
	}
	reach := len(w.asked)
	if !w.chance(3) {
		reach = min(reach, 100)
	}
	return w.asked[len(w.asked)-1-w.src.IntN(reach)]
}

func (w *world) picks(n int) []wire.OutPoint {
	ops := make([]wire.OutPoint, n)
	for i := range ops {
		ops[i] = w.pick()
	}
	return ops
}

var (
	largestScript  = bytes.Repeat([]byte{0x51}, maxScriptSize)
	tooLargeScript = bytes.Repeat([]byte{0x51}, maxScriptSize+1)
)

func (w *world) script() []byte {
	switch w.src.IntN(40) {
	case 0:
		return largestScript
	case 1:
		return tooLargeScript
	case 2, 3, 4:
		return []byte{opReturn, 1, byte(w.serial)}
	case 5:
		return nil
	default:
		return append([]byte{0x00, 0x14, opReturn}, make([]byte, w.src.IntN(30))...)
	}
}

// mine returns a block on top of prev, and the model after it. Where the cache
// may not know all, only the blocks that BIP30 exempts overwrite coins, which
// is what the cache relies on.
func (w *world) mine(prev *moment, complete bool) moment {
	b := Block{Tip: Tip{Hash: w.hash(), Height: prev.tip.Height + 1}, Prev: prev.tip.Hash}
	next := moment{tip: b.Tip, coins: maps.Clone(prev.coins), created: make(map[wire.OutPoint]bool)}
	repeat, free := w.repeatHash()
	for i := range 1 + w.src.IntN(6) {
		tx, txid := &wire.MsgTx{}, w.hash()
		if i == 0 && len(w.coinbases) > 0 && w.chance(6) {
			txid = w.coinbases[w.src.IntN(len(w.coinbases))]
		} else if i == 0 {
			w.coinbases = append(w.coinbases, txid)
		}
		if i == 0 {
			tx.AddTxIn(&wire.TxIn{PreviousOutPoint: wire.OutPoint{Index: math.MaxUint32}})
		} else {
			next.spendSome(w, tx)
		}
		for range 1 + w.src.IntN(3) {
			tx.AddTxOut(&wire.TxOut{Value: int64(w.serial), PkScript: w.script()})
		}
		if next.overwrites(tx, txid) && !complete {
			if !free || i != 0 {
				txid = w.hash()
			} else {
				b.Hash, next.tip.Hash = repeat, repeat
			}
		}
		next.create(w, tx, txid, i == 0)
		b.Txs, b.Txids = append(b.Txs, tx), append(b.Txids, txid)
	}
	next.block = b
	return next
}

// repeatHash returns the hash of a block that BIP30 exempts, if one is not in
// the chain.
func (w *world) repeatHash() (chainhash.Hash, bool) {
	for _, s := range []string{
		"00000000000a4d0a398161ffc163c503763b1f4360639393e0e4c8e300e0caec",
		"00000000000743f190a18c5577a3c2d2a1f610ae9601ac046a38084ccb7cd721",
	} {
		hash, err := chainhash.NewHashFromStr(s)
		if err != nil {
			w.t.Fatal(err)
		}
		if !slices.ContainsFunc(w.chain, func(m moment) bool { return m.tip.Hash == *hash }) {
			return *hash, true
		}
	}
	return chainhash.Hash{}, false
}

// spendSome gives tx inputs that spend coins, more where there are many.
func (m *moment) spendSome(w *world, tx *wire.MsgTx) {
	want := 1 + w.src.IntN(3)
	if len(m.coins) > 400 {
		want += 3
	}
	for range 4 * want {
		op := w.pick()
		if _, ok := m.coins[op]; ok && len(tx.TxIn) < want {
			delete(m.coins, op)
			m.touched = append(m.touched, op)
			tx.AddTxIn(&wire.TxIn{PreviousOutPoint: op})
		}
	}
}

func (m *moment) overwrites(tx *wire.MsgTx, txid chainhash.Hash) bool {
	for i := range tx.TxOut {
		if _, ok := m.coins[wire.OutPoint{Hash: txid, Index: uint32(i)}]; ok {
			return true
		}
	}
	return false
}

func (m *moment) create(w *world, tx *wire.MsgTx, txid chainhash.Hash, coinbase bool) {
	for i, out := range tx.TxOut {
		op := wire.OutPoint{Hash: txid, Index: uint32(i)}
		w.asked = append(w.asked, op)
		if len(out.PkScript) > 0 && out.PkScript[0] == opReturn || len(out.PkScript) > 10_000 {
			continue
		}
		m.coins[op] = Coin{Value: out.Value, Script: out.PkScript, Height: m.tip.Height, Coinbase: coinbase}
		m.touched = append(m.touched, op)
		m.created[op] = true
	}
	if len(w.asked) > 3000 {
		w.asked = slices.Delete(w.asked, 0, 1000)
	}
	if len(w.coinbases) > 40 {
		w.coinbases = slices.Delete(w.coinbases, 0, 20)
	}
}
