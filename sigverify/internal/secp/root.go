package secp

// residue returns z, which must be normal, as a residue that is normal.
func (z *Element) residue() (r residue) {
	r[0], r[1], r[2], r[3] = z.words()
	return r
}

// setResidue sets z to r. z is normal.
func (z *Element) setResidue(r *residue) { z.setWords(r[0], r[1], r[2], r[3]) }

// Inverse sets z to 1/x, and to zero if x is zero. x must be normal, and z is.
func (z *Element) Inverse(x *Element) {
	r := x.residue()
	r.inverse(&r)
	z.setResidue(&r)
}

// Sqrt sets z to a square root of x and reports whether x has one. If not, z is
// a root of -x. x must be normal, and z is.
func (z *Element) Sqrt(x *Element) bool {
	r := x.residue()
	var root residue
	ok := root.sqrt(&r)
	z.setResidue(&root)
	return ok
}
