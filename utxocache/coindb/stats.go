package coindb

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Compact rewrites the whole database, so that nothing that is overwritten or
// deleted is left. It needs as much free space again as the largest level, and
// for all of mainnet takes many minutes. While flushes fail it waits for them to
// succeed, or for ctx.
func (d *DB) Compact(ctx context.Context) error {
	if err := d.enter(); err != nil {
		return fmt.Errorf("compact: %w", err)
	}
	defer d.leave()
	if err := d.disk.check(); err != nil {
		return fmt.Errorf("compact: %w", err)
	}
	// On a broken disk Pebble would wait for ever for a flush.
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer cancel()
		select {
		case <-d.disk.dead:
		case <-ctx.Done():
		}
	})
	// No key begins with a byte of 0xff.
	err := d.pebble.Compact(ctx, []byte{0}, []byte{0xff}, true)
	cancel()
	wg.Wait()
	if err = errors.Join(err, d.disk.check()); err != nil {
		return fmt.Errorf("compact: %w", d.explain(err))
	}
	return nil
}

// A Stats is the size of a database. All sizes are in bytes.
type Stats struct {
	// Tip is zero if the database stands at none.
	Tip   Tip
	Coins uint64
	// CoinBytes, UndoBytes and IndexBytes are what the tables take for each,
	// about. What was written lately is in the log, and in none of them.
	CoinBytes, UndoBytes, IndexBytes uint64
	// DiskBytes is what all files take.
	DiskBytes uint64
	// BytesPerCoin is CoinBytes / Coins.
	BytesPerCoin float64
	// Levels are Pebble's, L0 first.
	Levels []Level
	// CacheBytes are the cached blocks of tables, MemTableBytes the memtables.
	// Their sum is at most the memory that was set, and some blocks; but
	// memtables, of which there are up to three, are never less.
	CacheBytes, MemTableBytes int64
	// CacheHits and CacheMisses count look-ups of blocks since Open.
	CacheHits, CacheMisses int64
	// Debt is what Pebble has yet to compact.
	Debt uint64
	// Damaged names each file that was found to be damaged.
	Damaged []string
}

// A Level is one of Pebble's levels.
type Level struct {
	Tables int64
	Bytes  int64
}

// Stats returns the database's size. It reads no tables.
func (d *DB) Stats() (*Stats, error) {
	if err := d.enter(); err != nil {
		return nil, fmt.Errorf("stats: %w", err)
	}
	defer d.leave()
	state, err := d.readState(d.pebble)
	if err != nil && !errors.Is(err, ErrNoTip) && !errors.Is(err, ErrLoading) {
		return nil, fmt.Errorf("stats: %w", err)
	}
	m := d.pebble.Metrics()
	s := &Stats{
		Tip: state.tip, Coins: state.coins,
		DiskBytes:     m.DiskSpaceUsage(),
		CacheBytes:    m.BlockCache.Size,
		MemTableBytes: int64(m.MemTable.Size),
		CacheHits:     m.BlockCache.Hits,
		CacheMisses:   m.BlockCache.Misses,
		Debt:          m.Compact.EstimatedDebt,
		Damaged:       d.damage.list(),
	}
	for _, l := range m.Levels {
		s.Levels = append(s.Levels, Level{l.TablesCount, l.TablesSize})
	}
	for kind, bytes := range map[byte]*uint64{
		kindCoin: &s.CoinBytes, kindUndo: &s.UndoBytes, kindScript: &s.IndexBytes,
	} {
		lower, upper := span(kind)
		if *bytes, err = d.pebble.EstimateDiskUsage(lower, upper); err != nil {
			return nil, fmt.Errorf("stats: %w", d.explain(err))
		}
	}
	if s.Coins > 0 {
		s.BytesPerCoin = float64(s.CoinBytes) / float64(s.Coins)
	}
	return s, nil
}
