package utxo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/utxocache/coindb"
	"github.com/outrider-project/outrider/utxocache/corefile"
)

// LoadOptions say what Load loads, and where to.
type LoadOptions struct {
	Place
	// Snapshot is the path of a file or named pipe with what Bitcoin Core's
	// dumptxoutset wrote; "-" is Stdin.
	Snapshot string
	Stdin    *os.File
	// Height is that of the snapshot's base, the block as of which the coins are
	// unspent; 0 means that it is to be found out.
	Height uint32
	// Expect is what hash_serialized_3 must be; nil means what Bitcoin Core's
	// chain parameters say of the base, if they do.
	Expect *chainhash.Hash
	// Fresh removes what the database has, or an unfinished load, first.
	Fresh bool
	// Progress, if it is not nil, is called now and then, and Note with a
	// sentence that the user should know. They are called by one goroutine at a
	// time.
	Progress func(Progress)
	Note     func(string)

	chunk, tableBytes int // for tests; 0 means the default
}

// A Progress is how far something is.
type Progress struct {
	// Doing is what is done, in a word or two.
	Doing string
	// Done and Total count coins. Total is 0 where Share is known only.
	Done, Total uint64
	// Share is between 0 and 1.
	Share float64
}

// UnknownHeight stands in a database for the height of a base of which it is not
// known, because the snapshot came out of a pipe. No block can follow it until
// coindb.DB.SetHeight.
const UnknownHeight = coindb.UnknownHeight

// A Loaded is what Load did. Hashes are as Bitcoin Core's gettxoutsetinfo prints
// them.
type Loaded struct {
	Network  string `json:"network"`
	Coins    uint64 `json:"coins"`
	BaseHash string `json:"base_hash"`
	// BaseHeight is nil where it is not known.
	BaseHeight       *uint32 `json:"base_height,omitempty"`
	HashSerialized3  string  `json:"hash_serialized_3"`
	MuHash           string  `json:"muhash"`
	HashWasExpected  bool    `json:"hash_was_expected"`
	CoinsBefore      uint64  `json:"coins_before"`
	Seconds          float64 `json:"seconds"`
	CoinsPerSecond   float64 `json:"coins_per_second"`
	ExpectedBySource string  `json:"expected_by,omitempty"`
}

// WriteTable writes l for people.
func (l *Loaded) WriteTable(w io.Writer) error {
	verified := "not compared with anything: compare it with the node's `gettxoutsetinfo hash_serialized_3` at the base, or load with --expect"
	if l.HashWasExpected {
		verified = "as expected by " + l.ExpectedBySource
	}
	_, err := fmt.Fprintf(w, "%d coins of %s as of block %s %s\nhash_serialized_3  %s\n                   %s\nmuhash             %s\n%.1f s, %.0f coins a second, %d coins were there before\n",
		l.Coins, l.Network, heightText(l.BaseHeight), l.BaseHash, l.HashSerialized3, verified, l.MuHash, l.Seconds, l.CoinsPerSecond, l.CoinsBefore)
	return err
}

// heightText returns a height that may be unknown.
func heightText(h *uint32) string {
	if h == nil {
		return "(height unknown)"
	}
	return fmt.Sprint(*h)
}

// knownHeight returns the height of a tip; nil if it is unknown.
func knownHeight(tip coindb.Tip) *uint32 {
	if tip.Height == UnknownHeight {
		return nil
	}
	return &tip.Height
}

