package spv

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
)

// maxDepth is how deep a block's tree can be: a transaction weighs at least 240
// (MIN_TRANSACTION_WEIGHT in Bitcoin Core), a block at most 4,000,000.
const maxDepth = 15

// These are what is wrong with a proof, beside ErrTransaction.
var (
	// ErrPath: the path does not lead from the transaction to the merkle root.
	ErrPath = errors.New("the merkle path does not lead to the root")
	// ErrCoinbasePath: that of the coinbase transaction does not.
	ErrCoinbasePath = errors.New("the merkle path of the coinbase transaction does not lead to the root")
	// ErrDepth: the paths are not equally long, or longer than any can be.
	ErrDepth = errors.New("the transaction is not as deep in the tree as the coinbase transaction")
	// ErrIndex: there is no such index at the depth, or it is that of a copy of
	// another leaf.
	ErrIndex = errors.New("the index is not one of the tree's")
	// ErrSize: a transaction of 64 bytes, which may be a node of a tree.
	ErrSize = errors.New("a transaction of 64 bytes may be a node of the tree")
	// ErrCoinbase: what should be the coinbase transaction is none, or another
	// transaction is.
	ErrCoinbase = errors.New("not the coinbase transaction")
	// ErrWitness: a transaction has witnesses where it must not, or none where it
	// must.
	ErrWitness = errors.New("a transaction in the wrong encoding")
	// ErrCommitment: the witnesses are not those that the coinbase commits to.
	ErrCommitment = errors.New("the witness commitment is another one")
)

// A Proof shows that a transaction is in a block.
type Proof struct {
	Header header.Header
	// Tx is the transaction without its witnesses, Index its place in the block,
	// and Path the siblings of its txid and of what is above, the lowest first.
	Tx    []byte
	Index uint32
	Path  []chainhash.Hash
	// Coinbase is the coinbase transaction without its witness, and CoinbasePath
	// its path.
	Coinbase     []byte
	CoinbasePath []chainhash.Hash
}

// Proof returns a proof of the transaction at an index of the block, which there must
// be. It fails where Verify would refuse the proof.
func (b *Block) Proof(index int) (*Proof, error) {
	if index < 0 || index >= len(b.transactions) {
		return nil, fmt.Errorf("%w: the block has %d transactions, none at %d", ErrIndex, len(b.transactions), index)
	}
	p := &Proof{
		Header:       b.header,
		Tx:           b.transactions[index].Stripped(),
		Index:        uint32(index),
		Path:         path(b.ids, index),
		Coinbase:     b.transactions[0].Stripped(),
		CoinbasePath: path(b.ids, 0),
	}
	if _, err := p.Verify(); err != nil {
		return nil, err
	}
	return p, nil
}

// Verify returns the txid of the transaction that is in the block with p's header, or
// says what is wrong with the proof.
func (p *Proof) Verify() (chainhash.Hash, error) {
	root := p.Header.MerkleRoot()
	if err := verifyCoinbase(p.Coinbase, p.CoinbasePath, root); err != nil {
		return chainhash.Hash{}, err
	}
	tx, err := ParseTransaction(p.Tx)
	switch {
	case err != nil:
		return chainhash.Hash{}, err
	case tx.Witness != nil:
		return chainhash.Hash{}, fmt.Errorf("%w: it has witnesses", ErrWitness)
	case len(p.Tx) == 64:
		return chainhash.Hash{}, ErrSize
	case tx.isCoinbase() != (p.Index == 0):
		return chainhash.Hash{}, fmt.Errorf("%w: at index %d", ErrCoinbase, p.Index)
	case len(p.Path) != len(p.CoinbasePath):
		return chainhash.Hash{}, ErrDepth
	}
	id := tx.txid()
	return id, verifyPath(id, p.Index, p.Path, root)
}

// verifyCoinbase checks that a transaction without witnesses is a block's coinbase.
func verifyCoinbase(data []byte, path []chainhash.Hash, root chainhash.Hash) error {
	coinbase, err := ParseTransaction(data)
	switch {
	case err != nil:
		return fmt.Errorf("the coinbase: %w", err)
	case coinbase.Witness != nil:
		return fmt.Errorf("%w: the coinbase has a witness", ErrWitness)
	case len(data) == 64:
		return fmt.Errorf("the coinbase: %w", ErrSize)
	case !coinbase.isCoinbase():
		return ErrCoinbase
	}
	if err := verifyPath(coinbase.txid(), 0, path, root); err != nil {
		return fmt.Errorf("%w: %w", ErrCoinbasePath, err)
	}
	return nil
}

// verifyPath checks that a path leads from the leaf at an index to root.
func verifyPath(leaf chainhash.Hash, index uint32, path []chainhash.Hash, root chainhash.Hash) error {
	got, err := climb(leaf, index, path)
	if err == nil && got != root {
		return ErrPath
	}
	return err
}

// climb returns where a path leads from the leaf at an index.
func climb(leaf chainhash.Hash, index uint32, path []chainhash.Hash) (chainhash.Hash, error) {
	if len(path) > maxDepth {
		return chainhash.Hash{}, ErrDepth
	}
	if index>>len(path) != 0 {
		return chainhash.Hash{}, ErrIndex
	}
	var pair [64]byte
	for _, sibling := range path {
		left, right := &leaf, &sibling
		if index&1 == 1 {
			if sibling == leaf {
				return chainhash.Hash{}, ErrIndex // the right one is a copy of the left
			}
			left, right = right, left
		}
		copy(pair[:32], left[:])
		copy(pair[32:], right[:])
		leaf = hash256(pair[:])
		index >>= 1
	}
	return leaf, nil
}

// Joined returns a path as the contracts take it.
func Joined(path []chainhash.Hash) []byte {
	data := make([]byte, 0, len(path)*chainhash.HashSize)
	for i := range path {
		data = append(data, path[i][:]...)
	}
	return data
}

// SplitPath is the inverse of Joined.
func SplitPath(data []byte) ([]chainhash.Hash, error) {
	if len(data)%chainhash.HashSize != 0 || len(data) > maxDepth*chainhash.HashSize {
		return nil, fmt.Errorf("%w: a path of %d bytes", ErrDepth, len(data))
	}
	path := make([]chainhash.Hash, len(data)/chainhash.HashSize)
	for i := range path {
		path[i] = chainhash.Hash(data[i*chainhash.HashSize:])
	}
	return path, nil
}

// VerifyPath checks that a txid is that of the leaf at an index of the tree with a root,
// and nothing else: neither that the leaf is a transaction, nor that it is a leaf. It is
// what FullRelayWithVerify's verifyProof checks, but for the index, of which that takes
// the lowest bits.
func VerifyPath(txid chainhash.Hash, index uint32, path []chainhash.Hash, root chainhash.Hash) error {
	return verifyPath(txid, index, path, root)
}

// CoinbasePreimage returns what BOB's contracts take for the coinbase transaction: its
// single SHA-256. That a node of the tree has such a preimage, too, is why Proof has
// the transaction.
func (p *Proof) CoinbasePreimage() [32]byte { return sha256.Sum256(p.Coinbase) }
