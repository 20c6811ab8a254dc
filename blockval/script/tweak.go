package script

import (
	"github.com/decred/dcrd/dcrec/secp256k1/v4"

	"github.com/outrider-project/outrider/sigverify"
)

// A tweak is the claim that a taproot output commits to a script: that Q, the
// point whose x is output and whose y is odd if odd says so, is P + t⋅G, where P
// is the point with x internal and an even y, and t the tapTweak hash (BIP341).
type tweak struct {
	output, internal [32]byte
	odd              bool
	t                [32]byte
}

// newTweak returns the claim that a spend makes. control must be of a size that
// BIP341 allows, and program of 32 bytes.
func newTweak(w *hashWriter, program, control []byte, leaf *[32]byte) (k tweak) {
	root := merkleRoot(w, control, leaf)
	k.output, k.internal = [32]byte(program), [32]byte(control[1:33])
	k.odd = control[0]&1 != 0
	w.reset()
	w.tag(&tagTapTweak)
	w.hash(&k.internal)
	w.hash(&root)
	k.t = w.sum()
	return k
}

// holds reports whether the claim is true, XOnlyPubKey::CheckTapTweak in Bitcoin
// Core.
func (k *tweak) holds() bool {
	var p, tG, q secp256k1.JacobianPoint
	var t secp256k1.ModNScalar
	if t.SetByteSlice(k.t[:]) || p.X.SetByteSlice(k.internal[:]) ||
		!secp256k1.DecompressY(&p.X, false, &p.Y) {
		return false
	}
	p.Z.SetInt(1)
	secp256k1.ScalarBaseMultNonConst(&t, &tG)
	secp256k1.AddNonConst(&p, &tG, &q)
	if q.Z.IsZero() || q.X.IsZero() && q.Y.IsZero() {
		return false
	}
	q.ToAffine()
	x := q.X.Bytes()
	return *x == k.output && q.Y.IsOdd() == k.odd
}

// items returns the claim as two ECDSA signatures, which are both valid if and
// only if it is true. It reports false where the claim cannot be put so; then
// only holds can tell.
//
// A signature (r, s) of z by the key K is valid if the point (z/s)⋅G + (r/s)⋅K has
// an x that is r modulo the group's order n. With s = r and z = c⋅r that point is
// c⋅G + K. Thus
//
//	key P, r = x(Q), c = t   says that P + t⋅G is Q or -Q, and
//	key Q, r = x(P), c = -t  says that Q - t⋅G is P or -P.
//
// If both hold, Q = -(P + t⋅G) is not the case: Q - t⋅G would be -P - 2t⋅G. For
// that to be -P, t would be 0, and for that to be P, P + t⋅G would be infinite,
// which is no point of any signature. So Q is P + t⋅G.
//
// What must be excluded is a t of 0 or not below n, and coordinates that are not
// the only one with their remainder modulo n, or have none.
func (k *tweak) items(first, second *sigverify.Item) bool {
	var t, z secp256k1.ModNScalar
	if t.SetByteSlice(k.t[:]) || t.IsZero() {
		return false
	}
	set := func(it *sigverify.Item, parity bool, key, x *[32]byte) bool {
		var r secp256k1.ModNScalar
		if r.SetByteSlice(x[:]) || isSmall(x) {
			return false
		}
		it.Key = append(it.Key[:0], 2)
		if parity {
			it.Key[0] = 3
		}
		it.Key = append(it.Key, key[:]...)
		copy(it.Sig[:32], x[:])
		copy(it.Sig[32:], x[:])
		z.Mul2(&t, &r).PutBytes(&it.Digest)
		it.Scheme = sigverify.ECDSA
		return true
	}
	if !set(first, false, &k.internal, &k.output) {
		return false
	}
	t.Negate()
	return set(second, k.odd, &k.output, &k.internal)
}

// isSmall reports whether x is below 2¹³⁶: a bound above the difference between
// the field's prime and the group's order, below which x and x + n may both be
// coordinates.
func isSmall(x *[32]byte) bool {
	var high byte
	for _, b := range x[:15] {
		high |= b
	}
	return high == 0
}

// leafHash returns the hash of a script as a leaf of taproot's tree,
// ComputeTapleafHash in Bitcoin Core.
func leafHash(w *hashWriter, version byte, script []byte) [32]byte {
	w.reset()
	w.tag(&tagTapLeaf)
	w.byte(version)
	w.bytes(script)
	return w.sum()
}

// merkleRoot returns the root of the tree that has the leaf, by the path in the
// control block: ComputeTaprootMerkleRoot in Bitcoin Core.
func merkleRoot(w *hashWriter, control []byte, leaf *[32]byte) [32]byte {
	node := *leaf
	for path := control[controlBaseSize:]; len(path) > 0; path = path[controlNodeSize:] {
		other := [32]byte(path)
		lower, upper := &node, &other
		if string(other[:]) < string(node[:]) {
			lower, upper = upper, lower
		}
		w.reset()
		w.tag(&tagTapBranch)
		w.hash(lower)
		w.hash(upper)
		node = w.sum()
	}
	return node
}
