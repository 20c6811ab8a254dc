package coindb

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"slices"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
)

// ErrReload says that the coins are not whole, and that nothing on this disk
// can make them so: Reset, and load or apply them again. It comes wrapped.
var ErrReload = errors.New("the coins must be loaded again")

// A Part is what a problem is in.
type Part uint8

// These are the parts.
const (
	// Coins are the coins and the tip.
	Coins Part = iota + 1
	// Undo is what undoes blocks.
	Undo
	// Index is the index of scripts.
	Index
	// MuHash is what is kept of the MuHash.
	MuHash
)

// String returns the part's name.
func (p Part) String() string {
	switch p {
	case Coins:
		return "coins"
	case Undo:
		return "undo"
	case Index:
		return "index"
	case MuHash:
		return "MuHash"
	default:
		return fmt.Sprintf("part %d", uint8(p))
	}
}

// A Problem is one thing that is wrong.
type Problem struct {
	Part Part
	// Height is that of the undo record, if Part is Undo.
	Height uint32
	Text   string
}

// String returns the part and the text.
func (p Problem) String() string { return p.Part.String() + ": " + p.Text }

// A Report is what Check found.
type Report struct {
	Tip Tip
	// Coins, UndoRecords, IndexEntries and MuHashes are how many were read.
	Coins        uint64
	UndoRecords  int
	IndexEntries uint64
	MuHashes     int
	// Problems is empty if everything is whole. No more than maxProblems are
	// listed.
	Problems []Problem
	// Files names each damaged file, and says what is wrong with it.
	Files []string
}

const maxProblems = 100

// Check reads everything: whether the checksums of all tables are right, every
// record decodes, the counts are right, the undo records follow one another
// down from the tip and agree with the coins, and the index with both, and the
// MuHashes are of the blocks of the chain. Whether they are the coins' is not
// checked, which takes a Rehash. Blocks can be applied meanwhile; what is checked
// is the state when Check began. An error says that the check itself could not be
// made.
//
// It takes about 25 bytes of memory for each coin that the blocks that can be
// undone have created and spent.
func (d *DB) Check(ctx context.Context) (*Report, error) {
	v, err := d.View()
	if err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	c := checker{view: v, db: d, seed: maphash.MakeSeed(), report: Report{Tip: v.Tip()}}
	err = errors.Join(c.check(ctx), v.Close())
	if err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	c.report.Files = d.damage.list()
	return &c.report, nil
}

// A checker makes one check.
type checker struct {
	view   *View
	db     *DB
	seed   maphash.Seed
	report Report
	// scripts and entries are sums of hashes of what the index must hold, and
	// of what it holds.
	scripts, entries uint64
	// chain holds the hash of the tip, and of the blocks below it that Undo can
	// lead to.
	chain []chainhash.Hash
}

func (c *checker) problem(part Part, height uint32, format string, args ...any) {
	if len(c.report.Problems) < maxProblems {
		c.report.Problems = append(c.report.Problems, Problem{part, height, fmt.Sprintf(format, args...)})
	}
}

func (c *checker) check(ctx context.Context) error {
	if err := c.tables(ctx); err != nil {
		return err
	}
	indexed := false
	err := c.db.get(c.view.snap, indexKey, func(value []byte) error {
		next, err := decodeIndexState(value)
		indexed = err == nil && next == nil
		return err
	})
	if err != nil && !errors.Is(err, pebble.ErrNotFound) {
		c.problem(Index, 0, "its state: %v", err)
	}
	for _, step := range []func(ctx context.Context, indexed bool) error{c.coins, c.undo, c.index, c.hashes} {
		if err := step(ctx, indexed); err != nil {
			return err
		}
	}
	return nil
}

// tables checks the checksums of all tables that are there now. Every table of
// the view that was replaced meanwhile was read in full to do so.
func (c *checker) tables(ctx context.Context) error {
	levels, err := c.db.pebble.SSTables()
	if err != nil {
		return err
	}
	for _, table := range slices.Concat(levels...) {
		if err := ctx.Err(); err != nil {
			return err
		}
		path := c.db.disk.PathJoin(c.db.dir, table.BackingSSTNum.String()+".sst")
		err := c.table(ctx, path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			c.db.damage.add(pebble.DataCorruptionInfo{Path: path, Details: err})
		}
	}
	return nil
}

func (c *checker) table(ctx context.Context, path string) error {
	f, err := c.db.disk.Open(path)
	if err != nil {
		return err
	}
	file, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	r, err := sstable.NewReader(ctx, file, c.db.options.MakeReaderOptions())
	if err != nil {
		return errors.Join(err, file.Close())
	}
	return errors.Join(r.ValidateBlockChecksums(), r.Close())
}

