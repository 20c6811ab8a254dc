package assertion

import (
	"errors"
	"fmt"

	"github.com/consensys/gnark-crypto/ecc/bn254/fp"
	"github.com/consensys/gnark-crypto/ecc/bn254/fr"
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

// swapped returns bytes with the halves of each swapped.
func swapped(b []byte) []byte {
	out := make([]byte, len(b))
	for i, x := range b {
		out[i] = x<<4 | x>>4
	}
	return out
}

// element reads an element of the base field; false if the number is not below p.
func element(b *[wordSize]byte) (e fp.Element, ok bool) {
	return e, e.SetBytesCanonical(swapped(b[:])) == nil
}

// scalar reads the public input; false if the number is not below r.
func scalar(b *[wordSize]byte) (e fr.Element, ok bool) {
	return e, e.SetBytesCanonical(swapped(b[:])) == nil
}
