package node

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/perfcore"
)

// A Handler takes the events of a feed, one at a time and in order. When it
// returns, the feed never gives the event again in this process; what comes after
// the tip that the handler has stored is given again after a start. An error ends
// the feed.
type Handler func(ctx context.Context, ev Event) error

// FeedOptions configures a Feed. The zero value is ready to use.
type FeedOptions struct {
	// Poll is how often the node is asked for its tip when no notification
	// comes; 0 means 5 seconds.
	Poll time.Duration
	// Resync is how often the mempool is compared with the node's when
	// nothing else calls for it; 0 means 30 seconds.
	Resync time.Duration
	// Branches is how often the node is asked for branches that it calls
	// invalid; 0 means 10 seconds.
	Branches time.Duration
	// Ahead is how many blocks are fetched ahead of the handler, 64 at most; 0 means
	// 8.
	Ahead int
	// Fetched, if it is set, hears of every block that was fetched ahead and can be
	// read, before its turn comes and perhaps long before, by several goroutines at
	// once. The block is not to be changed. While it works the block is not ready; it
	// returns when ctx ends.
	Fetched func(ctx context.Context, b *blockval.Block)
	// Announced, if it is set, hears when a notification tells of a block that the chain
	// does not have, before it is fetched. It is called once for each, on the goroutine of
	// Run, when that has time; the block need not come, and others come without.
	Announced func()
	// Depth is how far below the node's tip the feed starts when it has no
	// stored tip, and how deep a branch may fork to be judged; 0 means 288.
	Depth uint32
	// Start is the height of the first block when there is no stored tip; nil
	// means Depth below the tip. 0 and 1 both mean the genesis block's
	// successor.
	Start *uint32
	// Recorder receives the metrics; nil means perfcore.Discard.
	Recorder perfcore.Recorder
	// Log receives what the operator should know; nil means nothing.
	Log *slog.Logger
}

func (o FeedOptions) withDefaults() FeedOptions {
	o.Poll = cmp.Or(o.Poll, 5*time.Second)
	o.Resync = cmp.Or(o.Resync, 30*time.Second)
	o.Branches = cmp.Or(o.Branches, 10*time.Second)
	o.Ahead = cmp.Or(o.Ahead, 8)
	o.Depth = cmp.Or(o.Depth, 288)
	if o.Recorder == nil {
		o.Recorder = perfcore.Discard
	}
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	return o
}

// A Feed turns what a node says into one ordered, complete stream of events.
//
// The chain's truth is the comparison of two chains: the one that the events
// so far add up to, and the node's best one. A notification only says when to
// compare, so one that is lost, doubled or late costs time and nothing else
// (docs/adr/0005). The mempool's truth is the difference from the node's list;
// notifications keep it fresh in between.
type Feed struct {
	node    Node
	headers *Headers
	opt     FeedOptions
	log     *slog.Logger
	metrics feedMetrics
	// maxBranch is the constant of that name; tests lower it.
	maxBranch int
	// These are the options Poll, Resync and Branches, in nanoseconds, and
	// ahead counts the blocks that are fetched ahead: knobs turn them.
	pollEvery, resyncEvery, branchesEvery atomic.Int64
	ahead                                 *perfcore.Semaphore

	mu     sync.Mutex // guards status
	status FeedStatus
}

// FeedStatus is where a feed stands.
type FeedStatus struct {
	// Attached says that the subscription is up and the node's answers come.
	Attached bool
	// Sequenced says that the feed follows every step that the node's
	// notifications tell of; otherwise it compares, when they or the time say so.
	Sequenced bool
	// Tip is what the events so far add up to; Best is the node's tip.
	Tip, Best Tip
	// Headers is the best verified header.
	Headers Tip
	// Mempool counts the transactions in the mempool, Resyncs the comparisons
	// with the node's list, Drift the transactions that those had to add or
	// remove.
	Mempool        int
	Resyncs, Drift uint64
	// Disconnected counts the blocks that left the best chain.
	Disconnected uint64
	// Err is why the node cannot be followed at present; nil when it can.
	Err error

	// step and handler are why: the feed's own trouble, and that of who handles
	// its events.
	step, handler error
}