// scan calls f with every record of a kind. That they cannot be read is a
// problem of part.
func (c *checker) scan(ctx context.Context, kind byte, part Part, f func(key, value []byte, coin *Coin)) error {
	n := 0
	err := c.view.each(kind, func(key, value []byte, coin *Coin) error {
		if n++; n%4096 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		f(key, value, coin)
		return nil
	})
	if e := ctx.Err(); e != nil {
		return e
	}
	if err != nil {
		c.problem(part, c.report.Tip.Height, "cannot be read: %v", err)
	}
	return nil
}

func (c *checker) coins(ctx context.Context, indexed bool) error {
	err := c.scan(ctx, kindCoin, Coins, func(key, value []byte, coin *Coin) {
		c.report.Coins++
		if len(key) != coinKeySize {
			c.problem(Coins, 0, "there is a key %x", key)
			return
		}
		if err := decodeCoin(coin, value); err != nil {
			c.problem(Coins, 0, "%s: %v", outPoint(key), err)
			return
		}
		if coin.Height > c.report.Tip.Height {
			c.problem(Coins, 0, "%s is of height %d, above the tip", outPoint(key), coin.Height)
		}
		if indexed {
			c.scripts += c.entry(sha256.Sum256(coin.Script), outPoint(key), coin.Height)
		}
	})
	if want := c.view.Coins(); err == nil && c.report.Coins != want {
		c.problem(Coins, 0, "there are %d, the tip's record counts %d", c.report.Coins, want)
	}
	return err
}

// entry returns a hash of an entry of the index.
func (c *checker) entry(script [32]byte, op wire.OutPoint, height uint32) uint64 {
	b := binary.BigEndian.AppendUint32(appendScriptKey(nil, script, op), height)
	return maphash.Bytes(c.seed, b)
}

func (c *checker) index(ctx context.Context, indexed bool) error {
	err := c.scan(ctx, kindScript, Index, func(key, value []byte, _ *Coin) {
		c.report.IndexEntries++
		if len(key) != scriptKeySize || len(value) != 4 {
			c.problem(Index, 0, "there is an entry %x: %x", key, value)
			return
		}
		script := [32]byte(key[1:])
		c.entries += c.entry(script, outPoint(key), binary.BigEndian.Uint32(value))
	})
	if err == nil && indexed && (c.entries != c.scripts || c.report.IndexEntries != c.report.Coins) {
		c.problem(Index, 0, "its %d entries are not those of the %d coins", c.report.IndexEntries, c.report.Coins)
	}
	return err
}

// undo walks down from the tip: each record must be of the block that the one
// above follows, and what it created must be a coin now, or among what records
// above it restore.
func (c *checker) undo(ctx context.Context, _ bool) error {
	tip := c.report.Tip
	spentLater := make(map[uint64]struct{})
	lower, upper := span(kindUndo)
	it, err := c.view.snap.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	hash := tip.Hash
	c.chain = append(c.chain, hash)
	for ok := it.Last(); ok && ctx.Err() == nil; ok = it.Prev() {
		height := tip.Height - uint32(c.report.UndoRecords)
		key := it.Key()
		if len(key) != heightKeySize || binary.BigEndian.Uint32(key[1:]) != height {
			c.problem(Undo, max(height, undoHeight(key)), "there is a record %x, where that of height %d should be", key, height)
			break
		}
		value, err := it.ValueAndErr()
		if err != nil {
			break // it.Close has it
		}
		u, err := decodeUndo(value)
		if err != nil {
			c.problem(Undo, height, "height %d: %v", height, err)
			break
		}
		if u.hash != hash {
			c.problem(Undo, height, "height %d: it is of block %s, must be of %s", height, u.hash, hash)
			break
		}
		if err := c.record(u, height, spentLater); err != nil {
			return errors.Join(err, it.Close())
		}
		hash = u.prev
		c.chain = append(c.chain, hash)
		c.report.UndoRecords++
	}
	if err := it.Close(); err != nil { // which is it.Error
		c.problem(Undo, tip.Height-uint32(c.report.UndoRecords), "cannot be read: %v", err)
	}
	return ctx.Err()
}

// hashes checks that the MuHashes are of successive blocks of the chain.
func (c *checker) hashes(ctx context.Context, _ bool) error {
	var last Tip
	return c.scan(ctx, kindHash, MuHash, func(key, value []byte, _ *Coin) {
		c.report.MuHashes++
		r, err := decodeHashRecord(key, value)
		below := int64(c.report.Tip.Height) - int64(r.tip.Height)
		switch {
		case err != nil:
			c.problem(MuHash, 0, "%v", err)
		case c.report.MuHashes > 1 && r.tip.Height != last.Height+1:
			c.problem(MuHash, 0, "that of %s comes after that of %s", r.tip, last)
		case below < 0:
			c.problem(MuHash, 0, "there is one of %s, above the tip", r.tip)
		case below < int64(len(c.chain)) && c.chain[below] != r.tip.Hash:
			c.problem(MuHash, 0, "there is one of %s, the chain has %s", r.tip, c.chain[below])
		}
		last = r.tip
	})
}

