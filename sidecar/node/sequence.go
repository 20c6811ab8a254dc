package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
)

// A Sequencer is a Node that numbers the changes of its mempool, and whose
// notifications tell each of them, and each block that joins or leaves the best
// chain, in the order in which they happened (Bitcoin Core's sequence topic).
type Sequencer interface {
	Node
	// MempoolAt returns the ids of the transactions in the mempool, in no
	// order, and the number that the next change of it will have.
	MempoolAt(ctx context.Context) (txids []chainhash.Hash, next uint64, err error)
	// MempoolSize returns how many transactions are in the mempool.
	MempoolSize(ctx context.Context) (int, error)
}

const (
	// pollGrace is how long the notification of a block that a poll has found
	// may take to come before it counts as missed.
	pollGrace = 500 * time.Millisecond
	// maxUnequal is how often in a row the node's mempool may have another size
	// while changes of it are under way, which a loss among them would show in
	// the numbers of those that follow.
	maxUnequal = 20
	// blockGrace is how long numbers may be missing before the notification of
	// the block that took transactions out of the mempool silently.
	blockGrace = 5 * time.Second
	// lateness is how long after a snapshot of the mempool changes may still
	// come that it holds already. A node that started anew begins to count from
	// 1: it must not be taken for one that is late.
	lateness = 10 * time.Second
)

// A stepState is where the follower stands in what a Sequencer tells. Bitcoin
// Core gives a number to each transaction that enters the mempool or leaves it,
// but tells nothing of those that a block takes out: their numbers are missing
// before and behind the block's notification, as many as were in the mempool.
type stepState struct {
	// ok says that pool and tip are the node's as of the last step.
	ok bool
	// next is the number that the next change has unless a block takes
	// transactions out; skipped counts the numbers missing since the last
	// block, since when.
	next, skipped uint64
	since         time.Time
	// from is the number of the first change that the last snapshot of the
	// mempool does not hold, asked when it was asked for: steps from before are
	// in it.
	from  uint64
	asked time.Time
	// behind is the tip that a poll found ahead of the steps, once it has;
	// unequal counts how often in a row the node's mempool was found to have
	// another size, the last time after weighed events.
	behind  Tip
	unequal int
	weighed uint64
}

// desync makes the follower compare chain and mempool with the node's, since
// what the steps told cannot be trusted any more.
func (f *follower) desync(why string) {
	if f.steps.ok {
		f.metrics.desyncs.Add(1)
		f.log.Debug("the node's notifications do not add up; comparing chain and mempool", "why", why)
	}
	f.follow(stepState{})
	f.resyncDue, f.pollDue = time.Time{}, time.Time{}
}

// follow makes st the state from which the steps go on.
func (f *follower) follow(st stepState) {
	f.steps = st
	f.update(func(s *FeedStatus) { s.Sequenced = st.ok })
}

// followSteps does what notifications told, in order. When they do not add up
// the rest of them is left out: the comparison that follows is younger than all
// of them.
func (f *follower) followSteps(ctx context.Context, steps []Hint) error {
	if len(steps) > 0 {
		defer func() { f.update(func(s *FeedStatus) { s.Mempool = len(f.pool) }) }()
	}
	for i := range steps {
		if !f.steps.ok {
			return nil
		}
		var err error
		s, timer, before := &steps[i], f.metrics.blockStep, f.events
		switch s.Kind {
		case HintTxAdded, HintTxRemoved:
			timer = f.metrics.txStep
			err = f.change(ctx, s)
		case HintBlockConnected:
			err = f.connectStep(ctx, s)
		case HintBlockDisconnected:
			err = f.disconnectStep(ctx, s)
		}
		if err != nil {
			f.desync("a step failed")
			return err
		}
		if f.events > before { // else a comparison had told of it
			timer.Since(s.At)
		}
	}
	if f.steps.skipped > 0 && time.Since(f.steps.since) > blockGrace {
		f.desync("changes of the mempool are missing")
	}
	return nil
}

// change makes one change of the mempool.
func (f *follower) change(ctx context.Context, s *Hint) error {
	st := &f.steps
	if s.Sequence < st.from && s.At.Before(st.asked.Add(lateness)) {
		return nil // the snapshot holds it
	}
	if s.Sequence < st.next {
		f.desync("the numbers of the mempool's changes fell")
		return nil
	}
	if missing := s.Sequence - st.next; missing > 0 {
		if st.skipped == 0 {
			st.since = time.Now()
		}
		st.skipped += missing
	}
	st.next = s.Sequence + 1
	_, have := f.pool[s.Txid]
	switch {
	case s.Kind == HintTxAdded && have:
		f.desync("a transaction entered the mempool twice")
	case s.Kind == HintTxAdded:
		return f.add(ctx, s.Txid, f.raws.take(s.Txid))
	case have:
		delete(f.pool, s.Txid)
		return f.emit(ctx, MempoolRemoved{Txid: s.Txid})
	}
	// What is removed without having been added found no room when it came:
	// Core tells of its removal only.
	return nil
}

