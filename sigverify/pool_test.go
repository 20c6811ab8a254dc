package sigverify

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A gate is a scalar verifier that lets one signature pass at a time, when it is
// told to, and notes which ones came. What it verifies is named by the first byte
// of its digest, and always valid.
type gate struct {
	pass chan struct{}

	mu   sync.Mutex // guards came
	came []byte
}

func newGate() *gate { return &gate{pass: make(chan struct{})} }

// verifier returns a Verifier that has only the gate to ask.
func (g *gate) verifier(o Options) *Verifier {
	c := ourCode()
	c.checkLanes = func() error { return errors.New("no lanes") }
	c.scalar = func(it *Item) bool {
		g.mu.Lock()
		g.came = append(g.came, it.Digest[0])
		g.mu.Unlock()
		<-g.pass
		return true
	}
	v := newVerifier(o, c)
	v.drawn = 0 // nobody else is asked
	return v
}

// names returns which signatures have come to the gate, runs of one name as one.
func (g *gate) names() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return string(slices.Compact(slices.Clone(g.came)))
}

func (g *gate) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.came)
}

// named returns n items of that name, no two of which are the same.
func named(name byte, n int) []Item {
	items := make([]Item, n)
	for i := range items {
		items[i] = Item{Scheme: ECDSA, Digest: [32]byte{name, byte(i >> 8), byte(i)}}
	}
	return items
}

// A block goes before what waits of the mempool, and even before the rest of a
// batch of the mempool that is under way.
func TestBlockGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		v := g.verifier(Options{Workers: 1})
		defer v.Close()
		var wg sync.WaitGroup
		call := func(verify func(context.Context, []Item, []bool) error, name byte, n int) {
			wg.Go(func() {
				if err := verify(t.Context(), named(name, n), make([]bool, n)); err != nil {
					t.Errorf("%c: %v", name, err)
				}
			})
			synctest.Wait() // it has begun, or it waits
		}
		call(v.VerifyMempool, 'm', 3*scalarChunk)
		call(v.VerifyMempool, 'n', 1)
		call(v.Verify, 'b', scalarChunk+1)
		call(v.Verify, 'c', 1)
		call(v.VerifyMempool, 'o', 1)
		close(g.pass)
		wg.Wait()
		if got := g.names(); got != "mbcmno" {
			t.Errorf("signatures came in the order %s, want mbcmno", got)
		}
	})
}

// A batch is divided among the workers, and no more than these work at once.
func TestWorkersShareABatch(t *testing.T) {
	for _, tt := range []struct{ items, workers, chunk, atOnce int }{
		{0, 4, 16, 0}, {1, 4, 16, 1}, {4, 4, 16, 4}, {5, 4, 16, 3}, {64, 4, 16, 4}, {1000, 3, 16, 3}, {1000, 1, 16, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			g := newGate()
			v := g.verifier(Options{Workers: tt.workers, Chunk: tt.chunk})
			defer v.Close()
			done := make(chan error, 1)
			go func() { done <- v.Verify(t.Context(), named('b', tt.items), make([]bool, tt.items)) }()
			synctest.Wait()
			if got := g.count(); got != tt.atOnce {
				t.Errorf("%d items, %d workers: %d at once, want %d", tt.items, tt.workers, got, tt.atOnce)
			}
			close(g.pass)
			if err := <-done; err != nil || g.count() != tt.items {
				t.Errorf("%d items, %d workers: %v, and %d verified", tt.items, tt.workers, err, g.count())
			}
		})
	}
}

