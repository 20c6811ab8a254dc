package nodetest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// WriteBlocks writes the recorded block and undo files and their key as they
// were on disk, with the space that was taken in advance, into a directory of
// the test, and returns it.
func (rec *BitcoindRecording) WriteBlocks(tb testing.TB) string {
	tb.Helper()
	dir := filepath.Join(tb.TempDir(), "blocks")
	err := os.Mkdir(dir, 0o700)
	for name, data := range rec.files {
		path := filepath.Join(dir, name)
		if err == nil {
			err = os.WriteFile(path, bytes.TrimRight(data, "\x00"), 0o600)
		}
		if err == nil {
			err = os.Truncate(path, int64(len(data)))
		}
	}
	if err != nil {
		tb.Fatalf("nodetest: %v", err)
	}
	return dir
}

// Prune makes the node lose the blocks below this height, and what they spend.
func (b *Bitcoind) Prune(below int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pruned = below
}

// prunedError is what getblock answers for a pruned block.
func (b *Bitcoind) prunedError(hash chainhash.Hash) *coreError {
	if b.height(hash) < b.pruned {
		return &coreError{-1, "Block not available (pruned data)"}
	}
	return nil
}

// verboseTxs returns the transactions of a block as getblock with verbosity 3
// tells them: as they were recorded, or else with the fields that say what they
// spend.
func (b *Bitcoind) verboseTxs(hash chainhash.Hash) any {
	for _, c := range b.rec.Calls {
		var params []any
		if c.Request.Method != "getblock" || json.Unmarshal(c.Request.Params, &params) != nil ||
			!slices.Equal(params, []any{hash.String(), float64(3)}) {
			continue
		}
		var result struct{ Tx json.RawMessage }
		if json.Unmarshal(c.Response.Result, &result) == nil {
			return result.Tx
		}
	}
	return b.rec.spendingTxs(hash)
}

// spendingTxs returns the transactions of a block with the fields of getblock
// that say what they spend.
func (rec *BitcoindRecording) spendingTxs(hash chainhash.Hash) any {
	var msg wire.MsgBlock
	rec.decode(hash, &msg)
	coins := rec.coinsBelow(hash)
	txs := make([]map[string]any, len(msg.Transactions))
	for i, tx := range msg.Transactions {
		vin := make([]map[string]any, len(tx.TxIn))
		for j, in := range tx.TxIn {
			if i == 0 {
				vin[j] = map[string]any{"coinbase": hex.EncodeToString(in.SignatureScript)}
				continue
			}
			vin[j] = map[string]any{
				"txid": in.PreviousOutPoint.Hash.String(), "vout": in.PreviousOutPoint.Index,
				"prevout": coins[in.PreviousOutPoint].json(),
			}
		}
		txs[i] = map[string]any{"txid": tx.TxHash().String(), "vin": vin}
	}
	return txs
}

// A madeCoin is an output and where it was made.
type madeCoin struct {
	out      *wire.TxOut
	height   int
	coinbase bool
}

func (c madeCoin) json() any {
	return map[string]any{
		"generated": c.coinbase, "height": c.height,
		"value":        json.RawMessage(fmt.Sprintf("%d.%08d", c.out.Value/1e8, c.out.Value%1e8)),
		"scriptPubKey": map[string]any{"hex": hex.EncodeToString(c.out.PkScript)},
	}
}

// coinsBelow returns all outputs of the chain that ends with a block, spent or
// not.
func (rec *BitcoindRecording) coinsBelow(tip chainhash.Hash) map[wire.OutPoint]madeCoin {
	var chain []*wire.MsgBlock // tip first
	for hash := tip; rec.Blocks[hash] != nil; hash = chainhash.Hash(rec.Blocks[hash][4:36]) {
		var msg wire.MsgBlock
		rec.decode(hash, &msg)
		chain = append(chain, &msg)
	}
	coins := make(map[wire.OutPoint]madeCoin)
	for n, msg := range chain {
		for i, tx := range msg.Transactions {
			txid := tx.TxHash()
			for vout, out := range tx.TxOut {
				coins[wire.OutPoint{Hash: txid, Index: uint32(vout)}] = madeCoin{out, len(chain) - 1 - n, i == 0}
			}
		}
	}
	return coins
}

func (rec *BitcoindRecording) decode(hash chainhash.Hash, msg *wire.MsgBlock) {
	if err := msg.Deserialize(bytes.NewReader(rec.Blocks[hash])); err != nil {
		panic(fmt.Sprintf("nodetest: block %s: %v", hash, err))
	}
}
