package sidecar

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sidecar/node"
	"github.com/outrider-project/outrider/sidecar/web"
	"github.com/outrider-project/outrider/utxocache"
	"github.com/outrider-project/outrider/utxocache/coins"
)

const (
	// warmQueue, warmOverlay and warmOrphans bound the memory for transactions
	// that wait, for what those of the mempool create, and for those whose parent
	// is not known.
	warmQueue   = 32 << 20
	warmOverlay = 32 << 20
	warmOrphans = 4 << 20
	// warmBatch is how many transactions are looked at together, as long as they
	// have at most warmBatchBytes; askEvery is the least time between two questions
	// to the node.
	warmBatch      = 32
	warmBatchBytes = 1 << 20
	askEvery       = 100 * time.Millisecond
	askTries       = 3
	// askPause is for how long a node is not asked for coins that has failed to
	// tell, and blindness for how long one that has said that it cannot look them up.
	askPause  = 10 * time.Second
	blindness = 10 * time.Minute
	// maxWarmWeight is the largest weight of a transaction that nodes relay
	// (MAX_STANDARD_TX_WEIGHT in Core's policy.h).
	maxWarmWeight = 400_000
)

// A warmer verifies the scripts of the mempool's transactions in time that nobody
// else needs, so that a block needs only those that it has not seen. It decides
// nothing: a transaction that it has not verified, or whose scripts fail, is
// verified with its block like any other.
//
// It hears of the feed's events, which never wait for it, and works in one
// goroutine, within a budget. All that it holds is bounded; what finds no room is
// left out and counted.
type warmer struct {
	node    node.Node
	headers header.Ancestors
	cache   *utxocache.Cache
	coins   *coins.Set
	// verify is blockval's VerifyTx, which works on at most so many workers.
	verify  func(ctx context.Context, tx *wire.MsgTx, prevouts []wire.TxOut) (bool, error)
	workers int
	log     *slog.Logger
	metrics warmerMetrics
	percent *atomic.Int64
	told    *asking // nil counts nothing

	wake chan struct{} // has room for one

	mu      sync.Mutex // guards what follows; held for moments only
	queue   *txQueue
	overlay *overlay
	orphans *orphanage
	blocks  uint64 // that were connected

	// What follows is run's.
	budget budget
	asked  time.Time // when the node was last asked
	blind  time.Time // until when it is not asked for coins
}

// A dropReason says why a transaction is not verified.
type dropReason string

const (
	dropFull      dropReason = "full"      // too many wait
	dropOff       dropReason = "off"       // nothing may be spent on it
	dropWeight    dropReason = "weight"    // nodes do not relay it
	dropGone      dropReason = "gone"      // the node no longer has it
	dropNode      dropReason = "node"      // the node did not give it
	dropMalformed dropReason = "malformed" // it cannot be decoded
	dropCoins     dropReason = "coins"     // nobody tells what it spends
	dropOrphan    dropReason = "orphan"    // its parent did not come in time
	dropError     dropReason = "error"     // it could not be verified
)

var dropReasons = []dropReason{
	dropFull, dropOff, dropWeight, dropGone, dropNode, dropMalformed, dropCoins, dropOrphan, dropError,
}

type warmerMetrics struct {
	waiting, orphans, overlay, share *perfcore.Gauge
	verified, refused                *perfcore.Counter
	dropped                          map[dropReason]*perfcore.Counter
	took                             *perfcore.Timer
}

func newWarmerMetrics(rec perfcore.Recorder) warmerMetrics {
	m := warmerMetrics{
		waiting: rec.Gauge(perfcore.Metric{
			Name: "outrider_mempool_waiting_transactions", Help: "Transactions of the mempool that wait for their scripts to be verified.", Panel: "Transactions that wait",
		}),
		orphans: rec.Gauge(perfcore.Metric{
			Name: "outrider_mempool_orphans", Help: "Transactions of the mempool that wait for one that they spend from.", Panel: "Transactions that wait",
		}),
		overlay: rec.Gauge(perfcore.Metric{
			Name: "outrider_mempool_overlay_bytes", Help: "Memory for the outputs of the mempool's transactions.",
		}),
		share: rec.Gauge(perfcore.Metric{
			Name: "outrider_block_preverified_ratio", Help: "Share of the last block's transactions, without the coinbase, whose scripts were verified in the mempool.",
		}),
		verified: rec.Counter(perfcore.Metric{
			Name: "outrider_mempool_verified_total", Help: "Transactions of the mempool whose scripts were verified.", Panel: "Transactions verified",
		}),
		refused: rec.Counter(perfcore.Metric{
			Name: "outrider_mempool_refused_total", Help: "Transactions of the mempool whose scripts fail.", Panel: "Transactions verified",
		}),
		took: rec.Timer(perfcore.Metric{
			Name: "outrider_mempool_verify_seconds", Help: "Time to verify the scripts of one transaction of the mempool.",
		}),
		dropped: make(map[dropReason]*perfcore.Counter),
	}
	for _, reason := range dropReasons {
		m.dropped[reason] = rec.Counter(perfcore.Metric{
			Name: "outrider_mempool_unverified_total", Help: "Transactions of the mempool that are left to their block, by why.",
			Labels: []string{"reason", string(reason)},
		})
	}
	return m
}

