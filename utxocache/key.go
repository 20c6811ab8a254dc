package utxocache

import (
	"encoding/binary"
	"hash/maphash"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// A key is an outpoint: the hash in internal byte order, the index in
// little-endian. It alone decides whether a coin is the one that is asked for;
// hashes of it only find the place.
type key [chainhash.HashSize + 4]byte

func keyOf(op *wire.OutPoint) (k key) {
	copy(k[:], op.Hash[:])
	binary.LittleEndian.PutUint32(k[chainhash.HashSize:], op.Index)
	return k
}

func (k *key) outpoint() wire.OutPoint {
	return wire.OutPoint{Hash: chainhash.Hash(k[:chainhash.HashSize]), Index: binary.LittleEndian.Uint32(k[chainhash.HashSize:])}
}

// A hasher maps keys to 64 bits. Its seed is secret, so nobody can make coins
// that crowd one place of a table.
type hasher struct {
	seed maphash.Seed
	// mask is all ones; tests clear bits of it to make hashes collide.
	mask uint64
}

func newHasher() hasher { return hasher{maphash.MakeSeed(), ^uint64(0)} }

func (h *hasher) of(k *key) uint64 { return maphash.Bytes(h.seed, k[:]) & h.mask }
