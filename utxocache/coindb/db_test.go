package coindb

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/btcsuite/btcd/wire/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/outrider-project/outrider/perfcore"
)

func TestOptions(t *testing.T) {
	for _, opts := range []Options{
		{UndoBlocks: -1}, {Memory: -1}, {Memory: memoryCeiling + 1}, {MemTable: 1}, {MemTable: 2 << 30}, {Compactions: -1}, {Compactions: maxCompactions + 1},
		{MinFree: -1}, {Readers: -1},
	} {
		opts.fs = vfs.NewMem()
		if d, err := Open("coins", opts); err == nil {
			t.Errorf("%+v was accepted", opts)
			must(t, d.Close())
		}
	}
}

func TestOneOpenDatabase(t *testing.T) {
	dir := t.TempDir()
	d, err := Open(dir, Options{})
	must(t, err)
	_, err = Open(dir, Options{})
	mustFail(t, err, ErrLocked)
	if said := inAnotherProcess(t, dir); !strings.Contains(said, ErrLocked.Error()) {
		t.Errorf("another process says %q", said)
	}
	must(t, d.Close())
	if err := os.Remove(filepath.Join(dir, "LOCK")); err != nil {
		t.Fatal(err)
	}
	must(t, os.Mkdir(filepath.Join(dir, "LOCK"), 0o700)) // it cannot be locked, and nobody has it
	if _, err = Open(dir, Options{}); err == nil || errors.Is(err, ErrLocked) {
		t.Errorf("a lock that cannot be made: %v", err)
	}
	must(t, d.Close())
	mustFail(t, d.Apply(&Block{}), ErrClosed)
	_, err = d.View()
	mustFail(t, err, ErrClosed)
}

// inAnotherProcess opens dir in a process of its own, which fails, and returns
// what that says.
func inAnotherProcess(t *testing.T, dir string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "COINDB_KILLED="+dir, "COINDB_SEED=1", "COINDB_MADE=0")
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatal("the other process did not fail")
	}
	return string(out)
}

// Close waits for views, whose answers are good until then.
func TestCloseWaits(t *testing.T) {
	c := newChain(1)
	d := mustOpen(t, vfs.NewMem(), Options{})
	must(t, d.Reset(c.top().tip, true))
	must(t, d.Apply(c.mine()))
	v, err := d.View()
	must(t, err)
	closed := make(chan error)
	go func() { closed <- d.Close() }()
	for {
		if _, err := d.Tip(); errors.Is(err, ErrClosed) {
			break
		}
	}
	compare(t, v, c.top())
	select {
	case <-closed:
		t.Fatal("the database was closed under a view")
	default:
	}
	must(t, v.Close())
	must(t, <-closed)
}

// A change is refused while too little space is free, and done when it is there.
func TestTooLittleSpace(t *testing.T) {
	c, fs := newChain(2), vfs.NewMem()
	var registry perfcore.Registry
	d := mustOpen(t, fs, Options{MinFree: 1000, Recorder: &registry})
	full := registry.Gauge(fullMetric)
	must(t, d.Reset(c.top().tip, true))
	must(t, d.Apply(c.mine()))
	if full.Value() != 0 {
		t.Error("the disk counts as full")
	}
	before := *c.top()
	b := c.mine()
	fs.TestingSetDiskUsage(vfs.DiskUsage{TotalBytes: 1e9, AvailBytes: 900})
	for range 3 {
		err := d.Apply(b)
		mustFail(t, err, ErrDiskFull)
		if errors.Is(err, ErrBroken) {
			t.Fatal(err)
		}
		mustFail(t, d.Undo(before.tip), ErrDiskFull)
	}
	if full.Value() != 1 {
		t.Error("the disk does not count as full")
	}
	compareDB(t, d, &before)
	fs.TestingSetDiskUsage(vfs.DiskUsage{TotalBytes: 1e9, AvailBytes: 1e8})
	must(t, d.Apply(b))
	compareDB(t, d, c.top())
	if full.Value() != 0 {
		t.Error("the disk still counts as full")
	}
}

// When tables cannot be written, changes are refused before memory is full, and
// done again when there is space.
func TestNoSpaceForTables(t *testing.T) {
	var none atomic.Bool
	mem := vfs.NewMem()
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if none.Load() && op.Kind == errorfs.OpCreate && filepath.Ext(op.Path) == ".sst" {
			return &os.PathError{Op: "create", Path: op.Path, Err: syscall.ENOSPC}
		}
		return nil
	}))
	c := newChain(3)
	d := mustOpen(t, fs, Options{MemTable: 64 << 10})
	must(t, d.Reset(c.top().tip, true))
	none.Store(true)
	var err error
	for range 1000 {
		b := c.mine()
		if err = d.Apply(b); err != nil {
			c.undo()
			break
		}
	}
	mustFail(t, err, ErrDiskFull)
	compareDB(t, d, c.top())
	none.Store(false)
	b := c.mine()
	deadline := time.After(30 * time.Second)
	for err = d.Apply(b); err != nil; err = d.Apply(b) {
		mustFail(t, err, ErrDiskFull)
		select {
		case <-deadline:
			t.Fatal(err)
		default:
		}
	}
	compareDB(t, d, c.top())
}

