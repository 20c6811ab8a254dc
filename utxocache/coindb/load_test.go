package coindb

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/outrider-project/outrider/utxocache/corefile"
	"github.com/outrider-project/outrider/utxocache/muhash"
)

// loaded returns a moment with n coins, and their outpoints sorted.
func loaded(seed uint64, n int) (*moment, []wire.OutPoint) {
	c := newChain(seed)
	m := &moment{tip: Tip{c.hash(), 900_000}, coins: make(map[wire.OutPoint]Coin)}
	for len(m.coins) < n {
		txid := c.hash()
		for range 1 + c.rng.IntN(3) {
			m.coins[wire.OutPoint{Hash: txid, Index: c.rng.Uint32N(70_000)}] = Coin{
				Value: c.rng.Int64N(21e14), Script: c.script(), Height: c.rng.Uint32N(900_000), Coinbase: c.chance(9),
			}
		}
	}
	return m, slices.SortedFunc(maps.Keys(m.coins), compareOps)
}

// load adds what it can, and reports how it ended.
func load(d *DB, m *moment, ops []wire.OutPoint, opts LoadOptions) error {
	l, err := d.NewLoader(m.tip, opts)
	if err != nil {
		return err
	}
	for _, op := range ops {
		coin := m.coins[op]
		if err = l.Add(op, &coin); err != nil {
			break
		}
	}
	if err == nil {
		err = l.Finish()
	}
	return errors.Join(err, l.Close())
}

// loadWithHash loads m, and says what its MuHash is.
func loadWithHash(d *DB, m *moment, ops []wire.OutPoint) error {
	l, err := d.NewLoader(m.tip, LoadOptions{})
	if err != nil {
		return err
	}
	var set muhash.Set
	for _, op := range ops {
		coin := m.coins[op]
		set.Insert(corefile.AppendTxOutSer(nil, op, &coin))
		if err := l.Add(op, &coin); err != nil {
			return errors.Join(err, l.Close())
		}
	}
	l.SetMuHash(&set)
	set.Insert([]byte("something else")) // the loader has a copy
	return errors.Join(l.Finish(), l.Close())
}

func TestLoad(t *testing.T) {
	m, ops := loaded(seedOf(t), 6000)
	d := mustOpen(t, vfs.NewMem(), Options{})
	var coins uint64
	var calls int
	must(t, load(d, m, ops, LoadOptions{TableBytes: 30 << 10, Writers: 3, Progress: func(n uint64, share float64) {
		calls++
		if n <= coins || share <= 0 || share > 1 {
			t.Errorf("progress from %d to %d, share %g", coins, n, share)
		}
		coins = n
	}}))
	if coins != uint64(len(ops)) || calls < 10 {
		t.Errorf("progress ends at %d coins, after %d calls", coins, calls)
	}
	compareDB(t, d, m)
	s, err := d.Stats()
	must(t, err)
	if s.Levels[6].Tables != int64(calls) {
		t.Errorf("tables %+v, must be %d in the lowest level", s.Levels, calls)
	}
	_, err = d.NewLoader(m.tip, LoadOptions{})
	mustFail(t, err, ErrTip)
	mustFail(t, d.Undo(m.tip), ErrTooDeep)

	b := &Block{Tip: Tip{Height: m.tip.Height + 1}, Prev: m.tip.Hash, Spent: ops[:2000]}
	must(t, d.Apply(b))
	must(t, d.Undo(b.Tip))
	compareDB(t, d, m)
	report, err := d.Check(t.Context())
	if err != nil || len(report.Problems) > 0 {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestLoadRefuses(t *testing.T) {
	m, ops := loaded(1, 100)
	d := mustOpen(t, vfs.NewMem(), Options{})
	l, err := d.NewLoader(m.tip, LoadOptions{})
	must(t, err)
	_, err = d.NewLoader(m.tip, LoadOptions{})
	mustFail(t, err, ErrLoading)
	_, err = d.Tip()
	mustFail(t, err, ErrLoading)
	mustFail(t, d.Apply(&Block{}), ErrLoading)
	mustFail(t, d.Undo(Tip{}), ErrLoading)
	mustFail(t, d.Reset(m.tip, true), ErrLoading)
	mustFail(t, d.BuildIndex(t.Context(), nil), ErrLoading)
	coin := m.coins[ops[1]]
	must(t, l.Add(ops[1], &coin))
	for _, op := range []wire.OutPoint{ops[1], ops[0]} {
		if err := l.Add(op, &coin); err == nil {
			t.Errorf("%s was added after %s", op, ops[1])
		}
	}
	if l.Add(ops[2], &coin) == nil || l.Finish() == nil {
		t.Error("the load went on after an error")
	}
	must(t, l.Close())
	must(t, l.Close())
	mustFail(t, l.Finish(), l.err)
	_, err = d.NewLoader(Tip{}, LoadOptions{})
	mustFail(t, err, ErrLoading)
	l, err = d.NewLoader(m.tip, LoadOptions{})
	must(t, err)
	coin.Height = m.tip.Height + 1
	if l.Add(ops[1], &coin) == nil {
		t.Error("a coin from above the tip was added")
	}
	must(t, l.Close())
	must(t, d.Reset(m.tip, true))
	compareDB(t, d, &moment{tip: m.tip})
}

// The load is interrupted at every operation of the file system; the next one
// goes on after the last table that was safe.
func TestLoadInterrupted(t *testing.T) {
	m, ops := loaded(seedOf(t), 3000)
	opts := LoadOptions{TableBytes: 30 << 10, Writers: 2}
	runs, resumed := 0, 0
	for n := int64(1); ; n++ {
		if testing.Short() {
			n += 10
		}
		mem := vfs.NewCrashableMem()
		var count atomic.Int64
		fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpFileClose && count.Add(1) >= n {
				return syscall.EIO
			}
			return nil
		}))
		o := crashOptions()
		o.fs = fs
		d, err := Open("coins", o)
		if err == nil {
			err = load(d, m, ops, opts)
			crashed := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(uint64(n), 1))})
			_ = d.Close()
			mem = crashed
		}
		o.fs = mem
		d, openErr := Open("coins", o)
		must(t, openErr)
		if err != nil {
			if l, e := d.NewLoader(m.tip, opts); e == nil { // it may have finished
				if coins, last := l.Loaded(); coins > 0 {
					resumed++
					if ops[coins-1] != last {
						t.Fatalf("%d coins up to %s are loaded, must be up to %s", coins, last, ops[coins-1])
					}
				}
				must(t, l.Close())
				must(t, load(d, m, ops, opts))
			} else {
				mustFail(t, e, ErrTip)
			}
		}
		compareDB(t, d, m)
		report, e := d.Check(t.Context())
		if e != nil || len(report.Problems) > 0 {
			t.Fatalf("operation %d: %+v, %v", n, report, e)
		}
		must(t, d.Close())
		if err == nil {
			break
		}
		runs++
	}
	t.Logf("%d runs, %d went on", runs, resumed)
	if resumed == 0 {
		t.Error("no load went on")
	}
}

