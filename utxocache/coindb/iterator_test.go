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

// Many who look up at once, while tables come and go, are answered right.
func TestIteratorsWhileTablesCome(t *testing.T) {
	m, ops := loaded(seedOf(t), 3000)
	d := mustOpen(t, vfs.NewMem(), Options{MemTable: 256 << 10})
	must(t, load(d, m, ops, LoadOptions{}))
	var readers sync.WaitGroup
	for g := range 4 {
		readers.Go(func() {
			for i := range 600 {
				op := ops[(i*7+g*len(ops)/4)%len(ops)]
				v, err := d.View()
				if err != nil {
					t.Error(err)
					return
				}
				var answers [1]Answer
				if err := v.GetBatch([]wire.OutPoint{op}, answers[:]); err != nil || !answers[0].Found || !equalCoin(answers[0].Coin, m.coins[op]) {
					t.Errorf("%s is %+v, %v, want %+v", op, answers[0], err, m.coins[op])
				}
				if err := v.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 30 {
		must(t, d.pebble.Flush())
		must(t, d.pebble.Compact(t.Context(), []byte{0}, []byte{0xff}, false))
		d.tables.Add(1)
	}
	readers.Wait()
}