// connectStep connects the block of a step.
func (f *follower) connectStep(ctx context.Context, s *Hint) error {
	switch {
	case s.At.Before(f.steps.asked):
		return nil // the chain was compared since
	case s.Tip.Hash == f.tip.Hash:
		f.desync("a block was told of after the poll that found it")
		return nil
	}
	delete(f.seen, s.Tip.Hash)
	b := f.fetchBlock(ctx, s.Tip.Hash)
	if b.err != nil {
		return fmt.Errorf("fetch block %s: %w", s.Tip.Hash, b.err)
	}
	if b.header.Prev() != f.tip.Hash {
		f.desync("a block does not follow the tip")
		return nil
	}
	branch := []header.Header{b.header}
	if _, err := f.headers.Verify(f.tip.Height, branch); err != nil {
		if _, broken := errors.AsType[*header.RuleError](err); !broken {
			return fatal(err)
		}
		f.desync("a header breaks a rule") // the comparison raises the alarm
		return nil
	}
	if err := f.headers.replace(f.tip.Height, branch); err != nil {
		return fatal(err)
	}
	f.update(func(st *FeedStatus) {
		st.Headers = f.headers.Tip()
		if st.Best.Height <= st.Headers.Height {
			st.Best = st.Headers
		}
	})
	mined, err := f.connectBlock(ctx, b, s.At, false)
	if err != nil {
		return err
	}
	f.branchesDue = time.Time{}
	st := &f.steps
	if st.skipped > uint64(mined) {
		f.desync("more changes of the mempool are missing than a block explains")
		return nil
	}
	st.next += uint64(mined) - st.skipped
	st.skipped = 0
	return nil
}

// disconnectStep disconnects the block of a step.
func (f *follower) disconnectStep(ctx context.Context, s *Hint) error {
	switch {
	case s.At.Before(f.steps.asked):
		return nil
	case s.Tip.Hash != f.tip.Hash || f.tip.Height == 0:
		f.desync("a block left the chain that is not its tip")
		return nil
	}
	f.branchesDue = time.Time{}
	return f.disconnect(ctx, f.tip.Height-1)
}

// outrun reports whether the node's chain has moved on and the steps do not
// tell: it asks for the tip, and when that is another, again after pollGrace.
func (f *follower) outrun(ctx context.Context) (bool, error) {
	best, err := f.node.Tip(ctx)
	if err != nil {
		return false, fmt.Errorf("ask for the tip: %w", err)
	}
	f.update(func(s *FeedStatus) { s.Best = best })
	suspected := f.steps.behind
	f.steps.behind = Tip{}
	switch {
	case best == f.tip:
		f.pollDue = soon(&f.pollEvery)
		return false, nil
	case suspected != f.tip || suspected == (Tip{}):
		// The steps have come on since the last look, or this is the first.
		f.steps.behind = f.tip
		f.pollDue = time.Now().Add(pollGrace)
		return false, nil
	}
	f.metrics.missed.Add(1)
	f.log.Warn("the node's chain moved on and its notifications did not tell", "tip", best.Hash, "height", best.Height)
	f.desync("the tip moved in silence")
	return true, nil
}

// weigh compares the size of the mempool with the node's. When it is another
// twice, and no event came in between, a change was missed at the end of what the
// steps told.
func (f *follower) weigh(ctx context.Context, node Sequencer) error {
	size, err := node.MempoolSize(ctx)
	if err != nil {
		return fmt.Errorf("ask for the mempool's size: %w", err)
	}
	st := &f.steps
	quiet := st.unequal > 0 && st.weighed == f.events
	switch {
	case size == len(f.pool):
		st.unequal = 0
		f.resyncDue = soon(&f.resyncEvery)
	case quiet || st.unequal == maxUnequal:
		f.desync("the node's mempool has another size")
	default:
		st.unequal++
		st.weighed = f.events
		f.resyncDue = time.Now().Add(pollGrace)
	}
	return nil
}

// maxRawTxs bounds the transactions whose bytes are held.
const maxRawTxs = 1 << 16

// rawTxs holds the bytes of transactions until a step tells that they entered
// the mempool: those that came last, up to maxRawTxs and maxBufferedTxs bytes.
type rawTxs struct {
	byTxid map[chainhash.Hash][]byte
	order  []chainhash.Hash // of arrival; those that were taken too
	bytes  int
}

// put keeps tx, which the caller gives away.
func (r *rawTxs) put(txid chainhash.Hash, tx []byte) {
	if r.byTxid == nil {
		r.byTxid = make(map[chainhash.Hash][]byte)
	}
	if _, have := r.byTxid[txid]; have {
		return
	}
	r.byTxid[txid] = tx
	r.order = append(r.order, txid)
	r.bytes += len(tx)
	for {
		_, have := r.byTxid[r.order[0]]
		if have && r.bytes <= maxBufferedTxs && len(r.order) <= maxRawTxs {
			return
		}
		r.take(r.order[0])
		r.order = r.order[1:]
	}
}

// take returns the bytes of a transaction and forgets them; nil when there are
// none.
func (r *rawTxs) take(txid chainhash.Hash) []byte {
	tx := r.byTxid[txid]
	delete(r.byTxid, txid)
	r.bytes -= len(tx)
	return tx
}