// Memtables are small at first, and several wait before the first flush; no
// change waits for ever.
func TestGrowingMemTables(t *testing.T) {
	c := newChain(9)
	d := mustOpen(t, vfs.NewMem(), Options{MemTable: 4 << 20})
	must(t, d.Reset(c.top().tip, true))
	prev := c.top().tip
	for range 60 {
		b := &Block{Tip: Tip{c.hash(), prev.Height + 1}, Prev: prev.Hash}
		for range 40 {
			b.Created = append(b.Created, CoinAt{wire.OutPoint{Hash: c.hash()}, Coin{Script: make([]byte, 10_000), Height: b.Height}})
		}
		must(t, d.Apply(b))
		prev = b.Tip
	}
	if m := d.pebble.Metrics(); m.Flush.Count == 0 || m.MemTable.Size > (maxMemTables+1)*4<<20 {
		t.Errorf("%d flushes, memtables of %d bytes", m.Flush.Count, m.MemTable.Size)
	}
}

// flip changes a byte in each table of dir, which is at the given share of it,
// and returns their names.
func flip(t *testing.T, dir string, share float64) []string {
	t.Helper()
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	must(t, err)
	for _, name := range tables {
		data, err := os.ReadFile(name)
		must(t, err)
		data[int(float64(len(data))*share)] ^= 0x10
		must(t, os.WriteFile(name, data, 0o600))
	}
	return tables
}

// Check names a damaged table. Repair removes undo records that are in it, and
// says of coins that they are lost.
func TestDamagedTable(t *testing.T) {
	for _, tt := range []struct {
		name  string
		share float64
		lost  bool
	}{{"coins", 0.02, true}, {"undo records", 0.6, false}, {"undo records near the tip", 0.9, false}} {
		t.Run(tt.name, func(t *testing.T) {
			dir, c := t.TempDir(), newChain(4)
			d, err := Open(dir, Options{})
			must(t, err)
			must(t, d.Reset(c.top().tip, true))
			for range 50 {
				must(t, d.Apply(c.mine()))
			}
			must(t, d.Compact(t.Context()))
			must(t, d.Close())
			tables := flip(t, dir, tt.share)

			d, err = Open(dir, Options{})
			must(t, err)
			defer func() { must(t, d.Close()) }()
			report, err := d.Repair(t.Context())
			if tt.lost {
				mustFail(t, err, ErrReload)
			} else {
				must(t, err)
			}
			if len(report.Files) != len(tables) || !strings.HasPrefix(report.Files[0], tables[0]) {
				t.Errorf("damaged are %q, must be %q", report.Files, tables)
			}
			if tt.lost {
				must(t, d.Reset(Tip{}, true))
			} else {
				compareDB(t, d, c.top())
			}
			after, err := d.Check(t.Context())
			must(t, err)
			if len(after.Problems) > 0 {
				t.Errorf("after the repair: %q", after.Problems)
			}
			if !tt.lost {
				for range after.UndoRecords {
					must(t, d.Undo(c.undo().tip))
				}
				mustFail(t, d.Undo(c.top().tip), ErrTooDeep)
				compareDB(t, d, c.top())
			}
		})
	}
}

