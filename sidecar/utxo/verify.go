package utxo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/utxocache/coindb"
	"github.com/outrider-project/outrider/utxocache/corefile"
)

// VerifyOptions say what Verify compares.
type VerifyOptions struct {
	Place
	// Expect and ExpectMuHash are what the hashes must be; nil means whatever
	// they are, or for Expect what Bitcoin Core's chain parameters say of the
	// tip, if they do.
	Expect, ExpectMuHash *chainhash.Hash
	// Check reads every record beforehand, those that undo blocks and the index
	// too, and compares them with one another. Repair does so, and removes what
	// is damaged, if that is no coin.
	Check, Repair bool
	// Progress, if it is not nil, is called now and then, by one goroutine at a
	// time.
	Progress func(Progress)
}

// A Verified is what Verify found.
type Verified struct {
	Network string `json:"network"`
	Tip     Tip    `json:"tip"`
	// Coins is how many were hashed.
	Coins           uint64 `json:"coins"`
	HashSerialized3 string `json:"hash_serialized_3"`
	MuHash          string `json:"muhash"`
	// Whole says that nothing was found wrong, but for what was repaired.
	Whole bool `json:"whole"`
	// Problems are what is wrong, and Files the damaged ones; Checked and
	// Repaired say that they were looked for, and removed.
	Problems []string `json:"problems"`
	Files    []string `json:"damaged_files"`
	Checked  bool     `json:"checked"`
	Repaired bool     `json:"repaired"`
	Seconds  float64  `json:"seconds"`
}

// WriteTable writes v for people.
func (v *Verified) WriteTable(w io.Writer) error {
	fmt.Fprintf(w, "%d coins of %s as of block %s\n", v.Coins, v.Network, v.Tip)
	if v.HashSerialized3 != "" {
		fmt.Fprintf(w, "hash_serialized_3  %s\nmuhash             %s\n", v.HashSerialized3, v.MuHash)
	}
	for _, p := range v.Problems {
		fmt.Fprintln(w, "WRONG", p)
	}
	for _, f := range v.Files {
		fmt.Fprintln(w, "DAMAGED", f)
	}
	switch {
	case v.Repaired:
		fmt.Fprintln(w, "what was wrong is removed; no coin was")
	case v.Whole && v.Checked:
		fmt.Fprintln(w, "everything was read, and nothing is wrong")
	}
	_, err := fmt.Fprintf(w, "%.1f s\n", v.Seconds)
	return err
}

// Verify hashes all coins of the database afresh, in both ways, as Bitcoin Core's
// gettxoutsetinfo does at the same block. What it finds wrong is not an error.
func Verify(ctx context.Context, o VerifyOptions) (*Verified, error) {
	start := time.Now()
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	v := &Verified{Problems: []string{}, Files: []string{}}
	err := o.use(func(db *coindb.DB) error { return o.verify(ctx, db, v) })
	if err != nil {
		return nil, err
	}
	v.Network, v.Seconds = o.Network, time.Since(start).Seconds()
	v.Whole = v.Repaired || len(v.Problems)+len(v.Files) == 0
	return v, nil
}

func (o *VerifyOptions) verify(ctx context.Context, db *coindb.DB, v *Verified) error {
	if o.Check || o.Repair {
		if err := o.check(ctx, db, v); err != nil || len(v.Problems)+len(v.Files) > 0 && !v.Repaired {
			return err
		}
	}
	return view(db, func(view *coindb.View) error {
		if err := o.hash(ctx, view, v); err != nil {
			return err
		}
		kept, err := db.MuHashAt(view.Tip())
		if errors.Is(err, coindb.ErrNoMuHash) {
			return nil
		}
		if err == nil && kept.String() != v.MuHash {
			v.problem("muhash is %s, but %s was kept while blocks were applied", v.MuHash, kept)
		}
		return err
	})
}

// hash hashes the coins, and compares the hashes with what they must be.
func (o *VerifyOptions) hash(ctx context.Context, view *coindb.View, v *Verified) error {
	total := view.Coins()
	next, stop := iter.Pull2(transactions(view.All()))
	defer stop()
	h := hashing{
		next: func() (*corefile.TxCoins, error) {
			tx, err, ok := next()
			if !ok {
				return nil, io.EOF
			}
			return tx, err
		},
		use: func(c *chunk) error {
			o.Progress(Progress{Doing: "hashing", Done: c.record.coins, Total: total, Share: share(c.record.coins, total)})
			return nil
		},
	}
	sum, err := h.run(ctx)
	if err != nil {
		return err
	}
	v.Tip, v.Coins = tipOf(view.Tip()), sum.coins
	v.HashSerialized3, v.MuHash = sum.serialized.String(), sum.mu.String()
	if sum.coins != total {
		v.problem("there are %d coins, the tip's record counts %d", sum.coins, total)
	}
	by := "--expect"
	if known := baseOf(o.Network, view.Tip().Hash); known != nil && o.Expect == nil {
		by = "Bitcoin Core's chain parameters"
		if o.Expect, err = chainhash.NewHashFromStr(known.coins); err != nil {
			return err
		}
	}
	if o.Expect != nil && *o.Expect != sum.serialized {
		v.problem("hash_serialized_3 is %s, not %s as by %s", sum.serialized, o.Expect, by)
	}
	if o.ExpectMuHash != nil && *o.ExpectMuHash != sum.mu {
		v.problem("muhash is %s, not %s as by --expect-muhash", sum.mu, o.ExpectMuHash)
	}
	return nil
}

func (v *Verified) problem(format string, args ...any) {
	v.Problems = append(v.Problems, fmt.Sprintf(format, args...))
}

// check checks, and repairs if it is to, everything but the hashes.
func (o *VerifyOptions) check(ctx context.Context, db *coindb.DB, v *Verified) error {
	o.Progress(Progress{Doing: "checking every record"})
	check := db.Check
	if o.Repair {
		check = db.Repair
	}
	report, err := check(ctx)
	if report == nil {
		return err
	}
	v.Tip, v.Coins, v.Checked = tipOf(report.Tip), report.Coins, true
	for _, p := range report.Problems {
		v.Problems = append(v.Problems, p.String())
	}
	v.Files = append(v.Files, report.Files...)
	if errors.Is(err, coindb.ErrReload) {
		v.problem("%v: no repair can make the coins whole; load a snapshot again with `outrider utxo load --fresh`", coindb.ErrReload)
		return nil
	}
	v.Repaired = err == nil && o.Repair && len(v.Problems)+len(v.Files) > 0
	return err
}

// transactions yields the coins of each transaction together. They are good until
// the next ones.
func transactions(coins iter.Seq2[coindb.CoinAt, error]) iter.Seq2[*corefile.TxCoins, error] {
	return func(yield func(*corefile.TxCoins, error) bool) {
		var tx corefile.TxCoins
		var scripts []byte
		for c, err := range coins {
			if err != nil {
				yield(nil, err)
				return
			}
			if len(tx.Coins) > 0 && tx.Txid != c.OutPoint.Hash {
				if !yield(&tx, nil) {
					return
				}
				tx.Coins, scripts = tx.Coins[:0], scripts[:0]
			}
			at := len(scripts)
			scripts = append(scripts, c.Coin.Script...)
			coin := c.Coin
			coin.Script = scripts[at:len(scripts):len(scripts)]
			tx.Txid = c.OutPoint.Hash
			tx.Coins = append(tx.Coins, corefile.TxCoin{Vout: c.OutPoint.Index, Coin: coin})
		}
		if len(tx.Coins) > 0 {
			yield(&tx, nil)
		}
	}
}
