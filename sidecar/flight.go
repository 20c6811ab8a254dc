package sidecar

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sidecar/node"
	"github.com/outrider-project/outrider/utxocache"
)

// maxFlight bounds the blocks in flight, whatever the knob says.
const maxFlight = 64

// A flight is the blocks of a catch-up that are judged at once. The cache has
// taken them, so that the next one can begin, and their scripts are being
// verified, out of order. Verdicts are given, and the tip is stored, in order.
//
// While there are any, the judge has two owners. The cache is the feed's
// goroutine's, which begins blocks; what a verdict is told to is run's. A block
// that is not plainly valid says nothing here: run then takes the cache too, takes
// it back to where that block begins, and has it and those behind it judged as at
// the tip, one after the other, before another begins. So a broken rule, a spoilt
// body or a node that does not answer have one way to be dealt with, the judge's.
type flight struct {
	judge *judge
	// validator validates one block on one goroutine; as many are finished at
	// once as there are finishers.
	validator *blockval.Validator
	finishers int
	// finish is the second half of a block's validation.
	finish  func(context.Context, *blockval.Pending) (*blockval.Verdict, error)
	bytes   int64         // bound on the blocks together
	depth   *atomic.Int64 // bound on their number; with 1 none begins here
	metrics flightMetrics

	begun chan *flown // to the finishers, in order
	// turn is held by who changes the cache while there are blocks in flight.
	turn sync.Mutex

	mu      sync.Mutex    // guards what follows; held for moments only
	changed chan struct{} // closed and made anew with every change of it
	queue   []*flown      // the blocks in flight, in order
	size    int64         // of them, serialised
	landing bool          // run judges one after the other; no other begins
	abandon func()        // ends the beginning of a block; nil while none begins
}

// A flown is a block in flight.
type flown struct {
	ev      node.Connected
	told    *testimony // what the verdict rests on
	pending *blockval.Pending
	done    chan struct{} // closed when what follows is set
	verdict *blockval.Verdict
	err     error
}

type flightMetrics struct {
	blocks *perfcore.Gauge
	again  *perfcore.Counter
}

// newFlight returns a flight of j's, of as many blocks as depth says and of so
// many bytes, finished by so many goroutines.
func newFlight(j *judge, v *blockval.Validator, finishers int, depth *atomic.Int64, bytes int64, rec perfcore.Recorder) *flight {
	return &flight{
		judge: j, validator: v, finishers: finishers, bytes: bytes, depth: depth,
		finish: func(ctx context.Context, p *blockval.Pending) (*blockval.Verdict, error) { return p.Finish(ctx) },
		metrics: flightMetrics{
			blocks: rec.Gauge(perfcore.Metric{
				Name: "outrider_blocks_in_flight", Help: "Blocks of a catch-up that have begun and have no verdict yet.",
			}),
			again: rec.Counter(perfcore.Metric{
				Name: "outrider_blocks_landed_total", Help: "Blocks in flight that were judged again, one after the other, because one of them was not plainly valid.",
			}),
		},
		begun: make(chan *flown, maxFlight), changed: make(chan struct{}),
	}
}

// change changes what mu guards, and tells all who wait.
func (f *flight) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
	f.metrics.blocks.Set(float64(len(f.queue)))
	close(f.changed)
	f.changed = make(chan struct{})
}

