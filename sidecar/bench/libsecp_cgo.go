//go:build cgo && !gofuzz

package bench

import "github.com/ethereum/go-ethereum/crypto/secp256k1"

// libsecp returns libsecp256k1, in go-ethereum's binding. It refuses a high S,
// and has no BIP340.
func libsecp() *anchor {
	return &anchor{name: "libsecp256k1", ecdsa: func(s *sample) bool {
		return secp256k1.VerifySignature(s.item.Key, s.item.Digest[:], s.item.Sig[:])
	}}
}
