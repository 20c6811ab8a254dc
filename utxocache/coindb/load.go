package coindb

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"

	"github.com/outrider-project/outrider/utxocache/muhash"
)

// A Loader fills an empty database with all coins as of a block, in the order
// of their keys, without a log: it writes tables that become part of the
// database as they are. It is for one goroutine at a time.
//
// What a killed process has loaded is not lost: a new Loader for the same block
// goes on after the last table. Until Finish the database stands at no tip.
type Loader struct {
	db   *DB
	opts LoadOptions
	done loadState // what is in the database
	last coinKey   // the last coin that was added
	any  bool      // whether last is one
	// filling takes coins, pending are written by goroutines of their own, in
	// the order of their keys.
	filling *loadTable
	hash    *muhash.Set
	pending []*loadTable
	serial  int
	err     error // ends the load
	closed  bool
}

// LoadOptions configure a Loader. A zero field means its default.
type LoadOptions struct {
	// TableBytes is the size of a table before it is written, in bytes; the
	// default is 32 MiB. One for each writer and another are in memory.
	TableBytes int
	// Writers is how many tables are written at a time; the default is
	// Options.Readers.
	Writers int
	// Progress, if it is not nil, is called after each table with the number
	// of coins that are safe, and the share of all txids below the last one's.
	Progress func(coins uint64, share float64)
}

const defaultTableBytes = 32 << 20

// A loadState is the value of loadKey: the block as of which coins are loaded,
// how many are in the database, and the key of the last.
type loadState struct {
	tip   Tip
	coins uint64
	last  []byte // nil before the first table
}

func (s *loadState) append(dst []byte) []byte {
	dst = append(dst, s.tip.Hash[:]...)
	dst = binary.BigEndian.AppendUint32(dst, s.tip.Height)
	dst = binary.BigEndian.AppendUint64(dst, s.coins)
	return append(dst, s.last...)
}

func decodeLoadState(b []byte) (s loadState, err error) {
	const fixed = chainhash.HashSize + 4 + 8
	if len(b) != fixed && len(b) != fixed+coinKeySize {
		return loadState{}, fmt.Errorf("%w: the state of a load is %x", ErrCorrupt, b)
	}
	copy(s.tip.Hash[:], b)
	s.tip.Height = binary.BigEndian.Uint32(b[chainhash.HashSize:])
	s.coins = binary.BigEndian.Uint64(b[chainhash.HashSize+4:])
	if len(b) > fixed {
		s.last = bytes.Clone(b[fixed:])
	}
	return s, nil
}

// A loadTable is coins on their way into a table.
type loadTable struct {
	data  []byte // key, two bytes of length, value; and again
	last  coinKey
	coins uint64
	path  string
	wg    sync.WaitGroup
	err   error // of the goroutine that writes it
}

// NewLoader begins to load the coins as of tip, or goes on with it. The
// database must be new, or in the middle of a load for the same tip: else the
// error wraps ErrTip or ErrLoading, and it takes a new directory, or a Reset and
// no Loader. Close must be called, before the database's.
func (d *DB) NewLoader(tip Tip, opts LoadOptions) (*Loader, error) {
	setDefault(&opts.TableBytes, defaultTableBytes)
	setDefault(&opts.Writers, d.opts.Readers)
	if opts.TableBytes < 0 || opts.Writers < 0 {
		return nil, fmt.Errorf("load: %d bytes and %d writers are not sizes", opts.TableBytes, opts.Writers)
	}
	end, err := d.change()
	if err != nil {
		return nil, fmt.Errorf("load coins of %s: %w", tip, err)
	}
	defer end()
	l := &Loader{db: d, opts: opts, filling: new(loadTable)}
	if err := l.begin(tip); err != nil {
		return nil, fmt.Errorf("load coins of %s: %w", tip, err)
	}
	if err := d.enter(); err != nil {
		return nil, fmt.Errorf("load coins of %s: %w", tip, err)
	}
	d.loading = true
	return l, nil
}

func (l *Loader) begin(tip Tip) error {
	d := l.db
	if d.loading {
		return fmt.Errorf("%w, by another Loader", ErrLoading)
	}
	s, err := d.readState(d.pebble)
	switch {
	case err == nil:
		return fmt.Errorf("%w: at %s", ErrTip, s.tip)
	case errors.Is(err, ErrNoTip):
		l.done.tip = tip
		err = d.putLoadState(&l.done)
	case errors.Is(err, ErrLoading):
		err = d.get(d.pebble, loadKey, func(value []byte) (err error) {
			l.done, err = decodeLoadState(value)
			return err
		})
		if err == nil && l.done.tip != tip {
			err = fmt.Errorf("%w, of %s", ErrLoading, l.done.tip)
		}
	}
	if err != nil {
		return err
	}
	return l.removeTables()
}