// await returns when ok, which is called with mu held, or when ctx ends, with why.
func (f *flight) await(ctx context.Context, ok func() bool) error {
	for {
		f.mu.Lock()
		done, changed := ok(), f.changed
		f.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// land returns when no block is in flight: everything is the caller's, which is
// the feed's goroutine, until that begins another.
func (f *flight) land(ctx context.Context) error {
	return f.await(ctx, func() bool { return len(f.queue) == 0 && !f.landing })
}

// begin takes a block of a catch-up into flight, when there is room for it. It
// returns false, and has done nothing, if it is another, or if there is any
// trouble with it. The error is ctx's.
func (f *flight) begin(ctx context.Context, ev *node.Connected) (bool, error) {
	if !ev.CatchUp || ev.Block == nil || f.depth.Load() < 2 {
		return false, nil
	}
	for {
		err := f.await(ctx, func() bool {
			return !f.landing && (len(f.queue) == 0 ||
				int64(len(f.queue)) < min(f.depth.Load(), maxFlight) && f.size+int64(len(ev.Raw)) <= f.bytes)
		})
		if err != nil {
			return false, err
		}
		if flown, again := f.take(ctx, ev); !again {
			return flown, nil
		}
		// What was in flight has landed in the meantime.
	}
}

// take begins the block and gives it to the cache; again says that run took the
// cache away before that was done.
func (f *flight) take(ctx context.Context, ev *node.Connected) (flown, again bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f.turn.Lock()
	defer f.turn.Unlock()
	f.change(func() { f.abandon, again = cancel, f.landing })
	if !again {
		flown = f.launch(ctx, ev)
	}
	f.change(func() { f.abandon, again = nil, f.landing && !flown })
	return flown, again
}

// launch begins the block, gives it to the cache, and puts it into the queue. It
// reports whether it did.
func (f *flight) launch(ctx context.Context, ev *node.Connected) bool {
	at, known := f.judge.place(ev)
	pending, err := f.validator.Begin(ctx, ev.Block, at)
	if err != nil || !pending.Valid() || f.judge.cache.Apply(cacheBlock(ev.Block, ev.Height)) != nil {
		return false
	}
	b := &flown{ev: *ev, told: &known.told, pending: pending, done: make(chan struct{})}
	f.begun <- b // has room for all
	f.change(func() {
		f.queue = append(f.queue, b)
		f.size += int64(len(ev.Raw))
	})
	return true
}

// run gives the verdicts on the blocks in flight until ctx ends, and returns nil
// then; or until one cannot be given, and returns why. Its goroutines have ended
// when it returns.
func (f *flight) run(ctx context.Context) error {
	inner, cancel := context.WithCancel(ctx)
	var finishers sync.WaitGroup
	defer finishers.Wait()
	defer cancel()
	for range f.finishers {
		finishers.Go(func() { f.finishAll(inner) })
	}
	for {
		err := f.next(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// finishAll finishes the blocks that were begun until ctx ends.
func (f *flight) finishAll(ctx context.Context) {
	for {
		select {
		case b := <-f.begun:
			b.verdict, b.err = f.finish(ctx, b.pending)
			close(b.done)
		case <-ctx.Done():
			return
		}
	}
}

// next waits for the first block in flight to be finished, and gives its verdict
// if it is valid; else it judges all of them again.
func (f *flight) next(ctx context.Context) error {
	var b *flown
	err := f.await(ctx, func() bool {
		if len(f.queue) > 0 {
			b = f.queue[0]
		}
		return b != nil
	})
	if err != nil {
		return err
	}
	if err := b.wait(ctx); err != nil {
		return err
	}
	if b.err != nil || !b.verdict.Valid() {
		return f.judgeAgain(ctx)
	}
	f.judge.publish(ctx, Report{Verdict: *b.verdict, NodeValid: true, Outcome: Agree}, b.ev.Seen, true)
	if err := f.judge.settle(ctx, &b.ev, b.told); err != nil {
		return err
	}
	f.pop()
	return nil
}

// wait returns when the block is finished, or with ctx's error when that has ended: a verdict
// that comes with the end is too late, for what follows from it could not be stored.
func (b *flown) wait(ctx context.Context) error {
	select {
	case <-b.done:
	case <-ctx.Done():
	}
	return context.Cause(ctx)
}

// pop takes the first block out of the queue.
func (f *flight) pop() {
	f.change(func() {
		f.size -= int64(len(f.queue[0].ev.Raw))
		f.queue = slices.Delete(f.queue, 0, 1)
	})
}

// judgeAgain takes the cache back to the parent of the first block in flight, and
// has the judge judge them one after the other.
func (f *flight) judgeAgain(ctx context.Context) error {
	f.change(func() {
		f.landing = true
		if f.abandon != nil {
			f.abandon()
		}
	})
	f.turn.Lock()
	defer f.turn.Unlock()
	defer f.change(func() { f.landing = false })
	f.mu.Lock()
	blocks := slices.Clone(f.queue)
	f.mu.Unlock()
	first := &blocks[0].ev
	f.judge.log.Info("a block is not plainly valid; judging the blocks in flight again, one after the other",
		slog.Uint64("height", uint64(first.Height)), slog.String("hash", first.Hash.String()), slog.Int("blocks", len(blocks)))
	for _, b := range blocks {
		if err := b.wait(ctx); err != nil {
			return err
		}
	}
	f.takeBack(blocks)
	for _, b := range blocks {
		if err := f.judge.connect(ctx, b.ev); err != nil {
			return err
		}
		f.metrics.again.Add(1)
		f.pop()
	}
	return nil
}

// takeBack takes blocks, which are the last ones that the cache has, off it.
func (f *flight) takeBack(blocks []*flown) {
	cache := f.judge.cache
	for _, b := range slices.Backward(blocks) {
		if err := cache.Withdraw(utxocache.Tip(b.ev.Tip)); err != nil {
			f.judge.log.Warn("the coins cannot be taken back; forgetting them", "height", b.ev.Height, "err", err)
			parent := blocks[0].ev.Height - 1
			cache.Reset(utxocache.Tip{Hash: blocks[0].ev.Header.Prev(), Height: parent}, parent == 0)
			return
		}
	}
}
