package nodetest

import "github.com/btcsuite/btcd/chainhash/v2"

// MineOverpaid adds a block to the best chain that pays its miner a satoshi more
// than subsidy and fees, as a node would that has lost a rule, and returns its
// hash. It takes the whole mempool.
func (b *Tree) MineOverpaid() chainhash.Hash {
	b.mu.Lock()
	defer b.mu.Unlock()
	txs := b.mempoolTxs()
	blk := b.add(mine(b.best, txs, b.nextExtra(), int64(len(txs)*txFee)+1))
	b.connect(blk)
	b.told.settled(blk)
	return blk.hash
}