// Who calls works for nobody else when its own batch is done, or not wanted any
// more.
func TestCallersLeave(t *testing.T) {
	for _, cancelled := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			g := newGate()
			v := g.verifier(Options{Workers: 1})
			defer v.Close()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			own := scalarChunk
			if cancelled {
				own = 2 * scalarChunk
			}
			first, second := make(chan error, 1), make(chan error, 1)
			go func() { first <- v.VerifyMempool(ctx, named('m', own), make([]bool, own)) }()
			synctest.Wait()
			go func() { second <- v.Verify(t.Context(), named('b', 100), make([]bool, 100)) }()
			synctest.Wait()
			if cancelled {
				cancel()
			}
			for range scalarChunk {
				g.pass <- struct{}{}
			}
			synctest.Wait()
			select {
			case err := <-first:
				if cancelled != errors.Is(err, context.Canceled) {
					t.Errorf("cancelled %v: %v", cancelled, err)
				}
			default:
				t.Errorf("cancelled %v: the call has not returned", cancelled)
			}
			close(g.pass)
			if err := <-second; err != nil {
				t.Error(err)
			}
			if got := g.names(); got != "mb" {
				t.Errorf("cancelled %v: signatures came in the order %s, want mb", cancelled, got)
			}
		})
	}
}

// Workers that are too many leave after their chunk, and new ones come at once.
func TestWorkersChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		v := g.verifier(Options{Workers: 4})
		defer v.Close()
		const n = 100 * scalarChunk
		done := make(chan error, 1)
		go func() { done <- v.Verify(t.Context(), named('b', n), make([]bool, n)) }()
		synctest.Wait()
		for _, workers := range []int{2, 1, 5, 3} {
			v.pool.set(workers, 0)
			for range 10 * scalarChunk { // everybody ends a chunk
				g.pass <- struct{}{}
			}
			synctest.Wait()
			if v.pool.mu.Lock(); v.pool.busy != workers {
				t.Errorf("%d workers are busy, want %d", v.pool.busy, workers)
			}
			v.pool.mu.Unlock()
		}
		close(g.pass)
		if err := <-done; err != nil || g.count() != n {
			t.Errorf("%v, and %d signatures were verified", err, g.count())
		}
	})
}

// With lanes, a batch is cut into whole vectors, and small batches that wait
// behind each other share a chunk. Without, neither is of use.
func TestChunks(t *testing.T) {
	for _, tt := range []struct {
		lanes          bool
		workers, chunk int
		batches, want  []int // the sizes of batches, and of the chunks in their order
	}{
		{true, 2, 256, []int{256}, []int{64, 64, 64, 64}},
		{true, 2, 256, []int{128}, []int{64, 64}},
		{true, 2, 256, []int{1500}, []int{256, 256, 256, 192, 144, 112, 80, 64, 64, 48, 28}},
		{true, 1, 256, []int{600}, []int{256, 256, 88}},
		{true, 2, 256, []int{100}, []int{64, 36}},
		{true, 2, 256, []int{16}, []int{16}},
		{true, 2, 256, []int{17}, []int{16, 1}},
		{true, 2, 64, []int{200}, []int{64, 64, 48, 24}},
		{true, 1, 256, []int{3, 3, 200, 100}, []int{206, 100}},
		{true, 1, 16, []int{40}, []int{16, 16, 8}},
		{false, 2, 256, []int{1, 1, 2}, []int{1, 1, 1, 1}},
		{false, 2, 256, []int{50}, []int{16, 16, 9, 9}},
	} {
		p := newPool(tt.workers, tt.chunk)
		p.lanes = func() bool { return tt.lanes }
		p.depth = func(priority, int) {}
		for _, n := range tt.batches {
			p.push(make([]Item, n), make([]bool, n), forBlock, nil)
		}
		var got []int
		for e := new(executor); p.claim(e, nil); p.finish(e) {
			n := 0
			for _, part := range e.parts {
				n += part.to - part.from
			}
			got = append(got, n)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("batches of %v, %d workers, chunk %d: chunks of %v, want %v", tt.batches, tt.workers, tt.chunk, got, tt.want)
		}
		if p.waiting[forBlock] != 0 {
			t.Errorf("batches of %v: %d items still wait", tt.batches, p.waiting[forBlock])
		}
	}
}