func TestLoadFull(t *testing.T) {
	m, ops := loaded(3, 5000)
	fs := vfs.NewMem()
	d := mustOpen(t, fs, Options{MinFree: 1000})
	opts := LoadOptions{TableBytes: 30 << 10, Progress: func(coins uint64, _ float64) {
		if coins > 2000 {
			fs.TestingSetDiskUsage(vfs.DiskUsage{TotalBytes: 1e9, AvailBytes: 5000})
		}
	}}
	mustFail(t, load(d, m, ops, opts), ErrDiskFull)
	fs.TestingSetDiskUsage(vfs.DiskUsage{TotalBytes: 1e9, AvailBytes: 1e9})
	opts.Progress = nil
	must(t, load(d, m, ops, opts))
	compareDB(t, d, m)
	names, err := fs.List("coins")
	must(t, err)
	for _, name := range names {
		var n int
		if _, err := fmt.Sscanf(name, loadTableName, &n); err == nil {
			t.Errorf("%s is left", name)
		}
	}
}

// A load without a height stands at its block, and can be asked. Blocks follow
// when the height is known.
func TestSetHeight(t *testing.T) {
	m, ops := loaded(seedOf(t), 500)
	known := m.tip
	m.tip.Height = UnknownHeight
	fs := vfs.NewCrashableMem()
	d := mustOpen(t, fs, Options{})
	mustFail(t, d.SetHeight(known), ErrNoTip)
	l, err := d.NewLoader(m.tip, LoadOptions{})
	must(t, err)
	mustFail(t, d.SetHeight(known), ErrLoading)
	must(t, l.Close())
	must(t, loadWithHash(d, m, ops))
	compareHash(t, d, m)

	next := &Block{Tip: Tip{Hash: [32]byte{1}, Height: known.Height + 1}, Prev: known.Hash}
	nowhere := &Block{Tip: Tip{Hash: [32]byte{1}, Height: UnknownHeight + 1}, Prev: known.Hash}
	mustFail(t, d.Apply(next), ErrTip)
	mustFail(t, d.Apply(nowhere), ErrTip)
	mustFail(t, d.SetHeight(Tip{Hash: [32]byte{2}, Height: known.Height}), ErrTip)
	for _, height := range []uint32{UnknownHeight, UnknownHeight + 1} {
		if err := d.SetHeight(Tip{Hash: known.Hash, Height: height}); err == nil {
			t.Errorf("the height %d was set", height)
		}
	}
	compareDB(t, d, m)

	must(t, d.SetHeight(known))
	m.tip = known
	after := mustOpen(t, fs.CrashClone(vfs.CrashCloneCfg{}), Options{})
	for _, d := range []*DB{d, after} { // it is on the disk
		compareDB(t, d, m)
		compareHash(t, d, m)
		must(t, d.SetHeight(known))
		mustFail(t, d.SetHeight(Tip{known.Hash, known.Height + 1}), ErrTip)
		must(t, d.Apply(next))
		mustFail(t, d.SetHeight(known), ErrTip)
		must(t, d.Undo(next.Tip))
		compareHash(t, d, m)
		report, err := d.Check(t.Context())
		must(t, err)
		if len(report.Problems) > 0 {
			t.Errorf("%q", report.Problems)
		}
	}
}
