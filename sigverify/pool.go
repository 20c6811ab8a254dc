package sigverify

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
)

// ErrClosed is returned by calls to a Verifier that is, or meanwhile was, closed.
var ErrClosed = errors.New("sigverify: the Verifier is closed")

// A priority orders batches: those of a lower number go first.
type priority int

const (
	forBlock priority = iota
	forMempool
	priorities
)

// A batch is the signatures of one call on their way through the pool.
type batch struct {
	items []Item
	valid []bool
	keep  bool            // what is valid goes into the cache
	ended <-chan struct{} // closed when nobody wants the verdicts any more

	// The pool's mutex guards what follows.
	next    int  // the first item that nobody has claimed
	cut     bool // that was not to the end: the rest was taken back
	hands   int  // executors that it is divided among
	share   int  // how many an executor claims at a time of the last; 0 before
	running int  // executors that are at work on it
	tally   tally
	waiting bool          // somebody receives from done
	done    chan struct{} // has room for one
}

func (b *batch) claimed() bool { return b.next == len(b.items) }
func (b *batch) unwanted() bool {
	select {
	case <-b.ended:
		return true
	default:
		return false
	}
}
func (b *batch) finished() bool { return b.claimed() && b.running == 0 }

const (
	// maxCalls is how many calls of a priority are let in at once. Others wait
	// outside, so that a flood of them costs the pool nothing.
	maxCalls = 128
	// vectors is what the last items of a batch are divided into: the lanes take
	// two vectors of eight at a time.
	vectors = 16
	// scalarChunk is how many items an executor claims without lanes: half a
	// millisecond of work. More would only make others wait.
	scalarChunk = 16
	// fineChunk is the smallest chunk that a batch is cut into for the sake of
	// workers ending together: with smaller ones, the lanes take longer.
	fineChunk = 64
	// maxChunk bounds the chunk.
	maxChunk = 256
	// maxWorkers bounds the workers.
	maxWorkers = 1024
	// patience is how often who has nothing to do looks for more before it sleeps: for
	// some 15 µs, a third of what it takes to be woken. With more, it would keep the
	// processor from those that are. After indulgence looks it lets others go first, and
	// whenever it has looked twice as often.
	patience   = 5000
	indulgence = 500
)

// A pool divides batches into chunks and verifies them in the order of their
// priority and arrival. At most so many goroutines verify at once as it has
// workers, each with an executor: whoever calls is one of them if there is room,
// and helpers are the others. A helper is started when it is first needed, and
// waits for work until the pool is closed.
type pool struct {
	closing chan struct{} // closed with the pool
	rooms   [priorities]chan struct{}
	helpers sync.WaitGroup

	newExecutor func() *executor
	lanes       func() bool                   // whether the lanes are taken
	depth       func(p priority, waiting int) // hears how many signatures wait

	calls  chan struct{} // one for each helper that is to begin
	pushes func()        // ends at once; made once, for Verify allocates nothing

	mu      sync.Mutex // guards what follows
	queues  [priorities][]*batch
	waiting [priorities]int // items in the queues
	workers int
	chunk   int
	busy    int // workers at work, those about to begin included
	parked  int // helpers that wait, those just called left out
	asleep  int // helpers whose patience has ended, those about to be woken included
	closed  bool
	free    []*executor
	spare   []*batch
}

func newPool(workers, chunk int) *pool {
	p := &pool{closing: make(chan struct{}), calls: make(chan struct{}, maxWorkers), workers: workers, chunk: chunk}
	p.pushes = p.helpers.Done
	for i := range p.rooms {
		p.rooms[i] = make(chan struct{}, maxCalls)
	}
	return p
}

// do verifies the items and returns the tally, or why it did not finish. Nobody
// reads items or writes valid after it has returned.
func (p *pool) do(ctx context.Context, items []Item, valid []bool, prio priority) (tally, error) {
	select {
	case p.rooms[prio] <- struct{}{}:
	case <-ctx.Done():
		return tally{}, ctx.Err()
	case <-p.closing:
		return tally{}, ErrClosed
	}
	defer func() { <-p.rooms[prio] }()

	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return tally{}, ErrClosed
	}
	b := p.push(items, valid, prio, ctx.Done())
	if p.busy < p.workers {
		p.busy++
		p.callHelpers(1)
		p.execute(ctx, b)
		p.busy--
		p.callHelpers(0)
	}
	err := p.wait(ctx, b)
	t := b.tally
	p.retire(b)
	return t, err
}

