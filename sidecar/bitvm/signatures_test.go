package bitvm

import (
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"

	"github.com/outrider-project/outrider/bitvm/adaptor"
	"github.com/outrider-project/outrider/sigverify"
)

// A batch says of each signature what it is, and a verifier that is closed says nothing.
func TestSignatures(t *testing.T) {
	private, public := btcec.PrivKeyFromBytes([]byte{1, 2, 3})
	checks := make([]adaptor.Check, 40)
	for i := range checks {
		c := &checks[i]
		c.Key, c.Digest = [32]byte(schnorr.SerializePubKey(public)), sha256.Sum256([]byte{byte(i)})
		sig, err := schnorr.Sign(private, c.Digest[:])
		if err != nil {
			t.Fatal(err)
		}
		c.Sig = adaptor.Signature(sig.Serialize())
		if i%3 == 0 {
			c.Sig[i] ^= 1
		}
	}
	v := sigverify.New(sigverify.Options{Workers: 1, CacheBytes: -1})
	verify, valid := Signatures(v), make([]bool, len(checks))
	if err := verify(t.Context(), checks, valid); err != nil {
		t.Fatal(err)
	}
	for i := range valid {
		if valid[i] != (i%3 != 0) {
			t.Errorf("signature %d: %v", i, valid[i])
		}
	}
	v.Close()
	if err := verify(t.Context(), checks, valid); !errors.Is(err, sigverify.ErrClosed) {
		t.Errorf("%v", err)
	}
}
