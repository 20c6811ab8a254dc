package utxocache

import (
	"math/bits"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// Each bit of a key tells it from others.
func TestKeyIs(t *testing.T) {
	k := keyOf(&wire.OutPoint{Hash: chainhash.HashH([]byte("key")), Index: 0x01020304})
	if o := k; !o.is(&k) {
		t.Fatal("a key is not its copy")
	}
	for bit := range 8 * len(k) {
		o := k
		o[bit/8] ^= 1 << (bit % 8)
		if o.is(&k) || k.is(&o) {
			t.Errorf("keys that differ in bit %d are one", bit)
		}
	}
}

// The outputs of one transaction do not crowd a shard or a home: an index of 2^16
// outputs takes about as many places as as many keys by chance.
func TestHashSpreadsOutputs(t *testing.T) {
	h := newHasher()
	const outputs = 1 << 16
	var shard [shards]int
	tags := map[uint64]int{}
	for i := range uint32(outputs) {
		k := keyOf(&wire.OutPoint{Hash: chainhash.HashH([]byte("outputs")), Index: i})
		hash := h.of(&k)
		shard[shardOf(hash)]++
		tags[tagOf(hash)>>(tagBits-16+bits.Len(shards-1))]++
	}
	for s, n := range shard {
		if n < outputs/shards*3/4 || n > outputs/shards*5/4 {
			t.Errorf("%d of %d outputs are in shard %d of %d", n, outputs, s, shards)
		}
	}
	for tag, n := range tags {
		if n > 64 {
			t.Errorf("%d outputs have one home, %#x", n, tag)
		}
	}
}
