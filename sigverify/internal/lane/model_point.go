package lane

// A jacobian is one lane of a point (X/Z², Y/Z³): x and y reduced, z semi.
type jacobian struct{ x, y, z element }

// double returns 2p; p is not the point at infinity.
func (p jacobian) double() jacobian {
	e := mulColumns(p.x, p.x).fold().times(3).semi()
	y2 := p.y.sqrSemi()
	s := mulColumns(p.x, y2).fold().times(4).reduced()
	x := mulColumns(e, e).fold().plus(negated(5, s, s)).reduced()
	y := mulColumns(e, s.minus(x)).minus8(mulColumns(y2, y2)).fold().reduced()
	return jacobian{x, y, mulColumns(p.y, p.z).fold().times(2).semi()}
}

// addAffine returns p + (x2, y2), with -y2 if negative. In the place of Z the
// coordinates of the other point are multiplied by z. If the points are equal or
// each other's negative, or p.z is zero, the z of the result is.
func (p jacobian) addAffine(z, x2, y2 element, negative bool) jacobian {
	zz := z.sqrSemi()
	h := mulColumns(x2, zz).fold().plus(negated(2, p.x)).semi()
	var c raw
	for i := range c.l {
		c.l[i] = biasRaw[i] - p.y[i]
	}
	r := c.addWhere(negative, mulColumns(y2.mulSemi(z), zz).foldAll()).semi()
	hh := h.sqrSemi()
	h3, v := h.mul(hh), p.x.mul(hh)
	x := mulColumns(r, r).fold().plus(negated(7, h3, v, v)).reduced()
	y := mulColumns(r, v.minus(x)).addMul(p.y, negated(2, h3).carried()).fold().reduced()
	return jacobian{x, y, p.z.mulSemi(h)}
}

// A shared is one of several points with one Z.
type shared struct{ x, y element }

// double returns 2p, p with the Z of 2p, and this Z. p is affine.
func (p shared) double() (twice, same shared, z element) {
	e := mulColumns(p.x, p.x).fold().times(3).semi()
	y2 := p.y.sqrSemi()
	same.x = mulColumns(p.x, y2).fold().times(4).reduced()
	same.y = mulColumns(y2, y2).fold().times(8).reduced()
	twice.x = mulColumns(e, e).fold().plus(negated(5, same.x, same.x)).reduced()
	twice.y = mulColumns(e, same.x.minus(twice.x)).fold().plus(negated(2, same.y)).reduced()
	return twice, same, p.y.raw().times(2).semi()
}

// add returns p + q, p with the Z of p + q, and the ratio of this Z to that of p
// and q, which are not equal nor each other's negative.
func (p shared) add(q shared) (sum, same shared, ratio element) {
	ratio = negated(2, q.x).plus(p.x.raw()).semi()
	c := ratio.sqrSemi()
	same.x = p.x.mul(c)
	v := q.x.mul(c)
	same.y = p.y.mul(same.x.minus(v))
	s := p.y.minus(q.y)
	sum.x = mulColumns(s, s).fold().plus(negated(5, same.x, v)).reduced()
	sum.y = mulColumns(s, same.x.minus(sum.x)).fold().plus(negated(2, same.y)).reduced()
	return sum, same, ratio
}
