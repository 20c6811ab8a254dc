package wots

import (
	"github.com/outrider-project/outrider/sigverify/hashlane"
)

// A PublicKey is the end of each digit's chain, that of the first digit first.
type PublicKey [][Hash]byte

// secrets returns the start of each digit's chain.
func (s Scheme) secrets(secret []byte) [][Hash]byte {
	starts := make([][Hash]byte, s.Digits())
	msgs := make([][]byte, len(starts))
	for i := range msgs {
		msg := append(make([]byte, 0, len(secret)+2), secret...)
		for n := i; n > 0; n >>= 8 {
			msg = append(msg, byte(n))
		}
		msgs[i] = msg
	}
	hashlane.Hash160(starts, msgs)
	return starts
}

// PublicKey returns the public key of a secret key. BitVM draws 20 random bytes for a
// secret key; older keys are the ASCII of their hexadecimal digits, which is for the
// caller to write out.
func (s Scheme) PublicKey(secret []byte) PublicKey {
	ends := s.secrets(secret)
	steps := make([]int, len(ends))
	for i := range steps {
		steps[i] = maxDigit
	}
	hashlane.Hash160Chain(ends, steps)
	return ends
}

// A Signature is a value of each digit's chain, and how far from its start it is: the
// digit, from 0 to 15.
type Signature struct {
	Values [][Hash]byte
	Digits []uint8
}

// Sign signs a message of the scheme's size; it panics if that is another.
func (s Scheme) Sign(secret, message []byte) *Signature {
	if len(message) != s.size {
		panic("wots: Sign: a message of another size than the scheme's")
	}
	sig := &Signature{Values: s.secrets(secret), Digits: s.digits(message)}
	steps := make([]int, len(sig.Digits))
	for i, d := range sig.Digits {
		steps[i] = int(d)
	}
	hashlane.Hash160Chain(sig.Values, steps)
	return sig
}
