package secp

// A Point is a point of the curve y² = x³ + 7, other than the one at infinity,
// in affine coordinates. They are normal.
type Point struct{ X, Y Element }

// An affine is a Point in residues. Where a comment says so, it is a point of
// another curve, to which an isomorphism leads.
type affine struct{ x, y residue }

// beta is the cube root of 1 for which (x, y) ↦ (beta⋅x, y) multiplies by λ, the
// eigenvalue that SplitLambda splits by.
var beta = residue{0xC1396C28719501EE, 0x9CF0497512F58995, 0x6E64479EAC3434E9, 0x7AE96A2B657C0710}

// basePoint is the generator of the group (SEC 2, section 2.4.1).
var basePoint = affine{
	x: residue{0x59F2815B16F81798, 0x029BFCDB2DCE28D9, 0x55A06295CE870B07, 0x79BE667EF9DCBBAC},
	y: residue{0x9C47D08FFB10D4B8, 0xFD17B448A6855419, 0x5DA4FBFC0E1108A8, 0x483ADA7726A3C465},
}

// scale sets q to (x⋅z², y⋅z³) for p = (x, y): the image of p on another curve,
// or the point of the curve if z is the inverse of p's z.
func (q *affine) scale(p *affine, z *residue) {
	var zz residue
	zz.sqr(z)
	q.x.mul(&p.x, &zz)
	zz.mul(&zz, z)
	q.y.mul(&p.y, &zz)
}

// A jacobian is a point in Jacobian coordinates: x/z² and y/z³ are the affine
// ones. infinite says that it is the point at infinity, and then the coordinates
// mean nothing; else z is not zero. The zero value is not valid.
type jacobian struct {
	x, y, z  residue
	infinite bool
}

// setAffine sets p to q.
func (p *jacobian) setAffine(q *affine) { *p = jacobian{x: q.x, y: q.y, z: residue{1}} }

// affine returns p, which must not be infinite. The coordinates are normal.
func (p *jacobian) affine() (q affine) {
	var z residue
	z.inverse(&p.z)
	q.scale(&affine{p.x, p.y}, &z)
	q.x.normalize()
	q.y.normalize()
	return q
}

// double doubles p, and leaves infinity as it is.
func (p *jacobian) double() { p.doubleTimes(1) }

// doubleTimesGo doubles p n times. No point of the curve has y = 0, for the
// group's order is odd, so that the double of a point is infinite only if the
// point is. Then the coordinates mean nothing, before and after.
func (p *jacobian) doubleTimesGo(n int) {
	// With l = 3/2⋅x², s = y², t = x⋅s:
	//
	//	x' = l² - 2⋅t
	//	y' = l⋅(t - x') - s²
	//	z' = y⋅z
	for range n {
		var l, s, t residue
		p.z.mul(&p.y, &p.z)
		s.sqr(&p.y)
		l.sqr(&p.x)
		l.threeHalves(&l)
		t.mul(&p.x, &s)
		p.x.sqr(&l)
		p.x.subTwice(&p.x, &t)
		t.sub(&t, &p.x)
		p.y.mulSub(&t, &l, &s, &s)
	}
}

// add adds q to p. With a scale, which is not zero, q is a point of the curve on
// which its z would be 1/scale: (q.x, q.y, 1/scale) are its Jacobian coordinates
// on that of p. Without, the scale is nil.
func (p *jacobian) add(q *affine, scale *residue) {
	if p.infinite {
		p.setAffine(q)
		if scale != nil {
			// (x, y, 1/scale) is (x⋅scale², y⋅scale³, 1).
			var image affine
			image.scale(q, scale)
			p.x, p.y = image.x, image.y
		}
		return
	}
	z := p.z
	if scale != nil {
		z.mul(&z, scale)
	}
	if p.addDistinct(q, &z) {
		return
	}
	// The same x: the points are equal, or each other's negative.
	var image affine
	if image.scale(q, &z); image.y.equal(&p.y) {
		p.double()
	} else {
		p.infinite = true
	}
}

// addDistinctGo adds to p, which is not infinite, the point whose Jacobian
// coordinates are (q.x⋅z², q.y⋅z³, p.z), and reports whether it could. If that has
// the same x as p it cannot, and leaves p as it is.
func (p *jacobian) addDistinctGo(q *affine, z *residue) bool {
	// With h = q.x⋅z² - x, i = y - q.y⋅z³, v = x⋅h²:
	//
	//	x' = i² - h³ - 2⋅v
	//	y' = i⋅(x' - v) - y⋅h³
	//	z' = p.z⋅h
	var h, i, t, v residue
	t.sqr(z)
	i.mul(z, &t)
	h.mul(&q.x, &t)
	h.sub(&h, &p.x)
	if h.isZero() {
		return false
	}
	i.mul(&i, &q.y)
	i.sub(&p.y, &i)
	p.z.mul(&p.z, &h)
	t.sqr(&h)
	v.mul(&p.x, &t)
	h.mul(&h, &t) // h³
	p.x.sqr(&i)
	p.x.sub(&p.x, &h)
	p.x.subTwice(&p.x, &v)
	v.sub(&p.x, &v)
	p.y.mulSub(&v, &i, &h, &p.y)
	return true
}