type feedMetrics struct {
	connected, disconnected *perfcore.Counter
	resyncs, drift          *perfcore.Counter
	desyncs, missed         *perfcore.Counter
	troubles, branches      *perfcore.Counter
	height, best, mempool   *perfcore.Gauge
	down                    *perfcore.Gauge
	fetch                   *perfcore.Timer
	txStep, blockStep       *perfcore.Timer
}

func newFeedMetrics(rec perfcore.Recorder) feedMetrics {
	event := func(kind string) *perfcore.Counter {
		return rec.Counter(perfcore.Metric{
			Name: "outrider_feed_blocks_total", Help: "Blocks that joined and left the best chain.",
			Labels: []string{"event", kind},
		})
	}
	step := func(of string) *perfcore.Timer {
		return rec.Timer(perfcore.Metric{
			Name: "outrider_feed_step_seconds", Help: "Time from the arrival of a numbered notification until its event was handled.",
			Labels: []string{"of", of},
		})
	}
	return feedMetrics{
		connected:    event("connected"),
		disconnected: event("disconnected"),
		resyncs: rec.Counter(perfcore.Metric{
			Name: "outrider_feed_mempool_resyncs_total", Help: "Comparisons of the mempool with the node's list.", Panel: "Mempool comparisons",
		}),
		drift: rec.Counter(perfcore.Metric{
			Name: "outrider_feed_mempool_drift_total", Help: "Transactions that a comparison had to add or remove.", Panel: "Mempool comparisons",
		}),
		desyncs: rec.Counter(perfcore.Metric{
			Name: "outrider_feed_desyncs_total", Help: "Times when the node's numbered notifications did not add up, and all was compared.", Panel: "Trouble with the node",
		}),
		missed: rec.Counter(perfcore.Metric{
			Name: "outrider_feed_missed_blocks_total", Help: "Times when a poll found a tip that the node's notifications did not tell of.", Panel: "Trouble with the node",
		}),
		troubles: rec.Counter(perfcore.Metric{
			Name: "outrider_feed_troubles_total", Help: "Attempts to follow the node that failed.", Panel: "Trouble with the node",
		}),
		branches: rec.Counter(perfcore.Metric{
			Name: "outrider_feed_rejected_branches_total", Help: "Branches that the node calls invalid.",
		}),
		height: rec.Gauge(perfcore.Metric{
			Name: "outrider_feed_height", Help: "Height of the last block that was given to be judged. While catching up, verdicts are some blocks behind.", Panel: "Height",
		}),
		best: rec.Gauge(perfcore.Metric{
			Name: "outrider_feed_node_height", Help: "Height of the node's best block.", Panel: "Height",
		}),
		mempool: rec.Gauge(perfcore.Metric{
			Name: "outrider_feed_mempool_transactions", Help: "Transactions in the node's mempool.",
		}),
		down: FeedDown(rec),
		fetch: rec.Timer(perfcore.Metric{
			Name: "outrider_feed_fetch_seconds", Help: "Time to fetch and decode one block.",
		}),
		txStep:    step("transaction"),
		blockStep: step("block"),
	}
}

// FeedDown returns the gauge of whether the node is followed, which a [Feed] sets
// while it runs. Whoever has a node that it cannot give to a feed yet sets it to 1.
func FeedDown(rec perfcore.Recorder) *perfcore.Gauge {
	return rec.Gauge(perfcore.Metric{
		Name: "outrider_feed_down", Help: "1 while the node does not answer, its notifications do not arrive or its blocks cannot be judged, else 0.",
		Alert: perfcore.Alert{
			Name: "feed_down", Help: "The node is not followed: it does not answer, its notifications do not arrive, or its blocks cannot be judged; the status says why.",
			Urgent: true, For: 2 * time.Minute, Keep: time.Minute,
		},
	})
}