// A small batch that comes while the other workers are busy is not divided, and
// nobody is called for it. Who brings it verifies it, before those that waited.
func TestSmallBatchesStayWhole(t *testing.T) {
	for _, tt := range []struct {
		items, busy  int
		hands, calls int
	}{
		{128, 0, 2, 1}, {128, 1, 1, 0}, {128, 2, 1, 0}, {16, 0, 2, 0}, {1000, 0, 2, 1}, {1000, 1, 2, 0},
	} {
		p := newPool(2, 256)
		p.lanes = func() bool { return true }
		p.depth = func(priority, int) {}
		p.push(make([]Item, 3), make([]bool, 3), forBlock, nil)
		p.claim(new(executor), nil)
		p.busy = tt.busy
		b := p.push(make([]Item, tt.items), make([]bool, tt.items), forBlock, nil)
		if b.hands != tt.hands {
			t.Errorf("%d items, %d busy: divided among %d, want %d", tt.items, tt.busy, b.hands, tt.hands)
		}
		p.parked = 2
		p.busy = min(p.busy+1, 2)
		p.callHelpers(1)
		if got := len(p.calls); got != tt.calls {
			t.Errorf("%d items, %d busy: %d helpers were called, want %d", tt.items, tt.busy, got, tt.calls)
		}
	}

	p := newPool(1, 256)
	p.lanes = func() bool { return false }
	p.depth = func(priority, int) {}
	other := p.push(make([]Item, 2), make([]bool, 2), forBlock, nil)
	own := p.push(make([]Item, 2), make([]bool, 2), forBlock, nil)
	mempool := p.push(make([]Item, 2), make([]bool, 2), forMempool, nil)
	for i, tt := range []struct{ own, want *batch }{{own, own}, {mempool, other}, {mempool, mempool}} {
		e := new(executor)
		if !p.claim(e, tt.own) || e.parts[0].b != tt.want {
			t.Errorf("claim %d: not the batch that was to be the next", i)
		}
	}
}

// A goroutine pushes whom callHelpers has woken: those that are new, and those that sleep;
// one for all of them, and none for those that still look for work.
func TestPushes(t *testing.T) {
	for _, tt := range []struct{ workers, parked, asleep, calls, pushes int }{
		{1, 0, 0, 0, 0}, {3, 2, 0, 2, 0}, {3, 2, 1, 2, 1}, {3, 2, 2, 2, 1}, {3, 0, 0, 0, 1}, {3, 1, 0, 1, 1}, {2, 2, 2, 1, 1},
	} {
		p := newPool(tt.workers, 256)
		p.lanes = func() bool { return true }
		p.depth = func(priority, int) {}
		p.newExecutor = func() *executor { return new(executor) }
		var pushes atomic.Int32
		p.pushes = func() { pushes.Add(1); p.helpers.Done() }
		p.push(make([]Item, 1000), make([]bool, 1000), forBlock, nil)
		p.mu.Lock()
		p.busy, p.parked, p.asleep = 1, tt.parked, tt.asleep // who calls is at work
		p.callHelpers(1)
		if want := min(tt.parked, tt.workers-1); len(p.calls) != tt.calls || p.parked != tt.parked-want || p.busy != tt.workers {
			t.Errorf("%+v: %d helpers were called, %d parked, %d busy", tt, len(p.calls), p.parked, p.busy)
		}
		p.closed = true // helpers that are new have nothing to do
		p.mu.Unlock()
		p.helpers.Wait()
		if got := int(pushes.Load()); got != tt.pushes {
			t.Errorf("%+v: %d goroutines pushed", tt, got)
		}
		p.mu.Lock()
		p.busy = 0
		if p.callHelpers(0); p.busy != 0 {
			t.Errorf("%+v: %d helpers were called when the pool was closed", tt, p.busy)
		}
		p.mu.Unlock()
	}
}

