package utxo

import (
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/utxocache/coindb"
)

// ParseOutPoint returns the outpoint that TXID:VOUT says, the txid in display
// order.
func ParseOutPoint(s string) (wire.OutPoint, error) {
	txid, vout, ok := strings.Cut(s, ":")
	hash, hashErr := parseHash(txid)
	n, voutErr := strconv.ParseUint(vout, 10, 32)
	if !ok || hashErr != nil || voutErr != nil {
		return wire.OutPoint{}, fmt.Errorf("%q is no outpoint: it is a txid of 64 hex digits, a colon and a number", s)
	}
	return wire.OutPoint{Hash: hash, Index: uint32(n)}, nil
}

// ParseHash returns the hash that 64 hex digits in display order say.
func ParseHash(s string) (*chainhash.Hash, error) {
	h, err := parseHash(s)
	if err != nil {
		return nil, err
	}
	return &h, nil
}

// parseHash refuses the shorter texts that chainhash takes.
func parseHash(s string) (h chainhash.Hash, err error) {
	if len(s) == 2*chainhash.HashSize {
		err = chainhash.Decode(&h, s)
		if err == nil {
			return h, nil
		}
	}
	return h, fmt.Errorf("%q is no hash of 64 hex digits", s)
}

// A Tip is the block as of which a database answers.
type Tip struct {
	Hash string `json:"hash"`
	// Height is nil where it is not known.
	Height *uint32 `json:"height"`
}

func tipOf(t coindb.Tip) Tip { return Tip{t.Hash.String(), knownHeight(t)} }

func (t Tip) String() string { return heightText(t.Height) + " " + t.Hash }

// A Coin is what a database has of an outpoint.
type Coin struct {
	TxID  string `json:"txid"`
	Vout  uint32 `json:"vout"`
	Found bool   `json:"found"`
	// Output is nil unless Found.
	Output *Output `json:"output,omitempty"`
}

// An Output is a coin.
type Output struct {
	// Value is in satoshis.
	Value int64 `json:"value"`
	// Script is the locking script in hex.
	Script   string `json:"script"`
	Height   uint32 `json:"height"`
	Coinbase bool   `json:"coinbase"`
}

// A Found is the answer to Get.
type Found struct {
	Tip Tip `json:"tip"`
	// Complete says that what was not found is no coin. Otherwise it may be one
	// that is older than the database.
	Complete bool   `json:"complete"`
	Coins    []Coin `json:"coins"`
}

// WriteTable writes f for people.
func (f *Found) WriteTable(w io.Writer) error {
	fmt.Fprintf(w, "as of block %s\n", f.Tip)
	for _, c := range f.Coins {
		switch o := c.Output; {
		case c.Found:
			created := "in block"
			if o.Coinbase {
				created = "by the coinbase of block"
			}
			fmt.Fprintf(w, "%s:%d  %d satoshis, created %s %d, script %s\n", c.TxID, c.Vout, o.Value, created, o.Height, o.Script)
		case f.Complete:
			fmt.Fprintf(w, "%s:%d  is no coin: it is spent, or never was\n", c.TxID, c.Vout)
		default:
			fmt.Fprintf(w, "%s:%d  is not there: it is spent, or never was, or is older than this database\n", c.TxID, c.Vout)
		}
	}
	return nil
}

// Get answers what the database has of ops, all as of one tip, in their order.
func Get(p Place, ops []wire.OutPoint) (*Found, error) {
	var f *Found
	err := p.use(func(db *coindb.DB) error {
		return view(db, func(v *coindb.View) (err error) {
			f, err = get(v, ops)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

func get(v *coindb.View, ops []wire.OutPoint) (*Found, error) {
	answers := make([]coindb.Answer, len(ops))
	if err := v.GetBatch(ops, answers); err != nil {
		return nil, err
	}
	f := &Found{Tip: tipOf(v.Tip()), Complete: v.Complete(), Coins: make([]Coin, len(ops))}
	for i, a := range answers {
		f.Coins[i] = Coin{TxID: ops[i].Hash.String(), Vout: ops[i].Index, Found: a.Found}
		if a.Found {
			c := &a.Coin
			f.Coins[i].Output = &Output{c.Value, hex.EncodeToString(c.Script), c.Height, c.Coinbase}
		}
	}
	return f, nil
}
