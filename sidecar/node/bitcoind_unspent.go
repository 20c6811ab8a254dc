package node

import (
	"context"
	"fmt"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
)

// Unspent implements Unspender, by gettxout, which needs no index.
func (b *Bitcoind) Unspent(ctx context.Context, ops []wire.OutPoint) ([]Prevout, error) {
	found, err := b.unspent(ctx, ops)
	if err != nil {
		return nil, fmt.Errorf("bitcoind: unspent outputs: %w", bitcoindError(err))
	}
	return found, nil
}

func (b *Bitcoind) unspent(ctx context.Context, ops []wire.OutPoint) ([]Prevout, error) {
	outs := make([]txOut, len(ops))
	err := b.inBatches(ctx, b.m.getTxOut, len(ops), func(i int) []any {
		const includeMempool = false // it would hide what the mempool spends
		return []any{ops[i].Hash.String(), ops[i].Index, includeMempool}
	}, func(i int, a *answer) error { return outs[i].decode(a) })
	if err != nil {
		return nil, err
	}
	heights := make(map[chainhash.Hash]uint32)
	var bests []chainhash.Hash
	for i := range outs {
		if _, ok := heights[outs[i].best]; outs[i].known && !ok {
			heights[outs[i].best] = 0
			bests = append(bests, outs[i].best)
		}
	}
	infos := make([]blockInfo, len(bests))
	err = b.inBatches(ctx, b.m.verboseHeaders, len(bests), func(i int) []any {
		return []any{bests[i].String(), true}
	}, func(i int, a *answer) error {
		if err := a.decodeInto(&infos[i]); err != nil {
			return err
		}
		return infos[i].check()
	})
	if err != nil {
		return nil, err
	}
	for i, best := range bests {
		heights[best] = uint32(*infos[i].Height)
	}
	found := make([]Prevout, len(ops))
	for i := range outs {
		if found[i], err = outs[i].prevout(heights[outs[i].best]); err != nil {
			return nil, fmt.Errorf("gettxout %v: %w", ops[i], err)
		}
	}
	return found, nil
}

// A txOut is an answer of gettxout; not known if that is null.
type txOut struct {
	known         bool
	best          chainhash.Hash
	confirmations uint32
	coin          blockval.Coin // without its height
}

// decode reads an answer. It checks that nothing is missing.
func (o *txOut) decode(a *answer) error {
	if a.err() == nil && string(a.Result) == "null" {
		return nil
	}
	var result struct {
		Best          *displayHash `json:"bestblock"`
		Confirmations *height      `json:"confirmations"`
		Value         *satoshis    `json:"value"`
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
	o.known, o.best, o.confirmations = true, chainhash.Hash(*result.Best), uint32(*result.Confirmations)
	o.coin = blockval.Coin{Value: int64(*result.Value), Script: *result.Script.Hex, Coinbase: *result.Coinbase}
	return nil
}

// prevout returns the coin, when the best block of the answer is at this height.
func (o *txOut) prevout(best uint32) (Prevout, error) {
	if !o.known {
		return Prevout{Coin: blockval.Coin{Missing: true}}, nil
	}
	if o.confirmations == 0 || o.confirmations > best {
		return Prevout{}, malformed("%d confirmations at height %d", o.confirmations, best)
	}
	coin := o.coin
	coin.Height = best + 1 - o.confirmations
	return Prevout{Coin: coin}, nil
}

// satoshis is an amount that JSON has in bitcoins.
type satoshis int64

// UnmarshalJSON implements json.Unmarshaler.
func (s *satoshis) UnmarshalJSON(data []byte) error {
	n, err := parseBitcoins(data)
	*s = satoshis(n)
	return err
}
