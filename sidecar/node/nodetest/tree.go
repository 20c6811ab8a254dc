package nodetest

import (
	"slices"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
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

// A Tree is what a fake node follows: a tree of real blocks, of which one branch
// is the best chain, and a mempool. The test moves it; the node that it belongs
// to is told of each step. All methods are safe for concurrent use.
type Tree struct {
	mu      sync.Mutex // guards what follows, and the node's own state
	told    steps
	blocks  map[chainhash.Hash]*block
	best    *block
	extra   uint64
	mempool map[chainhash.Hash]*mempoolTx
	arrived int // transactions so far
}

// steps is told what happens to a Tree, with its mu held: the tree stands as it
// does after the step.
type steps interface {
	// connected: blk is the best block. It took mined transactions out of the
	// mempool, and then those of thrownOut, which spend what it spends.
	connected(blk *block, mined int, thrownOut []chainhash.Hash)
	// disconnected: blk was the best block. Its transactions that can are in
	// the mempool again: those of returned. Those of thrownOut cannot stay.
	disconnected(blk *block, returned []*wire.MsgTx, thrownOut []chainhash.Hash)
	// added: tx entered the mempool.
	added(tx *wire.MsgTx)
	// removed: these left the mempool.
	removed(txids []chainhash.Hash)
	// stored: the node learnt of blk, which is in no chain yet.
	stored(blk *block)
	// settled: the best chain ends with blk for now.
	settled(blk *block)
}

// plant makes the genesis block the chain, and told what hears of all steps.
func (b *Tree) plant(told steps) {
	first := genesis()
	b.told, b.best = told, first
	b.blocks = map[chainhash.Hash]*block{first.hash: first}
	b.mempool = make(map[chainhash.Hash]*mempoolTx)
	told.stored(first)
}

// Tip returns the hash and height of the best block.
func (b *Tree) Tip() (chainhash.Hash, int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.best.hash, int(b.best.height)
}

// Chain returns the hashes of the best chain, the genesis block's first: each
// at its height.
func (b *Tree) Chain() []chainhash.Hash {
	b.mu.Lock()
	defer b.mu.Unlock()
	hashes := make([]chainhash.Hash, b.best.height+1)
	for blk := b.best; blk != nil; blk = blk.parent {
		hashes[blk.height] = blk.hash
	}
	return hashes
}

// Block returns a block of any branch, serialised; nil when there is none.
func (b *Tree) Block(hash chainhash.Hash) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if blk := b.blocks[hash]; blk != nil {
		return slices.Clone(blk.raw)
	}
	return nil
}

// Mempool returns the transactions of the mempool by their ids, serialised.
func (b *Tree) Mempool() map[chainhash.Hash][]byte {
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
func (b *Tree) Mine(n int) []chainhash.Hash {
	hashes := make([]chainhash.Hash, 0, n)
	for range n {
		b.mu.Lock()
		blk := b.add(mine(b.best, b.mempoolTxs(), b.nextExtra(), 0))
		b.connect(blk)
		b.told.settled(blk)
		hashes = append(hashes, blk.hash)
		b.mu.Unlock()
	}
	return hashes
}

// MineAt adds an empty block with this time, to the second, to the best chain
// and returns its bytes. The next one is ten minutes later again.
func (b *Tree) MineAt(at time.Time) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	blk := b.add(mineAt(b.best, nil, b.nextExtra(), 0, at.Truncate(time.Second)))
	b.connect(blk)
	b.told.settled(blk)
	return slices.Clone(blk.raw)
}

// MineConflicts adds a block to the best chain that holds transactions that
// nobody heard of: they spend what n transactions of the mempool spend, which
// are thrown out, beside the rest of the mempool, which is mined where it can
// be.
func (b *Tree) MineConflicts(n int) chainhash.Hash {
	b.mu.Lock()
	defer b.mu.Unlock()
	chain := make(map[wire.OutPoint]coin)
	for _, c := range coins(b.best) {
		chain[c.op] = c
	}
	var txs []*wire.MsgTx
	out := make(map[chainhash.Hash]bool)
	for _, tx := range b.mempoolTxs() {
		op := tx.TxIn[0].PreviousOutPoint
		c, confirmed := chain[op]
		switch {
		case out[op.Hash]:
			out[tx.TxHash()] = true
		case confirmed && n > 0:
			n--
			out[tx.TxHash()] = true
			other := spend(c)
			other.LockTime = 1 // another transaction, that is final
			txs = append(txs, other)
		default:
			txs = append(txs, tx)
		}
	}
	blk := b.add(mine(b.best, txs, b.nextExtra(), 0))
	b.connect(blk)
	b.told.settled(blk)
	return blk.hash
}

