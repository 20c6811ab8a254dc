package web

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// Coins tells of single coins. It is safe for concurrent use.
type Coins interface {
	// Coin says what is known of an outpoint; mempool counts what the mempool
	// makes and spends. The error wraps ErrNoAnswer when nobody can say for the
	// moment.
	Coin(ctx context.Context, op wire.OutPoint, mempool bool) (Coin, error)
}

// ErrNoAnswer says that there is no answer for the moment.
var ErrNoAnswer = errors.New("there is no answer for the moment")

// A Coin is what /api/v1/coins/TXID:VOUT tells. Its JSON field names are a
// contract: fields are added, never renamed.
type Coin struct {
	// Tip is the block as of which all else is so.
	Tip BlockID `json:"tip"`
	// Unspent says that the coin exists. The fields below it, but for Own, are set
	// only then.
	Unspent bool `json:"unspent"`
	// Mempool says that the mempool was counted too: what it spends is not unspent,
	// and what it makes is, with no height.
	Mempool bool `json:"mempool"`
	// Value is in satoshis, Script the locking script in hexadecimal.
	Value  int64  `json:"value,omitempty"`
	Script string `json:"script,omitempty"`
	// Height is of the block that made it, 0 for one of the mempool. Confirmations
	// counts that block too.
	Height        uint32 `json:"height,omitempty"`
	Confirmations uint32 `json:"confirmations"`
	Coinbase      bool   `json:"coinbase"`
	// Own says that the answer rests on the blocks or the database of the sidecar's
	// own; else it is the node's word, as what the mempool makes and spends always is.
	Own bool `json:"own"`
}

// Set fills in a coin that is unspent as of Tip.
func (c *Coin) Set(value int64, script []byte, height uint32, coinbase bool) {
	c.Unspent, c.Value, c.Script, c.Coinbase = true, value, hex.EncodeToString(script), coinbase
	if height > 0 {
		c.Height, c.Confirmations = height, 1+c.Tip.Height-height
	}
}

// coinHandler answers for single coins.
func coinHandler(coins Coins, log *slog.Logger) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		op, err := parseOutPoint(r.PathValue("outpoint"))
		mempool := false
		if v := r.FormValue("mempool"); err == nil && v != "" {
			if mempool, err = strconv.ParseBool(v); err != nil {
				err = errors.New("mempool is true or false")
			}
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		coin, err := coins.Coin(r.Context(), op, mempool)
		switch {
		case errors.Is(err, ErrNoAnswer):
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		case err != nil:
			if r.Context().Err() == nil {
				log.Error("web: answer for a coin", "outpoint", op.String(), "error", err)
			}
			http.Error(w, "the coin cannot be looked up: see the log", http.StatusInternalServerError)
			return
		}
		body, err := json.Marshal(coin)
		if err != nil {
			http.Error(w, "the coin cannot be encoded", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(append(body, '\n'))
	}
}

// parseOutPoint reads TXID:VOUT, the txid in display order.
func parseOutPoint(s string) (op wire.OutPoint, err error) {
	txid, vout, ok := strings.Cut(s, ":")
	hash, err := chainhash.NewHashFromStr(txid)
	n, numErr := strconv.ParseUint(vout, 10, 32)
	if !ok || len(txid) != 2*chainhash.HashSize || err != nil || numErr != nil {
		return wire.OutPoint{}, errors.New("an outpoint is TXID:VOUT, 64 hexadecimal digits, a colon and a number")
	}
	return wire.OutPoint{Hash: *hash, Index: uint32(n)}, nil
}
