package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/heap"
	"github.com/outrider-project/outrider/perfcore/regime"
	"github.com/outrider-project/outrider/sigverify"
	"github.com/outrider-project/outrider/utxocache"
	"github.com/outrider-project/outrider/utxocache/coindb"
	"github.com/outrider-project/outrider/utxocache/coins"
)

const (
	// tipGap is the time from block to block at the tip: ten minutes, twelve thousand
	// times as fast.
	tipGap = 50 * time.Millisecond
	// replayRing is how many blocks the coin cache has in its ring: a replay fills it in half
	// a second, so that what is measured does not grow.
	replayRing = 32
	// replayLag is by how many blocks a synchronisation is ahead of the block whose
	// coins are made anew, so that it can be replayed again.
	replayLag = 8
	// replayMempool is the share, of a hundred, of a block's transactions that were in
	// the mempool; as many are looked at together as mempoolBatch says.
	replayMempool, mempoolBatch = 95, 16
	// absentOf is to how many look-ups there is one of a coin that does not exist.
	absentOf = 10
	// lookupTick is how often those that ask for coins come: each time for so many that
	// what a process pays for waking up is in less than one in ten.
	lookupTick = 5 * time.Millisecond
	// processLimit is what the process may take; the law of perfcore/heap keeps it there.
	processLimit = 2 << 30
)

// A replay plays a recording to the parts of the sidecar, wired as the sidecar wires
// them, without a node, by a timetable: a synchronisation, which is blocks and some
// questions for coins, and the tip, where blocks come less often, their transactions
// before them, and more questions. One goroutine replays.
type replay struct {
	rec       *recording
	ancestors header.Chain
	registry  perfcore.Registry
	db        *coindb.DB
	cache     *utxocache.Cache
	set       *coins.Set
	verifier  *sigverify.Verifier
	validator *blockval.Validator
	governor  *heap.Governor
	blocks    []replayBlock // of the synchronisation
	askers    []asker       // who ask for coins; the first of them does in a synchronisation
	reads     readTimes

	tip       utxocache.Tip
	next      int // block of the synchronisation
	connected int // blocks of it
	coming    *tipBlocks
	now       atomic.Pointer[string] // the regime
	units     atomic.Uint64          // of work that are done
	work      perfWork
}

// An asker asks for one coin after the other. One goroutine uses it.
type asker struct {
	rand *rand.Rand // draws the coins
	did  perfWork
}

// ask has other askers ask from now on, who ask for the same coins where the stream is the same.
func (r *replay) ask(stream uint64) {
	r.askers = make([]asker, max(r.rec.Shape.Askers, 1))
	for i := range r.askers {
		r.askers[i].rand = rand.New(rand.NewPCG(firstSeed+uint64(i), stream))
	}
}

// did returns what was done since work was reset, and ask was called.
func (r *replay) did() perfWork {
	all := r.work
	for i := range r.askers {
		all.Lookups += r.askers[i].did.Lookups
		all.Found += r.askers[i].did.Found
		all.Value += r.askers[i].did.Value
	}
	return all
}

// A perfWork counts what was done.
type perfWork struct {
	Blocks, Inputs, Mempool int
	// Lookups is how many coins were asked for, Found how many there were, and Value
	// the sum of theirs, in satoshis.
	Lookups, Found int
	Value          int64
}

// A replayBlock is a block of the synchronisation, and transactions that make the
// coins anew that it spends, and spend those that it creates.
type replayBlock struct {
	recordedBlock
	again      []*wire.MsgTx
	againTxids []chainhash.Hash
}

