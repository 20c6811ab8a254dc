package watch

import (
	"fmt"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// A Tip is a block and its height.
type Tip struct {
	Height uint32         `json:"height"`
	Hash   chainhash.Hash `json:"hash"`
}

// A Block is what a watcher looks at of a block that the node has validated. It is not
// changed, nor kept.
type Block struct {
	Tip
	Prev chainhash.Hash
	// Txids are the ids of Txs, in order, the coinbase first.
	Txids []chainhash.Hash
	Txs   []*wire.MsgTx
}

// NewBlock returns a block of a chain at a height, and computes its ids.
func NewBlock(msg *wire.MsgBlock, height uint32) *Block {
	b := &Block{Tip: Tip{height, msg.BlockHash()}, Prev: msg.Header.PrevBlock, Txs: msg.Transactions}
	for _, tx := range msg.Transactions {
		b.Txids = append(b.Txids, tx.TxHash())
	}
	return b
}

// check reports a block that the caller has put together wrongly.
func (b *Block) check() error {
	if len(b.Txids) != len(b.Txs) {
		return fmt.Errorf("watch: block %d has %d transactions and %d ids", b.Height, len(b.Txs), len(b.Txids))
	}
	return nil
}

// weight returns the weight of a transaction (BIP141).
func weight(tx *wire.MsgTx) int64 {
	return int64(3*tx.SerializeSizeStripped() + tx.SerializeSize())
}
