package groth16

import (
	"errors"
	"fmt"

	"github.com/consensys/gnark-crypto/ecc/bn254"
	"github.com/consensys/gnark-crypto/ecc/bn254/fp"
	"github.com/consensys/gnark-crypto/ecc/bn254/fr"
)

// ErrEncoding is wrapped by every error of a decoder: the bytes are not the one
// encoding of what they should be.
var ErrEncoding = errors.New("not a canonical encoding")

// encodingError returns an error that wraps ErrEncoding.
func encodingError(format string, args ...any) error {
	return fmt.Errorf("groth16: %w: %s", ErrEncoding, fmt.Sprintf(format, args...))
}

// Sizes in bytes.
const (
	sizeWord = 32
	sizeG1   = 2 * sizeWord
	sizeG2   = 4 * sizeWord
)

// baseElement decodes an element of the base field, 32 bytes, big-endian.
func baseElement(b []byte) (e fp.Element, err error) {
	if err := e.SetBytesCanonical(b); err != nil {
		return e, encodingError("a coordinate is not below the field's modulus")
	}
	return e, nil
}

// g1FromWords decodes x and y, 32 bytes each, big-endian; both 0 are infinity.
func g1FromWords(b []byte) (p bn254.G1Affine, err error) {
	if p.X, err = baseElement(b[:32]); err != nil {
		return p, err
	}
	if p.Y, err = baseElement(b[32:64]); err != nil {
		return p, err
	}
	if !p.IsInfinity() && !p.IsOnCurve() {
		return p, encodingError("a point is not on G1's curve")
	}
	return p, nil
}

// g2FromWords decodes x and y, of which each is the imaginary and then the real part of
// 32 bytes, big-endian; all 0 are infinity. The point may be outside of G2's subgroup.
func g2FromWords(b []byte) (p bn254.G2Affine, err error) {
	for i, e := range []*fp.Element{&p.X.A1, &p.X.A0, &p.Y.A1, &p.Y.A0} {
		if *e, err = baseElement(b[32*i : 32*i+32]); err != nil {
			return p, err
		}
	}
	if !p.IsInfinity() && !p.IsOnCurve() {
		return p, encodingError("a point is not on G2's curve")
	}
	return p, nil
}

// DecodeInputs decodes public inputs, each of 32 bytes, big-endian and below r. It is an
// error if there are more than [MaxInputs].
func DecodeInputs(b []byte) ([]fr.Element, error) {
	if len(b)%sizeWord != 0 || len(b) > MaxInputs*sizeWord {
		return nil, encodingError("%d bytes of public inputs", len(b))
	}
	inputs := make([]fr.Element, len(b)/sizeWord)
	for i := range inputs {
		if err := inputs[i].SetBytesCanonical(b[32*i : 32*i+32]); err != nil {
			return nil, encodingError("public input %d is not below r", i)
		}
	}
	return inputs, nil
}
