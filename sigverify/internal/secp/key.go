package secp

// ParseKey returns the point that key encodes as SEC 1, section 2.3.4, has it,
// and whether it is one: 33 bytes that begin with 2 or 3, or 65 that begin with
// 4, or with 6 or 7, the hybrid form of ANSI X9.62, whose first byte must agree
// with the parity of y. Coordinates that are not below p, and points that are
// not on the curve, are refused, and so is the point at infinity. This is what
// Bitcoin's consensus takes.
func ParseKey(key []byte) (q Point, ok bool) {
	p, ok := parseKey(key)
	return p.point(), ok
}

// LiftX returns the point whose x is the 32 big-endian bytes of key and whose y
// is even (BIP340's lift_x), and whether there is one. There is none if key has
// another length, is not below p, or is not the x of any point.
func LiftX(key []byte) (q Point, ok bool) {
	if len(key) != 32 {
		return q, false
	}
	p, ok := liftX((*[32]byte)(key), false)
	return p.point(), ok
}

// point returns q as a Point.
func (q *affine) point() (p Point) {
	p.X.setResidue(&q.x)
	p.Y.setResidue(&q.y)
	return p
}

// parseKey is ParseKey. The coordinates are normal.
func parseKey(key []byte) (q affine, ok bool) {
	switch len(key) {
	case 33:
		if key[0] != 2 && key[0] != 3 {
			return q, false
		}
		return liftX((*[32]byte)(key[1:]), key[0] == 3)
	case 65:
		if q.x.setBytes((*[32]byte)(key[1:])) || q.y.setBytes((*[32]byte)(key[33:])) {
			return q, false
		}
		switch key[0] {
		case 4:
		case 6, 7:
			if q.y.isOdd() != (key[0] == 7) {
				return q, false
			}
		default:
			return q, false
		}
		var cube, square residue
		cube.cube7(&q.x)
		square.sqr(&q.y)
		return q, square.equal(&cube)
	}
	return q, false
}

// liftX returns the point with that x and an odd or an even y, and whether there
// is one. Its coordinates are normal.
func liftX(x *[32]byte, odd bool) (q affine, ok bool) {
	if q.x.setBytes(x) {
		return q, false
	}
	var cube residue
	cube.cube7(&q.x)
	if !q.y.sqrt(&cube) {
		return q, false
	}
	if q.y.normalize(); q.y.isOdd() != odd {
		// y is not zero, and p is odd: -y, which is p - y, has the other parity.
		q.y.negate(&q.y)
	}
	return q, true
}

// cube7 sets z to x³ + 7. z must not alias x.
func (z *residue) cube7(x *residue) {
	z.sqr(x)
	z.mul(z, x)
	z.add(z, &residue{7})
}
