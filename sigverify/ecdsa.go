package sigverify

import (
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
)

// verifyECDSA reports whether sig, which is r ‖ s, is key's signature of
// digest. What it takes is what consensus takes: compressed, uncompressed and
// hybrid keys (whose parity byte must be right), and an s of either half of the
// group order. An r or s that is zero or not below the group order is refused.
func verifyECDSA(key []byte, sig *[64]byte, digest *[32]byte) bool {
	var r, s secp256k1.ModNScalar
	if r.SetByteSlice(sig[:32]) || s.SetByteSlice(sig[32:]) {
		return false
	}
	pub, err := secp256k1.ParsePubKey(key)
	return err == nil && ecdsa.NewSignature(&r, &s).Verify(digest[:], pub)
}
