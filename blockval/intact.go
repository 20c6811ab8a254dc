package blockval

import (
	"crypto/sha256"
	"slices"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/sigverify/hashlane"
)

// Intact returns nil if b is what its header commits to: the transactions make
// the header's merkle root, and the witnesses, if there are any, the coinbase's
// commitment to them. Else the error is a *RuleError. A block that came from
// elsewhere and is not intact may have been spoilt on the way.
//
// Before it finds that a block is not, all hashes are computed again by the standard
// library. Where hashlane was wrong, Txids and Wtxids are mended: nobody else may use the
// block while Intact runs.
func (b *Block) Intact() error {
	err := b.intact()
	if err != nil && b.rehash() {
		err = b.intact()
	}
	return err
}

func (b *Block) intact() error {
	switch {
	case b.err != nil:
		return b.err
	case b.Msg == nil || len(b.Msg.Transactions) == 0:
		return broken(BadBlockLength, "no transaction")
	}
	if rule := b.checkMerkleRoot(nil); rule != nil {
		return rule
	}
	for _, tx := range b.Msg.Transactions {
		if tx.HasWitness() {
			if rule := b.checkWitnessCommitment(true, nil); rule != nil {
				return rule
			}
			break
		}
	}
	return nil
}

// rehash computes the ids of the block's transactions again, by btcd's code and the
// standard library, and has that compute its merkle trees from then on. It reports whether
// it is worth it to look at the block again: hashlane did all that before.
func (b *Block) rehash() bool {
	if b.Msg == nil || b.rehashed {
		return false
	}
	b.rehashed = true
	for i, tx := range b.Msg.Transactions {
		txid, wtxid := tx.TxHash(), tx.WitnessHash()
		if txid != b.Txids[i] || wtxid != b.Wtxids[i] {
			b.hashedWrong = true
			b.Txids[i], b.Wtxids[i] = txid, wtxid
		}
	}
	return true
}

// merkleRoot returns what hashlane.MerkleRoot does, in the memory of leaves.
func (b *Block) merkleRoot(leaves []chainhash.Hash) (root chainhash.Hash, mutated bool) {
	if b.rehashed {
		return plainMerkleRoot(leaves)
	}
	return hashlane.MerkleRoot(leaves)
}

// plainMerkleRoot is hashlane.MerkleRoot by the standard library, as ComputeMerkleRoot in
// Bitcoin Core.
func plainMerkleRoot(leaves []chainhash.Hash) (root chainhash.Hash, mutated bool) {
	level := slices.Clone(leaves)
	for len(level) > 1 {
		for i := 0; i+1 < len(level); i += 2 {
			mutated = mutated || level[i] == level[i+1]
		}
		if len(level)%2 == 1 {
			level = append(level, level[len(level)-1])
		}
		for i := range len(level) / 2 {
			first := sha256.Sum256(append(level[2*i][:], level[2*i+1][:]...))
			level[i] = sha256.Sum256(first[:])
		}
		level = level[:len(level)/2]
	}
	if len(level) == 1 {
		root = level[0]
	}
	return root, mutated
}
