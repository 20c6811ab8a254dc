package coindb

import (
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// What Pebble reads is counted, and what was not in its cache was missed; what is
// looked up is referred to; the memory that is held is within what it is given.
func TestReads(t *testing.T) {
	var mu sync.Mutex
	var places []uint64
	d := mustOpen(t, vfs.NewMem(), Options{Memory: 64 << 20, MemTable: 64 << 10, Refer: func(place uint64) {
		mu.Lock()
		defer mu.Unlock()
		places = append(places, place)
	}})
	c := newChain(seedOf(t))
	must(t, d.Reset(c.top().tip, true))
	for range 300 {
		must(t, d.Apply(c.mine()))
	}
	must(t, d.Compact(t.Context()))
	var ops []wire.OutPoint
	var want []uint64
	for op := range c.top().coins {
		ops = append(ops, op)
		want = append(want, binary.BigEndian.Uint64(op.Hash[:]))
	}
	look := func() Reads {
		t.Helper()
		v, err := d.View()
		must(t, err)
		before := d.Reads()
		must(t, v.GetBatch(ops, make([]Answer, len(ops))))
		must(t, v.Close())
		after := d.Reads()
		return Reads{Bytes: after.Bytes - before.Bytes, Missed: after.Missed - before.Missed, Time: after.Time - before.Time}
	}
	look()
	places = nil
	if r := look(); r.Bytes == 0 || r.Missed != 0 || r.Time != 0 {
		t.Errorf("with all in the cache: %+v", r)
	}
	slices.Sort(places)
	slices.Sort(want)
	if !slices.Equal(places, want) {
		t.Errorf("%d places were referred to, want those of %d outpoints", len(places), len(want))
	}
	must(t, d.SetMemory(0))
	if r := look(); r.Missed == 0 || r.Missed > r.Bytes || r.Time <= 0 {
		t.Errorf("with nothing in the cache: %+v", r)
	}
	must(t, d.SetMemory(1<<20))
	look()
	cache, memtables, err := d.Held()
	must(t, err)
	if cache <= 0 || cache > 1<<20 || memtables <= 0 || memtables > d.MemTables() {
		t.Errorf("held are %d and %d bytes, of %d and %d", cache, memtables, 1<<20, d.MemTables())
	}
	must(t, d.Close())
	_, _, err = d.Held()
	mustFail(t, err, ErrClosed)
}

// The knob says on how many goroutines a batch is read, where it is long enough.
func TestReadersKnob(t *testing.T) {
	d := mustOpen(t, vfs.NewMem(), Options{})
	c := newChain(seedOf(t))
	must(t, d.Reset(c.top().tip, true))
	ops := make([]wire.OutPoint, 4*readersShare)
	places := sorted(len(ops), func(i int) *wire.OutPoint { return &ops[i] })
	for _, want := range []int64{1, 2, 4} {
		setKnob(t, d, "coindb.readers", want)
		v, err := d.View()
		must(t, err)
		var opened atomic.Int64
		must(t, d.read(v.snapshot, ops, places, func() reader {
			opened.Add(1)
			return func(int, []byte) error { return nil }
		}))
		must(t, v.Close())
		if got := opened.Load(); got != want {
			t.Errorf("%d goroutines read, want %d", got, want)
		}
	}
}
