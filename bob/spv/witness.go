package spv

import (
	"crypto/sha256"
	"fmt"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/sigverify/hashlane"
)

// A WitnessProof shows that a transaction with its witnesses is in a block (BIP141).
type WitnessProof struct {
	Header header.Header
	// Coinbase is the coinbase transaction without its witness, CoinbasePath its
	// path, and Nonce the witness reserved value, which is its witness.
	Coinbase     []byte
	CoinbasePath []chainhash.Hash
	Nonce        [32]byte
	// Tx is the transaction with its witnesses, if it has any, Index its place in
	// the block, and Path its path in the tree of wtxids.
	Tx    []byte
	Index uint32
	Path  []chainhash.Hash
}

// WitnessProof returns a proof of the transaction at an index of the block with its
// witnesses. It fails where Verify would refuse the proof: for the coinbase transaction,
// and if the block commits to no witnesses.
func (b *Block) WitnessProof(index int) (*WitnessProof, error) {
	if index <= 0 || index >= len(b.transactions) {
		return nil, fmt.Errorf("%w: the block has %d transactions with witnesses, none at %d", ErrIndex, len(b.transactions)-1, index)
	}
	// One stack with one element of 32 bytes.
	witness := b.transactions[0].Witness
	if len(witness) != 34 || witness[0] != 1 || witness[1] != 32 {
		return nil, fmt.Errorf("%w: the coinbase has no witness reserved value", ErrCommitment)
	}
	ids := make([]chainhash.Hash, len(b.transactions))
	hashlane.DoubleSum256(ids[1:], b.serialised[1:]) // the coinbase's counts as 0
	levels, _ := tree(ids)
	p := &WitnessProof{
		Header:       b.header,
		Coinbase:     b.transactions[0].Stripped(),
		CoinbasePath: path(b.ids, 0),
		Nonce:        [32]byte(witness[2:]),
		Tx:           append([]byte(nil), b.serialised[index]...),
		Index:        uint32(index),
		Path:         path(levels, index),
	}
	if _, err := p.Verify(); err != nil {
		return nil, err
	}
	return p, nil
}

// Verify returns the wtxid of the transaction that is in the block with p's header, or
// says what is wrong with the proof.
func (p *WitnessProof) Verify() (chainhash.Hash, error) {
	if err := verifyCoinbase(p.Coinbase, p.CoinbasePath, p.Header.MerkleRoot()); err != nil {
		return chainhash.Hash{}, err
	}
	coinbase, err := ParseTransaction(p.Coinbase)
	if err != nil {
		return chainhash.Hash{}, err
	}
	commitment, ok := coinbase.commitment()
	if !ok {
		return chainhash.Hash{}, fmt.Errorf("%w: there is none", ErrCommitment)
	}
	tx, err := ParseTransaction(p.Tx)
	switch {
	case err != nil:
		return chainhash.Hash{}, err
	case len(p.Tx) == 64 || tx.strippedSize() == 64:
		return chainhash.Hash{}, ErrSize
	case tx.isCoinbase() || p.Index == 0:
		return chainhash.Hash{}, fmt.Errorf("%w: it has no wtxid", ErrCoinbase)
	case len(p.Path) != len(p.CoinbasePath):
		return chainhash.Hash{}, ErrDepth
	}
	id := hash256(p.Tx)
	root, err := climb(id, p.Index, p.Path)
	if err != nil {
		return chainhash.Hash{}, err
	}
	if committed := hash256(append(root[:], p.Nonce[:]...)); committed != commitment {
		return chainhash.Hash{}, ErrCommitment
	}
	return id, nil
}

// MerkleRoot returns the root of the tree of wtxids that the proof's path leads to: what
// the contracts call paymentMerkleRoot.
func (p *WitnessProof) MerkleRoot() (chainhash.Hash, error) {
	return climb(hash256(p.Tx), p.Index, p.Path)
}

// hash256 is the double SHA-256.
func hash256(data []byte) chainhash.Hash {
	first := sha256.Sum256(data)
	return sha256.Sum256(first[:])
}