// newReplay copies the recording's database to dir and opens the parts with the
// settings that are "before". It has so many blocks of the tip. The caller closes it.
func newReplay(recorded, dir string, tip int) (r *replay, err error) {
	r = new(replay)
	if r.rec, err = readRecording(recorded); err != nil {
		return nil, err
	}
	r.ask(1)
	if r.rec.Shape.TipBlocks < tip {
		return nil, fmt.Errorf("the recording has %d blocks of the tip, and %d are asked for", r.rec.Shape.TipBlocks, tip)
	}
	for _, h := range r.rec.Headers {
		r.ancestors = append(r.ancestors, h)
	}
	for _, b := range r.rec.Sync {
		again, err := newReplayBlock(b)
		if err != nil {
			return nil, err
		}
		r.blocks = append(r.blocks, again)
	}
	copied := filepath.Join(dir, recordedCoins)
	if err := copyDir(copied, filepath.Join(recorded, recordedCoins)); err != nil {
		return nil, err
	}
	debug.SetGCPercent(int(perfBefore["go.gogc"]))
	r.db, err = coindb.Open(copied, coindb.Options{
		UndoBlocks: replayLag, Memory: perfBefore["coindb.memory"], MemTable: pebbleMemTable, Compactions: int(perfBefore["coindb.compactions"]),
		NoPageCache: r.rec.Shape.NoPageCache, Recorder: &r.registry,
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if r.coming, err = r.rec.openTip(recorded); err != nil {
		return nil, err
	}
	r.cache, err = utxocache.New(utxocache.Options{Blocks: replayRing, LeastBlocks: replayLag, Budget: perfBefore["utxocache.budget"], Recorder: &r.registry})
	if err != nil {
		return nil, err
	}
	at, err := r.db.Tip()
	if err != nil {
		return nil, err
	}
	r.tip = utxocache.Tip(at)
	r.connected = int(r.tip.Height - r.rec.base().Height)
	r.next = r.connected % len(r.blocks)
	r.cache.Reset(r.tip, false)
	r.set = coins.New(coins.Options{Cache: r.cache, DB: r.db, Recorder: &r.registry})
	r.verifier = sigverify.New(sigverify.Options{
		Workers: int(perfBefore["sigverify.workers"]), Chunk: int(perfBefore["sigverify.chunk"]), CacheBytes: perfBefore["sigverify.cache"],
		Recorder: &r.registry,
	})
	params, err := blockval.ParamsFor("regtest")
	if err != nil {
		return nil, err
	}
	r.validator = blockval.New(params, blockval.Options{Verifier: r.verifier, SeenBytes: perfBefore["blockval.seen"], Recorder: &r.registry})
	r.governor, err = heap.New(heap.Config{Limit: processLimit, OffHeap: r.db.OffHeap, Settle: tipGap})
	r.enter(regime.InitialSync)
	return r, err
}

// copyDir copies a directory of files, and returns when they are on the disk: what is not could not
// be left out of the system's cache.
func copyDir(to, from string) error {
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return err
	}
	entries, err := os.ReadDir(to)
	for _, e := range entries {
		err = errors.Join(err, syncFile(filepath.Join(to, e.Name())))
	}
	return err
}

func syncFile(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// close closes the parts.
func (r *replay) close() error {
	if r.governor != nil {
		r.governor.Release()
	}
	if r.verifier != nil {
		r.verifier.Close()
	}
	if r.cache != nil {
		r.cache.Close()
	}
	if r.coming != nil {
		r.coming.file.Close()
	}
	return r.db.Close()
}

// newReplayBlock adds to a block what makes it repeatable.
func newReplayBlock(b recordedBlock) (replayBlock, error) {
	again := replayBlock{recordedBlock: b}
	parsed, err := blockval.Parse(b.Raw)
	if err != nil {
		return again, err
	}
	spent, err := b.spends()
	if err != nil {
		return again, err
	}
	byTx := make(map[chainhash.Hash]*wire.MsgTx)
	for i := range spent {
		op, c := spent[i].OutPoint, &spent[i].Coin
		tx := byTx[op.Hash]
		if tx == nil {
			tx = new(wire.MsgTx)
			byTx[op.Hash] = tx
			again.again, again.againTxids = append(again.again, tx), append(again.againTxids, op.Hash)
		}
		for len(tx.TxOut) <= int(op.Index) {
			tx.AddTxOut(&wire.TxOut{PkScript: []byte{0x6a}}) // OP_RETURN: it makes no coin
		}
		*tx.TxOut[op.Index] = wire.TxOut{Value: c.Value, PkScript: c.Script}
	}
	// The first of them spends what the block creates and does not spend itself.
	gone := make(map[wire.OutPoint]bool)
	does := coindb.NewBlock(coindb.Tip{}, chainhash.Hash{}, parsed.Txids, parsed.Msg.Transactions)
	for _, op := range does.Spent {
		gone[op] = true
	}
	for i := range does.Created {
		if op := &does.Created[i].OutPoint; !gone[*op] {
			again.again[0].AddTxIn(wire.NewTxIn(op, nil, nil))
		}
	}
	return again, nil
}

// enter says which regime the replay is in now.
func (r *replay) enter(name string) { r.now.Store(&name) }

// connect validates a block, and gives it to the coins in memory and on disk, and
// what makes an earlier one repeatable with it.
func (r *replay) connect(ctx context.Context, b *recordedBlock, again *replayBlock) error {
	block, err := blockval.Parse(b.Raw)
	if err != nil {
		return err
	}
	coins := &replayCoins{set: r.set, parent: r.tip.Hash, recorded: newSpent(block.Msg, b.coins()), own: make(map[wire.OutPoint]utxocache.Coin)}
	verdict, err := r.validator.Check(ctx, block, blockval.At{Height: r.rec.Height, Ancestors: r.ancestors, Coins: coins})
	if err != nil {
		return err
	}
	if !verdict.Valid() {
		return fmt.Errorf("a generated block is invalid: %w", verdict.Err)
	}
	txids, txs := block.Txids, block.Msg.Transactions
	if again != nil {
		txids, txs = append(txids[:len(txids):len(txids)], again.againTxids...), append(txs[:len(txs):len(txs)], again.again...)
	}
	next := utxocache.Tip{Height: r.tip.Height + 1}
	binary.BigEndian.PutUint32(next.Hash[:], next.Height)
	does := coindb.NewBlock(coindb.Tip(next), r.tip.Hash, txids, txs)
	if does.Known, err = coins.known(does.Spent); err != nil {
		return err
	}
	if err := r.cache.Apply(utxocache.Block{Tip: next, Prev: r.tip.Hash, Txids: txids, Txs: txs}); err != nil {
		return err
	}
	if err := r.db.Apply(does); err != nil {
		return err
	}
	r.tip = next
	r.work.Blocks++
	r.work.Inputs += verdict.Inputs
	r.units.Add(uint64(verdict.Inputs))
	return nil
}

// coins returns what the block spends.
func (b *recordedBlock) coins() []blockval.Coin { return coinsOf(b.Spent) }

// replayCoins are the coins that one block spends, from the sidecar's view. Where a
// coin was made anew, the recording has the height at which it was made first.
type replayCoins struct {
	set      *coins.Set
	parent   chainhash.Hash
	recorded *spent
	own      map[wire.OutPoint]utxocache.Coin // those that were answered for the block's inputs
}

// Prevouts implements blockval.Coins.
func (c *replayCoins) Prevouts(ctx context.Context, ops []wire.OutPoint, into []blockval.Coin) (blockval.Source, error) {
	answers := make([]utxocache.Answer, len(ops))
	if err := c.set.Fetch(c.parent, ops, answers); err != nil {
		return "", err
	}
	if _, err := c.recorded.Prevouts(ctx, ops, into); err != nil {
		return "", err
	}
	for i := range answers {
		if answers[i].State != utxocache.Unspent {
			into[i] = blockval.Coin{Missing: true}
			continue
		}
		into[i].Value, into[i].Script = answers[i].Coin.Value, answers[i].Coin.Script
		c.own[ops[i]] = answers[i].Coin
	}
	return blockval.Own, nil
}

// known returns which coins ops are, or a zero coin for those that are none yet, for the database
// need not read those that its caller knows: as in a sidecar, what was answered for the block's inputs,
// and, as those are of the replay only, the coins that it spends beside them to repeat itself.
func (c *replayCoins) known(ops []wire.OutPoint) ([]coindb.Coin, error) {
	coins := make([]coindb.Coin, len(ops))
	var others []wire.OutPoint
	var places []int
	for i, op := range ops {
		coin, ok := c.own[op]
		if coins[i] = coindb.Coin(coin); !ok {
			others, places = append(others, op), append(places, i)
		}
	}
	answers := make([]utxocache.Answer, len(others))
	if err := c.set.Fetch(c.parent, others, answers); err != nil {
		return nil, err
	}
	for i, place := range places {
		if answers[i].State == utxocache.Unspent {
			coins[place] = coindb.Coin(answers[i].Coin)
		}
	}
	return coins, nil
}

// Unspent implements blockval.Coins.
func (c *replayCoins) Unspent(_ context.Context, ops []wire.OutPoint) (first int, known bool, err error) {
	answers := make([]utxocache.Answer, len(ops))
	if err := c.set.Fetch(c.parent, ops, answers); err != nil {
		return -1, false, err
	}
	unknown := slices.ContainsFunc(answers, func(a utxocache.Answer) bool { return a.State == utxocache.Unknown })
	first = slices.IndexFunc(answers, func(a utxocache.Answer) bool { return a.State == utxocache.Unspent })
	return first, !unknown || first >= 0, nil
}

// connectNext connects the next block of the synchronisation.
func (r *replay) connectNext(ctx context.Context) error {
	var again *replayBlock
	if r.connected >= replayLag {
		again = &r.blocks[(r.next+len(r.blocks)-replayLag)%len(r.blocks)]
	}
	if err := r.connect(ctx, &r.blocks[r.next].recordedBlock, again); err != nil {
		return err
	}
	r.next, r.connected = (r.next+1)%len(r.blocks), r.connected+1
	return nil
}

// synchronise connects so many blocks by a timetable, and has coins asked for meanwhile.
func (r *replay) synchronise(ctx context.Context, blocks int) error {
	r.enter(regime.InitialSync)
	start := time.Now()
	due := make(chan int, blocks)
	return r.beside(ctx, func(ctx context.Context) error {
		for n := range due {
			if err := r.lookUp(ctx, &r.askers[0], n); err != nil {
				return err
			}
		}
		return nil
	}, func(ctx context.Context) error {
		defer close(due)
		for i := range blocks {
			if err := until(ctx, start.Add(time.Duration(i)*r.rec.Shape.SyncGap)); err != nil {
				return err
			}
			if err := r.connectNext(ctx); err != nil {
				return err
			}
			due <- r.rec.Shape.SyncLookups
		}
		return nil
	})
}

// follow connects so many blocks by a timetable, verifies most of their transactions
// before, and has coins asked for by a timetable of their own.
func (r *replay) follow(ctx context.Context, blocks int) error {
	r.enter(regime.TipIdle)
	if blocks > r.coming.left {
		return fmt.Errorf("the recording has %d more blocks of the tip, and %d are asked for", r.coming.left, blocks)
	}
	start := time.Now()
	verified := make(chan *recordedBlock, blocks)
	var all []func(context.Context) error
	for i := range r.askers {
		all = append(all, func(ctx context.Context) error { return r.asks(ctx, &r.askers[i], start, blocks) })
	}
	return r.beside(ctx, append(all, func(ctx context.Context) error {
		for i := range blocks {
			b, err := r.coming.next()
			if err != nil {
				return err
			}
			if err := r.verifyMempool(ctx, b, start.Add(time.Duration(i)*tipGap)); err != nil {
				return err
			}
			verified <- b
		}
		return nil
	}, func(ctx context.Context) error {
		for i := range blocks {
			if err := until(ctx, start.Add(time.Duration(i+1)*tipGap)); err != nil {
				return err
			}
			select {
			case b := <-verified:
				if err := r.connect(ctx, b, nil); err != nil {
					return err
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})...)
}

// beside calls functions at once, and returns when all have; the first error ends
// the others.
func (r *replay) beside(ctx context.Context, all ...func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var parts sync.WaitGroup
	for _, do := range all {
		parts.Go(func() {
			if err := do(ctx); err != nil {
				cancel(err)
			}
		})
	}
	parts.Wait()
	return context.Cause(ctx)
}

// until returns at a time, or when ctx ends, with its error.
func until(ctx context.Context, at time.Time) error {
	wait := time.Until(at)
	if wait <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// verifyMempool verifies the block's transactions as those of the mempool, spread
// over the time until it comes.
func (r *replay) verifyMempool(ctx context.Context, b *recordedBlock, from time.Time) error {
	block, err := blockval.Parse(b.Raw)
	if err != nil {
		return err
	}
	recorded := newSpent(block.Msg, b.coins())
	txs := block.Msg.Transactions[1:]
	txs = txs[:len(txs)*replayMempool/100]
	for i := 0; i < len(txs); i += mempoolBatch {
		if err := until(ctx, from.Add(tipGap*time.Duration(i)/time.Duration(len(txs)))); err != nil {
			return err
		}
		if err := r.verifyBatch(ctx, txs[i:min(i+mempoolBatch, len(txs))], recorded); err != nil {
			return err
		}
	}
	return nil
}

// verifyBatch looks up what transactions spend, and verifies them. What a transaction
// of the mempool creates is not in the coins, but in the recording.
func (r *replay) verifyBatch(ctx context.Context, txs []*wire.MsgTx, recorded *spent) error {
	var ops []wire.OutPoint
	for _, tx := range txs {
		for _, in := range tx.TxIn {
			ops = append(ops, in.PreviousOutPoint)
		}
	}
	answers := make([]utxocache.Answer, len(ops))
	for {
		tip, _ := r.set.Tip()
		err := r.set.Prefetch(tip.Hash, ops, answers)
		if err == nil {
			break
		}
		if !errors.Is(err, utxocache.ErrTip) || ctx.Err() != nil {
			return err
		}
		// A block was connected meanwhile.
	}
	for _, tx := range txs {
		prevouts := make([]wire.TxOut, len(tx.TxIn))
		for i, in := range tx.TxIn {
			prevouts[i] = *recorded.FetchPrevOutput(in.PreviousOutPoint)
			if answers[i].State == utxocache.Unspent {
				prevouts[i] = wire.TxOut{Value: answers[i].Coin.Value, PkScript: answers[i].Coin.Script}
			}
		}
		answers = answers[len(tx.TxIn):]
		valid, err := r.validator.VerifyTx(ctx, tx, prevouts)
		if err != nil {
			return err
		}
		if !valid {
			return errors.New("a generated transaction is invalid")
		}
		r.work.Mempool++
		r.units.Add(uint64(len(tx.TxIn)))
	}
	return nil
}

// asks has the share of one asker asked for at so many blocks of the tip, by the timetable.
func (r *replay) asks(ctx context.Context, by *asker, start time.Time, blocks int) error {
	n, ticks := r.rec.Shape.TipLookups/len(r.askers), int(tipGap/lookupTick)
	for i := range blocks * ticks {
		if err := until(ctx, start.Add(time.Duration(i)*lookupTick)); err != nil {
			return err
		}
		if err := r.lookUp(ctx, by, n*(i%ticks+1)/ticks-n*(i%ticks)/ticks); err != nil {
			return err
		}
	}
	return nil
}

// lookUp has n coins asked for, one after the other, most of which exist.
func (r *replay) lookUp(ctx context.Context, by *asker, n int) error {
	set := coinSet(r.rec.Shape.Coins)
	for range n {
		op := set.outPoint(by.rand.IntN(int(set)))
		if by.rand.IntN(absentOf) == 0 {
			op.Index += 4 // no coin has such a number
		}
		start := time.Now()
		a, _, err := r.set.Get(ctx, op)
		if errors.Is(err, coins.ErrUnknown) {
			err = nil
		}
		if err != nil {
			return err
		}
		r.reads.add(time.Since(start))
		by.did.Lookups++
		if a.State == utxocache.Unspent {
			by.did.Found++
			by.did.Value += a.Coin.Value
		}
		r.units.Add(1)
	}
	return nil
}
