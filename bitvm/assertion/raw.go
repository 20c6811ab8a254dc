package assertion

import (
	"errors"
	"fmt"

	"github.com/consensys/gnark-crypto/ecc/bn254"
	"github.com/consensys/gnark-crypto/ecc/bn254/fp"
	"github.com/consensys/gnark-crypto/ecc/bn254/fr"

	"github.com/outrider-project/outrider/bitvm/groth16"
)

// How much is committed to.
const (
	Elements = 14  // field elements of the proof, and of c
	Hashes   = 363 // outputs of parts
	// Leaves is how many leaves can disprove an assertion: one for each hash, and
	// the last.
	Leaves = Hashes + 1
	// Commitments is how many signatures carry an assertion.
	Commitments = 1 + Elements + Hashes

	wordSize = 32
	hashSize = 16
	// RawSize is the size of an encoded [Raw] in bytes.
	RawSize = (1+Elements)*wordSize + Hashes*hashSize
)

// A Raw is what an assertion commits to, as it is signed: each part big-endian, with the
// halves of every byte swapped. The elements are, by BitVM's names, P4 y and x (A of the
// proof), P2 y and x (C), the six of c, and Q4 x0, x1, y0, y1 (B).
type Raw struct {
	Input    [wordSize]byte
	Elements [Elements][wordSize]byte
	Hashes   [Hashes][hashSize]byte
}

// ErrSize says that bytes are not those of a [Raw].
var ErrSize = errors.New("assertion: wrong size")

// Decode reads a Raw from its parts, one after the other. What they say is not looked at.
func Decode(b []byte) (*Raw, error) {
	if len(b) != RawSize {
		return nil, fmt.Errorf("%w: %d bytes, must be %d", ErrSize, len(b), RawSize)
	}
	r := new(Raw)
	b = b[copy(r.Input[:], b):]
	for i := range r.Elements {
		b = b[copy(r.Elements[i][:], b):]
	}
	for i := range r.Hashes {
		b = b[copy(r.Hashes[i][:], b):]
	}
	return r, nil
}

// Encode returns r as [Decode] takes it.
func (r *Raw) Encode() []byte {
	b := append(make([]byte, 0, RawSize), r.Input[:]...)
	for i := range r.Elements {
		b = append(b, r.Elements[i][:]...)
	}
	for i := range r.Hashes {
		b = append(b, r.Hashes[i][:]...)
	}
	return b
}

// Message returns the message of commitment i, from 0 to [Commitments] - 1, as the
// Winternitz signature number i signs it: 32 bytes of the first 15, 16 of the others. It
// is memory of r.
func (r *Raw) Message(i int) []byte {
	switch {
	case i == 0:
		return r.Input[:]
	case i <= Elements:
		return r.Elements[i-1][:]
	}
	return r.Hashes[i-1-Elements][:]
}

// ErrProofForm says that what is committed to as proof or public input is none.
var ErrProofForm = errors.New("assertion: no proof is committed to")

// Proof returns the proof and the public input that are committed to. Points may be off
// their curves, which [groth16.Key.Verify] finds; the error is [ErrProofForm], for
// numbers that are not below p or r, and for the point at infinity, which BitVM2 does not
// know.
func (r *Raw) Proof() (groth16.Item, error) {
	input, ok := scalar(&r.Input)
	p := new(groth16.Proof)
	for i, to := range []*fp.Element{
		&p.A.Y, &p.A.X, &p.C.Y, &p.C.X, 4: nil, 5: nil, 6: nil, 7: nil, 8: nil, 9: nil,
		10: &p.B.X.A0, 11: &p.B.X.A1, 12: &p.B.Y.A0, 13: &p.B.Y.A1,
	} {
		if to == nil {
			continue
		}
		x, below := element(&r.Elements[i])
		*to, ok = x, ok && below
	}
	if !ok || p.A.IsInfinity() || p.B.IsInfinity() || p.C.IsInfinity() {
		return groth16.Item{}, ErrProofForm
	}
	return groth16.Item{Proof: p, Inputs: []fr.Element{input}}, nil
}

// c reads c; false if a number of it is not below p.
func (r *Raw) c() (c bn254.E6, ok bool) {
	ok = true
	for i, to := range []*fp.Element{&c.B0.A0, &c.B0.A1, &c.B1.A0, &c.B1.A1, &c.B2.A0, &c.B2.A1} {
		x, below := element(&r.Elements[4+i])
		*to, ok = x, ok && below
	}
	return c, ok
}

// swapped returns bytes with the halves of each swapped.
func swapped(b []byte) []byte {
	out := make([]byte, len(b))
	for i, x := range b {
		out[i] = x<<4 | x>>4
	}
	return out
}

// unswapped returns the bytes of a number with the halves of each swapped.
func unswapped(b *[wordSize]byte) (number [wordSize]byte) {
	for i, x := range b {
		number[i] = x<<4 | x>>4
	}
	return number
}

// element reads an element of the base field; false if the number is not below p.
func element(b *[wordSize]byte) (e fp.Element, ok bool) {
	number := unswapped(b)
	return e, e.SetBytesCanonical(number[:]) == nil
}

// scalar reads the public input; false if the number is not below r.
func scalar(b *[wordSize]byte) (e fr.Element, ok bool) {
	number := unswapped(b)
	return e, e.SetBytesCanonical(number[:]) == nil
}
