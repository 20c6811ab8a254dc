package bench

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/btcsuite/btcd/btcec/v2"
	btcecdsa "github.com/btcsuite/btcd/btcec/v2/ecdsa"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"github.com/outrider-project/outrider/sigverify"
)

// A sample is a valid signature, in the form that each verifier takes. The key is
// compressed, and S is low.
type sample struct {
	item sigverify.Item
	// btcec takes a signature as it stands in a transaction.
	encoded []byte
}

// newSamples returns n signatures of each scheme, all by different keys.
func newSamples(n int) (ecdsaSamples, bip340Samples []sample, err error) {
	for i := range n {
		var seed [8]byte
		binary.BigEndian.PutUint64(seed[:], uint64(i))
		secret, digest := sha256.Sum256(append([]byte("key "), seed[:]...)), sha256.Sum256(append([]byte("message "), seed[:]...))
		key, pub := btcec.PrivKeyFromBytes(secret[:])

		sig := btcecdsa.Sign(key, digest[:])
		item := sigverify.Item{Scheme: sigverify.ECDSA, Key: pub.SerializeCompressed(), Digest: digest}
		r, s := sig.R(), sig.S()
		r.PutBytesUnchecked(item.Sig[:32])
		s.PutBytesUnchecked(item.Sig[32:])
		ecdsaSamples = append(ecdsaSamples, sample{item, sig.Serialize()})

		taproot, err := schnorr.Sign(key, digest[:], schnorr.FastSign())
		if err != nil {
			return nil, nil, fmt.Errorf("sign: %w", err)
		}
		item = sigverify.Item{Scheme: sigverify.BIP340, Key: schnorr.SerializePubKey(pub), Digest: digest}
		encoded := taproot.Serialize()
		copy(item.Sig[:], encoded)
		bip340Samples = append(bip340Samples, sample{item, encoded})
	}
	return ecdsaSamples, bip340Samples, nil
}

// An anchor is somebody else's verifier, which begins with the bytes of the key
// and the signature as sigverify does. What it does not have is nil.
type anchor struct {
	name          string
	ecdsa, bip340 func(*sample) bool
}

// verify returns the anchor's function for the scheme.
func (a *anchor) verify(scheme sigverify.Scheme) func(*sample) bool {
	if scheme == sigverify.BIP340 {
		return a.bip340
	}
	return a.ecdsa
}

// decred returns decred's secp256k1. Its own Schnorr signatures are not BIP340's.
func decred() *anchor {
	return &anchor{name: "decred", ecdsa: func(s *sample) bool {
		var r, S secp256k1.ModNScalar
		if r.SetByteSlice(s.item.Sig[:32]) || S.SetByteSlice(s.item.Sig[32:]) {
			return false
		}
		pub, err := secp256k1.ParsePubKey(s.item.Key)
		return err == nil && ecdsa.NewSignature(&r, &S).Verify(s.item.Digest[:], pub)
	}}
}

// btcecAnchor returns btcd's btcec, as its script engine calls it.
func btcecAnchor() *anchor {
	return &anchor{
		name: "btcec",
		ecdsa: func(s *sample) bool {
			pub, err := btcec.ParsePubKey(s.item.Key)
			if err != nil {
				return false
			}
			sig, err := btcecdsa.ParseDERSignature(s.encoded)
			return err == nil && sig.Verify(s.item.Digest[:], pub)
		},
		bip340: func(s *sample) bool {
			pub, err := schnorr.ParsePubKey(s.item.Key)
			if err != nil {
				return false
			}
			sig, err := schnorr.ParseSignature(s.encoded)
			return err == nil && sig.Verify(s.item.Digest[:], pub)
		},
	}
}

// anchors returns all that this build has.
func anchors() []*anchor {
	all := []*anchor{decred(), btcecAnchor()}
	if a := libsecp(); a != nil {
		all = append([]*anchor{a}, all...)
	}
	return all
}
