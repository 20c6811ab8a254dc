package nodetest

import (
	"slices"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// A BranchStatus is what the node thinks of a branch.
type BranchStatus string

const (
	// ValidFork is a branch that the node has and might switch to.
	ValidFork BranchStatus = "valid-fork"
	// HeadersOnly is one whose blocks it does not have. btcd's word for it.
	HeadersOnly BranchStatus = "unknown: 0"
	// Invalid is one that it refused, rightly: its first block pays its miner
	// a satoshi too much.
	Invalid BranchStatus = "invalid"
	// Refused is one that it calls invalid and that is not.
	Refused BranchStatus = "refused"
)

// Tip returns the hash and height of the best block.
func (b *Btcd) Tip() (chainhash.Hash, int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.best.hash, int(b.best.height)
}

// Chain returns the hashes of the best chain, the genesis block's first: each
// at its height.
func (b *Btcd) Chain() []chainhash.Hash {
	b.mu.Lock()
	defer b.mu.Unlock()
	hashes := make([]chainhash.Hash, b.best.height+1)
	for blk := b.best; blk != nil; blk = blk.parent {
		hashes[blk.height] = blk.hash
	}
	return hashes
}

// Block returns a block of any branch, serialised; nil when there is none.
func (b *Btcd) Block(hash chainhash.Hash) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if blk := b.blocks[hash]; blk != nil {
		return slices.Clone(blk.raw)
	}
	return nil
}

// Mempool returns the transactions of the mempool by their ids, serialised.
func (b *Btcd) Mempool() map[chainhash.Hash][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	txs := make(map[chainhash.Hash][]byte, len(b.mempool))
	for txid, tx := range b.mempool {
		txs[txid] = serializeTx(tx.msg)
	}
	return txs
}

// Mine adds n blocks to the best chain and returns their hashes. The first
// takes the whole mempool.
func (b *Btcd) Mine(n int) []chainhash.Hash {
	hashes := make([]chainhash.Hash, 0, n)
	for range n {
		b.mu.Lock()
		blk := b.add(mine(b.best, b.mempoolTxs(), b.nextExtra(), 0))
		b.connect(blk)
		hashes = append(hashes, blk.hash)
		b.mu.Unlock()
	}
	return hashes
}

// Reorg replaces the top depth blocks of the best chain by length others, and
// returns the hashes of those. The transactions of the blocks that leave go
// back to the mempool. length must be greater than depth unless the test wants
// what only an invalidated block does.
func (b *Btcd) Reorg(depth, length int) []chainhash.Hash {
	b.mu.Lock()
	fork := b.best.ancestor(depth)
	branch := b.grow(fork, length, 0)
	b.mu.Unlock()
	for range depth {
		b.mu.Lock()
		b.disconnect()
		b.mu.Unlock()
	}
	hashes := make([]chainhash.Hash, 0, length)
	for _, blk := range branch {
		b.mu.Lock()
		b.connect(blk)
		b.mu.Unlock()
		hashes = append(hashes, blk.hash)
	}
	return hashes
}

// Branch adds length blocks on top of the block that is depth below the tip,
// without making them the best chain, and returns their hashes.
func (b *Btcd) Branch(depth, length int, status BranchStatus) []chainhash.Hash {
	b.mu.Lock()
	defer b.mu.Unlock()
	var reward int64
	if status == Invalid {
		reward = 1
	}
	var hashes []chainhash.Hash
	for _, blk := range b.grow(b.best.ancestor(depth), length, reward) {
		blk.status = status
		hashes = append(hashes, blk.hash)
	}
	return hashes
}

// grow adds a branch of empty blocks to the tree; the first takes reward above
// the subsidy.
func (b *Btcd) grow(on *block, length int, reward int64) []*block {
	branch := make([]*block, 0, length)
	for range length {
		on = b.add(mine(on, nil, b.nextExtra(), reward))
		branch = append(branch, on)
		reward = 0
	}
	return branch
}

func (b *Btcd) add(blk *block) *block {
	blk.seen = len(b.blocks)
	b.blocks[blk.hash] = blk
	return blk
}

func (b *Btcd) nextExtra() uint64 {
	b.extra++
	return b.extra
}

// connect makes blk, which follows the best block, the best block.
func (b *Btcd) connect(blk *block) {
	b.best = blk
	for i := 1; i < len(blk.msg.Transactions); i++ {
		delete(b.mempool, blk.txid(i))
	}
	b.dropConflicts()
	b.notifyBlock(blk, true)
}

// disconnect takes the best block off the chain and puts its transactions back
// into the mempool. As in btcd, nobody is told of the latter.
func (b *Btcd) disconnect() {
	blk := b.best
	b.best = blk.parent
	for _, tx := range blk.msg.Transactions[1:] {
		b.putTx(tx)
	}
	b.dropConflicts()
	b.notifyBlock(blk, false)
}