// Reorg replaces the top depth blocks of the best chain by length others, and
// returns the hashes of those. The transactions of the blocks that leave go
// back to the mempool. length must be greater than depth unless the test wants
// what only an invalidated block does.
func (b *Tree) Reorg(depth, length int) []chainhash.Hash {
	b.mu.Lock()
	fork := b.best.ancestor(depth)
	branch := b.grow(fork, length, 0, ValidFork)
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
		if blk == branch[len(branch)-1] {
			b.told.settled(blk)
		}
		b.mu.Unlock()
		hashes = append(hashes, blk.hash)
	}
	return hashes
}

// Branch adds length blocks on top of the block that is depth below the tip,
// without making them the best chain, and returns their hashes.
func (b *Tree) Branch(depth, length int, status BranchStatus) []chainhash.Hash {
	b.mu.Lock()
	defer b.mu.Unlock()
	var reward int64
	if status == Invalid {
		reward = 1
	}
	var hashes []chainhash.Hash
	for _, blk := range b.grow(b.best.ancestor(depth), length, reward, status) {
		hashes = append(hashes, blk.hash)
	}
	return hashes
}

// Stale adds length blocks on top of the block that is depth below the tip, of
// which the first is as old as the genesis block, which breaks the rule on times,
// and returns their hashes. The node calls them invalid.
func (b *Tree) Stale(depth, length int) []chainhash.Hash {
	b.mu.Lock()
	defer b.mu.Unlock()
	first := mineAt(b.best.ancestor(depth), nil, b.nextExtra(), 0, genesis().msg.Header.Timestamp)
	first.status = Invalid
	hashes := []chainhash.Hash{b.add(first).hash}
	for _, blk := range b.grow(first, length-1, 0, Invalid) {
		hashes = append(hashes, blk.hash)
	}
	return hashes
}

// Lengthen adds length blocks to the branch that ends with tip, with its status,
// and returns their hashes.
func (b *Tree) Lengthen(tip chainhash.Hash, length int) []chainhash.Hash {
	b.mu.Lock()
	defer b.mu.Unlock()
	end := b.blocks[tip]
	var hashes []chainhash.Hash
	for _, blk := range b.grow(end, length, 0, end.status) {
		hashes = append(hashes, blk.hash)
	}
	return hashes
}

// Invalidate does what invalidateblock does to the lowest of the top depth
// blocks: they leave the best chain, and the node calls the branch that they are
// invalid. It returns their hashes in ascending order.
func (b *Tree) Invalidate(depth int) []chainhash.Hash {
	hashes := make([]chainhash.Hash, depth)
	for i := range hashes {
		b.mu.Lock()
		b.best.status = Refused
		hashes[depth-1-i] = b.best.hash
		b.disconnect()
		if i == depth-1 {
			b.told.settled(b.best)
		}
		b.mu.Unlock()
	}
	return hashes
}

// grow adds a branch of empty blocks to the tree; the first takes reward above
// the subsidy.
func (b *Tree) grow(on *block, length int, reward int64, status BranchStatus) []*block {
	branch := make([]*block, 0, length)
	for range length {
		blk := mine(on, nil, b.nextExtra(), reward)
		blk.status = status
		on = b.add(blk)
		branch = append(branch, on)
		reward = 0
	}
	return branch
}

func (b *Tree) add(blk *block) *block {
	blk.seen = len(b.blocks)
	b.blocks[blk.hash] = blk
	b.told.stored(blk)
	return blk
}

func (b *Tree) nextExtra() uint64 {
	b.extra++
	return b.extra
}

// connect makes blk, which follows the best block, the best block.
func (b *Tree) connect(blk *block) {
	b.best = blk
	before := len(b.mempool)
	for i := 1; i < len(blk.msg.Transactions); i++ {
		delete(b.mempool, blk.txid(i))
	}
	mined := before - len(b.mempool)
	b.told.connected(blk, mined, b.dropConflicts())
}

// disconnect takes the best block off the chain and puts its transactions back
// into the mempool.
func (b *Tree) disconnect() {
	blk := b.best
	b.best = blk.parent
	for _, tx := range blk.msg.Transactions[1:] {
		b.putTx(tx)
	}
	thrownOut := b.dropConflicts()
	var returned []*wire.MsgTx
	for _, tx := range blk.msg.Transactions[1:] {
		if b.mempool[tx.TxHash()] != nil {
			returned = append(returned, tx)
			continue
		}
		// It came and went in one step.
		thrownOut = slices.DeleteFunc(thrownOut, func(txid chainhash.Hash) bool { return txid == tx.TxHash() })
	}
	b.told.disconnected(blk, returned, thrownOut)
}
