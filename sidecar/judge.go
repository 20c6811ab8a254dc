package sidecar

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sidecar/node"
	"github.com/outrider-project/outrider/utxocache"
	"github.com/outrider-project/outrider/utxocache/coins"
)

// A judge handles the feed's events: it validates every block, compares its
// verdicts with the node's, keeps the coins, and stores the tip. It belongs to
// the feed's goroutine, but for what the flight does with it while blocks are in
// flight.
type judge struct {
	node      node.Node
	headers   *node.Headers
	validator *blockval.Validator
	cache     *utxocache.Cache
	coins     *coins.Set  // over cache and state
	state     *chainstate // nil in cache mode
	stored    *node.Tip   // where the last run ended; nil if there was none
	tip       *tipFile
	left      *leftFile
	flight    *flight
	ring      uint32 // blocks that the cache can undo
	log       *slog.Logger
	evidence  *evidence
	asked     *asking        // what the node is asked for; nil counts nothing
	report    func(Report)   // hears of every verdict
	trouble   func(error)    // hears why no verdict comes for now, nil when one does
	stand     func(node.Tip) // hears up to which block everything is done
	metrics   judgeMetrics

	// condemned holds the blocks of rejected branches that were reported, so
	// that a branch that grows is not reported again.
	condemned map[chainhash.Hash]struct{}
}

type judgeMetrics struct {
	outcomes map[Outcome]*perfcore.Counter
	prevouts map[blockval.Source]*perfcore.Counter
	verdict  *perfcore.Timer
	unjudged *perfcore.Counter
	height   *perfcore.Gauge
}

func newJudgeMetrics(rec perfcore.Recorder) judgeMetrics {
	m := judgeMetrics{
		outcomes: make(map[Outcome]*perfcore.Counter),
		prevouts: make(map[blockval.Source]*perfcore.Counter),
		verdict: rec.Timer(perfcore.Metric{
			Name: "outrider_block_verdict_seconds", Help: "Time from first hearing of a block at the tip to its verdict.",
		}),
		unjudged: rec.Counter(perfcore.Metric{
			Name: "outrider_blocks_unjudged_total", Help: "Blocks whose spent outputs could not be learnt.",
		}),
	}
	m.height = rec.Gauge(perfcore.Metric{
		Name: "outrider_judged_height", Help: "Height of the block up to which verdicts are given and the tip is stored.", Panel: "Height",
	})
	for _, o := range []Outcome{Agree, Differ, Undecided} {
		verdicts := perfcore.Metric{
			Name: "outrider_block_verdicts_total", Help: "Blocks judged, by agreement with the node.",
			Labels: []string{"outcome", string(o)},
		}
		if o == Differ {
			verdicts.Alert = perfcore.Alert{
				Name: "verdict_differs", Help: "The sidecar and its node disagree about a block: look at the evidence at once.",
				Urgent: true, Keep: time.Hour,
			}
		}
		m.outcomes[o] = rec.Counter(verdicts)
	}
	for _, s := range []blockval.Source{blockval.Own, blockval.Node} {
		m.prevouts[s] = rec.Counter(perfcore.Metric{
			Name:   "outrider_block_verdict_prevouts_total",
			Help:   "Verdicts, by whose word the spent outputs are: own where all are the sidecar's, node where any is the node's, which cannot show that one is missing or was spent before.",
			Labels: []string{"prevouts", string(s)},
		})
	}
	return m
}

// handle is the feed's node.Handler.
func (j *judge) handle(ctx context.Context, ev node.Event) error {
	switch ev := ev.(type) {
	case node.MempoolAdded, node.MempoolRemoved:
		return nil
	case node.Connected:
		if flown, err := j.flight.begin(ctx, &ev); flown || err != nil {
			return err
		}
	}
	if err := j.flight.land(ctx); err != nil {
		return err
	}
	switch ev := ev.(type) {
	case node.Started:
		return j.start(ctx, ev.Tip)
	case node.Connected:
		return j.connect(ctx, ev)
	case node.Disconnected:
		return j.disconnect(ctx, ev)
	case node.Rejected:
		return j.reject(ctx, ev)
	case node.Diverged:
		j.diverge(ctx, ev)
	}
	return nil
}

