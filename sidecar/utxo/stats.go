package utxo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/outrider-project/outrider/utxocache/coindb"
)

// A Stats is the size of a database; sizes are in bytes.
type Stats struct {
	Network  string `json:"network"`
	Dir      string `json:"dir"`
	Tip      Tip    `json:"tip"`
	Complete bool   `json:"complete"`
	Coins    uint64 `json:"coins"`
	// CoinBytes, UndoBytes and IndexBytes are about what the tables take for
	// each; DiskBytes is what all files take.
	CoinBytes    uint64  `json:"coin_bytes"`
	UndoBytes    uint64  `json:"undo_bytes"`
	IndexBytes   uint64  `json:"index_bytes"`
	DiskBytes    uint64  `json:"disk_bytes"`
	BytesPerCoin float64 `json:"bytes_per_coin"`
	// Levels are Pebble's, the highest first; CompactionDebt is what it has yet
	// to compact.
	Levels         []Level `json:"levels"`
	CompactionDebt uint64  `json:"compaction_debt_bytes"`
	// Index says whether there is a whole index of scripts.
	Index bool `json:"index"`
}

// A Level is one of Pebble's levels.
type Level struct {
	Tables int64 `json:"tables"`
	Bytes  int64 `json:"bytes"`
}

// WriteTable writes s for people.
func (s *Stats) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", args...) }
	row("database", "%s, of %s", s.Dir, s.Network)
	row("tip", "%s", s.Tip)
	row("complete", "%v", s.Complete)
	row("coins", "%d", s.Coins)
	row("bytes a coin", "%.1f", s.BytesPerCoin)
	row("bytes of coins", "%d", s.CoinBytes)
	row("bytes of undo records", "%d", s.UndoBytes)
	row("bytes of the index", "%d (index of scripts: %v)", s.IndexBytes, s.Index)
	row("bytes on the disk", "%d, %d yet to be compacted", s.DiskBytes, s.CompactionDebt)
	for i, l := range s.Levels {
		if l.Tables > 0 {
			row(fmt.Sprintf("level %d", i), "%d tables, %d bytes", l.Tables, l.Bytes)
		}
	}
	return t.Flush()
}

// ReadStats returns the size of the database. It reads no coins.
func ReadStats(p Place) (*Stats, error) {
	var s *Stats
	err := p.use(func(db *coindb.DB) (err error) {
		s, err = p.stats(db)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (p *Place) stats(db *coindb.DB) (*Stats, error) {
	d, err := db.Stats()
	if err != nil {
		return nil, err
	}
	s := &Stats{
		Network: p.Network, Dir: p.dir(),
		CoinBytes: d.CoinBytes, UndoBytes: d.UndoBytes, IndexBytes: d.IndexBytes, DiskBytes: d.DiskBytes,
		BytesPerCoin: d.BytesPerCoin, CompactionDebt: d.Debt,
	}
	for _, l := range d.Levels {
		s.Levels = append(s.Levels, Level(l))
	}
	return s, view(db, func(v *coindb.View) error {
		s.Tip, s.Complete, s.Coins, s.Index = tipOf(v.Tip()), v.Complete(), v.Coins(), true
		for _, err := range v.ByScript([32]byte{}) {
			if !errors.Is(err, coindb.ErrNoIndex) {
				return err
			}
			s.Index = false
		}
		return nil
	})
}

// Compact rewrites the whole database, and returns its size then. It needs as much
// free space again.
func Compact(ctx context.Context, p Place) (*Stats, error) {
	var s *Stats
	err := p.use(func(db *coindb.DB) (err error) {
		if _, err := db.Tip(); err != nil {
			return err
		}
		if err := db.Compact(ctx); err != nil {
			return err
		}
		s, err = p.stats(db)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}
