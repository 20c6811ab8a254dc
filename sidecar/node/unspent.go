package node

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/utxocache/corefile"
)

// Unspent implements Unspender, by gettxout, which needs no index.
func (b *Bitcoind) Unspent(ctx context.Context, ops []wire.OutPoint) ([]Prevout, Tip, error) {
	return b.unspent(ctx, ops, confirmed)
}

// UnspentInMempool implements MempoolUnspender.
func (b *Bitcoind) UnspentInMempool(ctx context.Context, ops []wire.OutPoint) ([]Prevout, Tip, error) {
	return b.unspent(ctx, ops, includeMempool)
}

func (b *Bitcoind) unspent(ctx context.Context, ops []wire.OutPoint, mempool bool) ([]Prevout, Tip, error) {
	found, tip, err := unspent(ctx, b, ops, func(ctx context.Context, outs []txOut) error {
		return b.inBatches(ctx, b.m.getTxOut, len(ops), func(i int) []any { return txOutParams(ops[i], mempool) },
			func(i int, a *answer) error {
				outs[i].mempool = mempool
				return outs[i].decode(a, parseBitcoins)
			})
	})
	if err != nil {
		return nil, Tip{}, fmt.Errorf("bitcoind: unspent outputs: %w", bitcoindError(err))
	}
	return found, tip, nil
}

// Unspent implements Unspender, by gettxout, which needs no index.
func (b *Btcd) Unspent(ctx context.Context, ops []wire.OutPoint) ([]Prevout, Tip, error) {
	found, tip, err := unspent(ctx, b, ops, func(ctx context.Context, outs []txOut) error {
		return b.rpc.inChunks(ctx, len(ops), func(ctx context.Context, from, to int) error {
			params := make([][]any, 0, to-from)
			for _, op := range ops[from:to] {
				params = append(params, txOutParams(op, confirmed))
			}
			answers, err := b.rpc.batch(ctx, b.m.getTxOut, params)
			if err != nil {
				return err
			}
			for i := range answers {
				if err := outs[from+i].decode(&answers[i], parseFloatBitcoins); err != nil {
					return fmt.Errorf("gettxout %v: %w", ops[from+i], err)
				}
			}
			return nil
		})
	})
	if err != nil {
		return nil, Tip{}, fmt.Errorf("btcd: unspent outputs: %w", err)
	}
	return found, tip, nil
}

// What gettxout looks at: with the mempool, what that spends is hidden.
const (
	confirmed      = false
	includeMempool = true
)

func txOutParams(op wire.OutPoint, mempool bool) []any {
	return []any{op.Hash.String(), op.Index, mempool}
}

// unspentTries is how often the node is asked whose tip moves meanwhile.
const unspentTries = 4

// unspent returns the coins of ops as ask sets them, and the tip as of which they
// are: a node says of no coin that is spent as of when it is.
func unspent(ctx context.Context, n Node, ops []wire.OutPoint, ask func(context.Context, []txOut) error) ([]Prevout, Tip, error) {
	tip, err := n.Tip(ctx)
	if err != nil {
		return nil, Tip{}, err
	}
	for range unspentTries {
		outs := make([]txOut, len(ops))
		if err := ask(ctx, outs); err != nil {
			return nil, Tip{}, err
		}
		before := tip
		if tip, err = n.Tip(ctx); err != nil {
			return nil, Tip{}, err
		}
		elsewhere := func(o txOut) bool { return o.known && o.best != tip.Hash }
		if tip != before || slices.ContainsFunc(outs, elsewhere) {
			continue
		}
		found := make([]Prevout, len(ops))
		for i := range outs {
			if found[i], err = outs[i].prevout(tip.Height); err != nil {
				return nil, Tip{}, fmt.Errorf("gettxout %v: %w", ops[i], err)
			}
		}
		return found, tip, nil
	}
	return nil, Tip{}, ErrMoved
}

// A txOut is an answer of gettxout; not known if that is null.
type txOut struct {
	mempool       bool // it may be of the mempool
	known         bool
	best          chainhash.Hash
	confirmations uint32
	coin          blockval.Coin // without its height
}

// decode reads an answer, and an amount in it by parse. It checks that nothing is
// missing.
func (o *txOut) decode(a *answer, parse func([]byte) (int64, error)) error {
	if a.err() == nil && string(a.Result) == "null" {
		return nil
	}
	var result struct {
		Best          *displayHash    `json:"bestblock"`
		Confirmations *height         `json:"confirmations"`
		Value         json.RawMessage `json:"value"`
		Script        struct {
			Hex *hexBytes `json:"hex"`
		} `json:"scriptPubKey"`
		Coinbase *bool `json:"coinbase"`
	}
	if err := a.decodeInto(&result); err != nil {
		return err
	}
	if result.Best == nil || result.Confirmations == nil || result.Value == nil || result.Script.Hex == nil || result.Coinbase == nil {
		return malformed("a part of the output is missing")
	}
	value, err := parse(result.Value)
	if err != nil {
		return malformed("value: %w", err)
	}
	o.known, o.best, o.confirmations = true, chainhash.Hash(*result.Best), uint32(*result.Confirmations)
	o.coin = blockval.Coin{Value: value, Script: *result.Script.Hex, Coinbase: *result.Coinbase}
	return nil
}

// prevout returns the coin, when the best block of the answer is at this height.
func (o *txOut) prevout(best uint32) (Prevout, error) {
	if !o.known {
		return Prevout{Coin: blockval.Coin{Missing: true}}, nil
	}
	if o.mempool && o.confirmations == 0 {
		return Prevout{Coin: o.coin}, nil
	}
	if o.confirmations == 0 || o.confirmations > best {
		return Prevout{}, malformed("%d confirmations at height %d", o.confirmations, best)
	}
	coin := o.coin
	coin.Height = best + 1 - o.confirmations
	return Prevout{Coin: coin}, nil
}

// parseFloatBitcoins returns an amount that btcd tells as JSON's encoding of a
// float64 with bitcoins, in satoshis: below 2^53 of them none is lost.
func parseFloatBitcoins(b []byte) (int64, error) {
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil || !(f >= 0 && f*1e8 <= corefile.MaxMoney) {
		return 0, fmt.Errorf("%.40q is not an amount in bitcoins", b)
	}
	return int64(math.Round(f * 1e8)), nil
}
