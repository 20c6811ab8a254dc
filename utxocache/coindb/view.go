package coindb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/btcsuite/btcd/wire/v2"
	"github.com/cockroachdb/pebble/v2"
)

// A View is the coins as of one tip, whatever is applied meanwhile. It keeps
// what is overwritten from being dropped, so it should not live for long. Its
// methods are safe for concurrent use, but for Close.
type View struct {
	db *DB
	*snapshot
}

// A snapshot is the database as of one tip, which Views share until it changes: an application
// asks for one coin after the other.
type snapshot struct {
	db    *DB
	snap  *pebble.Snapshot
	state state
	views int // guarded by DB.sharing; one of them the database's own

	idling sync.Mutex // guards what follows
	idle   []opened   // iterators that look-ups have left for the next ones
	past   bool       // the database has changed since
}

// View returns the coins as of the tip. Close must be called. It returns an
// error that wraps ErrNoTip or ErrLoading when the database stands at none.
func (d *DB) View() (*View, error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	v, err := d.view()
	if err != nil {
		d.leave()
		return nil, fmt.Errorf("view: %w", err)
	}
	return v, nil
}

func (d *DB) view() (*View, error) {
	// A broken database shows in memory what may not be on the disk.
	if err := d.disk.check(); err != nil {
		return nil, err
	}
	d.sharing.Lock()
	defer d.sharing.Unlock()
	if d.now == nil {
		snap := d.pebble.NewSnapshot()
		s, err := d.readState(snap)
		if err != nil {
			return nil, errors.Join(err, snap.Close())
		}
		d.now = &snapshot{db: d, snap: snap, state: s, views: 1}
	}
	d.now.views++
	return &View{d, d.now}, nil
}

// moved says that the database has changed: a View that is opened from now on is of no earlier
// snapshot. As view holds sharing from before it takes one until that is shared, none that is of
// before the change can be shared behind it.
func (d *DB) moved() error {
	d.sharing.Lock()
	s := d.now
	d.now = nil
	d.sharing.Unlock()
	if s == nil {
		return nil
	}
	s.endIdle(true)
	return d.drop(s)
}

// drop ends one view of s. The last closes it, and not under the lock: Pebble may have to wait
// for the disk there.
func (d *DB) drop(s *snapshot) error {
	d.sharing.Lock()
	s.views--
	last := s.views == 0
	d.sharing.Unlock()
	if !last {
		return nil
	}
	return s.snap.Close()
}

// Close ends the view, of which nothing may be asked then. It panics when it is called again.
func (v *View) Close() error {
	s := v.snapshot
	if s == nil {
		panic("coindb: a view is closed twice")
	}
	v.snapshot = nil
	defer v.db.leave()
	return v.db.drop(s)
}

// Tip returns the tip as of which the view answers.
func (v *View) Tip() Tip { return v.state.tip }

// Complete reports whether an outpoint that is not found certainly is no coin.
func (v *View) Complete() bool { return v.state.complete }

// Coins returns the number of coins.
func (v *View) Coins() uint64 { return v.state.coins }

// Tip returns the tip at which the database stands, or an error that wraps
// ErrNoTip or ErrLoading.
func (d *DB) Tip() (Tip, error) {
	v, err := d.View()
	if err != nil {
		return Tip{}, err
	}
	return v.Tip(), v.Close()
}

// Get returns the coin of op and whether there is one.
func (v *View) Get(op wire.OutPoint) (c Coin, found bool, err error) {
	key := coinKeyOf(op)
	err = v.db.get(v.snap, key[:], func(value []byte) error { return decodeCoin(&c, value) })
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		v.db.perf.missing.Add(1)
		return Coin{}, false, nil
	case err != nil:
		return Coin{}, false, fmt.Errorf("coin %s: %w", op, v.db.explain(err))
	}
	v.db.perf.found.Add(1)
	return c, true, nil
}

// An Answer is what a View has of one outpoint.
type Answer struct {
	// Coin is set if Found is. Its script shares memory with those of other
	// answers of the same call, 8 KiB at most.
	Coin  Coin
	Found bool
}

