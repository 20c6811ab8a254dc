package nodetest

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// call runs a method. b.mu must be held.
func (b *Bitcoind) call(method string, params []json.RawMessage) (any, *coreError) {
	if b.warmUp {
		return nil, &coreError{-28, "Loading block index…"}
	}
	switch method {
	case "getblockchaininfo":
		return b.chainInfo(), nil
	case "getbestblockhash":
		return b.chain[len(b.chain)-1].String(), nil
	case "getblockcount":
		return len(b.chain) - 1, nil
	case "getblockhash":
		var n int
		if json.Unmarshal(params[0], &n) != nil || n < 0 || n >= len(b.chain) {
			return nil, &coreError{-8, "Block height out of range"}
		}
		return b.chain[n].String(), nil
	case "getblockheader", "getblock":
		return b.block(method, params)
	case "getchaintips":
		return b.chainTips(), nil
	case "getrawmempool":
		txids := make([]string, len(b.mempool))
		for i, txid := range b.mempool {
			txids[i] = txid.String()
		}
		if len(params) > 1 && string(params[1]) == "true" {
			return map[string]any{"txids": txids, "mempool_sequence": b.nextChange}, nil
		}
		return txids, nil
	case "getmempoolinfo":
		return map[string]any{"loaded": true, "size": len(b.mempool)}, nil
	case "getzmqnotifications":
		list := make([]map[string]any, len(b.notifiers))
		for i, n := range b.notifiers {
			list[i] = map[string]any{"type": "pub" + n.Topic, "address": n.Address, "hwm": 1000}
		}
		return list, nil
	case "getrawtransaction":
		return b.rawTransaction(params)
	case "gettxout":
		return b.txOut(params)
	case "getindexinfo":
		return b.indexInfo(), nil
	case "gettxoutsetinfo":
		return b.coinStats(params)
	}
	return nil, &coreError{-32601, "Method not found"}
}

// chainInfo is the recorded answer, with the chain as it is now.
func (b *Bitcoind) chainInfo() map[string]json.RawMessage {
	info := maps.Clone(b.info)
	tip := len(b.chain) - 1
	info["blocks"] = fmt.Append(nil, tip)
	info["headers"] = info["blocks"]
	info["bestblockhash"] = fmt.Appendf(nil, "%q", b.chain[tip].String())
	return info
}

// hashParam reads the first parameter as bitcoind does.
func hashParam(name string, params []json.RawMessage) (chainhash.Hash, *coreError) {
	var s string
	if len(params) == 0 || json.Unmarshal(params[0], &s) != nil {
		return chainhash.Hash{}, &coreError{-3, "Wrong type passed"}
	}
	if len(s) != 64 {
		return chainhash.Hash{}, &coreError{-8, fmt.Sprintf("%s must be of length 64 (not %d, for '%s')", name, len(s), s)}
	}
	hash, err := chainhash.NewHashFromStr(s)
	if err != nil {
		return chainhash.Hash{}, &coreError{-8, fmt.Sprintf("%s must be hexadecimal string (not '%s')", name, s)}
	}
	return *hash, nil
}

// verbosityOf reads a verbosity, which may be a boolean.
func verbosityOf(params []json.RawMessage, i, absent int) int {
	if i >= len(params) {
		return absent
	}
	switch s := string(params[i]); s {
	case "false", "0":
		return 0
	case "true":
		return 1
	default:
		var n int
		json.Unmarshal(params[i], &n)
		return n
	}
}

// height returns how many blocks a block has below it.
func (b *Bitcoind) height(hash chainhash.Hash) int {
	n := 0
	for hash != b.chain[0] {
		hash = chainhash.Hash(b.rec.Blocks[hash][4:36])
		n++
	}
	return n
}

// known reports whether the node has seen a block.
func (b *Bitcoind) known(hash chainhash.Hash) bool {
	for tip := range b.tips {
		for h := tip; h != (chainhash.Hash{}); h = chainhash.Hash(b.rec.Blocks[h][4:36]) {
			if h == hash {
				return true
			}
		}
	}
	return false
}

func (b *Bitcoind) block(method string, params []json.RawMessage) (any, *coreError) {
	name := map[string]string{"getblockheader": "hash", "getblock": "blockhash"}[method]
	hash, rpcErr := hashParam(name, params)
	if rpcErr != nil {
		return nil, rpcErr
	}
	if !b.known(hash) {
		return nil, &coreError{-5, "Block not found"}
	}
	if method == "getblock" {
		if rpcErr := b.prunedError(hash); rpcErr != nil {
			return nil, rpcErr
		}
	}
	raw := b.rec.Blocks[hash]
	verbosity := verbosityOf(params, 1, 1)
	switch {
	case method == "getblock" && verbosity == 0:
		return hex.EncodeToString(raw), nil
	case method == "getblockheader" && verbosity == 0:
		return hex.EncodeToString(raw[:80]), nil
	}
	// Of the verbose answers, the fields that tell the block's place, and what it
	// spends.
	at := b.height(hash)
	place := map[string]any{"hash": hash.String(), "height": at, "confirmations": -1}
	if at < len(b.chain) && b.chain[at] == hash {
		place["confirmations"] = len(b.chain) - at
		if at+1 < len(b.chain) {
			place["nextblockhash"] = b.chain[at+1].String()
		}
	}
	if method == "getblock" && verbosity >= 3 {
		place["tx"] = b.verboseTxs(hash)
	}
	return place, nil
}

