package coindb

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/cockroachdb/pebble/v2"
)

// A Block is what a block does to the coins. The database keeps nothing of it.
type Block struct {
	Tip
	// Prev is the hash of the block before it.
	Prev chainhash.Hash
	// Created holds the block's spendable outputs, in any order. Their height
	// is the block's.
	Created []CoinAt
	// Spent holds what its inputs spend, in any order. An outpoint that is in
	// Created too never reaches the disk.
	Spent []wire.OutPoint
	// Known, if it is not nil, is as long as Spent, and holds what the caller
	// knows of it as of the tip: the coin, or a zero Coin. What is known is not
	// read, which saves half the time of an Apply, but for one coin in 64, which
	// must be as the caller says. The rest goes into what undoes the block, so it
	// must be certain, as what the caller has validated is. A database that is not
	// complete reads all, for it need not have what the caller knows.
	Known []Coin
}

// repeatsCoinbase reports whether the block is one of the two that BIP30
// exempts: their coinbases overwrite unspent coins (Bitcoin Core's
// IsBIP30Repeat).
func repeatsCoinbase(hash chainhash.Hash) bool {
	switch hash.String() {
	case "00000000000a4d0a398161ffc163c503763b1f4360639393e0e4c8e300e0caec", // 91842
		"00000000000743f190a18c5577a3c2d2a1f610ae9601ac046a38084ccb7cd721": // 91880
		return true
	}
	return false
}

// Apply makes b the tip: what it spends is gone, what it creates is there. When
// it returns nil, this is on the disk.
//
// An error changes nothing, unless it wraps ErrBroken. It wraps ErrTip when b
// does not follow the tip, ErrMissing when the database is complete and b
// spends what it does not have, ErrKnown when the caller knows a coin otherwise,
// and ErrDiskFull.
func (d *DB) Apply(b *Block) error {
	start := time.Now()
	end, err := d.changeFor(b.Height)
	if err == nil {
		defer end()
		err = d.apply(b)
	}
	d.perf.changed(err)
	if err != nil {
		return fmt.Errorf("apply block %s: %w", b.Tip, err)
	}
	d.perf.apply.Since(start)
	d.changed.broadcast()
	return nil
}

// changeFor begins a change as change does, when the block of that height need
// not wait for the MuHash.
func (d *DB) changeFor(height uint32) (end func(), err error) {
	for {
		hashed := d.hashed.wait()
		if end, err = d.change(); err != nil {
			return nil, err
		}
		wait, err := d.mustWait(height)
		if err == nil && !wait {
			return end, nil
		}
		end()
		if err != nil {
			return nil, err
		}
		d.perf.waits.Add(1)
		<-hashed
	}
}

func (d *DB) apply(b *Block) error {
	s, err := d.readState(d.pebble)
	if err != nil {
		return err
	}
	switch {
	case s.tip.Height == UnknownHeight:
		return fmt.Errorf("%w: at block %s, whose height is not known", ErrTip, s.tip.Hash)
	case b.Prev != s.tip.Hash:
		return fmt.Errorf("%w: at %s, the block follows %s", ErrTip, s.tip, b.Prev)
	case b.Height != s.tip.Height+1:
		return fmt.Errorf("%w: at %s, its height does not follow", ErrTip, s.tip)
	}
	created, spent, err := b.net()
	if err != nil {
		return err
	}
	indexed, err := d.indexed()
	if err != nil {
		return err
	}
	var made [][]byte
	var encoding sync.WaitGroup
	encoding.Go(func() { made = b.values(created) })
	values, err := d.spentValues(b, spent, s.complete)
	encoding.Wait()
	if err != nil {
		return err
	}
	overwritten, err := d.overwritten(b, created)
	if err != nil {
		return err
	}
	c := change{
		batch:   d.pebble.NewBatchWithSize(200*(len(created)+len(spent)) + 4096),
		indexed: indexed,
		undo:    undoRecord{hash: b.Hash, prev: b.Prev},
	}
	if err := c.apply(b, created, spent, made, values, overwritten, s.complete); err != nil {
		return errors.Join(err, c.batch.Close())
	}
	s.tip = b.Tip
	s.coins += uint64(len(created)) - uint64(len(c.undo.restored))
	err = errors.Join(
		c.batch.Set(undoKey(b.Height), c.undo.append(make([]byte, 0, c.undo.room())), nil),
		c.batch.Set(tipKey, s.append(nil), nil))
	if below := int64(b.Height) - int64(d.opts.UndoBlocks); below >= 0 {
		err = errors.Join(err, c.batch.Delete(undoKey(uint32(below)), nil))
		if below > 0 {
			err = errors.Join(err, c.batch.Delete(hashKey(uint32(below-1)), nil))
		}
	}
	if err != nil {
		return errors.Join(err, c.batch.Close())
	}
	if err := d.commit(c.batch, pebble.Sync); err != nil {
		return err
	}
	d.perf.report(&s)
	return nil
}

