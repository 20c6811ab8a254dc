package assertion

import (
	"errors"
	"fmt"

	"github.com/outrider-project/outrider/bitvm/wots"
)

// Keys are the Winternitz keys of an assertion, one for each commitment: the first 15 for
// messages of 32 bytes, the others for messages of 16.
type Keys [Commitments]wots.PublicKey

// A SignatureError says which commitment is not signed as it must be.
type SignatureError struct {
	Commitment int // from 0 to Commitments - 1
	Err        error
}

func (e *SignatureError) Error() string {
	return fmt.Sprintf("assertion: commitment %d: %v", e.Commitment, e.Err)
}

// Unwrap returns the error of package wots.
func (e *SignatureError) Unwrap() error { return e.Err }

// Scheme returns the signature scheme of commitment i.
func Scheme(i int) wots.Scheme {
	size := wordSize
	if i > Elements {
		size = hashSize
	}
	s, err := wots.For(size)
	if err != nil {
		panic(err) // both sizes are of schemes
	}
	return s
}

// ReadSigned reads an assertion from the signatures that carry it, verified by the keys,
// all at once. The error joins a [SignatureError] for each that is not valid, lowest
// commitment first.
func ReadSigned(keys *Keys, signatures *[Commitments]*wots.Signature) (*Raw, error) {
	items := make([]wots.Item, Commitments)
	for i := range items {
		items[i] = wots.Item{Scheme: Scheme(i), Key: keys[i], Signature: signatures[i]}
	}
	var v wots.Verifier
	messages, errs := v.Verify(items)
	raw := new(Raw)
	var wrong []error
	for i, err := range errs {
		if err != nil {
			wrong = append(wrong, &SignatureError{i, err})
			continue
		}
		copy(raw.Message(i), messages[i])
	}
	if wrong != nil {
		return nil, errors.Join(wrong...)
	}
	return raw, nil
}

// Sign signs an assertion, with a secret key for each commitment.
func (r *Raw) Sign(secrets *[Commitments][]byte) *[Commitments]*wots.Signature {
	signatures := new([Commitments]*wots.Signature)
	for i := range signatures {
		signatures[i] = Scheme(i).Sign(secrets[i], r.Message(i))
	}
	return signatures
}
