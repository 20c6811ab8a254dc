package main

// A jacobian is eight points (X/Z^2, Y/Z^3).
type jacobian struct {
	x, y reduced
	z    semi
}

func (b *block) loadJacobian(a addr) jacobian {
	return jacobian{b.loadReduced(a), b.loadReduced(a.plus(5)), b.loadSemi(a.plus(10))}
}

func (b *block) storeJacobian(a addr, p jacobian) {
	b.storeReduced(a, p.x)
	b.storeReduced(a.plus(5), p.y)
	b.storeSemi(a.plus(10), p.z)
}

// double returns 2p:
//
//	E = 3X²  B = Y²  S = 4XB
//	X' = E² - 2S  Y' = E(S - X') - 8B²  Z' = 2YZ
//
// The group has no point with Y = 0, so Z' is zero only if Z is.
func (b *block) double(p jacobian) jacobian {
	e := b.reduceSemi(b.times3(b.fold(b.sqrColumns(p.x))))
	y2 := b.sqrSemi(p.y)
	s := b.reduce(b.times2(b.fold(b.mulColumns(columns{}, p.x, y2)), 2))
	z := b.reduceSemi(b.times2(b.fold(b.mulColumns(columns{}, p.y, p.z)), 1))
	minus8y4 := b.negatedColumns(b.sqrColumns(y2), 3)
	x := b.reduce(b.plus(b.fold(b.sqrColumns(e)), b.negated(5, s, s)))
	d := b.semiOf(b.addReduced(b.negated(2, x), s))
	y := b.reduce(b.fold(b.mulColumns(minus8y4, e, d)))
	return jacobian{x, y, z}
}

// addAffine returns p + (x2, y2), with -y2 where the mask is set. zz is what
// replaces Z² in the equations, and z what replaces Z; see addScaled.
//
//	H = x2⋅Z² - X  r = ±y2⋅Z³ - Y
//	X' = r² - H³ - 2XH²  Y' = r(XH² - X') - YH³  Z' = Z⋅H
//
// Where p is the negated or the same point, H is zero and so is Z', and Z' stays
// zero through all that follows. So does the Z of the point at infinity. Whoever
// finds Z = 0 in the end knows that the result means nothing.
func (b *block) addAffine(p jacobian, z factor, x2, y2 semi, negative *value) jacobian {
	zz := b.sqrSemi(z)
	t := b.mulSemi(y2, z)
	h := b.reduceSemi(b.fold(b.mulColumns(columnsOf(b.negated(2, p.x)), x2, zz)))
	k := multipleOfPrime(biasRaw)
	var c raw
	for i := range c.l {
		c.l[i] = b.sub(b.constant(k[i]), p.y.l[i])
	}
	r := b.reduceSemi(b.addWhere(negative, c, b.foldAll(b.mulColumns(columns{}, t, zz))))
	hh := b.sqrSemi(h)
	z3 := b.mulSemi(p.z, h)
	h3 := b.mul(h, hh)
	v := b.mul(p.x, hh)
	x := b.reduce(b.plus(b.fold(b.sqrColumns(r)), b.negated(7, h3, v, v)))
	d := b.semiOf(b.addReduced(b.negated(2, x), v))
	n := b.semiOf(b.negated(2, h3))
	y := b.reduce(b.fold(b.mulColumns(b.mulColumns(columns{}, r, d), p.y, n)))
	return jacobian{x, y, z3}
}

// lookup returns the affine points, of eight words each, that the offsets at
// digits say, lane by lane from table on with a stride of bytes between lanes.
func (b *block) lookup(digits, table addr, stride int) (x, y [4]*value) {
	var rows [8]*value
	for lane := range rows {
		rows[lane] = b.row(addr{digits.base, digits.disp + 4*lane}, addr{table.base, table.disp + stride*lane})
	}
	w := b.transpose(rows)
	return [4]*value(w[:4]), [4]*value(w[4:])
}

// A shared is two points with one Z.
type shared struct{ x, y reduced }

// doubleShared returns 2p and p itself with the Z of 2p, which is 2y. p is affine.
func (b *block) doubleShared(p shared) (twice, same shared, z semi) {
	e := b.reduceSemi(b.times3(b.fold(b.sqrColumns(p.x))))
	y2 := b.sqrSemi(p.y)
	same.x = b.reduce(b.times2(b.fold(b.mulColumns(columns{}, p.x, y2)), 2))
	same.y = b.reduce(b.times2(b.fold(b.sqrColumns(y2)), 3))
	twice.x = b.reduce(b.plus(b.fold(b.sqrColumns(e)), b.negated(5, same.x, same.x)))
	d := b.semiOf(b.addReduced(b.negated(2, twice.x), same.x))
	twice.y = b.reduce(b.fold(b.mulColumns(columnsOf(b.negated(2, same.y)), e, d)))
	return twice, same, b.reduceSemi(b.times2(asRaw(p.y), 1))
}

// addShared returns p + q and p itself with the Z of p + q, which is the common
// Z of p and q times ratio. p and q differ, and are not each other's negatives.
//
//	C = (Xp - Xq)²  W = Xp⋅C  V = Xq⋅C  A = Yp(W - V)
//	X' = (Yp - Yq)² - W - V  Y' = (Yp - Yq)(W - X') - A
func (b *block) addShared(p, q shared) (sum, same shared, ratio semi) {
	ratio = b.reduceSemi(b.addReduced(b.negated(2, q.x), p.x))
	c := b.sqrSemi(ratio)
	same.x = b.mul(p.x, c)
	v := b.mul(q.x, c)
	same.y = b.mul(p.y, b.semiOf(b.addReduced(b.negated(2, v), same.x)))
	s := b.semiOf(b.addReduced(b.negated(2, q.y), p.y))
	sum.x = b.reduce(b.plus(b.fold(b.sqrColumns(s)), b.negated(5, same.x, v)))
	d := b.semiOf(b.addReduced(b.negated(2, sum.x), same.x))
	sum.y = b.reduce(b.fold(b.mulColumns(columnsOf(b.negated(2, same.y)), s, d)))
	return sum, same, ratio
}