// push puts a batch of the items at the end of its queue. The mutex is held.
func (p *pool) push(items []Item, valid []bool, prio priority, ended <-chan struct{}) *batch {
	var b *batch
	if n := len(p.spare); n > 0 {
		b, p.spare = p.spare[n-1], p.spare[:n-1]
	} else {
		b = &batch{done: make(chan struct{}, 1)}
	}
	*b = batch{items: items, valid: valid, keep: prio == forMempool, ended: ended, done: b.done, hands: p.workers}
	if len(items) <= p.chunk {
		// Workers that are at something else will not come for a part of it.
		b.hands = max(1, p.workers-p.busy)
	}
	p.queues[prio] = append(p.queues[prio], b)
	p.count(prio, len(items))
	return b
}

// retire makes b, which is finished, be of use again. The mutex is held.
func (p *pool) retire(b *batch) {
	select {
	case <-b.done:
	default:
	}
	*b = batch{done: b.done}
	p.spare = append(p.spare, b)
}

// wait returns when b is finished. When ctx or the pool ends first, it takes back
// what nobody has claimed, waits for those who are at work on the rest, and
// returns the reason. The mutex is held before and after.
func (p *pool) wait(ctx context.Context, b *batch) error {
	var err error
	for !b.finished() {
		b.waiting = true
		p.mu.Unlock()
		switch {
		case err != nil:
			<-b.done
		case soon(b.done):
		default:
			select {
			case <-b.done:
			case <-ctx.Done():
				err = ctx.Err()
			case <-p.closing:
				err = ErrClosed
			}
		}
		p.mu.Lock()
		if err != nil && !b.claimed() {
			p.takeBack(b)
		}
	}
	if err == nil && b.cut {
		err = ctx.Err()
	}
	return err
}

// soon receives from c, if there is something before its patience ends, and
// reports whether there was.
func soon(c <-chan struct{}) bool {
	for i, next := 0, indulgence; i < patience; i++ {
		select {
		case <-c:
			return true
		default:
		}
		if i == next {
			runtime.Gosched()
			next *= 2
		}
	}
	return false
}

// takeBack takes out of the queue what nobody has claimed of b.
func (p *pool) takeBack(b *batch) {
	for prio := range p.queues {
		if i := slices.Index(p.queues[prio], b); i >= 0 {
			p.count(priority(prio), b.next-len(b.items))
			p.queues[prio] = slices.Delete(p.queues[prio], i, i+1)
		}
	}
	b.next, b.cut = len(b.items), true
}

// count notes that so many items more wait in a queue.
func (p *pool) count(prio priority, more int) {
	p.waiting[prio] += more
	p.depth(prio, p.waiting[prio])
}

// callHelpers has helpers begin, as many as there are chunks and room for; own of
// the chunks will be taken by who calls. The mutex is held.
func (p *pool) callHelpers(own int) {
	if p.closed {
		return
	}
	woken := false
	chunks := -own
	for _, queue := range p.queues {
		for _, b := range queue {
			if chunks >= p.workers {
				break
			}
			size := p.size(b)
			chunks += min((len(b.items)-b.next+size-1)/size, b.hands)
		}
	}
	for ; chunks > 0 && p.busy < p.workers; chunks-- {
		p.busy++
		if p.parked > 0 {
			p.parked--
			p.calls <- struct{}{}
			woken = woken || p.asleep > 0
		} else {
			p.helpers.Go(p.help)
			woken = true
		}
	}
	if woken {
		// Go's scheduler keeps who was woken last for this processor, and another one,
		// which has nothing to do, sleeps before it takes them from it: for 100 to 150 µs
		// on a virtual machine, a quarter of what two have for a batch of 256. One more
		// goroutine pushes them out of that place, and they begin after 40.
		p.helpers.Add(1)
		go p.pushes()
	}
}