// Batch after batch, all helpers sleep in between, none is counted twice, and there are no
// more of them, nor of executors, than there is room for.
func TestHelpersAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		close(g.pass)
		v := g.verifier(Options{Workers: 4})
		defer v.Close()
		for i, workers := range []int{4, 4, 4, 2, 2, 3} {
			v.pool.set(workers, 0)
			const n = 1000
			if err := v.Verify(t.Context(), named(byte(i), n), make([]bool, n)); err != nil {
				t.Error(err)
			}
			synctest.Wait()
			v.pool.mu.Lock()
			if p := v.pool; p.busy != 0 || p.asleep != p.parked || p.parked > 4 || len(p.free) > 4 || len(p.calls) != 0 || len(p.spare) != 1 {
				t.Errorf("batch %d: %d busy, %d parked, %d of them asleep, %d executors, %d called, %d batches spare",
					i, p.busy, p.parked, p.asleep, len(p.free), len(p.calls), len(p.spare))
			}
			v.pool.mu.Unlock()
		}
	})
}

// What a batch that was cancelled has left in its channel does not wake whom it serves
// next, and nothing of it is kept.
func TestRetire(t *testing.T) {
	p := newPool(1, 256)
	p.lanes = func() bool { return true }
	p.depth = func(priority, int) {}
	b := p.push(make([]Item, 2), make([]bool, 2), forBlock, nil)
	e := new(executor)
	p.claim(e, b)
	b.waiting = true // and ctx ends before it receives
	p.finish(e)
	if len(b.done) != 1 || b.waiting {
		t.Errorf("%d signals that the batch is done, waiting %v", len(b.done), b.waiting)
	}
	p.retire(b)
	if b.items != nil || b.valid != nil {
		t.Error("a batch that is retired keeps what it was given")
	}
	if again := p.push(make([]Item, 1), make([]bool, 1), forBlock, nil); again != b || len(again.done) != 0 || again.next != 0 {
		t.Errorf("the batch after it: the same %v, %d signals, begins at %d", again == b, len(again.done), again.next)
	}
}

// So many calls are let in and no more; the others wait outside, and can be
// cancelled there.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		v := g.verifier(Options{Workers: 1})
		defer v.Close()
		var wg sync.WaitGroup
		for range maxCalls {
			wg.Go(func() {
				if err := v.VerifyMempool(t.Context(), named('m', 1), make([]bool, 1)); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		outside := make(chan error, 1)
		go func() { outside <- v.VerifyMempool(ctx, named('x', 1), make([]bool, 1)) }()
		synctest.Wait()
		if v.pool.mu.Lock(); v.pool.waiting[forMempool] != maxCalls-1 {
			t.Errorf("%d signatures wait, want %d", v.pool.waiting[forMempool], maxCalls-1)
		}
		v.pool.mu.Unlock()
		cancel()
		if err := <-outside; !errors.Is(err, context.Canceled) {
			t.Errorf("a call that waited outside: %v", err)
		}
		wg.Go(func() { // a block is let in all the same
			if err := v.Verify(t.Context(), named('b', 1), make([]bool, 1)); err != nil {
				t.Error(err)
			}
		})
		close(g.pass)
		wg.Wait()
		if got := g.names(); got != "mbm" && got != "mb" {
			t.Errorf("signatures came in the order %s, want a b between", got)
		}
	})
}

// A call that is cancelled waits for the chunks that are at work, and for no
// more; the others are not touched any more.
func TestCancelJoins(t *testing.T) {
	for _, end := range []string{"cancel", "close"} {
		synctest.Test(t, func(t *testing.T) {
			g := newGate()
			v := g.verifier(Options{Workers: 2})
			defer v.Close()
			ctx, cancel := context.WithCancel(t.Context())
			items := named('b', 10*scalarChunk)
			done := make(chan error, 1)
			go func() { done <- v.Verify(ctx, items, make([]bool, len(items))) }()
			synctest.Wait() // two chunks are at work
			want := context.Canceled
			if end == "close" {
				want = ErrClosed
				go v.Close()
			}
			cancel()
			for range 2*scalarChunk - 1 {
				g.pass <- struct{}{}
			}
			synctest.Wait()
			select {
			case err := <-done:
				t.Fatalf("%s: returned %v while a signature was at work", end, err)
			default:
			}
			g.pass <- struct{}{}
			if err := <-done; end == "cancel" && !errors.Is(err, want) || err == nil {
				t.Errorf("%s: %v, want %v", end, err, want)
			}
			if got := g.count(); got != 2*scalarChunk {
				t.Errorf("%s: %d signatures were verified, want %d", end, got, 2*scalarChunk)
			}
			if v.pool.mu.Lock(); v.pool.waiting != [priorities]int{} {
				t.Errorf("%s: %v signatures still wait", end, v.pool.waiting)
			}
			v.pool.mu.Unlock()
		})
	}
}

