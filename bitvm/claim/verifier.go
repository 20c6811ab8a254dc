package claim

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/outrider-project/outrider/bitvm/assertion"
	"github.com/outrider-project/outrider/perfcore"
)

// Options configure a Verifier. Zero fields have the defaults that their comments name.
type Options struct {
	// Parallel is how many goroutines judge claims at once (GOMAXPROCS).
	Parallel int
	// Chunk is how many claims by the same key a goroutine judges together at most (8).
	Chunk int
	// Queue is how many claims may be handed in, those that are being judged included
	// (256). Who hands in more waits.
	Queue int
	// KeyBytes bounds the memory for prepared keys (8 MiB), of which one takes about
	// [assertion.KeyBytes].
	KeyBytes int64
	// Recorder receives the metrics (perfcore.Discard).
	Recorder perfcore.Recorder
}

// ErrClosed is returned for claims that a Verifier was closed before.
var ErrClosed = errors.New("claim: the Verifier is closed")

// A Verifier judges claims, several at once. Each claim is a chain of steps that does not
// divide, so that one claim is judged by one goroutine. Its methods are safe for
// concurrent use.
type Verifier struct {
	in      *instruments
	keys    *keyCache
	rooms   chan struct{} // holds one for each claim that is handed in
	closing chan struct{}
	workers sync.WaitGroup

	mu              sync.Mutex // guards what follows
	queue           []*job     // in the order of arrival
	parallel, chunk int
	busy            int // workers that run
	closed          bool
	judges          []*judge // that nobody uses
}

// A job is a claim on its way.
type job struct {
	claim *Claim
	key   *assertion.Key
	// load loads the witnesses for the caller, who waits for the job.
	load  func() (*Stacks, error)
	since time.Time

	verdict Verdict
	err     error
	done    chan struct{} // closed when the two above are there
}

// New returns a Verifier, which whoever made it closes.
func New(o Options) *Verifier {
	rec := o.Recorder
	if rec == nil {
		rec = perfcore.Discard
	}
	in := newInstruments(rec)
	return &Verifier{
		in:       in,
		keys:     newKeyCache(cmp.Or(o.KeyBytes, 8<<20), in),
		rooms:    make(chan struct{}, cmp.Or(o.Queue, 256)),
		closing:  make(chan struct{}),
		parallel: cmp.Or(o.Parallel, runtime.GOMAXPROCS(0)),
		chunk:    cmp.Or(o.Chunk, 8),
	}
}

// Close waits until the claims that are being judged are done. Those that wait, and those
// that come, have the error [ErrClosed].
func (v *Verifier) Close() {
	v.mu.Lock()
	if !v.closed {
		v.closed = true
		close(v.closing)
	}
	waiting := v.queue
	v.queue = nil
	v.in.waiting.Set(0)
	v.mu.Unlock()
	for _, j := range waiting {
		v.finish(j, Verdict{}, ErrClosed)
	}
	v.workers.Wait()
}

// Verify judges one claim, when its turn has come. An error says why there is no verdict:
// ctx ended, the key is none, the witnesses could not be loaded, the Verifier is closed,
// or [ErrContradiction]. Nothing of the claim is in use when Verify has returned.
func (v *Verifier) Verify(ctx context.Context, c *Claim) (Verdict, error) {
	j := v.hand(ctx, c)
	v.await(ctx, j)
	return j.verdict, j.err
}