// NewFeed returns a feed of n's events on top of the verified chain headers.
func NewFeed(n Node, headers *Headers, o FeedOptions) *Feed {
	o = o.withDefaults()
	f := &Feed{
		node: n, headers: headers, opt: o, log: o.Log, metrics: newFeedMetrics(o.Recorder), maxBranch: maxBranch,
		ahead: perfcore.NewSemaphore(min(o.Ahead, maxAhead)),
	}
	f.pollEvery.Store(int64(o.Poll))
	f.resyncEvery.Store(int64(o.Resync))
	f.branchesEvery.Store(int64(o.Branches))
	return f
}

// Status returns where the feed stands.
func (f *Feed) Status() FeedStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

func (f *Feed) update(change func(*FeedStatus)) {
	f.mu.Lock()
	defer f.mu.Unlock() // so that the metrics are of the last change
	change(&f.status)
	s := &f.status
	f.metrics.height.Set(float64(s.Tip.Height))
	f.metrics.best.Set(float64(s.Best.Height))
	f.metrics.mempool.Set(float64(s.Mempool))
	down := 0.0
	if !s.Attached || s.Err != nil {
		down = 1
	}
	f.metrics.down.Set(down)
}

// Run gives handle every event from the block after stored on, or from where
// the options say when stored is nil, until ctx ends or handle fails; it
// returns why. Trouble with the node never ends it: it tries again. All its
// goroutines have ended when it returns. A Feed runs once.
func (f *Feed) Run(ctx context.Context, stored *Tip, handle Handler) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()

	box := newInbox()
	hints := make(chan Hint)
	wg.Go(func() {
		box.collect(ctx, hints, func(up bool) { f.update(func(s *FeedStatus) { s.Attached = up }) })
	})
	wg.Go(func() {
		if err := f.node.Watch(ctx, hints); ctx.Err() == nil {
			f.log.Error("the node's notifications ended; following it by polling alone", "err", err)
		}
	})

	fl := &follower{
		Feed: f, handle: handle, stored: stored,
		pool:   make(map[chainhash.Hash]struct{}),
		judged: make(map[chainhash.Hash]struct{}),
	}
	var wait backoff
	for {
		err := fl.step(ctx, box.take())
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if fatal, ok := errors.AsType[*fatalError](err); ok {
			return fatal.err
		}
		f.trouble(err, func(s *FeedStatus) *error { return &s.step })
		delay, wake := fl.idle(), box.wake
		if err != nil {
			// What comes in meanwhile does not shorten the wait: a node that
			// is in trouble is not asked once for every transaction.
			delay, wake = wait.next(), nil
		} else {
			wait = backoff{}
		}
		timer := time.NewTimer(delay)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-wake:
		}
		timer.Stop()
	}
}

// Trouble says why the handler cannot go on for now, or with nil that it does.
// It is safe to call at any time, also for what is done behind a handler that has
// returned.
func (f *Feed) Trouble(err error) { f.trouble(err, func(s *FeedStatus) *error { return &s.handler }) }

// trouble notes that what is at the place failed with err, or did not.
func (f *Feed) trouble(err error, place func(*FeedStatus) *error) {
	var before, now error
	f.update(func(s *FeedStatus) {
		before = s.Err
		*place(s) = err
		if s.Err = s.handler; s.Err == nil {
			s.Err = s.step
		}
		now = s.Err
	})
	if err != nil {
		f.metrics.troubles.Add(1)
	}
	switch {
	case before == nil && now != nil:
		f.log.Warn("cannot follow the node; trying again", "err", now)
	case before != nil && now == nil:
		f.log.Info("following the node again")
	}
}

// A fatalError ends the feed: the handler failed, or our own storage did.
type fatalError struct{ err error }

func (e *fatalError) Error() string { return e.err.Error() }
func (e *fatalError) Unwrap() error { return e.err }

// fatal marks err, if it is one, as ending the feed.
func fatal(err error) error {
	if err == nil {
		return nil
	}
	return &fatalError{err}
}

// backoff counts up waiting times from 50 ms to 2 s.
type backoff struct{ last time.Duration }

func (b *backoff) next() time.Duration {
	b.last = min(max(2*b.last, 50*time.Millisecond), 2*time.Second)
	return b.last
}

