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
	for i := range 64 {
		d := int(digits[31-i/2]>>(4*(i%2))) & 15
		if d != 0 {
			sum.AddMixed(&m[15*i+d-1])
		}
	}
}
