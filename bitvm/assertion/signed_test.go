package assertion

import (
	"errors"
	"fmt"
	"testing"

	"github.com/outrider-project/outrider/bitvm/wots"
)

// What was signed is read again, from either form of witness, and each signature that is
// not valid is named.
func TestReadSigned(t *testing.T) {
	raw := new(Raw)
	for i := range Commitments {
		for j := range raw.Message(i) {
			raw.Message(i)[j] = byte(i*31 + j*7)
		}
	}
	var secrets [Commitments][]byte
	var keys Keys
	for i := range secrets {
		secrets[i] = fmt.Appendf(nil, "secret %d", i)
		keys[i] = Scheme(i).PublicKey(secrets[i])
	}
	signed := raw.Sign(&secrets)
	if got, err := ReadSigned(&keys, signed); err != nil || *got != *raw {
		t.Fatalf("another assertion, %v", err)
	}
	for i := range signed {
		sig, err := Scheme(i).DecodeWitness(signed[i].Witness())
		if i%2 == 1 {
			sig, err = Scheme(i).DecodeCompactWitness(keys[i], signed[i].CompactWitness())
		}
		if err != nil {
			t.Fatal(err)
		}
		signed[i] = sig
	}
	if got, err := ReadSigned(&keys, signed); err != nil || *got != *raw {
		t.Fatalf("another assertion, %v", err)
	}
	signed[3].Values[5][0] ^= 1
	signed[200].Digits[0] ^= 1
	signed[377] = nil
	_, err := ReadSigned(&keys, signed)
	first, ok := errors.AsType[*SignatureError](err)
	if !ok || first.Commitment != 3 || !errors.Is(err, wots.ErrChain) || !errors.Is(err, wots.ErrChecksum) || !errors.Is(err, wots.ErrForm) {
		t.Errorf("%v", err)
	}
}

func BenchmarkReadSigned(b *testing.B) {
	raw := new(Raw)
	var secrets [Commitments][]byte
	var keys Keys
	for i := range secrets {
		secrets[i] = fmt.Appendf(nil, "secret %d", i)
		copy(raw.Message(i), randomBytes(i))
		keys[i] = Scheme(i).PublicKey(secrets[i])
	}
	signed := raw.Sign(&secrets)
	for b.Loop() {
		if _, err := ReadSigned(&keys, signed); err != nil {
			b.Fatal(err)
		}
	}
}

// randomBytes returns bytes that are as good as random.
func randomBytes(i int) []byte {
	key := Scheme(i).PublicKey([]byte{byte(i), byte(i >> 8)})
	return append(key[0][:], key[1][:]...)
}
