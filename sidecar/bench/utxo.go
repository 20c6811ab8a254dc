package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/outrider-project/outrider/sidecar/utxo"
	"github.com/outrider-project/outrider/testvectors"
	"github.com/outrider-project/outrider/utxocache/coindb"
)

// UtxoOptions say what Utxo measures, and how.
type UtxoOptions struct {
	// Dir is an empty directory on the disk to measure.
	Dir string
	// Coins is how many the database has; at least UtxoCoins(Rounds), at most
	// MostCoins.
	Coins int
	// Rounds is how often each figure is measured; its median is told.
	Rounds int

	hits hitBlocks // of the chain of spends; the zero value means allHitBlocks
}

// UtxoCoins returns how many coins so many rounds need, at least: no block spends
// or asks for one of another's.
func UtxoCoins(rounds int) int { return rounds * 3 * blockSpends }

// MostCoins is how many coins Utxo makes at most.
const MostCoins = 200_000_000

// The shape of a block is about that of mainnet's block 866342.
const (
	blockSpends    = 8_000
	blockCreations = 12_000
)

// utxoCache is the size in bytes of the cache of blocks that each database has beside
// its memtables: a few per cent of a million coins, as the default is of mainnet's.
// What reads has small memtables, so that what was written lately is not in memory;
// what writes has those that are the coin database's default.
const (
	utxoCache     = 4 << 20
	smallMemTable = 1 << 20
	usualMemTable = 32 << 20
)

// A UtxoReport is what "outrider bench utxo" prints.
type UtxoReport struct {
	Coins int `json:"coins"`
	// CacheBytes is the size of each database's cache of blocks.
	CacheBytes int `json:"cache_bytes"`
	// AllocationsPerGet is of get/ring and get/ristretto.
	AllocationsPerGet float64 `json:"allocations_per_get"`
	// Notes say what the rows are of.
	Notes []string `json:"notes"`
	Report
}

// A utxoFigure is rows in the making: they are measured once a round, in turns
// with the others.
type utxoFigure interface {
	measure(ctx context.Context, round int) error
	rows() []Row
}

// Utxo measures coins in memory beside a Go map and ristretto alone, then what
// share of the spent coins the cache finds beside other caches, then the coin
// database beside goleveldb, which btcd keeps its own in; each with the same coins.
func Utxo(ctx context.Context, o UtxoOptions) (_ *UtxoReport, err error) {
	if o.Rounds < 1 || o.Coins < UtxoCoins(o.Rounds) || o.Coins > MostCoins {
		return nil, fmt.Errorf("%d rounds need from %d to %d coins", o.Rounds, UtxoCoins(o.Rounds), MostCoins)
	}
	if o.hits == (hitBlocks{}) {
		o.hits = allHitBlocks
	}
	set := coinSet(o.Coins)
	rep := &UtxoReport{Coins: o.Coins, CacheBytes: utxoCache, Report: Report{Machine: ThisMachine()}}
	if rep.Rows, rep.AllocationsPerGet, err = measureLooks(ctx, set, o.Rounds); err != nil {
		return nil, err
	}
	hits := &hitBench{blocks: o.hits}
	rows, err := hits.rows(ctx)
	if err != nil {
		return nil, err
	}
	rep.Rows = append(rep.Rows, rows...)
	// What was in memory until now would slow down what follows.
	runtime.GC()
	if rows, err = measureDatabase(ctx, set, o); err != nil {
		return nil, err
	}
	rep.Rows = append(rep.Rows, rows...)
	rep.Notes = utxoNotes(rep, hits)
	return rep, nil
}

// utxoNotes returns what the rows are of.
func utxoNotes(rep *UtxoReport, hits *hitBench) []string {
	notes := []string{
		fmt.Sprintf("get: single look-ups of %d coins in memory, half of them in the ring of %d blocks, half below it, in random order; on one thread, the time that it had a processor; %.4f allocations a look-up",
			heldOf(rep.Coins), heldBlocks, rep.AllocationsPerGet),
		fmt.Sprintf("get/block8000/warm: %d of them, from the ring and from below it, asked for at once", blockSpends),
		fmt.Sprintf("bytes/coin: of the coins below the ring, all told; what the heap grew by. After the chain of hit/spend-once/100k it is %.1f, as accounted", hits.bytes),
		fmt.Sprintf("hit/spend-once/100k: of the coins that %d blocks spend, after %d that fill the caches. Each coin is spent once or never, and asked for only then: %s. All held as many coins, ours %d at most, with the ring of %d blocks",
			hits.blocks.count, hits.blocks.warm, testvectors.SpendAges(), hits.held, hitRing),
		fmt.Sprintf("get/one/pebble: the %d coins of get/block8000/pebble again, one after the other, each as of the tip, on one thread; most of their blocks are not in the cache", blockSpends),
		fmt.Sprintf("get/block8000/pebble, get/one/pebble and apply: of %d coins; both databases with %d MiB of cache, no compression and the same number of goroutines, goleveldb with filters of 10 bits a key and compacted; the files are in the system's cache", rep.Coins, utxoCache>>20),
		fmt.Sprintf("apply: a block of %d spends and %d creations, with what undoes it; on the disk when it is done. What it spends is known from its validation, whose look-up is get/block8000/pebble; in apply/block/read it is not, and is read again", blockSpends, blockCreations),
		"load: a snapshot as dumptxoutset writes it, with hash_serialized_3, MuHash and the journal by which a killed load goes on",
	}
	if runtime.GOMAXPROCS(0) > 1 {
		return append(notes, "scaling/get: how many times as many of them two goroutines look up as one; with two processors that nobody else uses, the anchor is 2")
	}
	return append(notes, "no scaling/get: there is one processor")
}