// net returns the places in b.Created and b.Spent of the coins that are there
// after the block and were there before it, in the order of their keys.
func (b *Block) net() (created, spent []place, err error) {
	op := func(p place) wire.OutPoint { return b.Created[p.index].OutPoint }
	var sorting sync.WaitGroup
	sorting.Go(func() {
		created = sorted(len(b.Created), func(i int) *wire.OutPoint { return &b.Created[i].OutPoint })
	})
	spent = sorted(len(b.Spent), func(i int) *wire.OutPoint { return &b.Spent[i] })
	sorting.Wait()
	for i := 1; i < len(created); i++ {
		if op(created[i]) == op(created[i-1]) {
			return nil, nil, fmt.Errorf("it creates %s twice", op(created[i]))
		}
	}
	for i := 1; i < len(spent); i++ {
		if b.Spent[spent[i].index] == b.Spent[spent[i-1].index] {
			return nil, nil, fmt.Errorf("it spends %s twice", b.Spent[spent[i].index])
		}
	}
	var i, j, keptCreated, keptSpent int
	for i < len(created) && j < len(spent) {
		switch c := compareOps(op(created[i]), b.Spent[spent[j].index]); {
		case c < 0:
			created[keptCreated] = created[i]
			i, keptCreated = i+1, keptCreated+1
		case c > 0:
			spent[keptSpent] = spent[j]
			j, keptSpent = j+1, keptSpent+1
		default:
			i, j = i+1, j+1
		}
	}
	created = append(created[:keptCreated], created[i:]...)
	spent = append(spent[:keptSpent], spent[j:]...)
	for _, p := range created {
		c := &b.Created[p.index]
		if err := checkCoin(&c.Coin); err != nil {
			return nil, nil, fmt.Errorf("it creates %s, %w", c.OutPoint, err)
		}
		if c.Coin.Height != b.Height {
			return nil, nil, fmt.Errorf("it creates %s of height %d", c.OutPoint, c.Coin.Height)
		}
	}
	return created, spent, nil
}

// values returns the values of the coins that b creates and that places name, at
// their index in b.Created.
func (b *Block) values(places []place) [][]byte {
	values := make([][]byte, len(b.Created))
	all := make([]byte, 0, 48*len(places))
	for _, p := range places {
		n := len(all)
		all = appendCoin(all, &b.Created[p.index].Coin)
		values[p.index] = all[n:len(all):len(all)]
	}
	return values
}