// Close ends every call with ErrClosed, and those that come after it too.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		v := g.verifier(Options{Workers: 1})
		errs := make(chan error, 3)
		for _, verify := range []func(context.Context, []Item, []bool) error{v.Verify, v.VerifyMempool, v.Verify} {
			go func() { errs <- verify(t.Context(), named('b', 100), make([]bool, 100)) }()
		}
		synctest.Wait()
		v.Close()
		close(g.pass)
		for range cap(errs) {
			if err := <-errs; !errors.Is(err, ErrClosed) {
				t.Errorf("a call that was under way: %v", err)
			}
		}
		if got := g.count(); got != scalarChunk {
			t.Errorf("%d signatures were verified, want those of one chunk", got)
		}
		if err := v.Verify(t.Context(), named('b', 1), make([]bool, 1)); !errors.Is(err, ErrClosed) {
			t.Errorf("a call after Close: %v", err)
		}
		v.Close()
	})
}

// Close returns when the last chunk is done, and not before.
func TestCloseJoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		v := g.verifier(Options{Workers: 3})
		returned, closed := make(chan error, 1), make(chan struct{})
		go func() { returned <- v.Verify(t.Context(), named('b', 3), make([]bool, 3)) }()
		synctest.Wait()
		go func() { v.Close(); close(closed) }()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("Close has returned while helpers were at work")
		default:
		}
		close(g.pass)
		<-closed
		<-returned
	})
}

// A Verifier has no goroutine before a batch needs a second one, and none when it
// is closed. The bubble fails if one is left.
func TestGoroutinesAreOwned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := New(Options{Workers: 4, Path: PathScalar})
		items := []Item{signedECDSA(rand.New(rand.NewPCG(1, 1)))}
		if err := v.Verify(t.Context(), items, make([]bool, 1)); err != nil {
			t.Error(err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		close(g.pass)
		v := g.verifier(Options{Workers: 4})
		if err := v.Verify(t.Context(), named('b', 1000), make([]bool, 1000)); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		v.Close()
	})
}

// Calls are cancelled at any moment, by themselves and by Close. What Verify has
// left, it writes no more.
func TestCancelAtAnyMoment(t *testing.T) {
	r := newRand(t)
	some, verdicts := mixed(r, 24)
	eachPath(t, func(t *testing.T, path Path) {
		for range rounds(25) {
			v := New(Options{Workers: 2, Path: path})
			var wg sync.WaitGroup
			for i := range 4 {
				own := rand.New(rand.NewPCG(r.Uint64(), uint64(i)))
				wg.Go(func() {
					verify := v.Verify
					if i%2 == 1 {
						verify = v.VerifyMempool
					}
					for range 4 {
						items, want := drawn(own, own.IntN(400), some, verdicts)
						ctx, cancel := context.WithTimeout(t.Context(), time.Duration(own.IntN(3000))*time.Microsecond)
						valid := make([]bool, len(items))
						err := verify(ctx, items, valid)
						cancel()
						switch {
						case err == nil && !slices.Equal(valid, want):
							t.Errorf("verdicts %v, want %v", valid, want)
						case err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, context.DeadlineExceeded):
							t.Error(err)
						}
						// The race detector sees anybody who still works on them.
						clear(items)
						clear(valid)
					}
				})
			}
			if r.IntN(2) == 0 {
				v.Close()
			}
			wg.Wait()
			v.Close()
		}
	})
}