// start makes the cache stand at tip, with the blocks below it that it can
// undo, so that the sidecar's own word covers them after a restart too.
func (j *judge) start(ctx context.Context, tip node.Tip) error {
	if err := j.state.start(tip); err != nil {
		return err
	}
	resumed := j.stored != nil && *j.stored == tip
	base := tip.Height
	if resumed {
		base -= min(j.ring, base)
	}
	hash, err := j.headers.Hash(base)
	if err != nil {
		return err
	}
	j.cache.Reset(utxocache.Tip{Hash: hash, Height: base}, base == 0)
	for height := base + 1; height <= tip.Height; height++ {
		err := j.insist(ctx, func() error { return j.refill(ctx, height) })
		if errors.Is(err, node.ErrNotFound) || errors.Is(err, errSpoilt) {
			// The node need not have these blocks any more, or not whole.
			j.log.Warn("recent blocks are not to be had; their coins will be the node's word", "height", height, "err", err)
			j.cache.Reset(utxocache.Tip(tip), false)
			break
		}
		if err != nil {
			return err
		}
	}
	j.log.Info("following the chain", "height", tip.Height, "hash", tip.Hash.String(), "resumed", resumed)
	return j.store(tip)
}

// store stores the tip up to which everything is done.
func (j *judge) store(tip node.Tip) error {
	if err := j.tip.store(tip); err != nil {
		return err
	}
	j.metrics.height.Set(float64(tip.Height))
	j.stand(tip)
	return nil
}

// refill gives the cache a block that was judged before.
func (j *judge) refill(ctx context.Context, height uint32) error {
	hash, err := j.headers.Hash(height)
	if err != nil {
		return err
	}
	raw, err := j.node.Block(ctx, hash)
	if err != nil {
		return err
	}
	b, err := blockval.Parse(raw)
	if err == nil {
		err = b.Intact()
	}
	if err != nil {
		return fmt.Errorf("%w: block %d: %w", errSpoilt, height, err)
	}
	return j.cache.Apply(cacheBlock(b, height))
}

// decode returns the block that raw holds; nil when it holds none, which
// judge then finds out and names.
func decode(raw []byte) *blockval.Block {
	b, err := blockval.Parse(raw)
	if err != nil {
		return nil
	}
	return b
}

// cacheBlock returns b as the cache takes it.
func cacheBlock(b *blockval.Block, height uint32) utxocache.Block {
	return utxocache.Block{
		Tip:   utxocache.Tip{Hash: b.Hash, Height: height},
		Prev:  b.Header.Prev(),
		Txids: b.Txids,
		Txs:   b.Msg.Transactions,
	}
}

// connect judges a block of the best chain.
func (j *judge) connect(ctx context.Context, ev node.Connected) error {
	r, told, err := j.judgeConnected(ctx, &ev)
	if err != nil {
		return err
	}
	if !ev.CatchUp {
		j.metrics.verdict.Since(ev.Seen)
	}
	j.publish(ctx, r, ev.Seen, ev.CatchUp)
	if err := j.apply(ev); err != nil {
		return err
	}
	return j.settle(ctx, &ev, told)
}

// settle makes a block whose verdict is given, and which the cache has, the one up
// to which everything is done. told is what the verdict rests on.
func (j *judge) settle(ctx context.Context, ev *node.Connected, told *testimony) error {
	if err := j.state.connect(ctx, ev, told); err != nil {
		return err
	}
	return j.store(ev.Tip)
}

// place returns the place of a connected block in the chain, and the coins as of
// there.
func (j *judge) place(ev *node.Connected) (blockval.At, *prevouts) {
	parent := ev.Header.Prev()
	known := &prevouts{
		fetch: func(ops []wire.OutPoint, answers []utxocache.Answer) error {
			return j.coins.Fetch(parent, ops, answers)
		},
		remember: func(ops []wire.OutPoint, coins []utxocache.Coin) {
			j.cache.Remember(parent, ops, coins, false)
		},
		node: j.node, parent: ev.Height - 1, chain: j.headers, connected: true,
		block: ev.Block, tip: ev.Tip, asked: j.asked,
	}
	return blockval.At{Height: ev.Height, Ancestors: j.headers, TimeTaken: true, Coins: known}, known
}