// help is a helper. It begins with a place among the workers.
func (p *pool) help() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		p.execute(context.Background(), nil)
		p.busy--
		if p.closed {
			return
		}
		p.parked++
		p.mu.Unlock()
		runtime.Gosched() // for those whose batches it has finished
		called := soon(p.calls)
		p.mu.Lock()
		if !called {
			p.asleep++
			p.mu.Unlock()
			select {
			case <-p.calls:
				called = true
			case <-p.closing:
			}
			p.mu.Lock()
			p.asleep--
		}
		if !called {
			return
		}
		// callHelpers has made place.
	}
}

// execute verifies chunks until there are none; of a caller's, until all of its
// own are claimed or ctx ends. The mutex is held, but for the work itself.
func (p *pool) execute(ctx context.Context, own *batch) {
	var e *executor
	if n := len(p.free); n > 0 {
		e, p.free = p.free[n-1], p.free[:n-1]
	} else {
		e = p.newExecutor()
	}
	for p.busy <= p.workers && !p.closed && (own == nil || !own.claimed() && ctx.Err() == nil) && p.claim(e, own) {
		p.mu.Unlock()
		e.run()
		p.mu.Lock()
		p.finish(e)
	}
	if len(p.free) < p.workers {
		p.free = append(p.free, e)
	}
}

// claim gives e the next chunk, and reports whether there was one: of own before
// others of its priority. Small batches that wait behind each other make one
// chunk, if the lanes are taken.
func (p *pool) claim(e *executor, own *batch) bool {
	for prio := range p.queues {
		room := p.chunk
		first := max(0, slices.Index(p.queues[prio], own))
		for len(p.queues[prio]) > first {
			b := p.queues[prio][first]
			if b.unwanted() {
				p.takeBack(b)
				continue
			}
			n := min(p.size(b), len(b.items)-b.next)
			if n > room {
				break
			}
			e.parts = append(e.parts, part{b: b, from: b.next, to: b.next + n})
			room -= n
			b.next += n
			b.running++
			p.count(priority(prio), -n)
			if !b.claimed() {
				break
			}
			p.queues[prio] = slices.Delete(p.queues[prio], first, first+1)
			if !p.lanes() {
				break
			}
		}
		if len(e.parts) > 0 {
			return true
		}
	}
	return false
}

// size returns how many of b's items are a chunk: what the knob says while there
// is plenty, then less and less, so that all workers end at about the same time,
// and for the last ones as much for each worker. These are whole vectors.
func (p *pool) size(b *batch) int {
	chunk, unit := p.chunk, vectors
	if !p.lanes() {
		chunk, unit = min(chunk, scalarChunk), 1
	}
	left := len(b.items) - b.next
	if b.share == 0 {
		if least := min(chunk, fineChunk); b.hands > 1 && left > least*b.hands {
			return min(chunk, max(least, units(left, 2*b.hands, unit)))
		}
		b.share = units(left, b.hands, unit)
	}
	return min(b.share, chunk)
}

// units returns a parts-th of n, rounded up to a multiple of unit.
func units(n, parts, unit int) int {
	n = (n + parts - 1) / parts
	return (n + unit - 1) / unit * unit
}

// finish takes the parts that e has verified off their batches.
func (p *pool) finish(e *executor) {
	for i := range e.parts {
		b := e.parts[i].b
		b.running--
		b.tally.add(&e.parts[i].tally)
		if b.waiting && b.finished() {
			b.waiting = false
			b.done <- struct{}{}
		}
	}
	clear(e.parts)
	e.parts = e.parts[:0]
}

// set sets how many workers there are, and the size of a chunk; 0 leaves it.
func (p *pool) set(workers, chunk int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if workers > 0 {
		p.workers = min(workers, maxWorkers)
	}
	if chunk > 0 {
		p.chunk = chunk
	}
	p.callHelpers(0)
}

// settings returns how many workers there are, and the size of a chunk.
func (p *pool) settings() (workers, chunk int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.workers, p.chunk
}

// close ends all calls with ErrClosed, and returns when the helpers have ended.
func (p *pool) close() {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.closing)
	}
	p.mu.Unlock()
	p.helpers.Wait()
}
