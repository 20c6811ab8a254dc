package coindb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/outrider-project/outrider/utxocache/corefile"
)

// A Tip is a block of the chain and its place in it.
type Tip struct {
	Hash   chainhash.Hash
	Height uint32
}

// String returns height and hash, the hash in display order.
func (t Tip) String() string { return fmt.Sprintf("%d %s", t.Height, t.Hash) }

// UnknownHeight stands for the height of a tip that a snapshot names by its
// hash only. No block follows such a tip before SetHeight. No coin is of a
// greater height.
const UnknownHeight = corefile.MaxHeight

// A DB is the unspent coins as of one tip, on disk. Its methods are safe for
// concurrent use. Changes wait for one another; readers wait for none.
type DB struct {
	opts   Options
	dir    string
	disk   *disk
	cache  *pebble.Cache
	pebble *pebble.DB
	perf   instruments
	damage damage
	// compactions is how many Pebble may run at a time, readers how many
	// goroutines read for one batch.
	compactions, readers atomic.Int64
	blocks               blockReads
	// options are what Pebble was told, for tables that are read or written
	// beside it.
	options *pebble.Options

	// write is held by whoever changes the database. loading, which it
	// guards, says that there is a Loader.
	write   sync.Mutex
	loading bool

	// hashing has room for one: whoever changes the MuHash. followers are the
	// calls of FollowMuHash.
	hashing   chan struct{}
	followers atomic.Int32
	// changed tells that there is another tip, or that the database is closed,
	// hashed that the MuHash is a block further, or that nobody follows it.
	changed, hashed signal

	// flushErr is why the last flush failed, nil when it did not. flushed gets
	// something after each.
	flushErr atomic.Pointer[error]
	flushed  chan struct{}

	// users are the calls and views that use pebble. Whoever is the last of them
	// after the database was closed puts something into idle. Readers wait for no
	// lock here.
	users  atomic.Int64
	closed atomic.Bool
	idle   chan struct{}

	sharing sync.Mutex    // guards now, and how many views it has
	now     *snapshot     // what the next View is of; nil behind a change
	tables  atomic.Uint64 // flushes and compactions that have ended

	// mu guards what follows.
	mu      sync.Mutex
	memory  int64
	release func() // ends the reservation that keeps the cache to memory
}

// Open opens the database in dir, which it makes if there is none. What was
// applied before is there. Only one DB may have dir open: an error that wraps
// ErrLocked says that one has. One that wraps ErrCorrupt says that Repair is
// needed.
func Open(dir string, opts Options) (*DB, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("coindb: %w", err)
	}
	d := &DB{
		opts: opts, dir: dir,
		flushed: make(chan struct{}, 1),
		hashing: make(chan struct{}, 1),
		disk:    newDisk(opts.fs, opts.NoPageCache),
		cache:   pebble.NewCache(memoryCeiling),
		perf:    newInstruments(opts.Recorder),
	}
	d.idle = make(chan struct{}, 1)
	d.setMemory(opts.Memory)
	d.compactions.Store(int64(opts.Compactions))
	d.readers.Store(int64(opts.Readers))
	if err := d.open(); err != nil {
		d.cache.Unref()
		return nil, fmt.Errorf("open coin database %s: %w", dir, err)
	}
	return d, nil
}

func (d *DB) open() error {
	p := d.opts.pebble(d.disk, d.cache)
	p.Logger = logger{d}
	p.EventListener = d.events()
	p.CompactionConcurrencyRange = func() (lower, upper int) { return 1, int(d.compactions.Load()) }
	p.EnsureDefaults()
	d.options = p
	db, err := pebble.Open(d.dir, p)
	if err != nil {
		return d.explain(err)
	}
	d.pebble = db
	if err := errors.Join(d.disk.check(), d.dropOldUndo()); err != nil {
		return errors.Join(err, d.pebble.Close())
	}
	return nil
}

// Close waits until all Views are closed and all calls have returned, and
// closes the database. It returns an error if that failed; what was applied is
// on the disk even so.
func (d *DB) Close() error {
	if d.closed.Swap(true) {
		return nil
	}
	d.changed.broadcast()
	for d.users.Load() > 0 {
		<-d.idle
	}
	err := errors.Join(d.moved(), d.pebble.Close(), d.disk.check())
	d.mu.Lock()
	defer d.mu.Unlock()
	d.release()
	d.cache.Unref()
	return d.explain(err)
}