// newWarmer returns a warmer for j, which spends so many percent of a core on
// average and verifies with so many workers.
func newWarmer(j *judge, workers int, percent *atomic.Int64, rec perfcore.Recorder) *warmer {
	return &warmer{
		node: j.node, headers: j.headers, cache: j.cache, coins: j.coins, verify: j.validator.VerifyTx, workers: workers,
		log: j.log, metrics: newWarmerMetrics(rec), percent: percent, told: j.asked,
		wake: make(chan struct{}, 1), queue: newTxQueue(warmQueue),
		overlay: newOverlay(warmOverlay), orphans: newOrphanage(warmOrphans),
		budget: budget{percent: percent},
	}
}

// hear takes an event of the feed's that the judge has done with. It returns at
// once.
func (w *warmer) hear(ev node.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch ev := ev.(type) {
	case node.MempoolAdded:
		w.overlay.expect(ev.Txid)
		if w.percent.Load() == 0 {
			w.metrics.dropped[dropOff].Add(1)
			return
		}
		w.enqueue(&mempoolTx{ev.Txid, ev.Raw})
	case node.MempoolRemoved:
		w.queue.remove(ev.Txid)
		w.orphans.remove(ev.Txid)
		w.overlay.leave(ev.Txid, time.Now())
	case node.Connected:
		w.mined(&ev)
	case node.Disconnected:
		// What it holds enters the mempool again, or does not.
		w.overlay.doubt(time.Now())
	}
	w.report()
}

// mined takes the transactions of a block out. What they create is among the coins
// from now on. mu is held.
func (w *warmer) mined(ev *node.Connected) {
	w.blocks++
	if ev.Block == nil || len(ev.Block.Txids) < 2 {
		return
	}
	txids := ev.Block.Txids[1:]
	verified := 0
	for _, txid := range txids {
		if t := w.overlay.get(txid); t != nil && t.verified {
			verified++
		}
		w.queue.remove(txid)
		w.orphans.remove(txid)
		w.overlay.remove(txid)
	}
	for _, txid := range txids {
		w.releaseChildren(txid)
	}
	if !ev.CatchUp {
		w.metrics.share.Set(float64(verified) / float64(len(txids)))
	}
}

// enqueue lets tx wait. mu is held.
func (w *warmer) enqueue(tx *mempoolTx) {
	if !w.queue.push(tx) {
		w.metrics.dropped[dropFull].Add(1)
		return
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// releaseChildren lets those that waited for a transaction wait for their turn. mu
// is held.
func (w *warmer) releaseChildren(parent chainhash.Hash) {
	for _, child := range w.orphans.release(parent) {
		w.enqueue(child)
	}
}

// report brings the gauges up to date. mu is held.
func (w *warmer) report() {
	w.metrics.waiting.Set(float64(w.queue.len()))
	w.metrics.orphans.Set(float64(w.orphans.txs.len()))
	w.metrics.overlay.Set(float64(w.overlay.bytes))
}

// coin returns what the mempool says of op, as far as its events were heard.
func (w *warmer) coin(op wire.OutPoint) (pending, wire.TxOut) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.overlay.look(op, time.Now())
}

// counts returns what the status tells.
func (w *warmer) counts() web.Warming {
	return web.Warming{
		Waiting: int(w.metrics.waiting.Value()), Verified: w.metrics.verified.Value(),
		Refused: w.metrics.refused.Value(), Share: w.metrics.share.Value(),
	}
}

// run verifies until ctx ends.
func (w *warmer) run(ctx context.Context) {
	for w.budget.wait(ctx) == nil {
		batch := w.take()
		if len(batch) > 0 {
			w.warm(ctx, batch)
			continue
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
		}
	}
}

// take takes the next transactions out of the queue.
func (w *warmer) take() (batch []*mempoolTx) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for size := 0; len(batch) < warmBatch && size < warmBatchBytes; {
		tx := w.queue.pop()
		if tx == nil {
			break
		}
		size += len(tx.raw)
		batch = append(batch, tx)
	}
	w.report()
	return batch
}

