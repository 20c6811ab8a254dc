package utxocache

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"

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

func (k *key) index() uint32 { return binary.LittleEndian.Uint32(k[chainhash.HashSize:]) }

// is reports whether k is o. It reads no word that lies across two of keyOf's
// writes: such a read waits until both have reached the cache.
func (k *key) is(o *key) bool {
	return binary.LittleEndian.Uint64(k[0:]) == binary.LittleEndian.Uint64(o[0:]) &&
		binary.LittleEndian.Uint64(k[8:]) == binary.LittleEndian.Uint64(o[8:]) &&
		binary.LittleEndian.Uint64(k[16:]) == binary.LittleEndian.Uint64(o[16:]) &&
		binary.LittleEndian.Uint64(k[24:]) == binary.LittleEndian.Uint64(o[24:]) &&
		k.index() == o.index()
}

func (k *key) outpoint() wire.OutPoint {
	return wire.OutPoint{Hash: chainhash.Hash(k[:chainhash.HashSize]), Index: binary.LittleEndian.Uint32(k[chainhash.HashSize:])}
}

// spread is the golden ratio as an odd number of 64 bits.
const spread = 0x9e3779b97f4a7c15

// A hasher maps keys to 64 bits. Its seed is secret, so nobody can make coins
// that crowd one place of a table.
type hasher struct {
	seed maphash.Seed
	// mask is all ones; tests clear bits of it to make hashes collide.
	mask uint64
}

func newHasher() hasher { return hasher{maphash.MakeSeed(), ^uint64(0)} }

func (h *hasher) of(k *key) uint64 {
	// As a part of the bytes the index would lie across two writes, too.
	hi, lo := bits.Mul64(maphash.Bytes(h.seed, k[:chainhash.HashSize])^uint64(k.index())<<32, spread)
	return (hi ^ lo) & h.mask
}
