// Package sigverify verifies ECDSA and BIP340 signatures over secp256k1 in
// batches, one verdict for each, on all cores, and with AVX-512 IFMA eight to a
// core at a time.
//
// It answers one question: does this signature fit this key and this digest?
// What a script demands of an encoding (BIP66's strict DER, low S, the hash
// type) is the caller's. Consensus accepts a high S, and so does this package.
//
// # What is trusted
//
// Four verifiers stand behind a verdict. The lanes are fast, and final only when
// they say valid: whatever they refuse, or cannot tell, the scalar verifier
// decides. A share of all verdicts, drawn so that nobody can foresee which, is
// asked of decred's code as well, which shares nothing with the other two. When
// any of them disagree, arithmetic from the textbook decides, and a verifier
// that was wrong is not asked again: the lanes for as long as the process lives,
// the scalar verifier for as long as the [Verifier] does. Batches that were under
// way are then verified again before they are answered.
//
// # Time
//
// Verification is variable-time. Everything it sees is public, so there is no
// secret for the time to tell. Never give it a secret, and do not sign with its
// code.
package sigverify

// A Scheme says how a signature is to be verified.
type Scheme uint8

// These are the schemes of Bitcoin.
const (
	// ECDSA is the scheme of every script before taproot.
	ECDSA Scheme = iota + 1
	// BIP340 is the Schnorr scheme of taproot, with its tagged challenge.
	BIP340
)

// An Item is one signature to verify. All integers are big-endian.
type Item struct {
	// Key is the public key: for ECDSA in SEC 1 form, compressed (33 bytes),
	// uncompressed or hybrid (65 bytes); for BIP340 the x coordinate (32
	// bytes). A key that is no curve point makes the verdict false. Key is
	// only read, and not kept.
	Key []byte
	// Sig is r ‖ s.
	Sig [64]byte
	// Digest is the signature hash.
	Digest [32]byte
	// Scheme is ECDSA or BIP340; any other makes the verdict false.
	Scheme Scheme
}
