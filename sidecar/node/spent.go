package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/utxocache/corefile"
)

// A spending is a block of which somebody asks what it spends.
type spending struct {
	Tip
	body *blockval.Block
	// inputs counts all but the coinbase's, want has the places of those that
	// are asked for, and parents counts the transactions that made their coins.
	inputs  int
	want    []int
	parents int
}

// errQuestion says that Spent was called with what is no block or no places.
var errQuestion = errors.New("no decoded block of that hash, or places that are not its inputs' in ascending order")

func newSpending(block Tip, b *blockval.Block, want []int) (*spending, error) {
	if b == nil || b.Msg == nil || b.Hash != block.Hash {
		return nil, errQuestion
	}
	s := &spending{Tip: block, body: b}
	for _, tx := range s.txs() {
		s.inputs += len(tx.TxIn)
	}
	last := -1
	for _, place := range want {
		if place <= last || place >= s.inputs {
			return nil, errQuestion
		}
		last = place
	}
	s.wants(want)
	return s, nil
}

// wants makes want the places that are asked for.
func (s *spending) wants(want []int) {
	s.want = want
	parents := make(map[chainhash.Hash]struct{}, len(want))
	for _, op := range s.wanted() {
		parents[op.Hash] = struct{}{}
	}
	s.parents = len(parents)
}

// wanted returns the outpoints that are asked for.
func (s *spending) wanted() []wire.OutPoint {
	ops := make([]wire.OutPoint, 0, len(s.want))
	place := 0
	for _, tx := range s.txs() {
		for _, in := range tx.TxIn {
			if len(ops) < len(s.want) && s.want[len(ops)] == place {
				ops = append(ops, in.PreviousOutPoint)
			}
			place++
		}
	}
	return ops
}

// txs returns the block's transactions without the coinbase.
func (s *spending) txs() []*wire.MsgTx {
	return s.body.Msg.Transactions[min(1, len(s.body.Msg.Transactions)):]
}

// nothing returns an answer with all coins missing.
func (s *spending) nothing() []Prevout {
	coins := make([]Prevout, s.inputs)
	for i := range coins {
		coins[i].Missing = true
	}
	return coins
}

// check returns an error unless coins, one for each input, can be what the block
// spends: values and heights in range, and of those that the block itself makes
// each what it makes.
func (s *spending) check(coins []Prevout) error {
	if len(coins) != s.inputs {
		return malformed("%d coins for %d inputs", len(coins), s.inputs)
	}
	made := make(map[chainhash.Hash]int, len(s.body.Txids))
	place := 0
	for i, tx := range s.txs() {
		for j := range tx.TxIn {
			op, c := &tx.TxIn[j].PreviousOutPoint, &coins[place]
			place++
			switch from, own := made[op.Hash]; {
			case c.Missing:
			case c.Value < 0 || c.Value > corefile.MaxMoney:
				return malformed("%v is worth %d", op, c.Value)
			case c.Height == 0:
				return fmt.Errorf("the height of %v is not told: Bitcoin Core before 0.15 wrote the undo file, without some heights; reindex=1 makes a complete one", op)
			case c.Height > s.Height, c.Height == s.Height && !own:
				return malformed("%v is of height %d, in block %d", op, c.Height, s.Height)
			case own:
				outs := s.body.Msg.Transactions[from].TxOut
				if uint64(op.Index) >= uint64(len(outs)) || c.Coinbase || c.Height != s.Height ||
					c.Value != outs[op.Index].Value || !slices.Equal(c.Script, outs[op.Index].PkScript) {
					return malformed("%v is another coin than the block makes", op)
				}
			}
		}
		made[s.body.Txids[i+1]] = i + 1
	}
	return nil
}

// An unusableError says that a source cannot work before something is changed,
// and what.
type unusableError struct{ err error }

func (e *unusableError) Error() string { return e.err.Error() }
func (e *unusableError) Unwrap() error { return e.err }

func unusable(format string, args ...any) error {
	return &unusableError{fmt.Errorf(format, args...)}
}

// A spentSource is a way to learn what a block spends.
type spentSource struct {
	// name is the label of its metrics, and what the log calls it.
	name string
	// single says that it asks for the transactions that made the wanted coins,
	// so that other coins cost nothing.
	single bool
	read   func(ctx context.Context, s *spending) ([]Prevout, error)

	timer    *perfcore.Timer
	failures *perfcore.Counter
	chosen   *perfcore.Gauge

	// What follows belongs to spentSources, under its mutex.

	// pace is what it takes for an input, or for a transaction that made some, in
	// seconds; 0 before it was measured.
	pace float64
	// failed counts the failures since the last success, rest is until when it
	// is asked only if no other source answers.
	failed int
	rest   time.Time
	// said is the last reason that the log has for its not working.
	said string
}