// enter says that the caller uses pebble until it calls leave.
func (d *DB) enter() error {
	d.users.Add(1)
	if d.closed.Load() {
		d.leave()
		return ErrClosed
	}
	return nil
}

func (d *DB) leave() {
	if d.users.Add(-1) > 0 || !d.closed.Load() {
		return
	}
	select {
	case d.idle <- struct{}{}:
	default:
	}
}

// maxMemTables is how many memtables of full size the memtables that wait for a
// flush, and the one that is written to, may take the room of. Pebble has such a
// limit too, where it waits for ever if flushes fail. It does not flush small
// ones, with which it begins, before they take half the room of one together.
const maxMemTables = 3

// change begins a change of the database, which ends with the function that it
// returns. It waits for memtables to be flushed, but refuses when that fails.
func (d *DB) change() (end func(), err error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	d.write.Lock()
	end = func() {
		d.write.Unlock()
		d.leave()
	}
	for {
		err = d.disk.check()
		if failed := d.flushErr.Load(); err == nil && failed != nil {
			err = fmt.Errorf("flush: %w", *failed)
		}
		if err != nil {
			end()
			return nil, err
		}
		m := d.pebble.Metrics()
		d.perf.tell(m)
		if m.MemTable.Size <= maxMemTables*uint64(d.opts.MemTable) {
			return end, nil
		}
		select {
		case <-d.flushed:
		case <-d.disk.dead:
		}
	}
}

// room returns an error that wraps ErrDiskFull unless the disk has room for n
// bytes.
func (d *DB) room(n int) error {
	usage, err := d.disk.GetDiskUsage(d.dir)
	if errors.Is(err, vfs.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("free space: %w", err)
	}
	if need := uint64(d.opts.MinFree) + uint64(n); usage.AvailBytes < need {
		return fmt.Errorf("%w: %d bytes are free, %d must be", ErrDiskFull, usage.AvailBytes, need)
	}
	return nil
}

// commit writes b and closes it. The caller holds write. When it returns nil
// and opts is pebble.Sync, b is on the disk.
func (d *DB) commit(b *pebble.Batch, opts *pebble.WriteOptions) error {
	if err := d.room(b.Len()); err != nil {
		return errors.Join(err, b.Close())
	}
	err := b.Commit(opts)
	return d.explain(errors.Join(err, d.moved(), d.disk.check(), b.Close()))
}

// explain returns err, as one of the errors that callers tell apart if it is.
func (d *DB) explain(err error) error {
	if err == nil {
		return nil
	}
	if pebble.IsCorruptionError(err) && !errors.Is(err, ErrCorrupt) {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return full(err)
}

// SetMemory sets how many bytes blocks of tables and memtables may take
// together; the cache of blocks is what memtables leave of it. It shrinks
// before SetMemory returns, memtables when they are flushed.
func (d *DB) SetMemory(bytes int64) error {
	if err := checkMemory(bytes); err != nil {
		return fmt.Errorf("coindb: %w", err)
	}
	if err := d.enter(); err != nil {
		return err
	}
	defer d.leave()
	d.mu.Lock()
	d.setMemory(bytes)
	d.mu.Unlock()
	// Iterators hold blocks that the cache has dropped.
	d.sharing.Lock()
	s := d.now
	d.sharing.Unlock()
	if s != nil {
		s.endIdle(false)
	}
	return nil
}

func (d *DB) setMemory(bytes int64) {
	if d.release != nil {
		d.release()
	}
	d.memory = bytes
	d.release = d.cache.Reserve(int(memoryCeiling - bytes))
}

// Memory returns what SetMemory or the options set.
func (d *DB) Memory() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.memory
}

// A state is the value of tipKey: where the database stands.
type state struct {
	tip Tip
	// complete says that no coin exists that is not there.
	complete bool
	// coins is their number.
	coins uint64
}

const stateSize = 1 + chainhash.HashSize + 4 + 8

// stateVersion is the first byte of a state, without its lowest bit.
const stateVersion = 4

func (s *state) append(dst []byte) []byte {
	version := byte(stateVersion)
	if s.complete {
		version |= 1
	}
	dst = append(dst, version)
	dst = append(dst, s.tip.Hash[:]...)
	dst = binary.BigEndian.AppendUint32(dst, s.tip.Height)
	return binary.BigEndian.AppendUint64(dst, s.coins)
}