// All judges the claims of a sequence and returns for each what [Verifier.Verify] does, in
// their order. Of the sequence it takes as many claims ahead as the Verifier has room
// for. When the caller's loop has ended, no claim is in use.
func (v *Verifier) All(ctx context.Context, claims iter.Seq[*Claim]) iter.Seq2[Verdict, error] {
	return func(yield func(Verdict, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var pending []*job // in the order of the sequence
		defer func() {
			cancel()
			for _, j := range pending {
				v.await(ctx, j)
			}
		}()
		first := func() bool {
			j := pending[0]
			v.await(ctx, j)
			pending = pending[1:]
			return yield(j.verdict, j.err)
		}
		for c := range claims {
			pending = append(pending, v.hand(ctx, c))
			for len(pending) > 0 && (len(pending) >= cap(v.rooms) || pending[0].isDone()) {
				if !first() {
					return
				}
			}
		}
		for len(pending) > 0 {
			if !first() {
				return
			}
		}
	}
}

func (j *job) isDone() bool {
	select {
	case <-j.done:
		return true
	default:
		return false
	}
}

// hand puts a claim into the queue, when there is room, and has somebody work. What
// cannot be put there is done, with an error.
func (v *Verifier) hand(ctx context.Context, c *Claim) *job {
	j := &job{
		claim: c, since: time.Now(), done: make(chan struct{}),
		load: func() (*Stacks, error) { return load(ctx, c) },
	}
	select {
	case v.rooms <- struct{}{}:
	case <-ctx.Done():
		j.err = ctx.Err()
	case <-v.closing:
		j.err = ErrClosed
	}
	if j.err != nil {
		v.in.outcomes[0].Add(1)
		close(j.done)
		return j
	}
	var err error
	if j.key, err = v.keys.get(c.Key); err != nil {
		v.finish(j, Verdict{}, err)
		return j
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		v.finish(j, Verdict{}, ErrClosed)
		return j
	}
	v.queue = append(v.queue, j)
	v.in.waiting.Set(float64(len(v.queue)))
	v.employ()
	return j
}

// load returns the witnesses of a claim, or why there are none.
func load(ctx context.Context, c *Claim) (*Stacks, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	stacks, err := c.Load(ctx)
	if err == nil && stacks == nil {
		err = errNoStacks
	}
	return stacks, err
}

var errNoStacks = errors.New("claim: no witnesses were loaded")

// await returns when a job is done, which it is soon behind the end of ctx: a claim that
// still waits is taken back.
func (v *Verifier) await(ctx context.Context, j *job) {
	select {
	case <-j.done:
		return
	case <-ctx.Done():
	}
	v.mu.Lock()
	at := slices.Index(v.queue, j)
	if at >= 0 {
		v.queue = slices.Delete(v.queue, at, at+1)
		v.in.waiting.Set(float64(len(v.queue)))
	}
	v.mu.Unlock()
	if at >= 0 {
		v.finish(j, Verdict{}, ctx.Err())
	}
	<-j.done
}

// finish tells what became of a job.
func (v *Verifier) finish(j *job, verdict Verdict, err error) {
	j.verdict, j.err = verdict, err
	v.in.outcomes[verdict.Outcome].Add(1)
	if err == nil {
		v.in.claim.Since(j.since)
		v.in.commitments.Add(assertion.Commitments)
	}
	if errors.Is(err, ErrContradiction) {
		v.in.contradictions.Add(1)
	}
	<-v.rooms
	close(j.done)
}

// employ starts workers while there are fewer than may be and than jobs. v.mu is held.
func (v *Verifier) employ() {
	for n := len(v.queue); n > 0 && v.busy < v.parallel; n-- {
		v.busy++
		v.workers.Go(v.work)
	}
}

// work judges claims until none waits, or there are too many workers.
func (v *Verifier) work() {
	v.mu.Lock()
	defer v.mu.Unlock()
	judge := new(judge)
	if n := len(v.judges); n > 0 {
		judge, v.judges = v.judges[n-1], v.judges[:n-1]
	}
	for len(v.queue) > 0 && v.busy <= v.parallel {
		jobs := v.take()
		v.mu.Unlock()
		v.try(judge, jobs)
		v.mu.Lock()
	}
	v.busy--
	if len(v.judges)+v.busy < v.parallel {
		v.judges = append(v.judges, judge)
	}
}

// take takes the first job and those by the same key behind it, but leaves what other
// workers can begin with. v.mu is held.
func (v *Verifier) take() []*job {
	share := min(v.chunk, (len(v.queue)+v.parallel-1)/v.parallel)
	jobs := make([]*job, 0, share)
	rest := v.queue[:0]
	for _, j := range v.queue {
		if len(jobs) == 0 || len(jobs) < share && j.key == jobs[0].key {
			jobs = append(jobs, j)
		} else {
			rest = append(rest, j)
		}
	}
	clear(v.queue[len(rest):])
	v.queue = rest
	v.in.waiting.Set(float64(len(v.queue)))
	return jobs
}

// try judges claims by the same key.
func (v *Verifier) try(by *judge, jobs []*job) {
	d := newDocket(jobs[0].key, len(jobs))
	for i, j := range jobs {
		start := time.Now()
		d.claims[i] = j.claim
		d.stacks[i], d.errs[i] = j.load()
		v.in.load.Since(start)
	}
	by.decide(d)
	for i, j := range jobs {
		v.finish(j, d.verdicts[i], d.errs[i])
	}
}