// record checks the undo record u against the coins.
func (c *checker) record(u *undoRecord, height uint32, spentLater map[uint64]struct{}) error {
	now, err := c.heights(u.created)
	if err != nil {
		return err
	}
	for i, r := range u.created {
		op := r.op
		if now[i] == int64(height) {
			continue
		}
		key := c.entry([32]byte{}, op, height)
		if _, ok := spentLater[key]; !ok {
			c.problem(Coins, 0, "%s, which block %d created, is neither there nor spent", op, height)
		}
		delete(spentLater, key)
	}
	if now, err = c.heights(u.restored); err != nil {
		return err
	}
	var coin Coin
	for i, r := range u.restored {
		if err := decodeCoin(&coin, r.value); err != nil {
			c.problem(Undo, height, "height %d: %s: %v", height, r.op, err)
			continue
		}
		if coin.Height >= height {
			c.problem(Undo, height, "height %d: it spent %s of height %d", height, r.op, coin.Height)
		}
		if now[i] == int64(coin.Height) {
			c.problem(Coins, 0, "%s, which block %d spent, is there", r.op, height)
		}
		spentLater[c.entry([32]byte{}, r.op, coin.Height)] = struct{}{}
	}
	return nil
}

// heights returns the height of each of coins, which are sorted, as it is among
// the coins; -1 where there is none that can be read.
func (c *checker) heights(coins []rawCoin) ([]int64, error) {
	heights := make([]int64, len(coins))
	places := make([]place, len(coins))
	ops := make([]wire.OutPoint, len(coins))
	for i := range places {
		heights[i], places[i].index, ops[i] = -1, uint32(i), coins[i].op
	}
	err := c.db.read(c.view.snapshot, ops, places, func() reader {
		var coin Coin
		return func(i int, value []byte) error {
			if value != nil && decodeCoin(&coin, value) == nil {
				heights[i] = int64(coin.Height)
			}
			return nil
		}
	})
	if errors.Is(err, ErrCorrupt) { // it is in the report already
		err = nil
	}
	return heights, err
}

// Repair makes the database whole by removing what is damaged, if that is no
// coin: the undo records from the highest damaged one down, so that fewer
// blocks can be undone, the index, which can be built again, and the MuHash, for
// which there is Rehash. It returns
// what Check found, and an error that wraps ErrReload if coins are damaged;
// then it has changed nothing.
func (d *DB) Repair(ctx context.Context) (*Report, error) {
	report, err := d.Check(ctx)
	if err != nil {
		return nil, fmt.Errorf("repair: %w", err)
	}
	undo, index, hashes := int64(-1), false, false
	for _, p := range report.Problems {
		switch p.Part {
		case Coins:
			return report, fmt.Errorf("repair: %w: %s", ErrReload, p.Text)
		case Undo:
			undo = max(undo, int64(p.Height))
		case Index:
			index = true
		case MuHash:
			hashes = true
		}
	}
	end, err := d.change()
	if err != nil {
		return report, fmt.Errorf("repair: %w", err)
	}
	defer end()
	if undo >= 0 {
		lower, _ := span(kindUndo)
		if err := d.excise(ctx, lower, undoKey(uint32(undo)+1)); err != nil {
			return report, fmt.Errorf("repair: undo records: %w", err)
		}
	}
	if hashes {
		lower, upper := span(kindHash)
		if err := d.excise(ctx, lower, upper); err != nil {
			return report, fmt.Errorf("repair: MuHash: %w", err)
		}
	}
	if index {
		// Without its state the index is not used, whatever is left of it.
		b := d.pebble.NewBatch()
		if err := errors.Join(b.Delete(indexKey, nil), d.commit(b, pebble.Sync)); err != nil {
			return report, fmt.Errorf("repair: index: %w", err)
		}
		lower, upper := span(kindScript)
		if err := d.excise(ctx, lower, upper); err != nil {
			return report, fmt.Errorf("repair: index: %w", err)
		}
	}
	d.damage.clear()
	return report, nil
}

// excise removes keys without reading them.
func (d *DB) excise(ctx context.Context, lower, upper []byte) error {
	return d.explain(errors.Join(d.pebble.Excise(ctx, pebble.KeyRange{Start: lower, End: upper}), d.moved()))
}
