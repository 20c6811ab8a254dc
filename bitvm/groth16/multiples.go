package groth16

import (
	"github.com/consensys/gnark-crypto/ecc/bn254"
	"github.com/consensys/gnark-crypto/ecc/bn254/fr"
)

// A multiples holds d·16^i·P for each i and each digit d from 1 to 15, at 15i + d - 1:
// with them, a multiple of P is a sum of at most 64 points.
type multiples []bn254.G1Affine

// newMultiples makes the multiples of p.
func newMultiples(p *bn254.G1Affine) multiples {
	all := make([]bn254.G1Jac, 0, 64*15)
	var base bn254.G1Jac
	base.FromAffine(p)
	for range 64 {
		next := base
		for range 15 {
			all = append(all, next)
			next.AddAssign(&base)
		}
		base = next
	}
	return bn254.BatchJacobianToAffineG1(all)
}

// add adds k times the point to sum.
func (m multiples) add(sum *bn254.G1Jac, k *fr.Element) {
	digits := k.Bytes()
	m.addDigits(sum, &digits, 0, 64)
}

// addDigits adds the part of add that the digits from lo to hi make up, the lowest being
// the first.
func (m multiples) addDigits(sum *bn254.G1Jac, digits *[32]byte, lo, hi int) {
	for i := lo; i < hi; i++ {
		d := int(digits[31-i/2]>>(4*(i%2))) & 15
		if d != 0 {
			sum.AddMixed(&m[15*i+d-1])
		}
	}
}

// Sums returns what the first public input's point comes to, multiplied by the lowest 64,
// 128, 192 and 256 bits of x, and last with the constant term added. A sum that is
// infinity is (0, 0). It panics if the key has no public input.
func (k *Key) Sums(x *fr.Element) (sums [5]bn254.G1Affine) {
	var all [len(sums)]bn254.G1Jac
	var sum bn254.G1Jac
	sum.FromAffine(new(bn254.G1Affine))
	digits := x.Bytes()
	for i := range 4 {
		k.multiples[0].addDigits(&sum, &digits, 16*i, 16*i+16)
		all[i] = sum
	}
	all[4] = sum
	all[4].AddMixed(&k.constant)
	copy(sums[:], bn254.BatchJacobianToAffineG1(all[:]))
	return sums
}
