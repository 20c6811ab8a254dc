package coins

import (
	"bytes"
	"encoding/binary"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/utxocache"
	"github.com/outrider-project/outrider/utxocache/coindb"
)

// seedOf returns the seed in UTXOCACHE_SEED, or a fresh one, and logs it.
func seedOf(t testing.TB) uint64 {
	seed := rand.Uint64()
	if s := os.Getenv("UTXOCACHE_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("UTXOCACHE_SEED=%d", seed)
	return seed
}

// A moment is a chain at one block, as the model has it: every coin.
type moment struct {
	tip   utxocache.Tip
	coins map[wire.OutPoint]utxocache.Coin
	block utxocache.Block // that led here
}

// A world drives a set and a plain model side by side.
type world struct {
	t     testing.TB
	rng   *rand.Rand
	cache *utxocache.Cache
	db    *coindb.DB
	set   *Set

	chain  []moment // ends with the cache's tip
	behind int      // blocks that the database does not have yet
	serial uint64

	mu    sync.Mutex // guards what follows, which readers use
	past  map[chainhash.Hash]*moment
	asked []wire.OutPoint
}

func newWorld(t testing.TB, rng *rand.Rand, ring int, bytes int64) *world {
	t.Helper()
	cache, err := utxocache.New(utxocache.Options{Blocks: ring, Bytes: bytes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cache.Close)
	db, err := coindb.Open(t.TempDir(), coindb.Options{MinFree: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &world{t: t, rng: rng, cache: cache, db: db, past: make(map[chainhash.Hash]*moment)}
	w.set = New(Options{Cache: cache, DB: db})
	w.push(moment{tip: utxocache.Tip{Hash: w.hash()}, coins: map[wire.OutPoint]utxocache.Coin{}})
	// The cache knows nothing of what there was before, as after a start.
	w.must(db.Reset(coindb.Tip(w.top().tip), true))
	for range ring {
		next := w.mine(w.top())
		w.must(db.Apply(dbBlock(&next)))
		w.push(next)
	}
	cache.Reset(w.top().tip, false)
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) top() *moment { return &w.chain[len(w.chain)-1] }

func (w *world) hash() (h chainhash.Hash) {
	w.serial++
	binary.BigEndian.PutUint64(h[:], w.serial)
	binary.BigEndian.PutUint64(h[8:], w.rng.Uint64())
	return h
}

// push makes m the model's tip, and its outpoints ones that readers ask for.
func (w *world) push(m moment) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.chain = append(w.chain, m)
	w.past[m.tip.Hash] = &m
	for i := range m.block.Txs {
		for n := range m.block.Txs[i].TxOut {
			w.asked = append(w.asked, wire.OutPoint{Hash: m.block.Txids[i], Index: uint32(n)})
		}
	}
}

// mine returns a block on top of prev that spends old coins, young ones and its
// own, and the model after it.
func (w *world) mine(prev *moment) moment {
	b := utxocache.Block{Tip: utxocache.Tip{Hash: w.hash(), Height: prev.tip.Height + 1}, Prev: prev.tip.Hash}
	next := moment{tip: b.Tip, coins: maps.Clone(prev.coins)}
	for i := range 1 + w.rng.IntN(8) {
		tx, txid := &wire.MsgTx{}, w.hash()
		if i == 0 {
			tx.AddTxIn(&wire.TxIn{PreviousOutPoint: wire.OutPoint{Index: math.MaxUint32}})
		}
		for range w.rng.IntN(4) {
			if op := w.pick(); i > 0 {
				if _, ok := next.coins[op]; ok {
					delete(next.coins, op)
					tx.AddTxIn(&wire.TxIn{PreviousOutPoint: op})
				}
			}
		}
		for n := range 1 + w.rng.IntN(3) {
			script := append([]byte{0x00, 0x14}, make([]byte, w.rng.IntN(30))...)
			if w.rng.IntN(10) == 0 {
				script = []byte{0x6a, 1, 2}
			}
			tx.AddTxOut(&wire.TxOut{Value: w.rng.Int64N(21e14), PkScript: script})
			if script[0] != 0x6a {
				next.coins[wire.OutPoint{Hash: txid, Index: uint32(n)}] = utxocache.Coin{
					Value: tx.TxOut[n].Value, Script: script, Height: b.Height, Coinbase: i == 0,
				}
			}
		}
		b.Txs, b.Txids = append(b.Txs, tx), append(b.Txids, txid)
	}
	next.block = b
	return next
}

// pick returns an outpoint that there was once, a recent one mostly, or was not.
func (w *world) pick() wire.OutPoint { return w.picks(w.rng, 1)[0] }

// picks returns n of them. It is safe for concurrent use, with other generators.
func (w *world) picks(rng *rand.Rand, n int) []wire.OutPoint {
	w.mu.Lock()
	asked := w.asked
	w.mu.Unlock()
	ops := make([]wire.OutPoint, n)
	for i := range ops {
		if len(asked) == 0 || rng.IntN(50) == 0 {
			ops[i] = wire.OutPoint{Hash: chainhash.Hash{byte(rng.Uint32())}, Index: 7}
			continue
		}
		reach := len(asked)
		if rng.IntN(3) > 0 {
			reach = min(reach, 60)
		}
		ops[i] = asked[len(asked)-1-rng.IntN(reach)]
	}
	return ops
}

func dbBlock(m *moment) *coindb.Block {
	return coindb.NewBlock(coindb.Tip(m.tip), m.block.Prev, m.block.Txids, m.block.Txs)
}

// check returns false, having said what is wrong, unless the answers are the
// model's.
func check(t testing.TB, m *moment, ops []wire.OutPoint, answers []utxocache.Answer) bool {
	t.Helper()
	for i, op := range ops {
		a := answers[i]
		coin, unspent := m.coins[op]
		want := utxocache.Absent
		if unspent {
			want = utxocache.Unspent
		}
		if a.State != want || unspent && !equalCoin(a.Coin, coin) {
			t.Errorf("at %s: %s is %+v, must be %s, %+v", m.tip, op, a, want, coin)
			return false
		}
	}
	return true
}

func equalCoin(a, b utxocache.Coin) bool {
	return a.Value == b.Value && a.Height == b.Height && a.Coinbase == b.Coinbase && bytes.Equal(a.Script, b.Script)
}

// apply gives the cache a block; the database gets it later.
func (w *world) apply() {
	next := w.mine(w.top())
	w.push(next) // before a reader can see it
	w.must(w.cache.Apply(next.block))
	w.behind++
}

// settle gives the database a block that the cache has.
func (w *world) settle() {
	if w.behind > 0 {
		w.must(w.db.Apply(dbBlock(&w.chain[len(w.chain)-w.behind])))
		w.behind--
	}
}

// disconnect takes the last block off, as one that was judged or as one that was
// not.
func (w *world) disconnect() {
	tip := w.top().tip
	if w.behind > 0 {
		w.behind--
		w.must(w.cache.Withdraw(tip))
	} else {
		w.must(w.db.Undo(coindb.Tip(tip)))
		w.must(w.cache.Disconnect(tip))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.chain = slices.Delete(w.chain, len(w.chain)-1, len(w.chain))
}

// branch follows a branch beside the model for some blocks.
func (w *world) branch(depth int) {
	for w.behind > 0 {
		w.settle()
	}
	m := w.chain[len(w.chain)-1-depth]
	b, err := w.set.Branch(m.tip)
	w.must(err)
	for range 3 {
		ops := w.picks(w.rng, 20)
		for op := range w.top().coins { // some that the chain has and the branch may not
			if ops = append(ops, op); len(ops) == 40 {
				break
			}
		}
		for op := range m.coins {
			if ops = append(ops, op); len(ops) == 60 {
				break
			}
		}
		answers := make([]utxocache.Answer, len(ops))
		w.must(b.Fetch(ops, answers))
		check(w.t, &m, ops, answers)
		m = w.mine(&m)
		w.must(b.Apply(m.block))
	}
	w.must(b.Close())
}