// What is damaged, but for coins, is found and removed.
func TestRepair(t *testing.T) {
	put := func(key, value []byte) func(*DB) error {
		return func(d *DB) error { return d.pebble.Set(key, value, nil) }
	}
	remove := func(key []byte) func(*DB) error {
		return func(d *DB) error { return d.pebble.Delete(key, nil) }
	}
	c := newChain(5)
	for range 30 {
		c.mine()
	}
	var one wire.OutPoint
	for op := range c.top().coins {
		one = op
		break
	}
	coin := coinKeyOf(one)
	created := coinKeyOf(c.top().block.Created[0].OutPoint)
	other := newChain(6).mine()
	wrongBlock := undoRecord{hash: other.Hash, prev: other.Prev}
	for _, tt := range []struct {
		name   string
		damage func(*DB) error
		part   Part
		undo   int // records left
	}{
		{"nothing", func(*DB) error { return nil }, 0, 20},
		{"undo record cut", put(undoKey(25), []byte{1, 2, 3}), Undo, 5},
		{"undo record of another block", put(undoKey(29), wrongBlock.append(nil)), Undo, 1},
		{"undo record missing", remove(undoKey(30)), Undo, 0},
		{"undo record above the tip", put(undoKey(31), nil), Undo, 0},
		{"index entry missing", func(d *DB) error {
			v, err := d.View()
			if err != nil {
				return err
			}
			lower, upper := span(kindScript)
			it, err := v.snap.NewIter(nil)
			if err != nil {
				return err
			}
			it.SeekGE(lower)
			key := bytes.Clone(it.Key())
			if bytes.Compare(key, upper) >= 0 {
				return errors.New("there is no index")
			}
			return errors.Join(it.Close(), v.Close(), d.pebble.Delete(key, nil))
		}, Index, 20},
		{"index state", put(indexKey, []byte{7}), Index, 20},
		{"index entry too long", put([]byte("slong"), nil), Index, 20},
		{"MuHash missing", remove(hashKey(18)), MuHash, 20},
		{"MuHash cut", put(hashKey(18), []byte{1, 2, 3}), MuHash, 20},
		{"MuHash of another block", put(hashKey(18), (&hashRecord{tip: other.Tip}).value()), MuHash, 20},
		{"MuHash above the tip", put(hashKey(31), (&hashRecord{tip: other.Tip}).value()), MuHash, 20},
		{"MuHash of no height", put([]byte("hkey"), nil), MuHash, 20},
		{"coin missing", remove(coin[:]), Coins, 20},
		{"coin cut", put(coin[:], []byte{1}), Coins, 20},
		{"coin of the tip missing", remove(created[:]), Coins, 20},
		{"coin too many", put(append([]byte{kindCoin}, make([]byte, outPointSize)...), []byte{1, 1, 6}), Coins, 20},
		{"coin key", put([]byte("ckey"), []byte{1, 1, 6}), Coins, 20},
		{"spent coin", func(d *DB) error {
			return d.get(d.pebble, undoKey(30), func(value []byte) error {
				u, err := decodeUndo(value)
				if err != nil || len(u.restored) == 0 {
					return fmt.Errorf("block 30 spends nothing, %w", err)
				}
				key := coinKeyOf(u.restored[0].op)
				return d.pebble.Set(key[:], u.restored[0].value, nil)
			})
		}, Coins, 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := mustOpen(t, vfs.NewMem(), Options{UndoBlocks: 20})
			must(t, d.Reset(c.moments[0].tip, true))
			for _, m := range c.moments[1:] {
				must(t, d.Apply(m.block))
				_, _, err := d.MuHash(t.Context())
				must(t, err)
			}
			must(t, d.BuildIndex(t.Context(), nil))
			must(t, errors.Join(tt.damage(d), d.moved()))
			report, err := d.Repair(t.Context())
			found := slices.ContainsFunc(report.Problems, func(p Problem) bool { return p.Part == tt.part })
			if tt.part != 0 && !found || tt.part == 0 && len(report.Problems) > 0 {
				t.Errorf("found %v, must be something in %v", report.Problems, tt.part)
			}
			if tt.part == Coins {
				mustFail(t, err, ErrReload)
				return
			}
			must(t, err)
			compareDB(t, d, c.top())
			if report, err = d.Check(t.Context()); err != nil || len(report.Problems) > 0 || report.UndoRecords != tt.undo {
				t.Errorf("after Repair: %+v, %v, must have %d undo records", report, err, tt.undo)
			}
			v, err := d.View()
			must(t, err)
			for _, err := range v.ByScript([32]byte{}) {
				if tt.part == Index {
					mustFail(t, err, ErrNoIndex)
				} else {
					t.Errorf("ByScript: %v", err)
				}
			}
			must(t, v.Close())
			// It goes on.
			last := *c.top()
			for range tt.undo {
				must(t, d.Undo(last.tip))
				last = c.moments[last.tip.Height-1]
			}
			mustFail(t, d.Undo(last.tip), ErrTooDeep)
			must(t, d.BuildIndex(t.Context(), nil))
		})
	}
}

func TestStats(t *testing.T) {
	c := newChain(7)
	d := mustOpen(t, vfs.NewMem(), Options{})
	s, err := d.Stats()
	if err != nil || s.Tip != (Tip{}) || s.Coins != 0 || len(s.Levels) != 7 {
		t.Errorf("of a new database: %+v, %v", s, err)
	}
	must(t, d.Reset(c.top().tip, true))
	for range 300 {
		must(t, d.Apply(c.mine()))
	}
	must(t, d.BuildIndex(t.Context(), nil))
	must(t, d.Compact(t.Context()))
	s, err = d.Stats()
	must(t, err)
	coins := uint64(len(c.top().coins))
	if s.Tip != c.top().tip || s.Coins != coins {
		t.Errorf("%+v, must be %d coins at %s", s, coins, c.top().tip)
	}
	var levels uint64
	for _, l := range s.Levels {
		levels += uint64(l.Bytes)
	}
	if s.CoinBytes < 40*coins || s.IndexBytes < 40*coins || s.UndoBytes == 0 || levels == 0 || s.DiskBytes < levels ||
		s.BytesPerCoin != float64(s.CoinBytes)/float64(coins) || s.MemTableBytes == 0 {
		t.Errorf("%+v", s)
	}
}

