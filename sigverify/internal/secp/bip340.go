package secp

import "crypto/sha256"

// challengeTag is SHA-256 of BIP340's tag "BIP0340/challenge".
var challengeTag = sha256.Sum256([]byte("BIP0340/challenge"))

// Challenge returns BIP340's e: the hash that the BIP tags "BIP0340/challenge"
// of r, key and digest, modulo n. r and key are the 32 bytes of x coordinates.
func Challenge(r, key, digest *[32]byte) (e Scalar) {
	var message [5 * 32]byte
	copy(message[:], challengeTag[:])
	copy(message[32:], challengeTag[:])
	copy(message[64:], r[:])
	copy(message[96:], key[:])
	copy(message[128:], digest[:])
	hash := sha256.Sum256(message[:])
	e.SetBytes(&hash)
	return e
}

// VerifyBIP340 is BIP340's Verify(pk, m, sig), for a message of 32 bytes: it
// reports whether sig is a signature of digest under the x-only key. A key that
// has not 32 bytes, or that LiftX refuses, has no signatures. It allocates
// nothing, but for the tables of the generator at the first call.
func VerifyBIP340(key []byte, sig *[64]byte, digest *[32]byte) bool {
	var r residue
	var s Scalar
	if r.setBytes((*[32]byte)(sig[:32])) || s.SetBytes((*[32]byte)(sig[32:])) {
		return false
	}
	if len(key) != 32 {
		return false
	}
	p, ok := liftX((*[32]byte)(key), false)
	if !ok {
		return false
	}
	e := Challenge((*[32]byte)(sig[:32]), (*[32]byte)(key), digest)

	// R = s⋅G - e⋅P must not be infinite, its x must be r, and its y even.
	e.Negate(&e)
	var R jacobian
	R.combine(&s, &e, &p)
	if R.infinite || !R.hasX(&r) {
		return false
	}
	affine := R.affine()
	return !affine.y.isOdd()
}