// A candidate is a transaction about to be verified.
type candidate struct {
	*mempoolTx
	msg      *wire.MsgTx
	prevouts []wire.TxOut
	// parent is a transaction that must come first, if orphan; unknown says that
	// nobody tells what it spends.
	parent          chainhash.Hash
	orphan, unknown bool
}

// warm verifies transactions whose turn it is.
func (w *warmer) warm(ctx context.Context, batch []*mempoolTx) {
	batch = w.fetch(ctx, batch)
	began := time.Now()
	candidates := w.decode(batch)
	w.budget.spend(time.Since(began))
	blocks := w.resolve(ctx, candidates)
	for _, c := range candidates {
		switch {
		case c.unknown:
			w.drop(dropCoins)
		case c.orphan:
			w.wait(c, blocks)
		default:
			if w.budget.wait(ctx) != nil {
				return
			}
			w.verifyOne(ctx, c)
		}
	}
}

func (w *warmer) drop(reason dropReason) { w.metrics.dropped[reason].Add(1) }

// ask calls f, which asks the node, when it is time to, and again a few times when
// it fails. The time that it takes is not this machine's.
func (w *warmer) ask(ctx context.Context, f func() error) error {
	for try := 1; ; try++ {
		if err := sleep(ctx, askEvery*time.Duration(try*try)-time.Since(w.asked)); err != nil {
			return err
		}
		err := f()
		w.asked = time.Now()
		if err == nil || errors.Is(err, errUnknownCoins) || try == askTries {
			return err
		}
	}
}

// fetch gets the bytes of those transactions that only the id is known of, and
// returns those that there are bytes of.
func (w *warmer) fetch(ctx context.Context, batch []*mempoolTx) (with []*mempoolTx) {
	var bare []chainhash.Hash
	for _, tx := range batch {
		if tx.raw == nil {
			bare = append(bare, tx.txid)
		}
	}
	if len(bare) == 0 {
		return batch
	}
	var raws [][]byte
	err := w.ask(ctx, func() (err error) {
		raws, err = w.node.Transactions(ctx, bare)
		return err
	})
	for _, tx := range batch {
		if tx.raw == nil && err != nil {
			w.drop(dropNode)
			continue
		}
		if tx.raw == nil {
			tx.raw, raws = raws[0], raws[1:]
		}
		if tx.raw == nil {
			w.drop(dropGone)
			continue
		}
		with = append(with, tx)
	}
	return with
}

// decode decodes transactions, puts what they create into the overlay, and lets
// those that waited for them wait for their turn.
func (w *warmer) decode(batch []*mempoolTx) []*candidate {
	var candidates []*candidate
	for _, tx := range batch {
		msg, err := decodeTx(tx.raw)
		if err != nil || msg.TxHash() != tx.txid {
			w.drop(dropMalformed)
			continue
		}
		w.mu.Lock()
		w.overlay.put(tx.txid, msg)
		w.releaseChildren(tx.txid)
		w.report()
		w.mu.Unlock()
		if 3*msg.SerializeSizeStripped()+len(tx.raw) > maxWarmWeight {
			w.drop(dropWeight)
			continue
		}
		candidates = append(candidates, &candidate{mempoolTx: tx, msg: msg, prevouts: make([]wire.TxOut, len(msg.TxIn))})
	}
	return candidates
}

// decodeTx returns the transaction that raw is.
func decodeTx(raw []byte) (*wire.MsgTx, error) {
	var tx wire.MsgTx
	r := bytes.NewReader(raw)
	if err := tx.Deserialize(r); err != nil {
		return nil, err
	}
	if r.Len() > 0 {
		return nil, errors.New("bytes after the transaction")
	}
	return &tx, nil
}

// A spending is an input of a candidate's whose prevout is not in the overlay.
type spending struct {
	c     *candidate
	input int
}