// spentValues returns the value of each coin that places name, at its index in
// b.Spent; nil where there is none.
func (d *DB) spentValues(b *Block, places []place, complete bool) ([][]byte, error) {
	if b.Known == nil || !complete {
		d.perf.read.Add(uint64(len(places)))
		return d.values(b.Spent, places)
	}
	if len(b.Known) != len(b.Spent) {
		return nil, fmt.Errorf("of %d coins that it spends %d are known or not", len(b.Spent), len(b.Known))
	}
	type claim struct {
		place
		end     int // of its value in claimed
		sampled bool
	}
	claims, read := make([]claim, 0, len(places)), make([]place, 0, len(places))
	claimed := make([]byte, 0, 64*len(places))
	for _, p := range places {
		c := &b.Known[p.index]
		if c.Height == 0 { // the genesis block has no coins
			read = append(read, p)
			continue
		}
		if err := checkCoin(c); err != nil {
			return nil, fmt.Errorf("it spends %s, %w", b.Spent[p.index], err)
		}
		claimed = appendCoin(claimed, c)
		sampled := rand.IntN(d.opts.knownSample) == 0
		if claims = append(claims, claim{p, len(claimed), sampled}); sampled {
			read = append(read, p)
		}
	}
	d.perf.read.Add(uint64(len(read)))
	d.perf.known.Add(uint64(len(places) - len(read)))
	values, err := d.values(b.Spent, read)
	if err != nil {
		return nil, err
	}
	start := 0
	for _, c := range claims {
		value := claimed[start:c.end:c.end]
		start = c.end
		found := values[c.index]
		switch {
		case !c.sampled:
			values[c.index] = value
		case found != nil && !bytes.Equal(found, value):
			return nil, fmt.Errorf("%w: %s is %x, not %x", ErrKnown, b.Spent[c.index], found, value)
		}
	}
	return values, nil
}

// values returns the value of each outpoint that places name, at its index in
// ops; nil where there is none.
func (d *DB) values(ops []wire.OutPoint, places []place) ([][]byte, error) {
	values := make([][]byte, len(ops))
	err := d.read(anew{d.pebble}, ops, places, func() reader {
		var free []byte
		return func(i int, value []byte) error {
			if value == nil {
				return nil
			}
			if cap(free)-len(free) < len(value) {
				free = make([]byte, 0, max(len(value), 64<<10))
			}
			n := len(free)
			free = append(free, value...)
			values[i] = free[n:len(free):len(free)]
			return nil
		}
	})
	return values, err
}

// overwritten returns the values of those coins that b creates and that exist,
// at their index in b.Created; nil if there are none.
func (d *DB) overwritten(b *Block, created []place) ([][]byte, error) {
	if !repeatsCoinbase(b.Hash) {
		return nil, nil
	}
	ops := make([]wire.OutPoint, len(b.Created))
	for i := range ops {
		ops[i] = b.Created[i].OutPoint
	}
	return d.values(ops, created)
}

// A change is what one block does to the database.
type change struct {
	batch   *pebble.Batch
	indexed bool
	undo    undoRecord
	coin    Coin
}

// apply writes what the block creates and spends into the batch, in the order
// of keys, and fills the undo record.
func (c *change) apply(b *Block, created, spent []place, made, values, overwritten [][]byte, complete bool) error {
	c.undo.created = make([]rawCoin, 0, len(created))
	c.undo.restored = make([]rawCoin, 0, len(spent))
	for len(created) > 0 || len(spent) > 0 {
		if len(created) == 0 || len(spent) > 0 &&
			compareOps(b.Spent[spent[0].index], b.Created[created[0].index].OutPoint) < 0 {
			i := spent[0].index
			spent = spent[1:]
			op, value := b.Spent[i], values[i]
			if value == nil && complete {
				return fmt.Errorf("%w: %s", ErrMissing, op)
			}
			if value == nil {
				continue
			}
			c.undo.restored = append(c.undo.restored, rawCoin{op, value})
			if err := c.remove(op, value); err != nil {
				return err
			}
			continue
		}
		i := created[0].index
		created = created[1:]
		at := &b.Created[i]
		if overwritten != nil && overwritten[i] != nil {
			c.undo.restored = append(c.undo.restored, rawCoin{at.OutPoint, overwritten[i]})
			if err := c.remove(at.OutPoint, overwritten[i]); err != nil {
				return err
			}
		}
		c.undo.created = append(c.undo.created, rawCoin{at.OutPoint, made[i]})
		if err := c.put(at.OutPoint, made[i], &at.Coin); err != nil {
			return err
		}
	}
	return nil
}

// put writes the coin of op, whose value is the encoding of coin.
func (c *change) put(op wire.OutPoint, value []byte, coin *Coin) error {
	key := coinKeyOf(op)
	err := c.batch.Set(key[:], value, nil)
	if c.indexed {
		err = errors.Join(err, putScript(c.batch, op, coin))
	}
	return err
}

