package sigverify

import (
	"crypto/sha256"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
)

// verifyDecred reports whether the item's signature is valid, by decred's curve:
// the second opinion on the verdicts that are sampled.
func verifyDecred(it *Item) bool {
	switch it.Scheme {
	case ECDSA:
		return decredECDSA(it.Key, &it.Sig, &it.Digest)
	case BIP340:
		return decredBIP340(it.Key, &it.Sig, &it.Digest)
	}
	return false
}

// decredECDSA reports whether sig, which is r ‖ s, is key's signature of digest.
// What it takes is what consensus takes: compressed, uncompressed and hybrid keys
// (whose parity byte must be right), and an s of either half of the group order.
// An r or s that is zero or not below the group order is refused.
func decredECDSA(key []byte, sig *[64]byte, digest *[32]byte) bool {
	var r, s secp256k1.ModNScalar
	if r.SetByteSlice(sig[:32]) || s.SetByteSlice(sig[32:]) {
		return false
	}
	pub, err := secp256k1.ParsePubKey(key)
	return err == nil && ecdsa.NewSignature(&r, &s).Verify(digest[:], pub)
}

// challengeTag is the hash of BIP340's tag "BIP0340/challenge".
var challengeTag = sha256.Sum256([]byte("BIP0340/challenge"))

// decredBIP340 is BIP340's Verify(pk, m, sig); the names in it are the BIP's.
func decredBIP340(key []byte, sig *[64]byte, digest *[32]byte) bool {
	p, ok := liftX(key)
	if !ok {
		return false
	}
	r, s, ok := splitBIP340(sig)
	if !ok {
		return false
	}
	e := challenge(sig[:32], key, digest)

	// R = s⋅G - e⋅P; fail if it is infinite, if its y is odd, if its x is not r.
	e.Negate()
	var sG, eP, R secp256k1.JacobianPoint
	secp256k1.ScalarBaseMultNonConst(&s, &sG)
	secp256k1.ScalarMultNonConst(&e, &p, &eP)
	secp256k1.AddNonConst(&sG, &eP, &R)
	if R.Z.IsZero() || R.X.IsZero() && R.Y.IsZero() {
		return false
	}
	R.ToAffine()
	return !R.Y.IsOdd() && R.X.Equals(&r)
}

// liftX returns the point whose x is key and whose y is even. It fails if key is
// not below the field prime, or no point has that x.
func liftX(key []byte) (p secp256k1.JacobianPoint, ok bool) {
	if len(key) != 32 || p.X.SetByteSlice(key) || !secp256k1.DecompressY(&p.X, false, &p.Y) {
		return p, false
	}
	p.Z.SetInt(1)
	return p, true
}

// splitBIP340 returns the halves of a signature. It fails if r is not below the
// field prime or s is not below the group order.
func splitBIP340(sig *[64]byte) (r secp256k1.FieldVal, s secp256k1.ModNScalar, ok bool) {
	overflowR, overflowS := r.SetByteSlice(sig[:32]), s.SetByteSlice(sig[32:])
	return r, s, !overflowR && !overflowS
}

// challenge returns e = int(hash(bytes(r) ‖ bytes(P) ‖ m)) mod n, with the hash
// that BIP340 tags "BIP0340/challenge".
func challenge(r, key []byte, digest *[32]byte) secp256k1.ModNScalar {
	var message [5 * 32]byte
	copy(message[:], challengeTag[:])
	copy(message[32:], challengeTag[:])
	copy(message[64:], r)
	copy(message[96:], key)
	copy(message[128:], digest[:])
	hash := sha256.Sum256(message[:])
	var e secp256k1.ModNScalar
	e.SetBytes(&hash)
	return e
}
