package nodetest

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/utxocache/corefile"
	"github.com/outrider-project/outrider/utxocache/muhash"
)

// indexInfo answers getindexinfo.
func (b *Bitcoind) indexInfo() any {
	info := make(map[string]any)
	state := map[string]any{"synced": true, "best_block_height": len(b.chain) - 1}
	if !b.opts.NoTxIndex {
		info["txindex"] = state
	}
	if b.opts.CoinStatsIndex {
		info["coinstatsindex"] = state
	}
	return info
}

// coinStats answers gettxoutsetinfo muhash, of the tip or, with the index, of a
// block of any branch.
func (b *Bitcoind) coinStats(params []json.RawMessage) (any, *coreError) {
	if len(params) == 0 || string(params[0]) != `"muhash"` {
		return nil, &coreError{-1, "nodetest: gettxoutsetinfo is answered with muhash only"}
	}
	at := b.chain[len(b.chain)-1]
	if len(params) > 1 && string(params[1]) != "null" {
		if !b.opts.CoinStatsIndex {
			return nil, &coreError{-8, "Querying specific block heights requires coinstatsindex"}
		}
		var rpcErr *coreError
		if at, rpcErr = hashParam("hash_or_height", params[1:]); rpcErr != nil {
			return nil, rpcErr
		}
	}
	if b.rec.Blocks[at] == nil {
		return nil, &coreError{-5, "Block not found"}
	}
	return map[string]any{"height": b.rec.Height(at), "bestblock": at.String(), "muhash": b.rec.muhash(at).String()}, nil
}

// muhash returns the MuHash of the coins as of a block.
func (rec *BitcoindRecording) muhash(at chainhash.Hash) chainhash.Hash {
	var chain []*wire.MsgBlock
	for height := rec.Height(at); height > 0; height-- { // the genesis block makes no coin
		var msg wire.MsgBlock
		if err := msg.Deserialize(bytes.NewReader(rec.Blocks[at])); err != nil {
			panic("nodetest: " + err.Error())
		}
		chain = append(chain, &msg)
		at = msg.Header.PrevBlock
	}
	slices.Reverse(chain)
	coins := make(map[wire.OutPoint][]byte)
	for i, msg := range chain {
		for n, tx := range msg.Transactions {
			for _, in := range tx.TxIn {
				delete(coins, in.PreviousOutPoint)
			}
			for vout, out := range tx.TxOut {
				if len(out.PkScript) > 0 && out.PkScript[0] == 0x6a {
					continue
				}
				op := wire.OutPoint{Hash: tx.TxHash(), Index: uint32(vout)}
				coins[op] = corefile.AppendTxOutSer(nil, op, &corefile.Coin{
					Value: out.Value, Script: out.PkScript, Height: uint32(i + 1), Coinbase: n == 0,
				})
			}
		}
	}
	var set muhash.Set
	for _, element := range coins {
		set.Insert(element)
	}
	return set.Finalize()
}