// Memory holds with blocks in the cache, and shrinks at once.
func TestMemory(t *testing.T) {
	m, ops := loaded(8, 6000)
	d := mustOpen(t, vfs.NewMem(), Options{MemTable: 64 << 10, Memory: 32 << 20})
	must(t, load(d, m, ops, LoadOptions{}))
	read := func() *Stats {
		t.Helper()
		if _, err := d.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		s, err := d.Stats()
		must(t, err)
		return s
	}
	large := read()
	if large.CacheBytes < 200<<10 {
		t.Fatalf("%d bytes are cached, too few to see them shrink", large.CacheBytes)
	}
	budget := large.CacheBytes/4 + large.MemTableBytes
	// The cache is divided, and each part may exceed its share by a block.
	slack := int64(4*runtime.GOMAXPROCS(0)) * (5 << 10)
	must(t, d.SetMemory(budget))
	s, err := d.Stats()
	must(t, err)
	if s.CacheBytes+s.MemTableBytes > budget+slack {
		t.Errorf("%d and %d bytes, the budget is %d", s.CacheBytes, s.MemTableBytes, budget)
	}
	if s = read(); s.CacheBytes+s.MemTableBytes > budget+slack {
		t.Errorf("%d and %d bytes, the budget is %d", s.CacheBytes, s.MemTableBytes, budget)
	}
	must(t, d.SetMemory(32<<20))
	if s = read(); s.CacheBytes < large.CacheBytes*9/10 {
		t.Errorf("%d bytes are cached, were %d before", s.CacheBytes, large.CacheBytes)
	}
}

// What the caller knows of what a block spends is not read, but for a sample, which
// must agree.
func TestKnown(t *testing.T) {
	c := newChain(seedOf(t))
	d := mustOpen(t, vfs.NewMem(), Options{knownSample: 1})
	trusting := mustOpen(t, vfs.NewMem(), Options{knownSample: math.MaxInt32})
	must(t, d.Reset(c.top().tip, true))
	must(t, trusting.Reset(c.top().tip, true))
	var before moment
	var b *Block
	for b == nil || len(b.Spent) == 0 || !slices.ContainsFunc(b.Spent, func(op wire.OutPoint) bool { _, ok := before.coins[op]; return ok }) {
		if b != nil {
			must(t, d.Apply(b))
			must(t, trusting.Apply(b))
		}
		before = *c.top()
		b = c.mine()
	}
	i := slices.IndexFunc(b.Spent, func(op wire.OutPoint) bool { _, ok := before.coins[op]; return ok })
	right := *b
	right.Known = make([]Coin, len(b.Spent))
	right.Known[i] = before.coins[b.Spent[i]]
	wrong := right
	wrong.Known = slices.Clone(right.Known)
	wrong.Known[i].Value ^= 1

	mustFail(t, d.Apply(&wrong), ErrKnown)
	impossible := right
	impossible.Known = slices.Clone(right.Known)
	impossible.Known[i].Value = -1
	if err := d.Apply(&impossible); err == nil {
		t.Error("a coin of -1 satoshi was known")
	}
	short := right
	short.Known = short.Known[1:]
	if err := d.Apply(&short); err == nil {
		t.Error("the known coins were fewer than the spent ones")
	}
	nowhere := right
	nowhere.Spent = append(slices.Clone(b.Spent), wire.OutPoint{Hash: [32]byte{9}})
	nowhere.Known = append(slices.Clone(right.Known), Coin{Value: 1, Height: 1})
	mustFail(t, d.Apply(&nowhere), ErrMissing)
	compareDB(t, d, &before)

	must(t, d.Apply(&right))
	must(t, trusting.Apply(&wrong)) // it was not read
	for _, d := range []*DB{d, trusting} {
		compareDB(t, d, c.top())
	}
	compareHash(t, d, c.top())
	if got, _, err := trusting.MuHash(t.Context()); err != nil || got == c.top().hash() {
		t.Errorf("the MuHash does not tell that a wrong coin was known: %v", err)
	}
	must(t, d.Undo(b.Tip))
	compareDB(t, d, &before)
	compareHash(t, d, &before)
}
