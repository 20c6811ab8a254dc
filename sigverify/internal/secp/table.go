package secp

import "sync"

const (
	// windowKey is the width of the digits of a key's factor, which have a table
	// made for each signature; windowBase that of the generator's. A width of 13
	// needs 256 KiB; 15 would save two of about 62 additions and need 1 MiB.
	windowKey  = 5
	windowBase = 13
)

// A baseTable holds the odd multiples of one point: entry i is 2i+1 times it.
// The coordinates are normal.
type baseTable [1 << (windowBase - 2)]affine

// A keyTable holds odd multiples like a baseTable, but of a point of a curve that
// is isomorphic, and residues that need not be normal.
type keyTable [1 << (windowKey - 2)]affine

// multiple sets q to digit times the point that odd[i] is 2i+1 times of, on the
// curve of the entries. digit must be odd and below 2⋅len(odd), and so must be
// -digit.
func (q *affine) multiple(odd []affine, digit int) {
	if digit > 0 {
		*q = odd[digit/2]
		return
	}
	entry := &odd[-digit/2]
	q.x = entry.x
	q.y.negate(&entry.y)
}

// baseTables returns the tables of the generator and of 2¹²⁸ times it. They are
// made when first used, which takes about a millisecond, and half a MiB that is
// garbage afterwards.
var baseTables = sync.OnceValue(func() *[2]baseTable {
	tables := new([2]baseTable)
	base := basePoint
	for i := range tables {
		tables[i].set(&base)
		var p jacobian
		p.setAffine(&base)
		p.doubleTimes(128)
		base = p.affine()
	}
	return tables
})

// set makes t the table of base.
func (t *baseTable) set(base *affine) {
	var p jacobian
	p.setAffine(base)
	p.double()
	twice := p.affine()
	p.setAffine(base)

	// All inverses of the z at the cost of one, by Montgomery's trick.
	points := make([]jacobian, len(t))
	products := make([]residue, len(t))
	product := residue{1}
	for i := range points {
		points[i], products[i] = p, product
		product.mul(&product, &p.z)
		p.add(&twice, nil)
	}
	product.inverse(&product)
	for i := len(t) - 1; i >= 0; i-- {
		p := &points[i]
		var inverse residue
		inverse.mul(&product, &products[i])
		product.mul(&product, &p.z)
		t[i].scale(&affine{p.x, p.y}, &inverse)
		t[i].x.normalize()
		t[i].y.normalize()
	}
}

// setKeyTables makes odd the table of q, and lambda that of λ⋅q, on the curve on
// which the z of all entries would be z: (x, y, z) are the Jacobian coordinates
// of the multiple.
func setKeyTables(odd, lambda *keyTable, z *residue, q *affine) {
	// Co-Z arithmetic (Meloni: New Point Addition Formulae for ECC Applications,
	// 2007) adds two points of one z and brings the first to the z of the sum. The
	// first is always 2q, the second an odd multiple: they never have the same x,
	// for the group's order is a large prime.
	var p jacobian
	p.setAffine(q)
	p.double()
	twice := affine{p.x, p.y}
	odd[0].scale(q, &p.z)
	*z = p.z

	// ratio[i] is the z of entry i divided by that of the entry before.
	var ratio [len(odd)]residue
	for i := 1; i < len(odd); i++ {
		// With (X1, Y1) = 2q, (X2, Y2) the last entry, h = X1 - X2, d = Y1 - Y2,
		// a = X1⋅h², b = X2⋅h², c = Y1⋅(a - b) = Y1⋅h³:
		//
		//	x' = d² - a - b
		//	y' = d⋅(a - x') - c
		//	2q' = (a, c)
		last, next, h := &odd[i-1], &odd[i], &ratio[i]
		var hh, b, d residue
		h.sub(&twice.x, &last.x)
		hh.sqr(h)
		twice.x.mul(&twice.x, &hh)
		b.mul(&last.x, &hh)
		d.sub(&twice.y, &last.y)
		hh.sub(&twice.x, &b)
		twice.y.mul(&twice.y, &hh)
		next.x.sqr(&d)
		next.x.sub(&next.x, &twice.x)
		next.x.sub(&next.x, &b)
		hh.sub(&twice.x, &next.x)
		next.y.mul(&d, &hh)
		next.y.sub(&next.y, &twice.y)
		z.mul(z, h)
	}
	// All to the z of the last one.
	factor := ratio[len(odd)-1]
	for i := len(odd) - 2; i >= 0; i-- {
		odd[i].scale(&odd[i], &factor)
		factor.mul(&factor, &ratio[i])
	}
	for i := range odd {
		lambda[i].x.mul(&odd[i].x, &beta)
		lambda[i].y = odd[i].y
	}
}
