package spv

import (
	"errors"
	"fmt"
	"slices"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/sigverify/hashlane"
)

// ErrBlock says that bytes are not a block whose transactions are those that its header
// commits to.
var ErrBlock = errors.New("not a block with the transactions of its header")

// minTransaction is the size of the smallest transaction: an input and an output, and
// no scripts.
const minTransaction = 60

// A Block is a block that proofs are built from. It is safe for concurrent use.
type Block struct {
	header       header.Header
	transactions []Transaction
	serialised   [][]byte
	// ids are the levels of the tree of txids: the lowest first, of all nodes but
	// the copies on levels with an odd number.
	ids [][]chainhash.Hash
}

// ParseBlock parses a serialised block, as getblock with verbosity 0, REST and
// peer-to-peer messages have it, and checks its merkle root. It keeps parts of data.
func ParseBlock(data []byte) (*Block, error) {
	c := cutter{data: data}
	start := c.bytes(header.Size)
	count := c.compactSize()
	rest := c.rest()
	if c.failed || count == 0 || count > uint64(len(rest)/minTransaction) {
		return nil, ErrBlock
	}
	b := &Block{
		header:       header.Header(start),
		transactions: make([]Transaction, count),
		serialised:   make([][]byte, count),
	}
	for i := range b.transactions {
		tx, after, err := cutTransaction(rest)
		if err != nil {
			return nil, fmt.Errorf("%w: transaction %d: %w", ErrBlock, i, err)
		}
		b.transactions[i], b.serialised[i] = tx, rest[:len(rest)-len(after)]
		rest = after
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%w: %d bytes follow it", ErrBlock, len(rest))
	}
	parts := make([]hashlane.Parts, count)
	for i := range b.transactions {
		parts[i] = b.transactions[i].parts()
	}
	ids := make([]chainhash.Hash, count)
	hashlane.DoubleSumParts(ids, parts)
	var mutated bool
	b.ids, mutated = tree(ids)
	if mutated || b.root() != b.header.MerkleRoot() {
		return nil, fmt.Errorf("%w: the merkle root is %s", ErrBlock, b.root())
	}
	return b, nil
}

// Len returns how many transactions the block has.
func (b *Block) Len() int { return len(b.transactions) }

// Header returns the block's header.
func (b *Block) Header() header.Header { return b.header }

// Index returns where the transaction with this txid is; false if it is not here.
func (b *Block) Index(txid chainhash.Hash) (int, bool) {
	i := slices.Index(b.ids[0], txid)
	return i, i >= 0
}

func (b *Block) root() chainhash.Hash { return b.ids[len(b.ids)-1][0] }

// tree returns the levels of the merkle tree over leaves, which it keeps, and whether
// two nodes that are combined are equal for another reason than an odd number
// (CVE-2012-2459).
func tree(leaves []chainhash.Hash) (levels [][]chainhash.Hash, mutated bool) {
	levels = append(levels, leaves)
	for len(leaves) > 1 {
		pairs := make([][64]byte, (len(leaves)+1)/2)
		for i := range pairs {
			left, right := 2*i, min(2*i+1, len(leaves)-1)
			mutated = mutated || left != right && leaves[left] == leaves[right]
			copy(pairs[i][:32], leaves[left][:])
			copy(pairs[i][32:], leaves[right][:])
		}
		leaves = make([]chainhash.Hash, len(pairs))
		hashlane.DoubleSum64(leaves, pairs)
		levels = append(levels, leaves)
	}
	return levels, mutated
}

// path returns the siblings of a leaf and of what is above it, the lowest first.
func path(levels [][]chainhash.Hash, index int) []chainhash.Hash {
	siblings := make([]chainhash.Hash, 0, len(levels)-1)
	for _, level := range levels[:len(levels)-1] {
		siblings = append(siblings, level[min(index^1, len(level)-1)])
		index >>= 1
	}
	return siblings
}
