package blockval

import (
	"crypto/sha256"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// merkleRoot returns the root of Bitcoin's merkle tree over leaves, which it
// overwrites; zero for no leaves. mutated says that on some level two hashes
// that are combined are equal (CVE-2012-2459): other lists of leaves have the
// same root.
func merkleRoot(leaves []chainhash.Hash) (root chainhash.Hash, mutated bool) {
	if len(leaves) == 0 {
		return root, false
	}
	var pair [2 * chainhash.HashSize]byte
	for len(leaves) > 1 {
		for i := 0; i < len(leaves); i += 2 {
			left, right := &leaves[i], &leaves[i]
			if i+1 < len(leaves) {
				right = &leaves[i+1]
				mutated = mutated || *left == *right
			}
			copy(pair[:], left[:])
			copy(pair[chainhash.HashSize:], right[:])
			first := sha256.Sum256(pair[:])
			leaves[i/2] = sha256.Sum256(first[:])
		}
		leaves = leaves[:(len(leaves)+1)/2]
	}
	return leaves[0], mutated
}
