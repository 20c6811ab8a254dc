package secp

import "math/bits"

// A Half is an integer between -2¹²⁸ and 2¹²⁸: its magnitude is Lo + 2⁶⁴⋅Hi.
type Half struct {
	Lo, Hi uint64
	Neg    bool
}

// The curve has the endomorphism (x, y) ↦ (β⋅x, y), which multiplies by λ, a
// cube root of 1 modulo n. The pairs (a, b) with a + b⋅λ ≡ 0 form a lattice of
// determinant n, whose short vectors (a1, -b1), (a2, a1) are these (Gallant,
// Lambert, Vanstone: Faster Point Multiplication on Elliptic Curves with
// Efficient Endomorphisms, 2001; the values follow from their algorithm).
const (
	a1lo = 0xE86C90E49284EB15
	a1hi = 0x3086D221A7D46BCD
	b1lo = 0x6F547FA90ABFE4C3
	b1hi = 0xE4437ED6010E8828
	a2lo = 0x57C1108D9D44CFD8 // a2 = a1 + b1
	a2hi = 0x14CA50F7A8E2F3F6
	a2up = 1
)

// The numbers 2³⁸⁴⋅a1/n and 2³⁸⁴⋅b1/n, rounded to the nearest.
const (
	g10 = 0xE893209A45DBB031
	g11 = 0x3DAA8A1471E8CA7F
	g12 = 0xE86C90E49284EB15
	g13 = 0x3086D221A7D46BCD

	g20 = 0x1571B4AE8AC47F71
	g21 = 0x221208AC9DF506C6
	g22 = 0x6F547FA90ABFE4C4
	g23 = 0xE4437ED6010E8828
)

// SplitLambda returns integers k1 and k2 with k1 + k2⋅λ ≡ k modulo n, where λ
// is the eigenvalue of the endomorphism (x, y) ↦ (β⋅x, y) with the β of this
// package. |k1| is below 0.64⋅2¹²⁸ and |k2| below 0.55⋅2¹²⁸.
//
// For these bounds, let c1 and c2 be k⋅a1/n and k⋅b1/n, rounded. In the reals,
// (k, 0) is (k⋅a1/n)⋅(a1, -b1) + (k⋅b1/n)⋅(a2, a1), so (k1, k2) = (k, 0) -
// c1⋅(a1, -b1) - c2⋅(a2, a1) is e1⋅(a1, -b1) + e2⋅(a2, a1) with the rounding
// errors e1 and e2. Each is at most 1/2 of the rounding itself and 2⁻¹²⁹ of g1 or
// g2, which are off by 1/2 at most and count k/2³⁸⁴ times. Hence |k1| ≤ (1/2 +
// 2⁻¹²⁹)(a1 + a2) < 0.64⋅2¹²⁸, and |k2| ≤ (1/2 + 2⁻¹²⁹)(b1 + a1) < 0.55⋅2¹²⁸.
func (z *Scalar) SplitLambda() (k1, k2 Half) {
	c1lo, c1hi := z.mulShift384(g10, g11, g12, g13)
	c2lo, c2hi := z.mulShift384(g20, g21, g22, g23)

	// Both results fit into 192 bits with a sign, so the rest is done modulo 2¹⁹².
	// k1 = k - c1⋅a1 - c2⋅a2.
	p0, p1, p2 := mul192(c1lo, c1hi, a1lo, a1hi)
	q0, q1, q2 := mul192(c2lo, c2hi, a2lo, a2hi)
	q2 += c2lo * a2up
	k1 = half192(sub192(z[0], z[1], z[2], p0, p1, p2, q0, q1, q2))

	// k2 = c1⋅b1 - c2⋅a1.
	p0, p1, p2 = mul192(c1lo, c1hi, b1lo, b1hi)
	q0, q1, q2 = mul192(c2lo, c2hi, a1lo, a1hi)
	k2 = half192(sub192(p0, p1, p2, q0, q1, q2, 0, 0, 0))
	return k1, k2
}

// mulShift384 returns z⋅g/2³⁸⁴, rounded to the nearest.
func (z *Scalar) mulShift384(g0, g1, g2, g3 uint64) (lo, hi uint64) {
	_, r1, r2, r3, r4 := mulRow(z[0], g0, g1, g2, g3, 0, 0, 0, 0)
	_, r2, r3, r4, r5 := mulRow(z[1], g0, g1, g2, g3, r1, r2, r3, r4)
	_, r3, r4, r5, r6 := mulRow(z[2], g0, g1, g2, g3, r2, r3, r4, r5)
	_, _, r5, r6, r7 := mulRow(z[3], g0, g1, g2, g3, r3, r4, r5, r6)
	lo, c := bits.Add64(r6, r5>>63, 0)
	return lo, r7 + c
}

// mul192 returns the product of two numbers of 128 bits, modulo 2¹⁹².
func mul192(alo, ahi, blo, bhi uint64) (r0, r1, r2 uint64) {
	h00, r0 := bits.Mul64(alo, blo)
	h01, l01 := bits.Mul64(alo, bhi)
	h10, l10 := bits.Mul64(ahi, blo)
	r1, c := bits.Add64(h00, l01, 0)
	r2 = ahi*bhi + h01 + h10 + c
	r1, c = bits.Add64(r1, l10, 0)
	return r0, r1, r2 + c
}

// sub192 returns a - b - c modulo 2¹⁹².
func sub192(a0, a1, a2, b0, b1, b2, c0, c1, c2 uint64) (r0, r1, r2 uint64) {
	r0, b := bits.Sub64(a0, b0, 0)
	r1, b = bits.Sub64(a1, b1, b)
	r2 = a2 - b2 - b
	r0, b = bits.Sub64(r0, c0, 0)
	r1, b = bits.Sub64(r1, c1, b)
	return r0, r1, r2 - c2 - b
}

// half192 returns a number of 192 bits in two's complement as a Half.
func half192(r0, r1, r2 uint64) Half {
	if r2>>63 == 0 {
		return Half{Lo: r0, Hi: r1}
	}
	lo, b := bits.Sub64(0, r0, 0)
	hi, _ := bits.Sub64(0, r1, b)
	return Half{Lo: lo, Hi: hi, Neg: true}
}