// resolve looks for what the candidates spend: in the overlay, then among the
// coins, and then at the node. It returns how many blocks had been connected when it
// began.
func (w *warmer) resolve(ctx context.Context, candidates []*candidate) (blocks uint64) {
	began := time.Now()
	var ops []wire.OutPoint
	var places []spending
	w.mu.Lock()
	blocks = w.blocks
	for _, c := range candidates {
		for i, in := range c.msg.TxIn {
			out, ok := w.overlay.output(in.PreviousOutPoint)
			if c.prevouts[i] = out; !ok {
				ops, places = append(ops, in.PreviousOutPoint), append(places, spending{c, i})
			}
		}
	}
	w.mu.Unlock()
	answers := make([]utxocache.Answer, len(ops))
	tip, ok := w.cache.Tip()
	if !ok || w.coins.Prefetch(tip.Hash, ops, answers) != nil {
		clear(answers) // the tip has just moved, or the disk fails
	}
	var ask []wire.OutPoint
	var asked []spending
	for i, p := range places {
		switch a := &answers[i]; a.State {
		case utxocache.Unspent:
			p.c.prevouts[p.input] = wire.TxOut{Value: a.Coin.Value, PkScript: a.Coin.Script}
		case utxocache.Absent:
			p.c.orphan, p.c.parent = true, ops[i].Hash
		default:
			ask, asked = append(ask, ops[i]), append(asked, p)
		}
	}
	w.budget.spend(time.Since(began))
	if len(ask) > 0 {
		w.askCoins(ctx, tip, ask, asked)
	}
	return blocks
}

// askCoins asks the node for coins, and gives them to the cache.
func (w *warmer) askCoins(ctx context.Context, tip utxocache.Tip, ops []wire.OutPoint, places []spending) {
	if tip == (utxocache.Tip{}) || time.Now().Before(w.blind) {
		for _, p := range places {
			p.c.unknown = true
		}
		return
	}
	known := &prevouts{
		node: w.node, parent: tip.Height, chain: w.headers, asked: w.told,
		remember: func(ops []wire.OutPoint, coins []utxocache.Coin) { w.cache.Remember(tip.Hash, ops, coins, false) },
	}
	if n, ok := w.node.(node.Unspender); ok {
		known.ask = func(ctx context.Context, ops []wire.OutPoint) ([]node.Prevout, error) {
			told, at, err := n.Unspent(ctx, ops)
			if at != node.Tip(tip) {
				known.remember = nil // good enough for scripts, not for a tip
			}
			return told, err
		}
	}
	err := w.ask(ctx, func() error {
		told, err := known.askNode(ctx, ops)
		for i := range told {
			c, input := places[i].c, places[i].input
			if told[i].Missing {
				c.orphan, c.parent = true, ops[i].Hash
				continue
			}
			c.prevouts[input] = wire.TxOut{Value: told[i].Value, PkScript: told[i].Script}
		}
		return err
	})
	if err != nil && ctx.Err() == nil {
		pause := askPause
		if errors.Is(err, errUnknownCoins) {
			pause = blindness
		}
		w.blind = time.Now().Add(pause)
		w.log.Debug("the node cannot tell what the mempool's transactions spend", "err", err)
	}
	for _, p := range places {
		p.c.unknown = p.c.unknown || err != nil
	}
}

// wait lets a candidate wait for its parent, or for its turn again if a block that
// was connected since there were so many may have held the parent.
func (w *warmer) wait(c *candidate, blocks uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.blocks != blocks:
		w.enqueue(c.mempoolTx)
	case w.overlay.get(c.parent) != nil:
		w.drop(dropCoins) // the parent has no such output
	default:
		w.metrics.dropped[dropOrphan].Add(uint64(w.orphans.add(c.mempoolTx, c.parent)))
	}
	w.report()
}

// verifyOne verifies a candidate.
func (w *warmer) verifyOne(ctx context.Context, c *candidate) {
	began := time.Now()
	valid, err := w.verify(ctx, c.msg, c.prevouts)
	took := time.Since(began)
	w.metrics.took.Observe(took)
	// The signatures of a large one are verified by several at once, 16 at least by
	// each; one takes some 64 bytes.
	w.budget.spend(took * time.Duration(min(1+len(c.raw)/1024, w.workers)))
	switch {
	case err != nil && ctx.Err() == nil:
		w.drop(dropError)
		w.log.Debug("a transaction of the mempool could not be verified", "txid", c.txid.String(), "err", err)
	case err != nil:
	case !valid:
		w.metrics.refused.Add(1)
		w.log.Debug("the scripts of a transaction of the mempool fail", "txid", c.txid.String())
	default:
		w.metrics.verified.Add(1)
		w.mu.Lock()
		defer w.mu.Unlock()
		if t := w.overlay.get(c.txid); t != nil {
			t.verified = true
		}
	}
}
