package relay

import (
	"crypto/sha256"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
)

// proofWindow is how many headers below the best one a proof can be.
const proofWindow = 2048

// A FullRelayWithVerify is a FullRelay that verifies proofs of inclusion.
type FullRelayWithVerify struct{ FullRelay }

// NewFullRelayWithVerify is the contract's constructor: NewFullRelay's.
func NewFullRelayWithVerify(genesisHeader []byte, height uint64, periodStart chainhash.Hash) (*FullRelayWithVerify, error) {
	r, err := NewFullRelay(genesisHeader, height, periodStart)
	if err != nil {
		return nil, err
	}
	return &FullRelayWithVerify{*r}, nil
}

// VerifyHeaderHash reverts unless the header with this digest is in the chain of the
// best one, with at least numConfs headers on top: see Confirmations for how they are
// counted.
func (r *FullRelayWithVerify) VerifyHeaderHash(digest chainhash.Hash, numConfs uint8) (Receipt, error) {
	m := r.costs.call(VerifyHeaderHashData(digest, numConfs))
	err := r.verifyHeaderHash(m, digest, numConfs)
	return m.receipt(nil), err
}

func (r *FullRelayWithVerify) verifyHeaderHash(m *meter, digest chainhash.Hash, numConfs uint8) error {
	m.spend(m.costs.Verify)
	m.load(slotBest)
	if err := require(r.isAncestor(m, digest, r.best, proofWindow), "Block is not in longest chain"); err != nil {
		return err
	}
	bestHeight, err := r.findHeight(m, r.best)
	if err != nil {
		return err
	}
	height, err := r.findHeight(m, digest)
	if err != nil {
		return err
	}
	if bestHeight < height {
		return panics(PanicArithmetic)
	}
	return require(Confirmations(bestHeight-height) >= numConfs, "Insufficient confirmations")
}

// VerifyProof reverts unless proof, the digests from the transaction's on up, shows
// that the transaction with this txid is the one at index in the block of the header,
// and VerifyHeaderHash accepts that. The proof does not show that what it calls a
// transaction is one: see package spv.
func (r *FullRelayWithVerify) VerifyProof(h, proof []byte, txID chainhash.Hash, index uint64, numConfs uint8) (Receipt, error) {
	m := r.costs.call(VerifyProofData(h, proof, txID, index, numConfs))
	err := r.verifyProof(m, h, proof, txID, index, numConfs)
	return m.receipt(nil), err
}

func (r *FullRelayWithVerify) verifyProof(m *meter, h, proof []byte, txID chainhash.Hash, index uint64, numConfs uint8) error {
	m.spend(m.costs.Proof)
	if err := require(len(h) == header.Size, "Bad header block"); err != nil {
		return err
	}
	if err := require(len(proof)%32 == 0, "Bad merkle array proof"); err != nil {
		return err
	}
	m.repeat(uint64(len(proof)/32), m.costs.MerkleStep)
	if err := require(proves(txID, chainhash.Hash(h[36:68]), proof, index), "Bad inclusion proof"); err != nil {
		return err
	}
	m.spend(m.costs.Proven)
	return r.verifyHeaderHash(m, hash256(h), numConfs)
}

// proves is ValidateSPV's prove: the bits of index beyond the proof's length do not
// count.
func proves(leaf, root chainhash.Hash, proof []byte, index uint64) bool {
	if len(proof) == 0 {
		return leaf == root && index == 0
	}
	var pair [64]byte
	for ; len(proof) > 0; proof = proof[32:] {
		if index%2 == 1 {
			copy(pair[:32], proof)
			copy(pair[32:], leaf[:])
		} else {
			copy(pair[:32], leaf[:])
			copy(pair[32:], proof[:32])
		}
		first := sha256.Sum256(pair[:])
		leaf = sha256.Sum256(first[:])
		index >>= 1
	}
	return leaf == root
}

// Confirmations returns what the contract takes for the number of headers on top of
// one that is depth below the best: it keeps eight bits of it. So a header that is 256
// below has none, and a proof that asks for six fails at depths 256 to 261, 512 to 517
// and so on. The best header itself has 0, one less than Bitcoin Core says.
func Confirmations(depth uint64) uint8 { return uint8(depth) }

// NextProvable returns the first depth from depth on at which the contract accepts
// numConfs confirmations: depth itself if it does now. It is false if none is left in
// the window in which a header can be proven.
func NextProvable(depth uint64, numConfs uint8) (uint64, bool) {
	for ; depth < proofWindow; depth++ {
		if Confirmations(depth) >= numConfs {
			return depth, true
		}
	}
	return 0, false
}