// work returns by how much s is more work for the source than an input.
func (src *spentSource) work(s *spending) int {
	if src.single {
		return max(s.parents, paceFloor)
	}
	return max(s.inputs, paceFloor)
}

const (
	// paceFloor is the number of inputs or transactions below which the time is
	// that of a round trip, and says nothing of one of them.
	paceFloor = 100
	// measureEnough is the number of inputs with which a measurement counts
	// until measureAge has passed; after one with fewer a block with
	// measureGrowth times as many is measured too.
	measureEnough = 400
	measureGrowth = 8
	measureAge    = 24 * time.Hour
	// measurePause is how long a choice that has turned out wrong stands.
	measurePause = 10 * time.Minute
	// measureSingle bounds the coins with which a single source is measured: a
	// block's thousands could take it minutes.
	measureSingle = 2 * batchSize
	// measureTwice is up to what time a source is measured twice. The first time
	// may have found and indexed a file, which the next blocks need not.
	measureTwice = 50 * time.Millisecond
	// firstRest is how long a source rests after a failure, twice as long after
	// each further one, longestRest at most; and longestRest after one that
	// only the operator can mend.
	firstRest   = time.Second
	longestRest = 5 * time.Minute
)

// spentSources are a node's sources of spent coins. A block is asked from the
// one that is cheapest by measurement, then from the others. It is safe for
// concurrent use.
type spentSources struct {
	sources []*spentSource
	log     *slog.Logger
	now     func() time.Time

	mu       sync.Mutex // guards what follows, and the state of sources
	measured time.Time
	inputs   int          // of the block that was measured
	chosen   *spentSource // by the last measurement; nil if none worked
}

func newSpentSources(rec perfcore.Recorder, log *slog.Logger, sources ...*spentSource) *spentSources {
	for _, src := range sources {
		labels := []string{"source", src.name}
		src.timer = rec.Timer(perfcore.Metric{
			Name: "outrider_node_spent_seconds", Labels: labels,
			Help: "Time to learn the coins that a block spends.",
		})
		src.failures = rec.Counter(perfcore.Metric{
			Name: "outrider_node_spent_failures_total", Labels: labels,
			Help: "Times that a source did not tell the coins that a block spends.",
		})
		src.chosen = rec.Gauge(perfcore.Metric{
			Name: "outrider_node_spent_chosen", Labels: labels,
			Help: "1 for the source of spent coins that was measured as the cheapest, else 0.",
		})
	}
	return &spentSources{sources: sources, log: log, now: time.Now}
}

// A spentFailure is why a source did not answer.
type spentFailure struct {
	src *spentSource
	err error
}

