package adaptor

import (
	"crypto/sha256"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
)

// A Point is a point of secp256k1, compressed as SEC 1 has it: 2 or 3 for the parity of
// y, and x big-endian. It is any bytes until somebody parses it; infinity has no such form.
type Point [33]byte

// parse returns the point with a Z of 1, or false if there is none.
func (p *Point) parse() (at secp256k1.JacobianPoint, ok bool) {
	if p[0] != 2 && p[0] != 3 || at.X.SetByteSlice(p[1:]) || !secp256k1.DecompressY(&at.X, p.odd(), &at.Y) {
		return at, false
	}
	at.Y.Normalize()
	at.Z.SetInt(1)
	return at, true
}

// odd reports whether y is odd.
func (p *Point) odd() bool { return p[0] == 3 }

// x returns the coordinate that BIP340 makes of a point.
func (p *Point) x() [32]byte { return [32]byte(p[1:]) }

// compress returns the bytes of a point that is affine and not infinite.
func compress(at *secp256k1.JacobianPoint) (p Point) {
	p[0] = 2
	if at.Y.IsOdd() {
		p[0] = 3
	}
	at.X.PutBytesUnchecked(p[1:])
	return p
}

// infinite reports whether a point is none.
func infinite(at *secp256k1.JacobianPoint) bool {
	return at.Z.IsZero() || at.X.IsZero() && at.Y.IsZero()
}

// negate turns a point into its opposite, if that is wanted.
func negate(at *secp256k1.JacobianPoint, wanted bool) {
	if wanted {
		at.Y.Normalize().Negate(1).Normalize()
	}
}

// scalar reads a number big-endian; false if it is not below the group order.
func scalar(b [32]byte) (k secp256k1.ModNScalar, ok bool) {
	overflow := k.SetBytes(&b)
	return k, overflow == 0
}

// secret reads a scalar that is not zero either.
func secret(b [32]byte) (k secp256k1.ModNScalar, ok bool) {
	k, ok = scalar(b)
	return k, ok && !k.IsZero()
}

// A tag is the beginning of one of BIP340's tagged hashes.
type tag [64]byte

func newTag(name string) (t tag) {
	h := sha256.Sum256([]byte(name))
	copy(t[:32], h[:])
	copy(t[32:], h[:])
	return t
}

// hash returns the tagged hash of the parts.
func (t tag) hash(parts ...[]byte) [32]byte {
	b := append(make([]byte, 0, 256), t[:]...)
	for _, p := range parts {
		b = append(b, p...)
	}
	return sha256.Sum256(b)
}

var (
	challengeTag = newTag("BIP0340/challenge")
	auxTag       = newTag("BIP0340/aux")
	// nonceTag is not BIP340's: a presignature's nonce is no signature's.
	nonceTag = newTag("SchnorrAdaptor/nonce")
)

// challenge returns BIP340's e, as a number mod n.
func challenge(r, key, digest [32]byte) (e secp256k1.ModNScalar) {
	h := challengeTag.hash(r[:], key[:], digest[:])
	e.SetBytes(&h)
	return e
}

// PointOf returns the point of a secret, and false if that is zero or not below the
// group order.
func PointOf(t [32]byte) (Point, bool) {
	k, ok := secret(t)
	if !ok {
		return Point{}, false
	}
	var at secp256k1.JacobianPoint
	secp256k1.ScalarBaseMultNonConst(&k, &at)
	at.ToAffine()
	return compress(&at), true
}
