package coindb

import (
	"errors"
	"sync"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Look-ups of one tip use an iterator one after the other. None that has failed, or is of tables
// that are gone, is used again, and none is left once the tip has changed.
func TestIteratorsAreLeft(t *testing.T) {
	c := newChain(seedOf(t))
	d := mustOpen(t, vfs.NewMem(), Options{})
	must(t, d.Reset(c.top().tip, true))
	for range 20 {
		must(t, d.Apply(c.mine()))
	}
	v, err := d.View()
	must(t, err)
	t.Cleanup(func() { // the database cannot be closed before
		if v.snapshot != nil {
			must(t, v.Close())
		}
	})
	var ops []wire.OutPoint
	for op := range c.top().coins {
		ops = append(ops, op)
	}
	look := func() {
		t.Helper()
		for _, op := range append(ops, wire.OutPoint{Index: 7}) {
			var answers [1]Answer
			must(t, v.GetBatch([]wire.OutPoint{op}, answers[:]))
			if want, ok := c.top().coins[op]; answers[0].Found != ok || ok && !equalCoin(answers[0].Coin, want) {
				t.Fatalf("%s is %+v, want %+v, %t", op, answers[0], want, ok)
			}
		}
	}
	left := func() opened {
		t.Helper()
		if n := len(v.snapshot.idle); n != 1 {
			t.Fatalf("%d iterators are left, want the one", n)
		}
		return v.snapshot.idle[0]
	}
	look()
	first := left()
	look()
	if left() != first {
		t.Error("a look-up has opened another iterator")
	}
	must(t, d.pebble.Flush())
	second, err := v.snapshot.open()
	must(t, err)
	if second == first || len(v.snapshot.idle) > 0 {
		t.Error("an iterator is used, or left, where its memtable is in a table by now")
	}
	must(t, v.snapshot.leave(second))
	failed := errors.New("no")
	mustFail(t, d.read(v.snapshot, ops[:1], []place{{}}, func() reader { return func(int, []byte) error { return failed } }), failed)
	if n := len(v.snapshot.idle); n != 0 {
		t.Errorf("%d iterators are left by a look-up that failed", n)
	}
	third, err := v.snapshot.open()
	must(t, err)
	d.tables.Add(1) // while a look-up is under way
	must(t, v.snapshot.leave(third))
	if n := len(v.snapshot.idle); n != 0 {
		t.Errorf("%d iterators of tables that are gone are left", n)
	}
	// As many as look up at once are left, up to a bound.
	var all []opened
	for range maxIdle + 3 {
		it, err := v.snapshot.open()
		must(t, err)
		all = append(all, it)
	}
	for _, it := range all {
		must(t, v.snapshot.leave(it))
	}
	if n := len(v.snapshot.idle); n != maxIdle {
		t.Errorf("%d iterators are left, want %d", n, maxIdle)
	}
	s := v.snapshot
	must(t, v.Close())
	must(t, d.Apply(c.mine()))
	if n := d.pebble.Metrics().Snapshots.Count; n != 0 || s.views != 0 {
		t.Errorf("%d snapshots behind a change, %d views of the last one", n, s.views)
	}
	must(t, d.Close()) // which tells of iterators that are open
}

// What a View of an earlier tip opens is left to nobody, and the next change of the database closes
// what was left. SetMemory does, too: what iterators hold is beside the cache.
func TestIteratorsAreClosed(t *testing.T) {
	c := newChain(seedOf(t))
	d := mustOpen(t, vfs.NewMem(), Options{})
	must(t, d.Reset(c.top().tip, true))
	must(t, d.Apply(c.mine()))
	v, err := d.View()
	must(t, err)
	defer func() { must(t, v.Close()) }()
	left := func() int {
		t.Helper()
		var answers [1]Answer
		must(t, v.GetBatch([]wire.OutPoint{{Index: 7}}, answers[:]))
		return len(v.snapshot.idle)
	}
	if n := left(); n != 1 {
		t.Fatalf("%d iterators are left, want the one", n)
	}
	must(t, d.SetMemory(1<<20))
	if n := len(v.snapshot.idle); n != 0 {
		t.Errorf("%d iterators are left behind SetMemory", n)
	}
	if n := left(); n != 1 {
		t.Errorf("%d iterators are left, want one again", n)
	}
	must(t, d.Apply(c.mine()))
	if n := len(v.snapshot.idle); n != 0 {
		t.Errorf("%d iterators are left behind a block", n)
	}
	if n := left(); n != 0 {
		t.Errorf("a view of an earlier tip leaves %d iterators", n)
	}
}

// Many who look up at once, while blocks and tables come and go, are answered as of their tip, and
// no iterator that is of tables that are gone is taken for one of those that are there.
func TestIteratorsWhileTablesCome(t *testing.T) {
	const turns = 40
	c := newChain(seedOf(t))
	d := mustOpen(t, vfs.NewMem(), Options{})
	must(t, d.Reset(c.top().tip, true))
	var mu sync.Mutex
	as := make(map[Tip]map[wire.OutPoint]Coin)
	grow := func() {
		b := c.mine()
		mu.Lock()
		as[b.Tip] = c.top().coins
		mu.Unlock()
		must(t, d.Apply(b))
	}
	grow()
	done := make(chan struct{})
	var readers sync.WaitGroup
	stop := sync.OnceFunc(func() { close(done); readers.Wait() })
	defer stop()
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				v, err := d.View()
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				coins := as[v.Tip()]
				mu.Unlock()
				for op, want := range coins {
					var answers [1]Answer
					if err := v.GetBatch([]wire.OutPoint{op}, answers[:]); err != nil || !answers[0].Found || !equalCoin(answers[0].Coin, want) {
						t.Errorf("%s is %+v, %v, want %+v", op, answers[0], err, want)
						break
					}
				}
				if err := v.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	gone := func(when string) {
		t.Helper()
		if m := d.pebble.Metrics(); m.Table.ZombieCount != 0 {
			t.Errorf("%s, %d tables that are gone are held", when, m.Table.ZombieCount)
		}
	}
	for range turns {
		grow()
		must(t, d.pebble.Flush())
		must(t, d.Compact(t.Context()))
	}
	stop()
	if n := d.tables.Load(); n < 2*turns {
		t.Errorf("%d flushes and compactions, want two in each of %d turns", n, turns)
	}
	d.sharing.Lock()
	now := d.now
	d.sharing.Unlock()
	if now != nil {
		now.idling.Lock()
		for len(now.idle) > 0 && now.idle[0].tables != d.tables.Load() {
			now.end(now.idle[0])
			now.idle = now.idle[1:]
		}
		now.idling.Unlock()
	}
	gone("by iterators that pass for new ones")
	grow()
	gone("behind a block")
}