// read returns what s spends.
func (ss *spentSources) read(ctx context.Context, s *spending) ([]Prevout, error) {
	if len(s.want) == 0 {
		return s.nothing(), nil
	}
	var failures []spentFailure
	sources, measure := ss.plan(s)
	if measure {
		var coins []Prevout
		if coins, failures = ss.measure(ctx, s, sources); coins != nil {
			return coins, nil
		}
	}
	for _, src := range sources {
		if slices.ContainsFunc(failures, func(f spentFailure) bool { return f.src == src }) {
			continue
		}
		coins, _, err := ss.try(ctx, src, s)
		if err == nil {
			return coins, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		failures = append(failures, spentFailure{src, err})
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, giveUp(s, failures)
}

// plan returns the sources in the order in which to ask them, and whether to
// measure them with s, which is then nobody else's to do.
func (ss *spentSources) plan(s *spending) (sources []*spentSource, measure bool) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	now := ss.now()
	cost := func(src *spentSource) float64 {
		if src.single && src.pace == 0 {
			return math.Inf(1) // as slow as it can be, until it is measured
		}
		return src.pace * float64(src.work(s))
	}
	resting := func(src *spentSource) time.Time {
		if src.rest.After(now) {
			return src.rest
		}
		return time.Time{}
	}
	sources = slices.SortedStableFunc(slices.Values(ss.sources), func(x, y *spentSource) int {
		return cmp.Or(resting(x).Compare(resting(y)), cmp.Compare(cost(x), cost(y)))
	})
	age := now.Sub(ss.measured)
	switch {
	case ss.measured.IsZero(), age > measureAge:
		measure = true
	case ss.inputs < measureEnough && s.inputs >= measureGrowth*ss.inputs:
		measure = true
	default:
		wrong := ss.chosen == nil || !resting(ss.chosen).IsZero() || ss.chosen != sources[0] && !sources[0].single
		measure = wrong && age > measurePause
	}
	if measure {
		ss.measured, ss.inputs = now, s.inputs
	}
	return sources, measure
}

// measure asks every source that does not rest, and chooses the cheapest. It
// returns its answer, or another's if that one was asked for a part only; nil if
// none gave a whole one.
func (ss *spentSources) measure(ctx context.Context, s *spending, sources []*spentSource) (coins []Prevout, failures []spentFailure) {
	var best, answering *spentSource
	var bestCost, answerCost float64
	attrs := []any{"height", s.Height, "inputs", s.inputs}
	for _, src := range sources {
		if ss.rests(src) {
			continue
		}
		part := *s
		if src.single {
			part.wants(s.want[:min(len(s.want), measureSingle)])
		}
		got, took, err := ss.try(ctx, src, &part)
		if err == nil && took < measureTwice && !src.single {
			if _, again, err := ss.try(ctx, src, &part); err == nil {
				took = min(took, again)
			}
		}
		if err != nil {
			failures = append(failures, spentFailure{src, err})
			if ctx.Err() != nil {
				return nil, failures
			}
			continue
		}
		pace := paceOf(took, src.work(&part))
		ss.mu.Lock()
		src.pace = pace
		ss.mu.Unlock()
		cost := pace * float64(src.work(s))
		attrs = append(attrs, src.name, took)
		if best == nil || cost < bestCost {
			best, bestCost = src, cost
		}
		if whole := len(part.want) == len(s.want); whole && (answering == nil || cost < answerCost) {
			answering, answerCost, coins = src, cost, got
		}
	}
	ss.choose(best, attrs)
	return coins, failures
}

// choose makes src the chosen one, and says so if it was not.
func (ss *spentSources) choose(src *spentSource, attrs []any) {
	ss.mu.Lock()
	before := ss.chosen
	ss.chosen = src
	ss.mu.Unlock()
	for _, other := range ss.sources {
		other.chosen.Set(0)
	}
	if src == nil {
		return
	}
	src.chosen.Set(1)
	if src != before {
		ss.log.Info("spent outputs are read from the cheapest source", append([]any{"source", src.name}, attrs...)...)
	}
}

// again ends the rest of all sources, and has them measured: the node may have
// been started anew, with other settings.
func (ss *spentSources) again() {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for _, src := range ss.sources {
		if !src.rest.IsZero() {
			src.failed, src.rest, ss.measured = 0, time.Time{}, time.Time{}
		}
	}
}

func (ss *spentSources) rests(src *spentSource) bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return src.rest.After(ss.now())
}

// paceOf returns the seconds for one when so many take that long.
func paceOf(took time.Duration, work int) float64 {
	return max(took.Seconds(), 1e-9) / float64(work)
}

// try asks one source, and enters how it went.
func (ss *spentSources) try(ctx context.Context, src *spentSource, s *spending) (coins []Prevout, took time.Duration, err error) {
	start := ss.now()
	coins, err = src.read(ctx, s)
	if err == nil {
		err = s.check(coins)
	}
	took = ss.now().Sub(start)
	if ctx.Err() != nil {
		return nil, took, ctx.Err()
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if err == nil {
		src.timer.Observe(took)
		src.failed, src.rest, src.said = 0, time.Time{}, ""
		pace := paceOf(took, src.work(s))
		if src.pace > 0 { // one slow answer is not a slow source
			pace = (3*src.pace + pace) / 4
		}
		src.pace = pace
		return coins, took, nil
	}
	src.failures.Add(1)
	_, hopeless := errors.AsType[*unusableError](err)
	switch {
	case isDown(err): // no source of the node's answers then
	case hopeless:
		src.rest = ss.now().Add(longestRest)
		if reason := err.Error(); reason != src.said {
			src.said = reason
			level := slog.LevelWarn
			if src.single { // most nodes have no index, and need none
				level = slog.LevelInfo
			}
			ss.log.Log(ctx, level, "a source of spent outputs cannot be used", "source", src.name, "err", err)
		}
	default:
		src.rest = ss.now().Add(min(firstRest<<min(src.failed, 16), longestRest))
		src.failed++
	}
	return nil, took, err
}

// isDown reports whether err says that the node answers nothing at the moment.
func isDown(err error) bool {
	if _, ok := errors.AsType[*transportError](err); ok {
		return true
	}
	return errors.Is(err, ErrBusy) || errors.Is(err, ErrWarmUp) || errors.Is(err, ErrUnauthorized) ||
		errors.Is(err, errTruncated)
}

// giveUp returns the error that the failures of all sources are.
func giveUp(s *spending, failures []spentFailure) error {
	kind := ErrNoPrevouts
	var reasons []string
	for _, f := range failures {
		if isDown(f.err) {
			return f.err
		}
		if _, hopeless := errors.AsType[*unusableError](f.err); !hopeless {
			kind = ErrNotTold
		}
		reasons = append(reasons, f.src.name+": "+f.err.Error())
	}
	return fmt.Errorf("%w (block %d): %s", kind, s.Height, strings.Join(reasons, "; "))
}
