package coindb

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Views of one tip share what they are of; a change ends that for those that are opened behind
// it, and not for those that are open.
func TestViewsShare(t *testing.T) {
	c := newChain(seedOf(t))
	d := mustOpen(t, vfs.NewMem(), Options{})
	must(t, d.Reset(c.top().tip, true))
	must(t, d.Apply(c.mine()))
	open := func() *View {
		t.Helper()
		v, err := d.View()
		must(t, err)
		t.Cleanup(func() { // the database cannot be closed before
			if v.snapshot != nil {
				must(t, v.Close())
			}
		})
		return v
	}
	first, second := open(), open()
	if first.snapshot != second.snapshot {
		t.Error("two views of one tip have a snapshot each")
	}
	before := *c.top()
	must(t, first.Close())
	must(t, d.Apply(c.mine()))
	third := open()
	compare(t, second, &before)
	compare(t, third, c.top())
	if n := d.pebble.Metrics().Snapshots.Count; n != 2 {
		t.Errorf("%d snapshots for two tips", n)
	}
	must(t, second.Close())
	must(t, third.Close())
	must(t, d.Undo(c.top().tip))
	if n := d.pebble.Metrics().Snapshots.Count; n != 0 {
		t.Errorf("%d snapshots with no view", n)
	}
	compareDB(t, d, &before)
}

// Whoever looks while blocks come and go is told of the tip that is, where none came or went
// meanwhile.
func TestViewsWhileBlocksCome(t *testing.T) {
	c := newChain(seedOf(t))
	d := mustOpen(t, vfs.NewMem(), Options{UndoBlocks: 20})
	must(t, d.Reset(c.top().tip, true))
	var now atomic.Pointer[Tip] // nil while the database changes
	var looked atomic.Int64
	stop := make(chan struct{})
	var readers sync.WaitGroup
	end := sync.OnceFunc(func() {
		close(stop)
		readers.Wait()
	})
	defer end()
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				before := now.Load()
				v, err := d.View()
				if err != nil {
					t.Error(err)
					return
				}
				if before != nil && now.Load() == before {
					looked.Add(1)
					if v.Tip() != *before {
						t.Errorf("a view is of %v, where the database stands at %v", v.Tip(), *before)
					}
				}
				if err := errors.Join(v.GetBatch(make([]wire.OutPoint, 1), make([]Answer, 1)), v.Close()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	changed := func(err error, tip Tip) {
		t.Helper()
		must(t, err)
		now.Store(&tip)
		for seen := looked.Load(); looked.Load() == seen && !t.Failed(); {
			runtime.Gosched()
		}
		now.Store(nil)
	}
	for range 100 {
		before := c.top().tip
		b := c.mine()
		changed(d.Apply(b), b.Tip)
		changed(d.Undo(b.Tip), before)
		changed(d.Apply(b), b.Tip)
	}
	end()
	compareDB(t, d, c.top())
}

// A view that is closed twice would end that of another.
func TestClosedTwice(t *testing.T) {
	c := newChain(seedOf(t))
	d := mustOpen(t, vfs.NewMem(), Options{})
	must(t, d.Reset(c.top().tip, true))
	v, err := d.View()
	must(t, err)
	must(t, v.Close())
	defer func() {
		if recover() == nil {
			t.Error("a view was closed twice")
		}
		compareDB(t, d, c.top())
	}()
	must(t, v.Close())
}

// One coin costs no piece of memory for the scripts of many.
func TestScriptsOfOne(t *testing.T) {
	for _, tt := range []struct{ coins, most int }{{1, 80}, {2, 200}, {1000, scriptsPiece}} {
		s := scriptsOf(tt.coins)
		var c Coin
		must(t, s.decode(&c, []byte{1, 1, 6}))
		if got := len(c.Script) + len(s.free); got > tt.most {
			t.Errorf("for %d coins there are %d bytes, want %d at most", tt.coins, got, tt.most)
		}
	}
}
