package coindb

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/cockroachdb/pebble/v2"

	"github.com/outrider-project/outrider/utxocache/corefile"
	"github.com/outrider-project/outrider/utxocache/muhash"
)

// ErrNoMuHash says that the MuHash is not known, and cannot be had from the
// blocks that can be undone: Rehash hashes all coins. It comes wrapped.
var ErrNoMuHash = errors.New("the MuHash of the coins is not known")

// A hashRecord is the MuHash of the coins as of a block. Its key has the height,
// its value the block's hash and the state:
//
//	hash(32) state(768)
//
// The records are of successive blocks of the chain. The highest may be below
// the tip: the undo records above it say what is missing. When a block is undone
// its record goes in the same batch; when a block can no longer be undone, the
// record of the block before it. So there is a record wherever Undo can lead, and
// none at all when the blocks above the last are no longer known.
type hashRecord struct {
	tip Tip
	set muhash.Set
}

func (r *hashRecord) value() []byte { return r.set.Append(append([]byte(nil), r.tip.Hash[:]...)) }

func (r *hashRecord) put(b *pebble.Batch) error {
	return b.Set(hashKey(r.tip.Height), r.value(), nil)
}

func decodeHashRecord(key, value []byte) (r hashRecord, err error) {
	height, ok := heightIn(key)
	if !ok || len(value) != chainhash.HashSize+muhash.StateSize {
		return hashRecord{}, fmt.Errorf("%w: the MuHash %x is %d bytes", ErrCorrupt, key, len(value))
	}
	r.tip = Tip{chainhash.Hash(value[:chainhash.HashSize]), height}
	if err := r.set.Decode(value[chainhash.HashSize:]); err != nil {
		return hashRecord{}, fmt.Errorf("%w: the MuHash of %s: %w", ErrCorrupt, r.tip, err)
	}
	return r, nil
}

// lastHash returns the highest record, or an error that wraps ErrNoMuHash.
func (d *DB) lastHash(from pebble.Reader) (r hashRecord, err error) {
	lower, upper := span(kindHash)
	it, err := from.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return hashRecord{}, d.explain(err)
	}
	if it.Last() {
		var value []byte
		if value, err = it.ValueAndErr(); err == nil {
			r, err = decodeHashRecord(it.Key(), value)
		}
	} else if err = it.Error(); err == nil {
		err = ErrNoMuHash
	}
	return r, d.explain(errors.Join(err, it.Close()))
}