// judgeConnected judges the block and compares its verdict with the node's,
// which is that it is valid. It leaves in ev the body that it judged; none if
// that is not what the header commits to. Beside the report it returns what the
// verdict rests on.
func (j *judge) judgeConnected(ctx context.Context, ev *node.Connected) (Report, *testimony, error) {
	for try := 1; ; try++ {
		at, known := j.place(ev)
		r, err := j.judge(ctx, ev.Tip, ev.Raw, ev.Block, at)
		if err != nil {
			return r, nil, err
		}
		r.NodeValid = true
		switch {
		case r.Outcome != "":
			return r, &known.told, nil
		case r.Verdict.Valid():
			r.Outcome = Agree
			return r, &known.told, nil
		}
		again, err := j.fetchAgain(ctx, ev.Tip, ev.Raw)
		switch {
		case errors.Is(err, node.ErrNotFound):
			r.Outcome, r.Reason = Undecided, unconfirmed
		case err != nil:
			return r, nil, err
		case again == nil:
			r.Outcome = Differ
			r.Reason = "the node connected a block that breaks a rule: " + r.Verdict.Err.Error()
			r.exhibits = []exhibit{{Tip: ev.Tip, header: ev.Header, raw: ev.Raw, ancestors: j.headers, taken: true, told: known.told}}
		case try == bodyTries:
			r.Outcome, r.Reason = Undecided, unlike
		default:
			ev.Raw, ev.Block = again, decode(again)
			continue
		}
		if ev.Block != nil && ev.Block.Intact() != nil {
			ev.Block = nil
		}
		return r, &known.told, nil
	}
}

// apply gives the cache a block that the node has connected.
func (j *judge) apply(ev node.Connected) error {
	if ev.Block != nil {
		err := j.cache.Apply(cacheBlock(ev.Block, ev.Height))
		if err == nil {
			return nil
		}
		j.log.Warn("a block does not fit the coins; forgetting them", "height", ev.Height, "hash", ev.Hash, "err", err)
	}
	// The alarm has been raised. The chain is the node's all the same, and
	// the cache must not answer for it from what does not fit.
	j.cache.Reset(utxocache.Tip(ev.Tip), false)
	return nil
}

// bodyTries is how often a block is taken from the node that comes spoilt, and
// another way each time.
const bodyTries = 4

// errSpoilt says that a block came with a body that its header does not commit
// to.
var errSpoilt = errors.New("the block came spoilt from the node")

// These are why a verdict against a block is not given.
const (
	unconfirmed = "the block breaks a rule as it came, but the node no longer has it, " +
		"so that it could not be read a second time"
	unlike = "the block breaks a rule as it came, but it comes another way each time that the node is asked for it"
)

// fetchAgain returns the block as the node gives it now, if that differs from
// raw, else nil: a verdict against a block is never built on bytes that were
// spoilt on the way. The error is a node.ErrNotFound if the node no longer has
// the block.
func (j *judge) fetchAgain(ctx context.Context, tip node.Tip, raw []byte) ([]byte, error) {
	var again []byte
	err := j.insist(ctx, func() (err error) {
		again, err = j.node.Block(ctx, tip.Hash)
		return err
	})
	if err != nil || bytes.Equal(again, raw) {
		return nil, err
	}
	j.log.Warn("a block came spoilt from the node; it was fetched again", "height", tip.Height, "hash", tip.Hash)
	return again, nil
}

// judge validates one block. It returns a report that lacks the node's side;
// its outcome is Undecided when the coins could not be learnt, else empty.
func (j *judge) judge(ctx context.Context, tip node.Tip, raw []byte, b *blockval.Block, at blockval.At) (Report, error) {
	r := Report{Verdict: blockval.Verdict{Hash: tip.Hash, Height: tip.Height}}
	if b == nil {
		_, err := blockval.Parse(raw)
		broken, ok := errors.AsType[*blockval.RuleError](err)
		if !ok {
			return r, fmt.Errorf("block %d: decoding it gave no rule: %w", tip.Height, err)
		}
		r.Verdict.Err = broken
		return r, nil
	}
	err := j.insist(ctx, func() error {
		v, err := j.validator.Check(ctx, b, at)
		if err == nil {
			r.Verdict = *v
		}
		return err
	})
	if errors.Is(err, errUnknownCoins) {
		r.Outcome, r.Reason = Undecided, err.Error()
		r.Verdict.Transactions = len(b.Txids)
		j.metrics.unjudged.Add(1)
		err = nil
	}
	return r, err
}

