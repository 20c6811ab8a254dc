package utxo

import (
	"context"
	"fmt"
	"io"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/utxocache/coindb"
)

// An IndexState says whether a database has an index of scripts.
type IndexState struct {
	Network string `json:"network"`
	Index   bool   `json:"index"`
}

// WriteTable writes s for people.
func (s *IndexState) WriteTable(w io.Writer) error {
	is := "is no index of scripts"
	if s.Index {
		is = "is an index of scripts"
	}
	_, err := fmt.Fprintf(w, "there %s of %s\n", is, s.Network)
	return err
}

// BuildIndex makes the index of scripts, or goes on with it; the whole one it
// leaves.
func BuildIndex(ctx context.Context, p Place, progress func(Progress)) (*IndexState, error) {
	err := p.use(func(db *coindb.DB) error {
		return db.BuildIndex(ctx, func(share float64) {
			if progress != nil {
				progress(Progress{Doing: "building the index", Share: share})
			}
		})
	})
	if err != nil {
		return nil, err
	}
	return &IndexState{p.Network, true}, nil
}

// DropIndex removes the index of scripts, if there is one.
func DropIndex(p Place) (*IndexState, error) {
	if err := p.use((*coindb.DB).DropIndex); err != nil {
		return nil, err
	}
	return &IndexState{p.Network, false}, nil
}

// ScriptCoins are the coins with one script.
type ScriptCoins struct {
	Tip Tip `json:"tip"`
	// ScriptHash is the SHA-256 of the script in display order, as the Electrum
	// protocol has it.
	ScriptHash string       `json:"script_hash"`
	Coins      []ScriptCoin `json:"coins"`
}

// A ScriptCoin is where a coin with the script is, and the height of the block
// that created it.
type ScriptCoin struct {
	TxID   string `json:"txid"`
	Vout   uint32 `json:"vout"`
	Height uint32 `json:"height"`
}

// WriteTable writes s for people.
func (s *ScriptCoins) WriteTable(w io.Writer) error {
	fmt.Fprintf(w, "as of block %s, %d coins with the script %s\n", s.Tip, len(s.Coins), s.ScriptHash)
	for _, c := range s.Coins {
		fmt.Fprintf(w, "%s:%d  created in block %d\n", c.TxID, c.Vout, c.Height)
	}
	return nil
}

// ParseScriptHash returns the SHA-256 of a script that 64 hex digits say, its last
// byte first, as in the Electrum protocol.
func ParseScriptHash(s string) ([32]byte, error) {
	h, err := parseHash(s)
	return [32]byte(h), err
}

// maxShown bounds the coins that Show returns.
const maxShown = 1_000_000

// Show returns the coins whose script has the given SHA-256, sorted by txid, in
// internal byte order, and number.
func Show(p Place, script [32]byte) (*ScriptCoins, error) {
	shown := &ScriptCoins{Coins: []ScriptCoin{}}
	err := p.use(func(db *coindb.DB) error {
		return view(db, func(v *coindb.View) error {
			shown.Tip = tipOf(v.Tip())
			for c, err := range v.ByScript(script) {
				if err != nil {
					return err
				}
				if len(shown.Coins) == maxShown {
					return fmt.Errorf("more than %d coins have this script: that is too many to show", maxShown)
				}
				shown.Coins = append(shown.Coins, ScriptCoin{c.OutPoint.Hash.String(), c.OutPoint.Index, c.Height})
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	shown.ScriptHash = chainhash.Hash(script).String()
	return shown, nil
}