// Load loads a snapshot into the coin database of a Place, which it makes, in
// memory that does not depend on the number of coins. It stands at the snapshot's
// base afterwards, complete.
//
// The base's height is not in a snapshot, and no block can be applied without it.
// If it is neither given nor known of the base, a file is read once more
// beforehand: the height is the greatest of a coin, because what a block's
// coinbase pays cannot be spent for 100 blocks. That fails only for a block whose
// coinbase pays nobody and that creates no other coin; then no block can be applied
// either. A pipe can be read once, and the height stays UnknownHeight.
//
// A load that ended early, by an error, ctx or the death of the process, goes on
// when Load is called again for the same base. What is loaded already is not
// written again, but is read and compared. Until a load is done, and its hash
// is what it must be, the database stands at no tip.
func Load(ctx context.Context, o LoadOptions) (*Loaded, error) {
	start := time.Now()
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if o.Note == nil {
		o.Note = func(string) {}
	}
	s, err := openSnapshot(o.Snapshot, o.Stdin)
	if err != nil {
		return nil, o.explain(err, s)
	}
	l, err := o.load(ctx, s)
	if err = errors.Join(err, s.close()); err != nil {
		if errors.Is(err, context.Canceled) {
			err = fmt.Errorf("%w: interrupted; %s", err, again(s))
		}
		return nil, err
	}
	l.Seconds = time.Since(start).Seconds()
	l.CoinsPerSecond = float64(l.Coins-l.CoinsBefore) / l.Seconds
	return l, nil
}

// again says how to go on with the load of s.
func again(s *snapshot) string {
	if s.seekable {
		return "run the same command again to go on"
	}
	return "what was loaded is kept: write the same snapshot into the pipe again, from its start, and run the same command again to go on"
}

func (o *LoadOptions) load(ctx context.Context, s *snapshot) (l *Loaded, err error) {
	if o.Network != "" && o.Network != s.network {
		return nil, fmt.Errorf("--snapshot: it is of %s, not of %s", s.network, o.Network)
	}
	o.Network = s.network
	if o.Fresh {
		if err := o.remove(); err != nil {
			return nil, err
		}
	}
	header := s.reader.Header()
	by := "--expect"
	if known := baseOf(o.Network, header.Base); known != nil {
		if o.Height == 0 {
			o.Height = known.height
		}
		if o.Height != known.height {
			return nil, fmt.Errorf("--height: block %s has the height %d, not %d", header.Base, known.height, o.Height)
		}
		if o.Expect == nil {
			if o.Expect, err = chainhash.NewHashFromStr(known.coins); err != nil {
				return nil, err
			}
			by = "Bitcoin Core's chain parameters"
		}
	}
	if err := os.MkdirAll(filepath.Dir(o.dir()), 0o700); err != nil {
		return nil, err
	}
	db, err := coindb.Open(o.dir(), coindb.Options{})
	if err != nil {
		return nil, o.Advise(err)
	}
	l, err = o.fill(ctx, db, s)
	if err = errors.Join(err, db.Close()); err != nil {
		return nil, o.explain(err, s)
	}
	if o.Expect != nil {
		l.HashWasExpected, l.ExpectedBySource = true, by
	}
	return l, nil
}

// findHeight returns the height of the base, or UnknownHeight.
func (o *LoadOptions) findHeight(ctx context.Context, s *snapshot) (uint32, error) {
	base := s.reader.Header().Base
	tip, _, _, ok, err := readJournal(o.journalPath())
	switch {
	case err != nil:
		return 0, err
	case ok && tip.Hash == base:
		return tip.Height, nil
	case s.seekable:
		total := s.reader.Header().Coins
		return s.highest(ctx, func(coins uint64) {
			o.Progress(Progress{Doing: "looking for the base's height", Done: coins, Total: total, Share: share(coins, total)})
		})
	}
	o.Note(fmt.Sprintf("the height of block %s is not known, and a pipe can be read only once: the coins can be asked for, but no block "+
		"can be applied to them until it is; --height gives it", base))
	return UnknownHeight, nil
}

func share(part, whole uint64) float64 {
	if whole == 0 {
		return 1
	}
	return float64(part) / float64(whole)
}