// insist calls f until it succeeds, or fails for a reason that the node cannot
// mend by answering: the feed cannot go on without the node either. Meanwhile
// the status says why nothing moves.
func (j *judge) insist(ctx context.Context, f func() error) error {
	const patience = 3 // for answers that do not fit each other
	delay := 50 * time.Millisecond
	for try := 1; ; try++ {
		err := f()
		switch {
		case err == nil, ctx.Err() != nil, errors.Is(err, utxocache.ErrTip),
			errors.Is(err, node.ErrNoPrevouts), errors.Is(err, node.ErrNotFound), lost(err),
			errors.Is(err, errUnknownCoins) && try >= patience, errors.Is(err, errSpoilt) && try >= bodyTries:
			if try > 1 {
				j.trouble(nil)
			}
			return err
		}
		j.trouble(err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(delay):
		}
		delay = min(2*delay, 5*time.Second)
	}
}

// disconnect takes a block off the coins.
func (j *judge) disconnect(ctx context.Context, ev node.Disconnected) error {
	hdr, err := j.headers.At(ev.Height)
	if err != nil {
		return err
	}
	if err := j.left.add(ev.Hash); err != nil {
		return err
	}
	parent := node.Tip{Hash: hdr.Prev(), Height: ev.Height - 1}
	j.log.Info("block disconnected", "height", ev.Height, "hash", ev.Hash.String())
	// The database first: the cache must never be behind it.
	if err := j.state.disconnect(ctx, ev.Tip); err != nil {
		return err
	}
	if err := j.cache.Disconnect(utxocache.Tip(ev.Tip)); err != nil {
		j.log.Warn("a reorganisation deeper than the coins that are kept; forgetting them", "height", ev.Height, "err", err)
		j.cache.Reset(utxocache.Tip(parent), parent.Height == 0)
	}
	return j.store(parent)
}

// diverge raises the alarm for a chain whose headers break a rule.
func (j *judge) diverge(ctx context.Context, ev node.Diverged) {
	j.publish(ctx, Report{
		Verdict: blockval.Verdict{
			Hash: ev.Bad.Hash, Height: ev.Bad.Height,
			Err: ofHeader(ev.Err),
		},
		NodeValid: true,
		Outcome:   Differ,
		Reason:    "the node follows a chain whose header breaks a rule: " + ev.Err.Error(),
		exhibits: []exhibit{{
			Tip: ev.Bad, header: ev.Headers[len(ev.Headers)-1],
			ancestors: &node.Branch{Base: j.headers, Fork: ev.Fork.Height, Headers: ev.Headers},
		}},
	}, time.Now(), false)
}

// publish tells everybody of r. A difference is told in the log before its
// evidence is kept: nothing that happens there can silence it.
func (j *judge) publish(ctx context.Context, r Report, seen time.Time, catchUp bool) {
	r.At, r.CatchUp = time.Now(), catchUp
	r.Took = max(r.At.Sub(seen), 0)
	j.metrics.outcomes[r.Outcome].Add(1)
	j.metrics.prevouts[r.Verdict.Prevouts].Add(1) // none if it rests on no coins
	level, msg := slog.LevelInfo, "block judged"
	switch {
	case r.Outcome == Differ:
		level, msg = slog.LevelError, "VERDICT DIFFERS FROM THE NODE'S"
	case r.Outcome == Undecided:
		level, msg = slog.LevelWarn, "block could not be judged"
	case catchUp:
		level = slog.LevelDebug
	}
	j.log.Log(ctx, level, msg, r.attrs()...)
	exhibits := r.exhibits
	r.exhibits = nil
	if r.Outcome == Differ {
		j.keepEvidence(ctx, &r, exhibits)
	}
	j.report(r)
}