// removeTables removes tables that a killed process left.
func (l *Loader) removeTables() error {
	names, err := l.db.disk.List(l.db.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if ok, err := filepath.Match(fmt.Sprintf(loadTableName, "*"), name); err == nil && ok {
			if err := l.db.disk.Remove(l.db.disk.PathJoin(l.db.dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

const loadTableName = "load-%v.table"

func (d *DB) putLoadState(s *loadState) error {
	b := d.pebble.NewBatch()
	if err := b.Set(loadKey, s.append(nil), nil); err != nil {
		return errors.Join(err, b.Close())
	}
	return d.commit(b, pebble.Sync)
}

// Loaded returns the number of coins that are in the database for good, and
// the last of them. Add ignores coins up to it.
func (l *Loader) Loaded() (coins uint64, last wire.OutPoint) {
	if l.done.last != nil {
		last = outPoint(l.done.last)
	}
	return l.done.coins, last
}

// Add adds a coin, which must sort after the one before. It keeps nothing of
// it. An error ends the load; what Loaded counts is not lost. One that wraps
// ErrDiskFull says so too: make room, and go on with a new Loader.
func (l *Loader) Add(op wire.OutPoint, c *Coin) error {
	if l.err == nil {
		l.err = l.add(op, c)
	}
	return l.err
}

func (l *Loader) add(op wire.OutPoint, c *Coin) error {
	key := coinKeyOf(op)
	if l.any && bytes.Compare(key[:], l.last[:]) <= 0 {
		return fmt.Errorf("load: %s does not sort after %s", op, outPoint(l.last[:]))
	}
	if err := checkCoin(c); err != nil {
		return fmt.Errorf("load: %s, %w", op, err)
	}
	if c.Height > l.done.tip.Height {
		return fmt.Errorf("load: %s is of height %d, above %s", op, c.Height, l.done.tip)
	}
	l.last, l.any = key, true
	if bytes.Compare(key[:], l.done.last) <= 0 {
		return nil
	}
	t := l.filling
	t.data = append(t.data, key[:]...)
	t.data = append(t.data, 0, 0)
	at := len(t.data)
	t.data = appendCoin(t.data, c)
	binary.LittleEndian.PutUint16(t.data[at-2:], uint16(len(t.data)-at)) // a script has 10,000 bytes at most
	t.last, t.coins = key, t.coins+1
	if len(t.data) >= l.opts.TableBytes {
		return l.next()
	}
	return nil
}

// next begins to write the table that was filled.
func (l *Loader) next() error {
	if len(l.pending) == l.opts.Writers {
		if err := l.ingest(); err != nil {
			return err
		}
	}
	t := l.filling
	l.serial++
	t.path = l.db.disk.PathJoin(l.db.dir, fmt.Sprintf(loadTableName, l.serial))
	l.pending = append(l.pending, t)
	l.filling = &loadTable{data: make([]byte, 0, len(t.data)+len(t.data)/8)}
	t.wg.Go(func() { t.err = l.db.writeTable(t) })
	return nil
}

// writeTable writes t to its path.
func (d *DB) writeTable(t *loadTable) error {
	if err := d.room(len(t.data)); err != nil {
		return err
	}
	f, err := d.disk.Create(t.path, "coindb-load")
	if err != nil {
		return err
	}
	lowest := len(d.options.Levels) - 1
	w := sstable.NewWriter(objstorageprovider.NewFileWritable(f), d.options.MakeWriterOptions(lowest, d.pebble.TableFormat()))
	for b := t.data; len(b) > 0 && err == nil; {
		n := coinKeySize + 2
		size := int(binary.LittleEndian.Uint16(b[coinKeySize:]))
		err = w.Set(b[:coinKeySize], b[n:n+size])
		b = b[n+size:]
	}
	t.data = nil
	return errors.Join(err, w.Close()) // which syncs
}

// ingest waits for the first pending table and makes it part of the database.
func (l *Loader) ingest() error {
	t := l.pending[0]
	l.pending = l.pending[1:]
	t.wg.Wait()
	if t.err != nil {
		return fmt.Errorf("load: %w", l.db.explain(t.err))
	}
	end, err := l.db.change()
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	defer end()
	if err := l.db.pebble.Ingest(context.Background(), []string{t.path}); err != nil {
		return fmt.Errorf("load: %w", l.db.explain(err))
	}
	done := loadState{tip: l.done.tip, coins: l.done.coins + t.coins, last: t.last[:]}
	if err := l.db.putLoadState(&done); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	l.done = done
	if l.opts.Progress != nil {
		l.opts.Progress(done.coins, share(done.last))
	}
	return nil
}

// SetMuHash says what the MuHash of all coins is, those of Add and those that
// were loaded before; it keeps a copy. Without it the database has none until
// Rehash.
func (l *Loader) SetMuHash(set *muhash.Set) {
	copied := *set
	l.hash = &copied
}

// Finish writes what is left, and makes the database stand at the loader's
// tip, complete. When it returns nil, all is on the disk, and the load is over.
func (l *Loader) Finish() error {
	if l.err == nil {
		l.err = l.finish()
	}
	return l.err
}

func (l *Loader) finish() error {
	if l.closed {
		return ErrClosed
	}
	if l.filling.coins > 0 {
		if err := l.next(); err != nil {
			return err
		}
	}
	for len(l.pending) > 0 {
		if err := l.ingest(); err != nil {
			return err
		}
	}
	end, err := l.db.change()
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	defer end()
	b := l.db.pebble.NewBatch()
	s := state{tip: l.done.tip, complete: true, coins: l.done.coins}
	err = errors.Join(b.Delete(loadKey, nil), b.Set(tipKey, s.append(nil), nil))
	if l.hash != nil {
		r := hashRecord{s.tip, *l.hash}
		err = errors.Join(err, r.put(b))
	}
	if err != nil {
		return errors.Join(err, b.Close())
	}
	if err := l.db.commit(b, pebble.Sync); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	l.db.perf.report(&s)
	l.close()
	l.db.changed.broadcast()
	return nil
}

// Close ends the loader, if Finish has not. What it added and Loaded does not
// count is lost.
func (l *Loader) Close() error {
	if l.closed {
		return nil
	}
	var err error
	for _, t := range l.pending {
		t.wg.Wait()
		if e := l.db.disk.Remove(t.path); !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	if l.err == nil {
		l.err = ErrClosed
	}
	l.db.write.Lock()
	defer l.db.write.Unlock()
	l.close()
	return err
}

// close lets others change the database. The caller holds its write lock.
func (l *Loader) close() {
	l.closed, l.db.loading = true, false
	l.pending, l.filling = nil, nil
	l.db.leave()
}
