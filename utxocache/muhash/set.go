package muhash

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// StateSize is the size of an encoded Set in bytes.
const StateSize = 2 * numberSize

// A Set is what MuHash3072 keeps of a set. The zero value is the empty set, and
// an assignment copies it.
//
// A Set is for one goroutine at a time, but for Finalize and Append, which only
// read it. Two sets are not compared with ==: the same elements leave different
// words behind in different orders. Their hashes are compared.
type Set struct {
	numerator, denominator product
}

// A product is a product of numbers. The zero value is the product of none.
type product struct {
	number number
	some   bool
}

// mul multiplies p by x.
func (p *product) mul(x *number) {
	if !p.some {
		*p = product{*x, true}
		return
	}
	p.number.mul(&p.number, x)
}

// combine multiplies p by q.
func (p *product) combine(q *product) {
	if q.some {
		p.mul(&q.number)
	}
}

// value returns the product.
func (p *product) value() number {
	if !p.some {
		return one
	}
	return p.number
}

// Insert adds an element. It keeps no part of it.
func (s *Set) Insert(element []byte) {
	var x number
	numberOf(&x, element)
	s.numerator.mul(&x)
}

// Remove takes an element away. It keeps no part of it.
func (s *Set) Remove(element []byte) {
	var x number
	numberOf(&x, element)
	s.denominator.mul(&x)
}

// Combine does to s all that was done to o, as Bitcoin Core's operator*=. The
// two may be the same set.
func (s *Set) Combine(o *Set) {
	s.numerator.combine(&o.numerator)
	s.denominator.combine(&o.denominator)
}

// Uncombine undoes a Combine of o, as Bitcoin Core's operator/=. The two may be
// the same set.
func (s *Set) Uncombine(o *Set) {
	numerator := o.numerator // before s, which may be o, changes
	s.numerator.combine(&o.denominator)
	s.denominator.combine(&numerator)
}

// Finalize returns the hash of the set, in internal byte order. It changes
// nothing: the set may go on. It divides, and so takes the time of some
// insertions.
func (s *Set) Finalize() chainhash.Hash {
	x := s.numerator.value()
	if s.denominator.some {
		inverse := s.denominator.number.inverse()
		x.mul(&x, &inverse)
	}
	x = x.reduced()
	return sha256.Sum256(x.append(make([]byte, 0, numberSize)))
}

// Append appends the state in StateSize bytes: the product of what was inserted
// and the product of what was removed, each in 384 bytes, little-endian, and
// below the modulus. Bitcoin Core's MuHash3072 is serialised in the same way.
func (s *Set) Append(dst []byte) []byte {
	for _, p := range []*product{&s.numerator, &s.denominator} {
		x := p.value()
		x = x.reduced()
		dst = x.append(dst)
	}
	return dst
}

// Decode sets s to the state in b, which is all that b holds. As in Bitcoin
// Core, the numbers may be above the modulus. It refuses a product of zero, which
// no elements have. If there is an error, s is as it was.
func (s *Set) Decode(b []byte) error {
	if len(b) != StateSize {
		return fmt.Errorf("muhash: a state of %d bytes, not %d", len(b), StateSize)
	}
	var read Set
	for i, p := range []*product{&read.numerator, &read.denominator} {
		p.number.decode((*[numberSize]byte)(b[i*numberSize:]))
		if p.number.reduced() == (number{}) {
			return errors.New("muhash: a state with a product of zero")
		}
		p.some = true
	}
	*s = read
	return nil
}
