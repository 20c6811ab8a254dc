package secp

// VerifyECDSA reports whether sig is a signature of digest under key (SEC 1,
// section 4.1.4), as Bitcoin's consensus has it. key is what ParseKey takes; sig
// is r and s, 32 big-endian bytes each; digest is what was signed, big-endian.
// An s of either half of the group order is right. An r or s that is zero or not
// below the group order is refused. It allocates nothing, but for the tables of
// the generator at the first call.
func VerifyECDSA(key []byte, sig *[64]byte, digest *[32]byte) bool {
	var r, s, e Scalar
	if r.SetBytes((*[32]byte)(sig[:32])) || s.SetBytes((*[32]byte)(sig[32:])) || r.IsZero() || s.IsZero() {
		return false
	}
	q, ok := parseKey(key)
	if !ok {
		return false
	}
	e.SetBytes(digest)
	return verifyECDSA(&q, &r, &s, &e)
}

// verifyECDSA reports whether (r, s), neither of which may be zero, is a
// signature of e under q.
func verifyECDSA(q *affine, r, s, e *Scalar) bool {
	var w, u1, u2 Scalar
	w.Inverse(s)
	u1.Mul(e, &w)
	u2.Mul(r, &w)
	var R jacobian
	R.combine(&u1, &u2, q)
	if R.infinite {
		return false
	}

	// The x of R, modulo n, must be r, so x is r or, as n < p < 2n, r + n, if that
	// is below p. x is R.x/R.z².
	x := residue(*r)
	if R.hasX(&x) {
		return true
	}
	if !r.belowGap() {
		return false
	}
	x.add(&x, &residue{n0, n1, n2, n3})
	return R.hasX(&x)
}

// belowGap reports whether z is below p - n.
func (z *Scalar) belowGap() bool {
	const gap0, gap1 = 0x402DA1722FC9BAEE, 0x4551231950B75FC4 // and 2¹²⁸
	switch {
	case z[3] != 0 || z[2] > 1:
		return false
	case z[2] == 0:
		return true
	case z[1] != gap1:
		return z[1] < gap1
	}
	return z[0] < gap0
}

// hasX reports whether the affine x of p, which is not infinite, is x.
func (p *jacobian) hasX(x *residue) bool {
	var t residue
	t.sqr(&p.z)
	t.mul(&t, x)
	return t.equal(&p.x)
}