// GetBatch sets answers[i] to what there is of ops[i], for every i; answers
// must be as long as ops. It reads on Options.Readers goroutines.
func (v *View) GetBatch(ops []wire.OutPoint, answers []Answer) error {
	start := time.Now()
	answers = answers[:len(ops)]
	if err := v.lookUp(ops, answers); err != nil {
		return fmt.Errorf("%d coins: %w", len(ops), err)
	}
	v.db.perf.batch.Since(start)
	return nil
}

// lookUp sets answers[i] to what there is of ops[i], for every i.
func (v *View) lookUp(ops []wire.OutPoint, answers []Answer) error {
	places := sorted(len(ops), func(i int) *wire.OutPoint { return &ops[i] })
	err := v.db.read(v.snapshot, ops, places, func() reader {
		s := scriptsOf(len(ops))
		return func(i int, value []byte) error {
			answers[i] = Answer{}
			if value == nil {
				return nil
			}
			answers[i].Found = true
			return s.decode(&answers[i].Coin, value)
		}
	})
	if err != nil {
		return err
	}
	var found uint64
	for i := range answers {
		if answers[i].Found {
			found++
		}
	}
	v.db.perf.found.Add(found)
	v.db.perf.missing.Add(uint64(len(ops)) - found)
	return nil
}

// A reader is given the value of the outpoint at index i, nil if there is
// none. It keeps no part of value.
type reader func(i int, value []byte) error

// readersShare is the least number of coins for which another goroutine pays.
const readersShare = 64

// read gives the value of every outpoint to a reader, in the order of places.
// It reads on several goroutines; each has a reader of its own, which open
// makes.
func (d *DB) read(from coinReader, ops []wire.OutPoint, places []place, open func() reader) error {
	n := max(1, min(int(d.readers.Load()), len(places)/readersShare))
	errs := make([]error, n)
	var wg sync.WaitGroup
	for g := range n {
		part := places[len(places)*g/n : len(places)*(g+1)/n]
		work := func() { errs[g] = d.explain(d.readPart(from, ops, part, open())) }
		if g == n-1 {
			work()
		} else {
			wg.Go(work)
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}

// readPart gives the values of part to read.
func (d *DB) readPart(from coinReader, ops []wire.OutPoint, part []place, read reader) error {
	it, err := from.open()
	if err != nil {
		return err
	}
	for _, p := range part {
		if d.opts.Refer != nil {
			d.opts.Refer(binary.BigEndian.Uint64(ops[p.index].Hash[:]))
		}
		if err = seek(it, ops[p.index], int(p.index), read); err != nil {
			err = fmt.Errorf("coin %s: %w", ops[p.index], err)
			break
		}
	}
	d.blocks.add(it.Stats().InternalStats)
	if err != nil {
		return errors.Join(err, it.Close())
	}
	return from.leave(it)
}

// seek gives the value of op to read. The whole key is the prefix by which
// Pebble asks its filters.
func seek(it opened, op wire.OutPoint, i int, read reader) error {
	key := coinKeyOf(op)
	if !it.SeekPrefixGE(key[:]) {
		if err := it.Error(); err != nil {
			return err
		}
		return read(i, nil)
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return err
	}
	return read(i, value)
}

// All yields every coin in the order of the keys: of txids, then of numbers.
// The coin is good until the next one. It yields an error last, if there is
// one.
func (v *View) All() iter.Seq2[CoinAt, error] {
	return func(yield func(CoinAt, error) bool) {
		if err := v.each(kindCoin, func(key, value []byte, c *Coin) error {
			if err := decodeCoin(c, value); err != nil {
				return fmt.Errorf("coin %s: %w", outPoint(key), err)
			}
			if !yield(CoinAt{outPoint(key), *c}, nil) {
				return errStop
			}
			return nil
		}); err != nil && !errors.Is(err, errStop) {
			yield(CoinAt{}, v.db.explain(err))
		}
	}
}

// A CoinAt is a coin and its outpoint.
type CoinAt struct {
	OutPoint wire.OutPoint
	Coin     Coin
}

var errStop = errors.New("enough")

// each calls f with every key of a kind and its value, until f fails. c is
// memory for one coin.
func (v *View) each(kind byte, f func(key, value []byte, c *Coin) error) error {
	lower, upper := span(kind)
	it, err := v.snap.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	var c Coin
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		var value []byte
		if value, err = it.ValueAndErr(); err == nil {
			err = f(it.Key(), value, &c)
		}
	}
	return errors.Join(err, it.Error(), it.Close())
}