// fill loads s into db and makes it stand at the base.
func (o *LoadOptions) fill(ctx context.Context, db *coindb.DB, s *snapshot) (_ *Loaded, err error) {
	if at, err := db.Tip(); err == nil {
		return nil, fmt.Errorf("%w: at %s", coindb.ErrTip, at) // before it takes minutes to find the height
	}
	tip := coindb.Tip{Hash: s.reader.Header().Base, Height: o.Height}
	if o.Height == 0 {
		if tip.Height, err = o.findHeight(ctx, s); err != nil {
			return nil, err
		}
	}
	loader, err := db.NewLoader(tip, coindb.LoadOptions{TableBytes: o.tableBytes})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, loader.Close()) }()
	before, _ := loader.Loaded()
	var j *journal
	if before == 0 {
		j, err = newJournal(o.journalPath(), tip)
	} else {
		j, err = openJournal(o.journalPath(), tip, before)
	}
	if err != nil {
		return nil, err
	}
	header := s.reader.Header()
	s.reader.LimitHeight(tip.Height)
	h := hashing{next: s.reader.Next, interrupt: s.interrupt, known: j.records, size: o.chunk, use: func(c *chunk) error {
		if !c.known {
			if err := j.add(&c.record); err != nil {
				return err
			}
		}
		for i := range c.ops {
			if err := loader.Add(c.ops[i], &c.coins[i]); err != nil {
				return err
			}
		}
		o.Progress(Progress{Doing: "loading", Done: c.record.coins, Total: header.Coins, Share: share(c.record.coins, header.Coins)})
		return nil
	}}
	sum, err := h.run(ctx)
	if err = errors.Join(err, j.close()); err != nil {
		return nil, err
	}
	if o.Expect != nil && sum.serialized != *o.Expect {
		return nil, fmt.Errorf("hash_serialized_3 of the %d coins is %s, not %s as it must be: the snapshot is damaged, or of other coins; "+
			"no coin of it will be used. Get another, and load it with --fresh", sum.coins, sum.serialized, o.Expect)
	}
	switch {
	case tip.Height == UnknownHeight:
		o.Note(fmt.Sprintf("the greatest height of a coin is %d, which is most likely the base's: to apply blocks, load again with --height %d and --fresh",
			sum.highest, sum.highest))
	case sum.highest < tip.Height:
		o.Note(fmt.Sprintf("the greatest height of a coin is %d: if that is the base's, and not %d, no block can be applied; load again with --height and --fresh then",
			sum.highest, tip.Height))
	}
	loader.SetMuHash(&sum.set)
	if err := loader.Finish(); err != nil {
		return nil, err
	}
	if err := os.Remove(o.journalPath()); err != nil {
		return nil, err
	}
	return &Loaded{
		Network: o.Network, Coins: sum.coins, BaseHash: tip.Hash.String(), BaseHeight: knownHeight(tip),
		HashSerialized3: sum.serialized.String(), MuHash: sum.mu.String(), CoinsBefore: before,
	}, nil
}

// explain returns err with what to do about it.
func (o *LoadOptions) explain(err error, s *snapshot) error {
	switch {
	case errors.Is(err, corefile.ErrTruncated):
		return fmt.Errorf("--snapshot: it is not whole: %w\nNothing of it is used; with the whole snapshot, %s", err, again(s))
	case errors.Is(err, corefile.ErrMagic):
		return fmt.Errorf("--snapshot: it is none, which dumptxoutset would have written: %w", err)
	case errors.Is(err, corefile.ErrMalformed) && o.Height != 0:
		return fmt.Errorf("--snapshot: it is damaged, or its base is higher than %d: %w\nNothing of it is used; load another, or with another --height, with --fresh", o.Height, err)
	case errors.Is(err, corefile.ErrMalformed):
		return fmt.Errorf("--snapshot: it is damaged: %w\nNothing of it is used; get another, and load it with --fresh", err)
	case errors.Is(err, coindb.ErrTip):
		return fmt.Errorf("%w\nThe database is loaded already: `outrider utxo stats` and `outrider utxo verify` tell of it, --fresh removes it first", err)
	case errors.Is(err, coindb.ErrLoading):
		return fmt.Errorf("%w\nGo on with the snapshot of that block and that height, or use --fresh to begin anew", err)
	case errors.Is(err, coindb.ErrDiskFull):
		return fmt.Errorf("%w\nMake room; then %s", err, again(s))
	}
	return o.Advise(err)
}
