package wots

import (
	"errors"
	"fmt"
	"slices"

	"github.com/outrider-project/outrider/sigverify/hashlane"
)

// Why a signature is not valid, beside [ErrChecksum].
var (
	// ErrForm says that keys, signatures or witnesses have the wrong number of
	// parts, or parts that cannot be any.
	ErrForm = errors.New("wots: not of the scheme's form")
	// ErrChain says that a value does not lead to the public key.
	ErrChain = errors.New("wots: a chain does not end at the public key")
)

// An Item is a signature to verify, with its scheme and key.
type Item struct {
	Scheme    Scheme
	Key       PublicKey
	Signature *Signature
}

// check says what is wrong with an item's form.
func (it *Item) check() error {
	n := it.Scheme.Digits()
	if len(it.Key) != n || it.Signature == nil || len(it.Signature.Values) != n || len(it.Signature.Digits) != n {
		return fmt.Errorf("%w: there are to be %d digits", ErrForm, n)
	}
	for i, d := range it.Signature.Digits {
		if d > maxDigit {
			return fmt.Errorf("%w: digit %d is %d", ErrForm, i, d)
		}
	}
	return nil
}

// Verify returns the message that was signed, or an error that wraps [ErrForm],
// [ErrChecksum] or [ErrChain].
func (s Scheme) Verify(key PublicKey, sig *Signature) ([]byte, error) {
	var v Verifier
	items := [1]Item{{s, key, sig}}
	messages, errs := v.Verify(items[:])
	return messages[0], errs[0]
}

// A Verifier verifies signatures, and keeps memory for that from one call to the next.
// The zero value is ready; it is not safe for concurrent use.
type Verifier struct {
	values [][Hash]byte
	steps  []int
}

// Verify verifies many signatures at once, their chains side by side: the more of them,
// the better vector registers are filled. It returns for each what [Scheme.Verify] does.
// What is wrong with one has no bearing on another.
func (v *Verifier) Verify(items []Item) (messages [][]byte, errs []error) {
	messages, errs = make([][]byte, len(items)), make([]error, len(items))
	digits := 0
	for i := range items {
		digits += len(items[i].Key)
	}
	v.values, v.steps = slices.Grow(v.values[:0], digits), slices.Grow(v.steps[:0], digits)
	for i := range items {
		it := &items[i]
		if errs[i] = it.check(); errs[i] != nil {
			continue
		}
		if messages[i], errs[i] = it.Scheme.message(it.Signature.Digits); errs[i] != nil {
			continue
		}
		v.values = append(v.values, it.Signature.Values...)
		for _, d := range it.Signature.Digits {
			v.steps = append(v.steps, maxDigit-int(d))
		}
	}
	hashlane.Hash160Chain(v.values, v.steps)
	ends := v.values
	for i := range items {
		if errs[i] != nil {
			continue
		}
		n := len(items[i].Key)
		for j, end := range ends[:n] {
			if end != items[i].Key[j] {
				messages[i], errs[i] = nil, fmt.Errorf("%w: digit %d", ErrChain, j)
				break
			}
		}
		ends = ends[n:]
	}
	return messages, errs
}