func decodeState(b []byte) (s state, err error) {
	if len(b) != stateSize || b[0]&^1 != stateVersion {
		return state{}, fmt.Errorf("%w: the tip is recorded as %x", ErrCorrupt, b)
	}
	s.complete = b[0]&1 != 0
	copy(s.tip.Hash[:], b[1:])
	s.tip.Height = binary.BigEndian.Uint32(b[1+chainhash.HashSize:])
	s.coins = binary.BigEndian.Uint64(b[1+chainhash.HashSize+4:])
	return s, nil
}

// readState returns the state that r has, or an error that wraps ErrNoTip or
// ErrLoading.
func (d *DB) readState(r pebble.Reader) (s state, err error) {
	err = d.get(r, tipKey, func(value []byte) (err error) {
		s, err = decodeState(value)
		return err
	})
	if !errors.Is(err, pebble.ErrNotFound) {
		return s, err
	}
	switch err := d.get(r, loadKey, func([]byte) error { return nil }); {
	case err == nil:
		return s, ErrLoading
	case errors.Is(err, pebble.ErrNotFound):
		return s, ErrNoTip
	default:
		return s, err
	}
}

// SetHeight says what the height of a tip is that stands at UnknownHeight, so
// that blocks can follow. When it returns nil, this is on the disk. The caller
// knows it from the headers of the chain; that no coin is of a greater height is
// not looked for, but Check finds it.
//
// An error changes nothing, unless it wraps ErrBroken. It wraps ErrTip when the
// database stands at another block, or at another height that is known; when it
// stands there already there is nothing to do, and no error.
func (d *DB) SetHeight(tip Tip) error {
	end, err := d.change()
	if err == nil {
		defer end()
		err = d.setHeight(tip)
	}
	if err != nil {
		return fmt.Errorf("set the height of %s: %w", tip, err)
	}
	return nil
}

func (d *DB) setHeight(tip Tip) error {
	if tip.Height >= UnknownHeight {
		return fmt.Errorf("no block has the height %d", tip.Height)
	}
	s, err := d.readState(d.pebble)
	switch {
	case err != nil:
		return err
	case s.tip == tip:
		return nil
	case s.tip.Hash != tip.Hash || s.tip.Height != UnknownHeight:
		return fmt.Errorf("%w: at %s", ErrTip, s.tip)
	}
	s.tip = tip
	b := d.pebble.NewBatch()
	err = b.Set(tipKey, s.append(nil), nil)
	switch r, e := d.lastHash(d.pebble); {
	case e == nil:
		r.tip = tip
		err = errors.Join(err, b.Delete(hashKey(UnknownHeight), nil), r.put(b))
	case !errors.Is(e, ErrNoMuHash):
		err = errors.Join(err, e)
	}
	if err != nil {
		return errors.Join(err, b.Close())
	}
	return d.commit(b, pebble.Sync)
}

// get calls use with the value of a key, which is good until it returns. Its
// error is Pebble's ErrNotFound when there is none.
func (d *DB) get(r pebble.Reader, key []byte, use func(value []byte) error) error {
	value, closer, err := r.Get(key)
	if err != nil {
		return d.explain(err)
	}
	return errors.Join(use(value), closer.Close())
}

// Reset removes everything and stands at tip, with no coins. complete says
// that none exist as of tip: it is the genesis block, whose output is not a
// coin.
func (d *DB) Reset(tip Tip, complete bool) error {
	end, err := d.change()
	if err != nil {
		return fmt.Errorf("reset to %s: %w", tip, err)
	}
	defer end()
	if d.loading {
		return fmt.Errorf("reset to %s: %w", tip, ErrLoading)
	}
	b := d.pebble.NewBatch()
	for _, kind := range []byte{kindCoin, kindHash, kindMeta, kindScript, kindUndo} {
		lower, upper := span(kind)
		err = errors.Join(err, b.DeleteRange(lower, upper, nil))
	}
	s := state{tip: tip, complete: complete}
	none := hashRecord{tip: tip}
	if err = errors.Join(err, b.Set(tipKey, s.append(nil), nil), none.put(b)); err != nil {
		return errors.Join(err, b.Close())
	}
	if err := d.commit(b, pebble.Sync); err != nil {
		return fmt.Errorf("reset to %s: %w", tip, err)
	}
	d.perf.report(&s)
	d.changed.broadcast()
	return nil
}