// remove deletes the coin of op, which has that value.
func (c *change) remove(op wire.OutPoint, value []byte) error {
	key := coinKeyOf(op)
	err := c.batch.DeleteSized(key[:], uint32(len(value)), nil)
	if c.indexed {
		if err := decodeCoin(&c.coin, value); err != nil {
			return fmt.Errorf("%w: coin %s: %w", ErrCorrupt, op, err)
		}
		err = errors.Join(err, removeScript(c.batch, op, &c.coin))
	}
	return err
}

// Undo makes the block before tip the tip: what the block tip created is gone,
// and what it spent or overwrote is there again. When it returns nil, this is
// on the disk.
//
// An error changes nothing, unless it wraps ErrBroken. It wraps ErrTip when tip
// is not the tip, ErrTooDeep when the database cannot undo it, and ErrDiskFull.
func (d *DB) Undo(tip Tip) error {
	start := time.Now()
	end, err := d.change()
	if err == nil {
		defer end()
		err = d.undo(tip)
	}
	d.perf.changed(err)
	if err != nil {
		return fmt.Errorf("undo block %s: %w", tip, err)
	}
	d.perf.undo.Since(start)
	d.changed.broadcast()
	return nil
}

func (d *DB) undo(tip Tip) error {
	s, err := d.readState(d.pebble)
	if err != nil {
		return err
	}
	if s.tip != tip {
		return fmt.Errorf("%w: at %s", ErrTip, s.tip)
	}
	err = d.get(d.pebble, undoKey(tip.Height), func(value []byte) error {
		u, err := decodeUndo(value)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		if u.hash != tip.Hash {
			return fmt.Errorf("%w: the undo record of height %d is of block %s", ErrCorrupt, tip.Height, u.hash)
		}
		s.tip = Tip{u.prev, tip.Height - 1}
		s.coins += uint64(len(u.restored)) - uint64(len(u.created))
		return d.revert(u, &s, tip.Height)
	})
	if errors.Is(err, pebble.ErrNotFound) {
		return ErrTooDeep
	}
	if err == nil {
		d.perf.report(&s)
	}
	return err
}

// revert writes what u restores and removes, and s, which is what is after it.
func (d *DB) revert(u *undoRecord, s *state, height uint32) error {
	indexed, err := d.indexed()
	if err != nil {
		return err
	}
	c := change{batch: d.pebble.NewBatch(), indexed: indexed}
	for _, r := range u.created {
		err = errors.Join(err, c.remove(r.op, r.value))
	}
	for _, r := range u.restored {
		if indexed {
			if e := decodeCoin(&c.coin, r.value); e != nil {
				err = errors.Join(err, fmt.Errorf("%w: undo record, coin %s: %w", ErrCorrupt, r.op, e))
				break
			}
		}
		err = errors.Join(err, c.put(r.op, r.value, &c.coin))
	}
	err = errors.Join(err, c.batch.Delete(undoKey(height), nil), c.batch.Delete(hashKey(height), nil), c.batch.Set(tipKey, s.append(nil), nil))
	if err != nil {
		return errors.Join(err, c.batch.Close())
	}
	return d.commit(c.batch, pebble.Sync)
}

// dropOldUndo removes the undo records below those that Options.UndoBlocks covers, and their
// MuHashes.
func (d *DB) dropOldUndo() error {
	s, err := d.readState(d.pebble)
	if errors.Is(err, ErrNoTip) || errors.Is(err, ErrLoading) {
		return nil
	}
	if err != nil {
		return err
	}
	below := int64(s.tip.Height) - int64(d.opts.UndoBlocks)
	if below < 0 {
		return nil
	}
	lower, _ := span(kindUndo)
	upper := undoKey(uint32(below) + 1)
	it, err := d.pebble.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return d.explain(err)
	}
	old := it.First()
	if err := errors.Join(it.Error(), it.Close()); err != nil || !old {
		return d.explain(err)
	}
	b := d.pebble.NewBatch()
	hashes, _ := span(kindHash)
	if err := errors.Join(b.DeleteRange(lower, upper, nil), b.DeleteRange(hashes, hashKey(uint32(below)), nil)); err != nil {
		return errors.Join(err, b.Close())
	}
	return d.explain(errors.Join(b.Commit(pebble.Sync), b.Close()))
}