// hasHash reports whether there is the record of a height.
func (d *DB) hasHash(height uint32) (bool, error) {
	err := d.get(d.pebble, hashKey(height), func([]byte) error { return nil })
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// MuHash returns the MuHash of the coins, and the tip as of which it is that: what
// Bitcoin Core's gettxoutsetinfo calls muhash, if the database is complete. It
// brings it up to the tip first, where FollowMuHash has not; that waits for a
// Rehash that runs, or for ctx. Blocks that are applied meanwhile are not
// waited for, beyond one.
//
// The error wraps ErrNoMuHash if it is not known, and ErrNoTip or ErrLoading if the
// database stands at no tip. From block 91722 to 91879 of mainnet the coinstatsindex
// of Bitcoin Core tells another hash: it leaves out the two coinbases that later
// ones overwrite.
func (d *DB) MuHash(ctx context.Context) (chainhash.Hash, Tip, error) {
	r, err := d.hashTip(ctx)
	if err != nil {
		return chainhash.Hash{}, Tip{}, fmt.Errorf("MuHash: %w", err)
	}
	return r.set.Finalize(), r.tip, nil
}

// MuHashAt returns the MuHash of the coins as of a block of the chain that is the
// tip or that Undo can lead to. The error wraps ErrNoMuHash if it is of no such
// block, or not known yet.
func (d *DB) MuHashAt(tip Tip) (chainhash.Hash, error) {
	if err := d.enter(); err != nil {
		return chainhash.Hash{}, fmt.Errorf("MuHash at %s: %w", tip, err)
	}
	defer d.leave()
	var r hashRecord
	key := hashKey(tip.Height)
	err := d.get(d.pebble, key, func(value []byte) (err error) {
		r, err = decodeHashRecord(key, value)
		return err
	})
	if errors.Is(err, pebble.ErrNotFound) || err == nil && r.tip != tip {
		err = ErrNoMuHash
	}
	if err != nil {
		return chainhash.Hash{}, fmt.Errorf("MuHash at %s: %w", tip, err)
	}
	return r.set.Finalize(), nil
}

// FollowMuHash hashes what each block does soon after it was applied, and returns
// when ctx ends, with its error, or with what else went wrong: an error that
// wraps ErrNoMuHash needs a Rehash. Where there is no tip it waits for one. It is
// for one goroutine, which whoever calls it joins.
//
// While it runs, Apply waits when it is Options.UndoBlocks ahead of the hash, so
// that no block is forgotten before it is hashed. When it does not run, that is
// what happens, and the MuHash is not known any more.
func (d *DB) FollowMuHash(ctx context.Context) error {
	d.followers.Add(1)
	defer func() {
		d.followers.Add(-1)
		d.hashed.broadcast()
	}()
	for {
		changed := d.changed.wait()
		_, err := d.hashTip(ctx)
		if err != nil && !errors.Is(err, ErrNoTip) && !errors.Is(err, ErrLoading) {
			return fmt.Errorf("follow the MuHash: %w", err)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("follow the MuHash: %w", ctx.Err())
		}
	}
}

// hashTip brings the MuHash to the tip, and returns it.
func (d *DB) hashTip(ctx context.Context) (*hashRecord, error) {
	select {
	case d.hashing <- struct{}{}:
		defer func() { <-d.hashing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for {
		start := time.Now()
		v, err := d.View()
		if err != nil {
			return nil, err
		}
		last, next, err := v.hashNext()
		if err = errors.Join(err, v.Close()); err != nil || next == nil {
			return last, err
		}
		if err := d.putHash(last, next); err != nil {
			return nil, err
		}
		d.perf.muhash.Since(start)
		d.hashed.broadcast()
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

// hashNext returns the highest record, and the one after it; nil if the highest
// is the tip's.
func (v *View) hashNext() (*hashRecord, *hashRecord, error) {
	last, err := v.db.lastHash(v.snap)
	if err != nil || last.tip == v.state.tip {
		return &last, nil, err
	}
	if last.tip.Height >= v.state.tip.Height {
		return nil, nil, fmt.Errorf("%w: the MuHash is of %s, the tip %s", ErrCorrupt, last.tip, v.state.tip)
	}
	next := hashRecord{Tip{Height: last.tip.Height + 1}, last.set}
	err = v.db.get(v.snap, undoKey(next.tip.Height), func(value []byte) error {
		u, err := decodeUndo(value)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		if u.prev != last.tip.Hash {
			return fmt.Errorf("%w: the MuHash is of %s, what follows it of a block after %s", ErrCorrupt, last.tip, u.prev)
		}
		next.tip.Hash = u.hash
		goroutines := 1 // off everybody's path, unless it is behind
		if next.tip.Height < v.state.tip.Height {
			goroutines = v.db.opts.Readers
		}
		return u.hashInto(&next.set, goroutines)
	})
	if errors.Is(err, pebble.ErrNotFound) {
		err = fmt.Errorf("%w: it was at %s, and what the next block did is not there", ErrNoMuHash, last.tip)
	}
	return &last, &next, err
}

// hashInto does to set what the block did to the coins.
func (u *undoRecord) hashInto(set *muhash.Set, goroutines int) error {
	var batch muhash.Batch
	var coin Coin
	var element []byte
	for _, part := range []struct {
		coins []rawCoin
		add   func([]byte)
	}{{u.restored, batch.Remove}, {u.created, batch.Insert}} {
		for _, r := range part.coins {
			if err := decodeCoin(&coin, r.value); err != nil {
				return fmt.Errorf("%w: undo record of block %s, coin %s: %w", ErrCorrupt, u.hash, r.op, err)
			}
			element = corefile.AppendTxOutSer(element[:0], r.op, &coin)
			part.add(element)
		}
	}
	set.Apply(&batch, goroutines)
	return nil
}

// putHash writes next, which follows last, unless the blocks of the two have been
// undone. It need not be on the disk when putHash returns: what it was made of is
// there until a later batch is.
func (d *DB) putHash(last, next *hashRecord) error {
	end, err := d.change()
	if err != nil {
		return err
	}
	defer end()
	if on, err := d.follows(last.tip, &next.tip); err != nil || !on {
		return err
	}
	if on, err := d.hasHash(last.tip.Height); err != nil || !on {
		return err
	}
	b := d.pebble.NewBatch()
	if err := next.put(b); err != nil {
		return errors.Join(err, b.Close())
	}
	return d.commit(b, pebble.NoSync)
}

// follows reports whether a block can be undone that follows tip, and if next is
// not nil, whether it is that.
func (d *DB) follows(tip Tip, next *Tip) (bool, error) {
	var hash, prev chainhash.Hash
	err := d.get(d.pebble, undoKey(tip.Height+1), func(value []byte) (err error) {
		hash, prev, err = undoHashes(value)
		return err
	})
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	return err == nil && prev == tip.Hash && (next == nil || hash == next.Hash), err
}

// Rehash hashes all coins afresh and keeps that as their MuHash, whatever was
// known before. It takes about a microsecond a coin and processor, and what
// Options.Pace has it wait; blocks can be applied meanwhile, but if more than
// Options.UndoBlocks are, the error wraps ErrNoMuHash. progress, if it is not nil, is called now and then with the share
// of the coins that are hashed.
func (d *DB) Rehash(ctx context.Context, progress func(share float64)) error {
	select {
	case d.hashing <- struct{}{}:
		defer func() { <-d.hashing }()
	case <-ctx.Done():
		return fmt.Errorf("rehash: %w", ctx.Err())
	}
	v, err := d.View()
	if err != nil {
		return fmt.Errorf("rehash: %w", err)
	}
	r := hashRecord{tip: v.Tip()}
	var records []hashRecord
	if err = v.hash(ctx, &r.set, progress); err == nil {
		records, err = v.hashBack(ctx, r)
	}
	if err = errors.Join(err, v.Close()); err == nil {
		err = d.setHashes(records)
	}
	if err != nil {
		return fmt.Errorf("rehash: %w", err)
	}
	d.changed.broadcast() // for who follows it
	return nil
}

// hash puts all coins into set.
func (v *View) hash(ctx context.Context, set *muhash.Set, progress func(share float64)) error {
	var batch muhash.Batch
	var element []byte
	began := time.Now()
	for c, err := range v.All() {
		if err != nil {
			return err
		}
		element = corefile.AppendTxOutSer(element[:0], c.OutPoint, &c.Coin)
		if batch.Insert(element); batch.Len() < v.db.opts.hashStep {
			continue
		}
		set.Apply(&batch, v.db.opts.Hashers)
		batch.Reset()
		if progress != nil {
			key := coinKeyOf(c.OutPoint)
			progress(share(key[:]))
		}
		if err := v.db.pace(ctx, &began); err != nil {
			return err
		}
	}
	set.Apply(&batch, v.db.opts.Hashers)
	if progress != nil {
		progress(1)
	}
	return nil
}

// pace returns when the piece of work behind the one that began then may begin, and notes
// that; or an error, ctx's among them, when there is to be none.
func (d *DB) pace(ctx context.Context, began *time.Time) error {
	err := ctx.Err()
	if err == nil && d.opts.Pace != nil {
		err = d.opts.Pace(ctx, time.Since(*began))
	}
	*began = time.Now()
	return err
}

// hashBack returns r, which is of the view's tip, and the records of the blocks
// below it that Undo can lead to, the highest first.
func (v *View) hashBack(ctx context.Context, r hashRecord) (records []hashRecord, err error) {
	for began := time.Now(); err == nil; {
		records = append(records, r)
		if err := v.db.pace(ctx, &began); err != nil {
			return nil, err
		}
		err = v.db.get(v.snap, undoKey(r.tip.Height), func(value []byte) error {
			u, err := decodeUndo(value)
			if err != nil {
				return fmt.Errorf("%w: %w", ErrCorrupt, err)
			}
			if u.hash != r.tip.Hash {
				return fmt.Errorf("%w: the undo record of height %d is of block %s", ErrCorrupt, r.tip.Height, u.hash)
			}
			var block muhash.Set
			if err := u.hashInto(&block, v.db.opts.Hashers); err != nil {
				return err
			}
			r.set.Uncombine(&block)
			r.tip = Tip{u.prev, r.tip.Height - 1}
			return nil
		})
	}
	if errors.Is(err, pebble.ErrNotFound) {
		err = nil
	}
	return records, err
}

// setHashes makes records the only ones, from the first on that is of the chain.
// They are of successive blocks, the highest first.
func (d *DB) setHashes(records []hashRecord) error {
	end, err := d.change()
	if err != nil {
		return err
	}
	defer end()
	s, err := d.readState(d.pebble)
	if err != nil {
		return err
	}
	of := records[0].tip
	for len(records) > 0 && records[0].tip != s.tip {
		on, err := d.follows(records[0].tip, nil)
		if err != nil {
			return err
		}
		if on {
			break
		}
		records = records[1:]
	}
	if len(records) == 0 {
		return fmt.Errorf("%w: the coins were hashed as of %s; since then too much happened, and the tip is %s", ErrNoMuHash, of, s.tip)
	}
	b := d.pebble.NewBatch()
	lower, upper := span(kindHash)
	err = b.DeleteRange(lower, upper, nil)
	for i := range records {
		err = errors.Join(err, records[i].put(b))
	}
	if err != nil {
		return errors.Join(err, b.Close())
	}
	return d.commit(b, pebble.Sync)
}

// mustWait reports whether the block of that height must wait, because it would
// push the last record out, and who follows the MuHash will be there soon. The
// caller holds write.
func (d *DB) mustWait(height uint32) (bool, error) {
	first := int64(height) - int64(d.opts.UndoBlocks) // the first record that stays
	if d.followers.Load() == 0 || first < 1 {
		return false, nil
	}
	if leaves, err := d.hasHash(uint32(first - 1)); err != nil || !leaves {
		return false, err
	}
	stays, err := d.hasHash(uint32(first))
	return !stays, err
}

// A signal tells all who wait for it that something happened. The zero value is
// ready.
type signal struct {
	mu sync.Mutex
	ch chan struct{}
}

// wait returns a channel that is closed by the next broadcast.
func (s *signal) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) broadcast() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}
