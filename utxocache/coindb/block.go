package coindb

import (
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/utxocache/corefile"
)

// NewBlock returns what a block does to the coins. txs are its transactions in
// order, the coinbase first, and txids their ids. The scripts of its coins are
// those of txs.
func NewBlock(tip Tip, prev chainhash.Hash, txids []chainhash.Hash, txs []*wire.MsgTx) *Block {
	var ins, outs int
	for _, tx := range txs {
		ins += len(tx.TxIn)
		outs += len(tx.TxOut)
	}
	b := &Block{Tip: tip, Prev: prev, Created: make([]CoinAt, 0, outs), Spent: make([]wire.OutPoint, 0, ins)}
	for i, tx := range txs {
		for _, in := range tx.TxIn {
			if i > 0 {
				b.Spent = append(b.Spent, in.PreviousOutPoint)
			}
		}
		for j, out := range tx.TxOut {
			if !unspendable(out.PkScript) {
				b.Created = append(b.Created, CoinAt{
					wire.OutPoint{Hash: txids[i], Index: uint32(j)},
					Coin{Value: out.Value, Script: out.PkScript, Height: tip.Height, Coinbase: i == 0},
				})
			}
		}
	}
	return b
}

// unspendable reports whether an output with this locking script never becomes a
// coin (Bitcoin Core's CScript::IsUnspendable).
func unspendable(script []byte) bool {
	const opReturn = 0x6a
	return len(script) > 0 && script[0] == opReturn || len(script) > corefile.MaxScriptSize
}
