package lane

import (
	"math/rand/v2"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
)

// decredVerify is the verdict of code that shares nothing with this project.
func decredVerify(it *Item) bool {
	if it.BIP340 {
		key, err := schnorr.ParsePubKey(it.Key)
		if err != nil || len(it.Key) != 32 {
			return false
		}
		sig, err := schnorr.ParseSignature(it.Sig[:])
		return err == nil && sig.Verify(it.Digest[:], key)
	}
	var r, s secp256k1.ModNScalar
	if r.SetByteSlice(it.Sig[:32]) || s.SetByteSlice(it.Sig[32:]) {
		return false
	}
	key, err := secp256k1.ParsePubKey(it.Key)
	return err == nil && ecdsa.NewSignature(&r, &s).Verify(it.Digest[:], key)
}

// FuzzVerify holds the lanes against package secp and against decred, with the
// item in any lane among others.
func FuzzVerify(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for i, s := range mixed(r, 60) {
		f.Add(s.Key, s.sig[:], s.digest[:], s.BIP340, uint8(i))
	}
	kernels := models
	if missing := missingFeature(); missing == "" {
		kernels = assembly
	} else {
		f.Logf("only the models are fuzzed: this machine lacks %s", missing)
	}
	scratch := newScratch(kernels(), newTable())
	good := valid(r)
	f.Fuzz(func(t *testing.T, key, sig, digest []byte, bip340 bool, place uint8) {
		it := &sample{Item: Item{Key: key, BIP340: bip340}}
		copy(it.sig[:], sig)
		copy(it.digest[:], digest)
		it.Sig, it.Digest = &it.sig, &it.digest
		if it.want = oracle(&it.Item); it.want != decredVerify(&it.Item) {
			t.Fatalf("package secp says %v, decred does not: %v", it.want, it)
		}
		samples := make([]*sample, 1+int(place%32))
		for i := range samples {
			samples[i] = good
		}
		samples[int(place/32)%len(samples)] = it
		check(t, samples, verify(scratch, samples))
	})
}

// The three agree on all kinds of items.
func TestOraclesAgree(t *testing.T) {
	r := newRand(t)
	n := 300
	if testing.Short() {
		n = 60
	}
	for _, s := range mixed(r, n) {
		if got, other := oracle(&s.Item), decredVerify(&s.Item); got != s.want || other != s.want {
			t.Errorf("package secp says %v, decred %v, want %v: %v", got, other, s.want, s)
		}
	}
}
