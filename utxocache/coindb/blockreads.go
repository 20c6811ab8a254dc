package coindb

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Reads is what look-ups of coins in batches have read of tables since Open, by
// Pebble's own account: data blocks, and the indices and filters before them.
type Reads struct {
	// Bytes were read, of which Missed were not in the cache of blocks, and took
	// Time, summed over the goroutines that waited for them.
	Bytes, Missed uint64
	Time          time.Duration
}

// blockReads counts Reads.
type blockReads struct{ bytes, missed, time atomic.Uint64 }

// add adds what an iterator has read.
func (r *blockReads) add(s pebble.InternalIteratorStats) {
	r.bytes.Add(s.BlockBytes)
	r.missed.Add(s.BlockBytes - s.BlockBytesInCache)
	r.time.Add(uint64(s.BlockReadDuration))
}

// Reads returns what was read so far.
func (d *DB) Reads() Reads {
	return Reads{Bytes: d.blocks.bytes.Load(), Missed: d.blocks.missed.Load(), Time: time.Duration(d.blocks.time.Load())}
}

// Held returns the bytes that cached blocks of tables and memtables take at this
// moment, of what SetMemory lets them have together. Memtables are never less than
// they are.
func (d *DB) Held() (cache, memtables int64, err error) {
	if err := d.enter(); err != nil {
		return 0, 0, fmt.Errorf("held: %w", err)
	}
	defer d.leave()
	return d.cache.Size(), int64(d.pebble.Metrics().MemTable.Size), nil
}

// MemTables returns how many bytes memtables take at most.
func (d *DB) MemTables() int64 { return maxMemTables * d.opts.MemTable }
