// Package header holds what a block header alone, and the headers below it,
// must satisfy: proof of work, the retarget of each network, median time past,
// version, chain work. It is pure: no I/O, no clock of its own, no allocation
// for a valid header.
package header

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// Size is the length of a serialised header.
const Size = 80

// A Header is a serialised block header: version, previous hash, merkle root,
// time, bits, nonce. Integers in it are little-endian, hashes in internal
// order.
type Header [Size]byte

// Version returns the block version.
func (h *Header) Version() int32 { return int32(binary.LittleEndian.Uint32(h[:])) }

// Prev returns the hash of the previous block.
func (h *Header) Prev() chainhash.Hash { return chainhash.Hash(h[4:36]) }

// MerkleRoot returns the merkle root of the block's transaction ids.
func (h *Header) MerkleRoot() chainhash.Hash { return chainhash.Hash(h[36:68]) }

// Time returns the block's time in Unix seconds.
func (h *Header) Time() uint32 { return binary.LittleEndian.Uint32(h[68:]) }

// Bits returns the claimed target in compact form.
func (h *Header) Bits() uint32 { return binary.LittleEndian.Uint32(h[72:]) }

// Nonce returns the nonce.
func (h *Header) Nonce() uint32 { return binary.LittleEndian.Uint32(h[76:]) }

// Hash returns the block's hash: the double SHA-256 of the header.
func (h *Header) Hash() chainhash.Hash {
	first := sha256.Sum256(h[:])
	return sha256.Sum256(first[:])
}

// Ancestors gives the headers of one chain by height.
type Ancestors interface {
	// At returns the header at height. An error means that it could not be
	// read; it says nothing about the chain.
	At(height uint32) (Header, error)
}