// measureDatabase returns the rows of the coin database.
func measureDatabase(ctx context.Context, set coinSet, o UtxoOptions) (rows []Row, err error) {
	load := &loadFigure{set: set, place: utxo.Place{Datadir: o.Dir, Network: "regtest"}, snapshot: filepath.Join(o.Dir, "utxo.dat")}
	if err := set.writeSnapshot(load.snapshot); err != nil {
		return nil, err
	}
	for round := range o.Rounds {
		if err := load.measure(ctx, round); err != nil {
			return nil, err
		}
	}
	if err := os.Remove(load.snapshot); err != nil {
		return nil, err
	}
	if err := writeLevelCoins(filepath.Join(o.Dir, "goleveldb"), set); err != nil {
		return nil, err
	}
	reading, err := measureStores(ctx, o, smallMemTable, func(db *coindb.DB, level *levelCoins) []utxoFigure {
		return []utxoFigure{&getFigure{set: set, db: db, level: level}, &getFigure{set: set, db: db, level: level, single: true}, &applyFigure{set: set, db: db, level: level}}
	})
	if err != nil {
		return nil, err
	}
	applying, err := measureStores(ctx, o, usualMemTable, func(db *coindb.DB, level *levelCoins) []utxoFigure {
		return []utxoFigure{&applyFigure{set: set, db: db, level: level, known: true, first: o.Rounds}}
	})
	return slices.Concat(reading, applying, load.rows()), err
}

// measureStores returns the rows of figures of both databases, which have memtables
// of that size.
func measureStores(
	ctx context.Context, o UtxoOptions, memTable int, figures func(*coindb.DB, *levelCoins) []utxoFigure,
) (rows []Row, err error) {
	db, err := coindb.Open(filepath.Join(o.Dir, "regtest", "coins"), coindb.Options{Memory: int64(utxoCache + memTable), MemTable: int64(memTable)})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	level, err := openLevelCoins(filepath.Join(o.Dir, "goleveldb"), memTable)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, level.close()) }()
	measured := figures(db, level)
	for round := range o.Rounds {
		for _, f := range measured {
			if err := f.measure(ctx, round); err != nil {
				return nil, err
			}
		}
	}
	for _, f := range measured {
		rows = append(rows, f.rows()...)
	}
	return rows, nil
}

// WriteTable writes the report for people.
func (r *UtxoReport) WriteTable(w io.Writer) error {
	for _, note := range r.Notes {
		fmt.Fprintln(w, note)
	}
	fmt.Fprintln(w)
	return r.Report.WriteTable(w)
}

// inTurns measures two things, the first of them first in every other round.
func inTurns(round int, first, second func() error) (took [2]time.Duration, err error) {
	do := []func() error{first, second}
	for i := range do {
		which := (round + i) % 2
		start := time.Now()
		if err := do[which](); err != nil {
			return took, err
		}
		took[which] = time.Since(start)
	}
	return took, nil
}

// moreIsBetter returns the row of a figure of which more is better.
func moreIsBetter(name string, value float64, unit, anchor string, anchorValue float64) Row {
	row := Row{Name: name, Value: value, Unit: unit, Anchor: anchor, AnchorValue: anchorValue}
	if anchorValue > 0 {
		row.Ratio = value / anchorValue
	}
	return row
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// A loadFigure is load/snapshot.
type loadFigure struct {
	set      coinSet
	place    utxo.Place
	snapshot string
	rates    []float64
}

func (f *loadFigure) measure(ctx context.Context, _ int) error {
	l, err := utxo.Load(ctx, utxo.LoadOptions{Place: f.place, Snapshot: f.snapshot, Height: f.set.base().Height, Fresh: true})
	if err != nil {
		return err
	}
	if l.Coins != uint64(f.set) {
		return fmt.Errorf("%d coins were loaded, of %d", l.Coins, f.set)
	}
	f.rates = append(f.rates, l.CoinsPerSecond)
	return nil
}

func (f *loadFigure) rows() []Row { return []Row{plain("load/snapshot", median(f.rates), "coins/s")} }
