package adaptor

import "github.com/decred/dcrd/dcrec/secp256k1/v4"

// multiples are those of a point that a product is a sum of, one for each byte of the
// factor: multiples[i][j] is (j+1)⋅256^i times the point, affine.
type multiples [32][255]secp256k1.JacobianPoint

// newMultiples makes the multiples of an affine point, some 1 MB in some milliseconds. None of them is
// infinite, since the group's order is prime.
func newMultiples(at secp256k1.JacobianPoint) *multiples {
	m := new(multiples)
	for i := range m {
		m[i][0] = at
		for j := range m[i][1:] {
			secp256k1.AddNonConst(&m[i][j], &at, &m[i][j+1])
		}
		secp256k1.AddNonConst(&m[i][254], &at, &at)
		toAffine(m[i][:])
	}
	return m
}

// toAffine makes points affine, none of them infinite, with a single inversion.
func toAffine(points []secp256k1.JacobianPoint) {
	before := make([]secp256k1.FieldVal, len(points)) // product of the Z before
	var product secp256k1.FieldVal
	product.SetInt(1)
	for i := range points {
		before[i] = product
		product.Mul(&points[i].Z)
	}
	product.Inverse()
	for i := len(points) - 1; i >= 0; i-- {
		p := &points[i]
		var inverse, power secp256k1.FieldVal
		inverse.Mul2(&product, &before[i])
		product.Mul(&p.Z)
		power.SquareVal(&inverse)
		p.X.Mul(&power).Normalize()
		p.Y.Mul(power.Mul(&inverse)).Normalize()
		p.Z.SetInt(1)
	}
}

// times sets sum to k times the point.
func (m *multiples) times(k *secp256k1.ModNScalar, sum *secp256k1.JacobianPoint) {
	*sum = secp256k1.JacobianPoint{}
	b := k.Bytes()
	for i := range m {
		if j := b[len(b)-1-i]; j > 0 {
			secp256k1.AddNonConst(sum, &m[i][j-1], sum)
		}
	}
}