// chainTips orders the tips as bitcoind does, highest first.
func (b *Bitcoind) chainTips() any {
	type tip struct {
		Height    uint32 `json:"height"`
		Hash      string `json:"hash"`
		BranchLen int    `json:"branchlen"`
		Status    string `json:"status"`
	}
	var tips []tip
	for hash, height := range b.tips {
		t := tip{height, hash.String(), 0, "active"}
		for h := hash; !slices.Contains(b.chain, h); h = chainhash.Hash(b.rec.Blocks[h][4:36]) {
			t.BranchLen++
			t.Status = "valid-fork"
		}
		if b.invalid[hash] {
			t.Status = "invalid"
		}
		tips = append(tips, t)
	}
	slices.SortFunc(tips, func(x, y tip) int { return cmp.Compare(y.Height, x.Height) })
	return tips
}

// txOut answers gettxout for a coin of the best chain.
func (b *Bitcoind) txOut(params []json.RawMessage) (any, *coreError) {
	txid, rpcErr := hashParam("txid", params)
	if rpcErr != nil {
		return nil, rpcErr
	}
	var n uint32
	if len(params) != 3 || json.Unmarshal(params[1], &n) != nil || string(params[2]) != "false" {
		return nil, &coreError{-1, "nodetest: gettxout is answered without the mempool only"}
	}
	tx := b.txs[txid]
	at := -1
	if tx != nil {
		at = slices.Index(b.chain, tx.block)
	}
	if at < 1 {
		return nil, nil
	}
	var coinbase bool
	var out *wire.TxOut
	for height, hash := range b.chain[at:] {
		var msg wire.MsgBlock
		if err := msg.Deserialize(bytes.NewReader(b.rec.Blocks[hash])); err != nil {
			return nil, &coreError{-1, "nodetest: " + err.Error()}
		}
		for i, tx := range msg.Transactions {
			if height == 0 && tx.TxHash() == txid && n < uint32(len(tx.TxOut)) {
				out, coinbase = tx.TxOut[n], i == 0
			}
			for _, in := range tx.TxIn {
				if in.PreviousOutPoint == (wire.OutPoint{Hash: txid, Index: n}) {
					return nil, nil
				}
			}
		}
	}
	if out == nil || len(out.PkScript) > 0 && out.PkScript[0] == txscript.OP_RETURN {
		return nil, nil
	}
	tip := len(b.chain) - 1
	return map[string]any{
		"bestblock": b.chain[tip].String(), "confirmations": tip + 1 - at, "coinbase": coinbase,
		"value":        json.RawMessage(fmt.Sprintf("%d.%08d", out.Value/1e8, out.Value%1e8)),
		"scriptPubKey": map[string]any{"hex": hex.EncodeToString(out.PkScript)},
	}, nil
}

func (b *Bitcoind) rawTransaction(params []json.RawMessage) (any, *coreError) {
	txid, rpcErr := hashParam("parameter 1", params)
	if rpcErr != nil {
		return nil, rpcErr
	}
	tx := b.txs[txid]
	pending := slices.Contains(b.mempool, txid)
	genesis := b.rec.Blocks[b.chain[0]]
	switch {
	case bytes.Equal(genesis[36:68], txid[:]):
		return nil, &coreError{-5, "The genesis block coinbase is not considered an ordinary transaction and cannot be retrieved"}
	case !pending && b.opts.NoTxIndex:
		return nil, &coreError{-5, "No such mempool transaction. Use -txindex or provide a block hash to enable blockchain transaction queries. Use gettransaction for wallet transactions."}
	case tx == nil:
		return nil, &coreError{-5, "No such mempool or blockchain transaction. Use gettransaction for wallet transactions."}
	}
	raw := hex.EncodeToString(tx.raw)
	if verbosityOf(params, 1, 0) == 0 {
		return raw, nil
	}
	result := map[string]any{"txid": txid.String(), "hex": raw}
	if pending {
		return result, nil
	}
	result["blockhash"] = tx.block.String()
	if at := slices.Index(b.chain, tx.block); at >= 0 {
		result["confirmations"] = len(b.chain) - at
	} else {
		result["confirmations"] = 0
	}
	return result, nil
}
