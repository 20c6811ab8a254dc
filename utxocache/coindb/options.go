package coindb

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/outrider-project/outrider/perfcore"
)

// Options configure a DB. A zero field means its default.
type Options struct {
	// UndoBlocks is how many blocks can be undone; the default is 288, two
	// days. A block of 8,000 inputs takes about 0.7 MB.
	UndoBlocks int
	// Memory is what blocks of tables and memtables may take together, in
	// bytes; the default is 256 MiB. DB.SetMemory changes it.
	Memory int64
	// MemTable is the size of a memtable in bytes; the default is 32 MiB. Up
	// to three of them are in Memory.
	MemTable int64
	// MinFree is how much space must be free on the disk for a change to be
	// tried, in bytes beside what the change itself takes; the default is
	// 512 MiB. Compactions need it.
	MinFree int64
	// Readers is how many goroutines read for one GetBatch or Apply; the
	// default is the number of processors, 8 at most. The knob coindb.readers
	// changes it.
	Readers int
	// Hashers is how many goroutines hash all coins in Rehash; the default is Readers. Who
	// gives a Pace by how long goroutines wait for a processor leaves some processors to
	// others, or Rehash keeps itself waiting.
	Hashers int
	// Refer, if it is set, is called for every outpoint that is looked up in a
	// batch, with its place in the order of the keys: the first eight bytes of the
	// txid, as a fraction of 2^64. Outpoints at near places are in the same block
	// of a table, and as txids are spread evenly, equal distances hold equal
	// numbers of coins. It is called by several goroutines at once, and must not
	// wait.
	Refer func(place uint64)
	// Pace, if it is set, is called by Rehash behind each piece of its work, some 65,000
	// coins or one block, with how long that took, and says when the next may begin: it
	// returns then, or with an error, which ends the Rehash. It is called by one goroutine
	// at a time. What follows the blocks is not paced: Apply may have to wait for it.
	Pace func(ctx context.Context, took time.Duration) error
	// Compactions is how many compactions Pebble may run at a time; the default
	// is 1. It runs that many when it falls behind, and one else.
	Compactions int
	// NoPageCache, if it is set, leaves nothing of what look-ups read of tables in the system's
	// cache, which belongs to the node then: Memory is all that the database has. It is ignored
	// where the system is not Linux, and on a file system that does not use the system's cache.
	NoPageCache bool
	// Recorder receives the metrics; the default is perfcore.Discard.
	Recorder perfcore.Recorder
	// Log receives what an operator may act on; the default discards it.
	Log *slog.Logger

	// fs is the file system; the default is the operating system's.
	fs vfs.FS
	// tune changes what Pebble is told.
	tune func(*pebble.Options)
	// indexStep is how many coins BuildIndex takes at a time, while changes
	// wait.
	indexStep int
	// hashStep is how many coins Rehash takes at a time.
	hashStep int
	// knownSample is one in how many coins that a caller knows Apply reads.
	knownSample int
}

const (
	defaultUndoBlocks = 288
	defaultMemory     = 256 << 20
	defaultMemTable   = 32 << 20
	defaultMinFree    = 512 << 20
	maxReaders        = 8
	maxCompactions    = 64
	defaultIndexStep  = 4096    // 5 ms
	defaultHashStep   = 1 << 16 // 8 MB
	// defaultKnownSample makes some hundred reads for a large block.
	defaultKnownSample = 64
	// memoryCeiling is the size of the block cache as Pebble has it, which
	// cannot be changed later. What exceeds Options.Memory is reserved.
	memoryCeiling = min(64<<30, math.MaxInt)
)

