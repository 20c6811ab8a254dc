//go:build unix

package coindb

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"os"

	"github.com/btcsuite/btcd/wire/v2"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/filter"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/util"
)

// benchCoins is how many coins the benchmarks have on disk; BENCH_COINS can say
// another number.
func benchCoins(tb testing.TB) int {
	s := os.Getenv("BENCH_COINS")
	if s == "" {
		return 300_000
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

const (
	benchMemory  = 64 << 20
	benchPrevout = 8000
	benchCreated = 12_000
)

// A bench is a set of coins: two a transaction, with scripts about as common
// as on mainnet, and random txids.
type bench struct {
	rng *rand.Rand
	ops []wire.OutPoint // sorted
}

func newBench(n int) *bench {
	x := &bench{rng: rand.New(rand.NewPCG(1, 2))}
	for range n / 2 {
		x.ops = append(x.ops, x.tx()...)
	}
	slices.SortFunc(x.ops, compareOps)
	return x
}

func (x *bench) tx() []wire.OutPoint {
	var op wire.OutPoint
	for i := 0; i < len(op.Hash); i += 8 {
		binary.LittleEndian.PutUint64(op.Hash[i:], x.rng.Uint64())
	}
	second := op
	second.Index = 1
	return []wire.OutPoint{op, second}
}

func (x *bench) coin(height uint32) Coin {
	random := func(prefix string, n int, suffix string) []byte {
		s := []byte(prefix)
		for range n {
			s = append(s, byte(x.rng.Uint32()))
		}
		return append(s, suffix...)
	}
	c := Coin{Value: x.rng.Int64N(1e8), Height: height}
	switch kind := x.rng.IntN(100); {
	case kind < 30:
		c.Script = random("\x76\xa9\x14", 20, "\x88\xac")
	case kind < 40:
		c.Script = random("\xa9\x14", 20, "\x87")
	case kind < 65:
		c.Script = random("\x00\x14", 20, "")
	default:
		c.Script = random("\x51\x20", 32, "")
	}
	return c
}

// each yields all coins, the same ones each time.
func (x *bench) each(f func(op wire.OutPoint, c *Coin)) {
	y := bench{rng: rand.New(rand.NewPCG(3, 4))}
	for _, op := range x.ops {
		c := y.coin(400_000 + y.rng.Uint32N(400_000))
		f(op, &c)
	}
}

// prevouts returns coins that are there, in random order.
func (x *bench) prevouts(n int) []wire.OutPoint {
	ops := make([]wire.OutPoint, n)
	for i := range ops {
		ops[i] = x.ops[x.rng.IntN(len(x.ops))]
	}
	return ops
}

// block returns a block on tip that spends coins and creates others. It takes
// what it spends out of the set, so that no other block does.
func (x *bench) block(tip Tip) *Block {
	b := &Block{Tip: Tip{Height: tip.Height + 1}, Prev: tip.Hash}
	binary.LittleEndian.PutUint64(b.Hash[:], x.rng.Uint64())
	for range benchPrevout {
		i := x.rng.IntN(len(x.ops))
		b.Spent = append(b.Spent, x.ops[i])
		x.ops[i] = x.ops[len(x.ops)-1]
		x.ops = x.ops[:len(x.ops)-1]
	}
	for len(b.Created) < benchCreated {
		for _, op := range x.tx() {
			b.Created = append(b.Created, CoinAt{op, x.coin(b.Height)})
			x.ops = append(x.ops, op)
		}
	}
	return b
}

// known returns the coins of ops.
func (x *bench) known(tb testing.TB, d *DB, ops []wire.OutPoint) []Coin {
	v, err := d.View()
	must(tb, err)
	answers, coins := make([]Answer, len(ops)), make([]Coin, len(ops))
	must(tb, v.GetBatch(ops, answers))
	for i, a := range answers {
		coins[i] = a.Coin
	}
	must(tb, v.Close())
	return coins
}

var benchTip = Tip{Height: 800_000}

// fill returns a database with the coins of x, loaded.
func (x *bench) fill(tb testing.TB, opts Options) *DB {
	tb.Helper()
	setDefault(&opts.Memory, benchMemory)
	setDefault(&opts.MemTable, 16<<20)
	d, err := Open(tb.TempDir(), opts)
	must(tb, err)
	tb.Cleanup(func() { must(tb, d.Close()) })
	l, err := d.NewLoader(benchTip, LoadOptions{})
	must(tb, err)
	x.each(func(op wire.OutPoint, c *Coin) { must(tb, l.Add(op, c)) })
	must(tb, l.Finish())
	return d
}

// fillLevelDB returns the anchor with the same coins and the same memory.
func (x *bench) fillLevelDB(tb testing.TB) *leveldb.DB {
	tb.Helper()
	l, err := leveldb.OpenFile(tb.TempDir(), &opt.Options{
		BlockCacheCapacity: benchMemory - 2*(16<<20), WriteBuffer: 16 << 20, BlockSize: 4 << 10,
		Filter: filter.NewBloomFilter(10), Compression: opt.NoCompression, OpenFilesCacheCapacity: 2000,
	})
	must(tb, err)
	tb.Cleanup(func() { must(tb, l.Close()) })
	batch := new(leveldb.Batch)
	x.each(func(op wire.OutPoint, c *Coin) {
		key := coinKeyOf(op)
		batch.Put(key[:], appendCoin(nil, c))
		if batch.Len() == 10_000 {
			must(tb, l.Write(batch, nil))
			batch.Reset()
		}
	})
	must(tb, l.Write(batch, nil))
	must(tb, l.CompactRange(util.Range{}))
	return l
}

// A way is one of several ways to do the same.
type way struct {
	name  string
	do    func(ops []wire.OutPoint)
	times []time.Duration
	cpu   []time.Duration // of the whole process
}

// race runs all ways in turns, and reports the median of each way's time and of
// the processor time that it takes, which on a busy machine is the steadier.
func race(b *testing.B, next func() []wire.OutPoint, ways []*way) {
	for b.Loop() {
		for _, w := range ways {
			ops := next()
			start, cpu := time.Now(), cpuTime(b)
			w.do(ops)
			w.times = append(w.times, time.Since(start))
			w.cpu = append(w.cpu, cpuTime(b)-cpu)
		}
	}
	first := median(ways[0].cpu)
	for _, w := range ways {
		b.ReportMetric(median(w.times), w.name+"-ms")
		b.ReportMetric(median(w.cpu), w.name+"-cpu-ms")
		b.Logf("%-24s %8.2f ms %8.2f ms of CPU %6.2f", w.name, median(w.times), median(w.cpu), median(w.cpu)/first)
	}
}

// median returns the median in milliseconds.
func median(times []time.Duration) float64 {
	slices.Sort(times)
	return times[len(times)/2].Seconds() * 1e3
}

func cpuTime(tb testing.TB) time.Duration {
	var r syscall.Rusage
	must(tb, syscall.Getrusage(syscall.RUSAGE_SELF, &r))
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func sortedOps(ops []wire.OutPoint) []place {
	return sorted(len(ops), func(i int) *wire.OutPoint { return &ops[i] })
}

func unsorted(ops []wire.OutPoint) []place {
	places := make([]place, len(ops))
	for i := range places {
		places[i].index = uint32(i)
	}
	return places
}

// split runs f on parts of places, in n goroutines.
func split(n int, places []place, f func(part []place)) {
	var wg sync.WaitGroup
	for g := range n {
		wg.Go(func() { f(places[len(places)*g/n : len(places)*(g+1)/n]) })
	}
	wg.Wait()
}

// BenchmarkReadWays reads 8,000 coins by goleveldb and in all ways that Pebble
// has.
func BenchmarkReadWays(b *testing.B) {
	x := newBench(benchCoins(b))
	d, l := x.fill(b, Options{}), x.fillLevelDB(b)
	read := func(_ int, value []byte) error {
		if value == nil {
			b.Error("a coin is missing")
		}
		var c Coin
		return decodeCoin(&c, value)
	}
	level := func(n int, order func([]wire.OutPoint) []place) func([]wire.OutPoint) {
		return func(ops []wire.OutPoint) {
			snap, err := l.GetSnapshot()
			must(b, err)
			defer snap.Release()
			split(n, order(ops), func(part []place) {
				for _, p := range part {
					key := coinKeyOf(ops[p.index])
					value, err := snap.Get(key[:], nil)
					must(b, err)
					must(b, read(0, value))
				}
			})
		}
	}
	get := func(n int, order func([]wire.OutPoint) []place) func([]wire.OutPoint) {
		return func(ops []wire.OutPoint) {
			snap := d.pebble.NewSnapshot()
			split(n, order(ops), func(part []place) {
				for _, p := range part {
					key := coinKeyOf(ops[p.index])
					must(b, d.get(snap, key[:], func(value []byte) error { return read(0, value) }))
				}
			})
			must(b, snap.Close())
		}
	}
	prefix := func(n int, order func([]wire.OutPoint) []place) func([]wire.OutPoint) {
		return func(ops []wire.OutPoint) {
			snap := d.pebble.NewSnapshot()
			split(n, order(ops), func(part []place) { must(b, d.readPart(anew{snap}, ops, part, read)) })
			must(b, snap.Close())
		}
	}
	seekGE := func(n int) func([]wire.OutPoint) {
		return func(ops []wire.OutPoint) {
			snap := d.pebble.NewSnapshot()
			split(n, sortedOps(ops), func(part []place) {
				it, err := snap.NewIter(nil)
				must(b, err)
				for _, p := range part {
					key := coinKeyOf(ops[p.index])
					if !it.SeekGE(key[:]) || string(it.Key()) != string(key[:]) {
						b.Error("a coin is missing")
					}
					must(b, read(0, it.Value()))
				}
				must(b, it.Close())
			})
			must(b, snap.Close())
		}
	}
	race(b, func() []wire.OutPoint { return x.prevouts(benchPrevout) }, []*way{
		{name: "goleveldb/unsorted/2", do: level(2, unsorted)},
		{name: "goleveldb/sorted/2", do: level(2, sortedOps)},
		{name: "goleveldb/sorted/1", do: level(1, sortedOps)},
		{name: "get/unsorted/1", do: get(1, unsorted)},
		{name: "get/unsorted/2", do: get(2, unsorted)},
		{name: "get/sorted/1", do: get(1, sortedOps)},
		{name: "get/sorted/2", do: get(2, sortedOps)},
		{name: "prefix/unsorted/2", do: prefix(2, unsorted)},
		{name: "prefix/sorted/1", do: prefix(1, sortedOps)},
		{name: "prefix/sorted/2", do: prefix(2, sortedOps)},
		{name: "seekge/sorted/1", do: seekGE(1)},
		{name: "seekge/sorted/2", do: seekGE(2)},
		{name: "GetBatch", do: func(ops []wire.OutPoint) {
			v, err := d.View()
			must(b, err)
			must(b, v.GetBatch(ops, make([]Answer, len(ops))))
			must(b, v.Close())
		}},
	})
}

// BenchmarkTables reads 8,000 coins, and half as many again that are not there,
// from databases that differ in how they lay out their tables.
func BenchmarkTables(b *testing.B) {
	x := newBench(benchCoins(b))
	levels := func(f func(level int, l *pebble.LevelOptions)) func(*pebble.Options) {
		return func(p *pebble.Options) {
			for i := range p.Levels {
				f(i, &p.Levels[i])
			}
		}
	}
	block := func(size int) func(*pebble.Options) {
		return levels(func(_ int, l *pebble.LevelOptions) { l.BlockSize = size })
	}
	compress := func(c *sstable.CompressionProfile) func(*pebble.Options) {
		return levels(func(_ int, l *pebble.LevelOptions) {
			l.Compression = func() *sstable.CompressionProfile { return c }
		})
	}
	var ways []*way
	for _, v := range []struct {
		name string
		tune func(*pebble.Options)
	}{
		{"as-chosen", nil},
		{"block-1k", block(1 << 10)},
		{"block-2k", block(2 << 10)},
		{"block-8k", block(8 << 10)},
		{"columns", columns},
		{"filter-lowest", levels(func(_ int, l *pebble.LevelOptions) { l.FilterPolicy = bloom.FilterPolicy(10) })},
		{"no-filter", levels(func(_ int, l *pebble.LevelOptions) { l.FilterPolicy = pebble.NoFilterPolicy })},
		{"index-4k", levels(func(_ int, l *pebble.LevelOptions) { l.IndexBlockSize = 4 << 10 })},
		{"snappy", compress(sstable.SnappyCompression)},
		{"zstd", compress(sstable.BalancedCompression)},
	} {
		d := x.fill(b, Options{tune: v.tune})
		y := newBench(0)
		tip := benchTip
		for range 12 {
			n := y.tx()
			block := &Block{Tip: Tip{Hash: n[0].Hash, Height: tip.Height + 1}, Prev: tip.Hash}
			for range benchCreated / 2 {
				for _, op := range y.tx() {
					block.Created = append(block.Created, CoinAt{op, y.coin(block.Height)})
				}
			}
			must(b, d.Apply(block))
			tip = block.Tip
		}
		s, err := d.Stats()
		must(b, err)
		b.ReportMetric(s.BytesPerCoin, v.name+"-B/coin")
		b.Logf("%-18s %.1f bytes a coin, levels %v", v.name, s.BytesPerCoin, s.Levels)
		ways = append(ways, &way{name: v.name, do: func(ops []wire.OutPoint) {
			v, err := d.View()
			must(b, err)
			must(b, v.GetBatch(ops, make([]Answer, len(ops))))
			must(b, v.Close())
		}})
	}
	race(b, func() []wire.OutPoint {
		ops := x.prevouts(benchPrevout)
		for range benchPrevout / 4 {
			ops = append(ops, x.tx()...)
		}
		return ops
	}, ways)
}

// BenchmarkApply applies blocks of 8,000 spends and 12,000 creations, each on
// the disk when it returns, and undoes some; goleveldb writes the same coins,
// with nothing to undo them.
func BenchmarkApply(b *testing.B) {
	x := newBench(benchCoins(b))
	options := []struct {
		name string
		Options
	}{
		{"apply", Options{}},
		{"apply-separated", Options{tune: separateValues}},
		{"apply-in-memory", Options{Memory: 1 << 30, MemTable: 256 << 20}},
	}
	l := x.fillLevelDB(b)
	var block *Block
	ways := []*way{{name: "goleveldb", do: func([]wire.OutPoint) {
		batch := new(leveldb.Batch)
		for _, op := range block.Spent {
			key := coinKeyOf(op)
			_, err := l.Get(key[:], nil)
			must(b, err)
			batch.Delete(key[:])
		}
		for i := range block.Created {
			key := coinKeyOf(block.Created[i].OutPoint)
			batch.Put(key[:], appendCoin(nil, &block.Created[i].Coin))
		}
		must(b, l.Write(batch, &opt.WriteOptions{Sync: true}))
	}}}
	var all []*DB
	for _, o := range options {
		o.UndoBlocks = 20
		d := x.fill(b, o.Options)
		all = append(all, d)
		ways = append(ways, &way{name: o.name, do: func([]wire.OutPoint) { must(b, d.Apply(block)) }})
	}
	known := x.fill(b, Options{UndoBlocks: 20})
	all = append(all, known)
	var knownBlock Block
	ways = append(ways, &way{name: "apply-known", do: func([]wire.OutPoint) { must(b, known.Apply(&knownBlock)) }})
	last := benchTip
	race(b, func() []wire.OutPoint {
		if len(ways[0].times) == len(ways[len(ways)-1].times) { // all have applied the last one
			block = x.block(last)
			last = block.Tip
			knownBlock = *block
			knownBlock.Known = x.known(b, known, block.Spent)
		}
		return nil
	}, ways)
	undo := &way{}
	for range min(10, len(ways[0].times)) {
		start := time.Now()
		must(b, all[0].Undo(mustTip(b, all[0])))
		undo.times = append(undo.times, time.Since(start))
	}
	b.Logf("%-24s %8.2f ms", "undo", median(undo.times))
	for _, d := range all {
		s, err := d.Stats()
		must(b, err)
		m := d.pebble.Metrics()
		total := m.Total()
		b.Logf("undo %d bytes, levels %v, written %d for %d", s.UndoBytes, s.Levels,
			total.TableBytesFlushed+total.TableBytesCompacted+total.BlobBytesFlushed, total.TableBytesIn)
	}
}

func columns(p *pebble.Options) { p.FormatMajorVersion = pebble.FormatValueSeparation }

func separateValues(p *pebble.Options) {
	columns(p)
	p.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy {
		return pebble.ValueSeparationPolicy{
			Enabled: true, MinimumSize: 4 << 10, MaxBlobReferenceDepth: 10,
			RewriteMinimumAge: time.Minute, TargetGarbageRatio: 0.3,
		}
	}
}

func mustTip(tb testing.TB, d *DB) Tip {
	tip, err := d.Tip()
	must(tb, err)
	return tip
}

// BenchmarkLoad loads coins as from a snapshot.
func BenchmarkLoad(b *testing.B) {
	x := newBench(benchCoins(b))
	start := time.Now()
	n := 0
	for b.Loop() {
		x.fill(b, Options{})
		n += len(x.ops)
	}
	b.ReportMetric(float64(n)/time.Since(start).Seconds(), "coins/s")
}

// BenchmarkMuHash hashes what blocks of 8,000 spends and 12,000 creations did, after
// they were applied, on one goroutine.
func BenchmarkMuHash(b *testing.B) {
	x := newBench(benchCoins(b))
	d := x.fill(b, Options{UndoBlocks: 20})
	must(b, d.Rehash(b.Context(), nil))
	tip := benchTip
	var times []time.Duration
	for b.Loop() {
		block := x.block(tip)
		must(b, d.Apply(block))
		tip = block.Tip
		start := cpuTime(b)
		_, at, err := d.MuHash(b.Context())
		must(b, err)
		times = append(times, cpuTime(b)-start)
		if at != tip {
			b.Fatalf("the MuHash is of %s, must be of %s", at, tip)
		}
	}
	b.ReportMetric(median(times), "muhash-cpu-ms")
}
