package coins

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/utxocache"
)

// Random blocks, reorganisations and branches, with a database that is some
// blocks behind: every answer is the model's, and none is Unknown.
func TestModel(t *testing.T) {
	steps := 3000
	if testing.Short() {
		steps = 500
	}
	const ring = 12
	w := newWorld(t, rand.New(rand.NewPCG(seedOf(t), 0)), ring, 64<<10)
	applied := 0 // blocks that the cache can undo
	for range steps {
		switch n := w.rng.IntN(20); {
		case n < 4:
			if w.behind < ring-2 {
				w.apply()
				applied = min(applied+1, ring)
			}
		case n < 8:
			w.settle()
		case n == 8:
			for range min(w.rng.IntN(5), applied) {
				w.disconnect()
				applied--
			}
		case n == 9:
			w.branch(w.rng.IntN(applied + 1))
		default:
			ops := w.picks(w.rng, 1+w.rng.IntN(30))
			answers := make([]utxocache.Answer, len(ops))
			fetch := w.set.Fetch
			if n == 10 {
				fetch = w.set.Prefetch
			}
			w.must(fetch(w.top().tip.Hash, ops, answers))
			check(t, w.top(), ops, answers)
			a, tip, err := w.set.Get(t.Context(), ops[0])
			w.must(err)
			if tip != w.top().tip {
				t.Errorf("answered as of %s, must be %s", tip, w.top().tip)
			}
			check(t, w.top(), ops[:1], []utxocache.Answer{a})
		}
		if t.Failed() {
			return
		}
	}
}

// While blocks come and go, readers see one tip in each batch, and no coin of
// another.
func TestReaders(t *testing.T) {
	steps := 600
	if testing.Short() {
		steps = 150
	}
	const ring = 12
	seed := seedOf(t)
	w := newWorld(t, rand.New(rand.NewPCG(seed, 0)), ring, 64<<10)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	var mu sync.Mutex // guards batches
	batches := 0
	for i := range uint64(3) {
		rng := rand.New(rand.NewPCG(seed, 1+i))
		readers.Go(func() {
			for answers := make([]utxocache.Answer, 40); ; {
				select {
				case <-stop:
					return
				default:
				}
				ops := w.picks(rng, len(answers))
				tip, _ := w.cache.Tip()
				err := w.set.Fetch(tip.Hash, ops, answers)
				if errors.Is(err, utxocache.ErrTip) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				w.mu.Lock()
				m := w.past[tip.Hash]
				w.mu.Unlock()
				if !check(t, m, ops, answers) {
					return
				}
				a, tip, err := w.set.Get(t.Context(), ops[0])
				if err != nil {
					t.Error(err)
					return
				}
				w.mu.Lock()
				m = w.past[tip.Hash]
				w.mu.Unlock()
				if !check(t, m, ops[:1], []utxocache.Answer{a}) {
					return
				}
				mu.Lock()
				batches++
				mu.Unlock()
			}
		})
	}
	applied := 0
	for range steps {
		switch n := w.rng.IntN(8); {
		case n < 4 && w.behind < ring-2:
			w.apply()
			applied = min(applied+1, ring)
		case n < 7:
			w.settle()
		default:
			for range min(w.rng.IntN(3), applied) {
				w.disconnect()
				applied--
			}
		}
	}
	close(stop)
	readers.Wait()
	if batches == 0 {
		t.Error("no reader read anything")
	}
	t.Logf("%d batches", batches)
}

// The origin is asked for what nobody else knows, counts only as of the same tip,
// and is remembered.
func TestOrigin(t *testing.T) {
	cache, err := utxocache.New(utxocache.Options{Blocks: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cache.Close)
	tip := utxocache.Tip{Hash: chainhash.Hash{1}, Height: 9}
	cache.Reset(tip, false)
	there, gone := wire.OutPoint{Hash: chainhash.Hash{2}}, wire.OutPoint{Hash: chainhash.Hash{3}}
	coin := utxocache.Coin{Value: 5, Script: []byte{0x51}, Height: 3}
	at, calls, trouble := tip, 0, error(nil)
	set := New(Options{Cache: cache, Origin: func(_ context.Context, ops []wire.OutPoint, answers []utxocache.Answer) (utxocache.Tip, error) {
		calls++
		for i, op := range ops {
			answers[i] = utxocache.Answer{State: utxocache.Absent}
			if op == there {
				answers[i] = utxocache.Answer{State: utxocache.Unspent, Coin: coin}
			}
		}
		return at, trouble
	}})
	get := func(op wire.OutPoint) (utxocache.Answer, error) {
		a, got, err := set.Get(t.Context(), op)
		if err == nil && got != tip {
			t.Errorf("answered as of %s, must be %s", got, tip)
		}
		return a, err
	}
	if a, err := get(there); err != nil || a.State != utxocache.Unspent || a.Own || !equalCoin(a.Coin, coin) {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := get(there); err != nil || a.State != utxocache.Unspent || calls != 1 {
		t.Errorf("asked %d times, want once: %+v, %v", calls, a, err)
	}
	if a, err := get(gone); err != nil || a.State != utxocache.Absent || a.Own {
		t.Errorf("%+v, %v", a, err)
	}
	calls = 0
	if _, err := get(gone); err != nil || calls != 1 {
		t.Errorf("that there is no coin must not be remembered: asked %d times, %v", calls, err)
	}
	at.Height++
	set.meetings = 3
	if _, err := get(gone); !errors.Is(err, ErrApart) {
		t.Errorf("the node is at another tip: %v", err)
	}
	trouble = errors.New("no answer")
	if _, err := get(gone); !errors.Is(err, trouble) {
		t.Errorf("got %v, want %v", err, trouble)
	}
	set = New(Options{Cache: cache})
	if _, _, err := set.Get(t.Context(), gone); !errors.Is(err, ErrUnknown) {
		t.Errorf("nobody to ask: %v", err)
	}
}

// A database that is somewhere else is not believed.
func TestApart(t *testing.T) {
	w := newWorld(t, rand.New(rand.NewPCG(seedOf(t), 0)), 4, 64<<10)
	w.apply()
	w.cache.Reset(w.top().tip, false) // the database is one block behind, and the ring is empty
	w.set.meetings = 3
	ops, answers := w.picks(w.rng, 10), make([]utxocache.Answer, 10)
	if err := w.set.Fetch(w.top().tip.Hash, ops, answers); !errors.Is(err, ErrApart) {
		t.Errorf("Fetch: %v", err)
	}
	if _, _, err := w.set.Get(t.Context(), ops[0]); !errors.Is(err, ErrApart) {
		t.Errorf("Get: %v", err)
	}
	if _, err := w.set.Branch(w.top().tip); !errors.Is(err, ErrApart) {
		t.Errorf("Branch: %v", err)
	}
	w.settle()
	w.must(w.set.Fetch(w.top().tip.Hash, ops, answers))
	check(t, w.top(), ops, answers)
	if err := w.set.Fetch(chainhash.Hash{9}, ops, answers); !errors.Is(err, utxocache.ErrTip) {
		t.Errorf("Fetch as of another tip: %v", err)
	}
	w.set.DropDB()
	w.must(w.set.Fetch(w.top().tip.Hash, ops, answers))
	for i, a := range answers {
		if a.State != utxocache.Unknown || w.set.HasDB() {
			t.Errorf("%s is %s without the database", ops[i], a.State)
		}
	}
}