// withDefaults returns o with its defaults, or what is wrong with it.
func (o Options) withDefaults() (Options, error) {
	setDefault(&o.UndoBlocks, defaultUndoBlocks)
	setDefault(&o.Memory, defaultMemory)
	setDefault(&o.MemTable, defaultMemTable)
	setDefault(&o.MinFree, defaultMinFree)
	setDefault(&o.Compactions, 1)
	setDefault(&o.indexStep, defaultIndexStep)
	setDefault(&o.hashStep, defaultHashStep)
	setDefault(&o.knownSample, defaultKnownSample)
	setDefault(&o.Readers, min(runtime.GOMAXPROCS(0), maxReaders))
	setDefault(&o.Hashers, o.Readers)
	if o.Recorder == nil {
		o.Recorder = perfcore.Discard
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.fs == nil {
		o.fs = vfs.Default
	}
	if o.UndoBlocks < 0 || o.MinFree < 0 || o.Readers < 0 || o.Readers > mostReaders || o.Hashers < 0 {
		return o, fmt.Errorf("%d blocks, %d bytes free, %d readers and %d hashers are not sizes", o.UndoBlocks, o.MinFree, o.Readers, o.Hashers)
	}
	if o.MemTable < 64<<10 || o.MemTable > 1<<30 {
		return o, fmt.Errorf("a memtable of %d bytes is not between 64 KiB and 1 GiB", o.MemTable)
	}
	if err := checkCompactions(o.Compactions); err != nil {
		return o, err
	}
	return o, checkMemory(o.Memory)
}

func setDefault[T int | int64](v *T, def T) {
	if *v == 0 {
		*v = def
	}
}

func checkMemory(bytes int64) error {
	if bytes < 0 || bytes > memoryCeiling {
		return fmt.Errorf("memory of %d bytes is not between 0 and %d", bytes, int64(memoryCeiling))
	}
	return nil
}

func checkCompactions(n int) error {
	if n < 1 || n > maxCompactions {
		return fmt.Errorf("%d compactions at a time are not between 1 and %d", n, maxCompactions)
	}
	return nil
}

// pebble returns what Pebble is told. What was chosen, and why; figures are the
// processor time that the median of 8,000 look-ups or one block took, of runs in
// turns on two busy processors, with 48 MB of cache for 56 MB of tables that the
// system has in memory (BenchmarkReadWays, BenchmarkTables and
// BenchmarkApply with BENCH_COINS=1000000):
//
//   - Look-ups go in the order of the keys by one iterator for each goroutine
//     that seeks by prefix: 33 ms, where Get takes 48 sorted and 53 unsorted,
//     seeking without a prefix 34, and goleveldb 55 sorted and 78 unsorted.
//     A second goroutine costs 1 ms more of it; how much sooner it ends could
//     not be told on busy processors.
//   - Tables of rows take 53 to 58 bytes a coin, those of columns 65 to 70, for
//     the same time: a transaction's outputs share 36 bytes of their keys.
//     So the format is the last without columns. Later ones could put undo
//     records apart from keys, but blocks then took a quarter longer to apply.
//   - Blocks of 4 KiB. Those of 1 KiB take 3 bytes a coin more, and their index
//     four times the memory; those of 8 KiB save less than 1.
//   - No compression: Snappy saves 5 bytes of 56 a coin, as txids and hashes do
//     not shrink; no difference in time could be measured.
//   - Filters of 10 bits a key, but in the lowest level: nearly every coin that
//     is asked for is there, and iterators do not ask its filter. It would be
//     1 byte a coin.
//   - Every block is synchronised. Without that, a machine without power would
//     lose what a caller was told is safe.
//
// Apply takes 23 to 27 ms for 8,000 spends that its caller knows and 12,000 creations;
// goleveldb takes 2.1 to 2.6 times as much. Where nothing is known the look-ups make it
// 55 to 90 ms (outrider bench utxo, the files in the system's cache).
func (o *Options) pebble(fs vfs.FS, cache *pebble.Cache) *pebble.Options {
	p := &pebble.Options{
		FS:                          fs,
		Cache:                       cache,
		FormatMajorVersion:          pebble.FormatVirtualSSTables,
		MemTableSize:                uint64(o.MemTable),
		MemTableStopWritesThreshold: 1 << 20, // see maxMemTables
		L0CompactionThreshold:       2,
		LBaseMaxBytes:               64 << 20,
		MaxOpenFiles:                2000,
	}
	for i := range p.Levels {
		p.Levels[i].BlockSize = 4 << 10
		p.Levels[i].IndexBlockSize = 32 << 10
		if i < len(p.Levels)-1 {
			p.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		} else {
			p.Levels[i].FilterPolicy = pebble.NoFilterPolicy
		}
		p.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
	}
	p.TargetFileSizes[0] = 4 << 20
	if o.NoPageCache {
		// Blocks that happen to be asked for in their order are not read ahead, into that cache.
		p.Local.ReadaheadConfig = new(pebble.ReadaheadConfig)
		p.Local.ReadaheadConfig.Set(objstorageprovider.FadviseSequential, objstorageprovider.NoReadahead)
	}
	if o.tune != nil {
		o.tune(p)
	}
	return p
}
