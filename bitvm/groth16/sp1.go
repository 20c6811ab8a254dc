package groth16

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"github.com/consensys/gnark-crypto/ecc/bn254/fr"
	"github.com/zeebo/blake3"
)

// An SP1Hash is how an SP1 program hashes its public values.
type SP1Hash uint8

const (
	// SP1SHA256 is the hash that SP1's contracts know.
	SP1SHA256 SP1Hash = iota
	// SP1BLAKE3 is the other one that programs may be built with.
	SP1BLAKE3
)

// Digest returns the digest of public values as a public input has it: without the three
// highest bits, so that it is below r.
func (h SP1Hash) Digest(values []byte) (digest [32]byte) {
	if h == SP1BLAKE3 {
		digest = blake3.Sum256(values)
	} else {
		digest = sha256.Sum256(values)
	}
	digest[0] &= 0x1f
	return digest
}

// An SP1Key is the key of a version of SP1, as its contract SP1VerifierGroth16 has it.
type SP1Key struct {
	Version string
	// VerifierHash is the contract's VERIFIER_HASH, whose first four bytes are the
	// selector of a seal. From v3.0.0 on it is the SHA-256 of the key as gnark
	// writes it.
	VerifierHash [32]byte
	// VKRoot is the contract's VK_ROOT, the root of the recursion's keys. HasVKRoot
	// says that there is one: from v6.0.0 on.
	VKRoot    [32]byte
	HasVKRoot bool

	encoded string
}

// VerifyingKey decodes the key.
func (k *SP1Key) VerifyingKey() (*VerifyingKey, error) {
	raw, err := hex.DecodeString(k.encoded)
	if err != nil {
		return nil, err
	}
	if k.Version == "v2.0.0" {
		return DecodeEIP197Key(raw)
	}
	return DecodeGnarkKey(raw)
}

// FindSP1Key returns the key whose seals begin with the selector; false if none of
// [SP1Keys] does. Points do not tell versions apart: several share alpha, beta and gamma.
func FindSP1Key(selector [4]byte) (SP1Key, bool) {
	keys := SP1Keys()
	i := slices.IndexFunc(keys, func(k SP1Key) bool { return [4]byte(k.VerifierHash[:]) == selector })
	if i < 0 {
		return SP1Key{}, false
	}
	return keys[i], true
}

// An SP1Seal is what contracts call proofBytes.
type SP1Seal struct {
	Selector [4]byte
	// ExitCode, VKRoot and Nonce are words of the seals of v6, and public inputs;
	// Extended says that they are there.
	ExitCode, VKRoot, Nonce [32]byte
	Extended                bool
	Proof                   *Proof
}

// Sizes of seals in bytes: up to v5, and from v6 on.
const (
	sizeSP1Seal      = 4 + 256
	sizeSP1SealOfSix = 4 + 3*32 + 256
)

// DecodeSP1Seal decodes a seal of any version, which its length tells. What the selector
// and the three words of v6 must be is for the caller to compare, with [SP1Key].
func DecodeSP1Seal(b []byte) (s *SP1Seal, err error) {
	s = new(SP1Seal)
	switch len(b) {
	case sizeSP1Seal:
	case sizeSP1SealOfSix:
		s.Extended = true
		s.ExitCode, s.VKRoot, s.Nonce = [32]byte(b[4:]), [32]byte(b[36:]), [32]byte(b[68:])
	default:
		return nil, encodingError("a seal of %d bytes, of SP1 there are %d or %d", len(b), sizeSP1Seal, sizeSP1SealOfSix)
	}
	s.Selector = [4]byte(b)
	s.Proof, err = DecodeEIP197Proof(b[len(b)-256:])
	return s, err
}

// Inputs returns the public inputs for a program, known by the hash of its key, and the
// digest of its public values: from v6 on also exit code, root and nonce. It is an error
// if one is not below r.
func (s *SP1Seal) Inputs(program, digest [32]byte) ([]fr.Element, error) {
	words := slices.Concat(program[:], digest[:])
	if s.Extended {
		words = slices.Concat(words, s.ExitCode[:], s.VKRoot[:], s.Nonce[:])
	}
	return DecodeInputs(words)
}