// A follower is a running feed: everything here belongs to Run's goroutine.
type follower struct {
	*Feed
	handle Handler
	stored *Tip
	events uint64 // handled so far

	// tip is what the events so far add up to, once started.
	tip     Tip
	started bool
	// pollDue is when to compare the chains though nothing was heard.
	pollDue time.Time
	// seen is when notifications first told of the blocks to come.
	seen map[chainhash.Hash]time.Time
	// pool is the mempool that the events so far add up to; mined holds the
	// transactions of the last blocks, for hints that come late.
	pool  map[chainhash.Hash]struct{}
	mined minedTxs
	// sequenced says that the node's notifications are steps; raws holds what
	// they may tell the ids of.
	sequenced bool
	steps     stepState
	raws      rawTxs
	resyncDue time.Time // when to compare the mempool; zero means at once
	// branchesDue is when to look for invalid branches; judged holds those
	// that were given already; diverged is the header last complained about.
	branchesDue time.Time
	judged      map[chainhash.Hash]struct{}
	looked      bool // for such branches, at least once
	diverged    header.RuleError
}

// soon returns when a time from now has passed, which is v nanoseconds.
func soon(v *atomic.Int64) time.Time { return time.Now().Add(time.Duration(v.Load())) }

// emit gives ev to the handler.
func (f *follower) emit(ctx context.Context, ev Event) error {
	err := f.handle(ctx, ev)
	if err == nil {
		f.events++
	}
	return fatal(err)
}

// step does what the mail and the time call for.
func (f *follower) step(ctx context.Context, m mail) error {
	f.note(m.seen)
	for i := range m.raws {
		f.raws.put(m.raws[i].Txid, m.raws[i].Tx)
	}
	if m.resync {
		f.desync("notifications may be missing")
	}
	f.sequenced = m.sequenced
	if err := f.followSteps(ctx, m.steps); err != nil {
		return err
	}
	chain := m.chain || !f.started || !time.Now().Before(f.pollDue)
	if chain && f.steps.ok {
		var err error
		if chain, err = f.outrun(ctx); err != nil {
			return err
		}
	}
	// A chain that keeps moving on is followed again at once, but the rest must
	// have its turn too.
	for range 3 {
		if chain {
			f.pollDue = time.Time{} // again soon, unless this succeeds
			f.follow(stepState{})
			if err := f.catchUp(ctx); err != nil {
				return err
			}
			f.pollDue = soon(&f.pollEvery)
		}
		if !f.started {
			return nil
		}
		done, err := f.followMempool(ctx, m.txs)
		if err != nil || done {
			return errors.Join(err, f.followBranches(ctx))
		}
		chain, m.txs = true, nil
	}
	return f.followBranches(ctx)
}

// idle returns how long there is nothing to do unless somebody calls.
func (f *follower) idle() time.Duration {
	due := f.pollDue
	if f.started {
		for _, t := range []time.Time{f.resyncDue, f.branchesDue} {
			if t.Before(due) {
				due = t
			}
		}
	}
	if t := f.steps.since.Add(blockGrace); f.steps.skipped > 0 && t.Before(due) {
		due = t
	}
	return max(time.Until(due), 0)
}

// catchUp follows the chain, and notes what is due when it has moved.
func (f *follower) catchUp(ctx context.Context) error {
	moved, err := f.followChain(ctx)
	if moved || err != nil {
		// With an error the transactions are dropped with the mail: the next
		// comparison finds them.
		f.resyncDue = time.Time{}
	}
	if moved {
		f.branchesDue = time.Time{}
	}
	return err
}

// note remembers when blocks were first heard of, in bounded memory.
func (f *follower) note(seen map[chainhash.Hash]time.Time) {
	if len(f.seen)+len(seen) > 2*maxSeen {
		f.seen = nil
	}
	for hash, at := range seen {
		if f.seen == nil {
			f.seen = make(map[chainhash.Hash]time.Time)
		}
		if _, again := f.seen[hash]; !again && hash != f.tip.Hash && f.opt.Announced != nil {
			f.opt.Announced()
		}
		f.seen[hash] = at
	}
}
