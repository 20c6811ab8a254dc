package secp

import "math/bits"

// A residue is an element of the field like an Element, in four words, the
// lowest first. Any number below 2²⁵⁶ stands for its value modulo p, so that
// some values have two representations; all operations take and give any. A
// residue is normal if it is below p. The zero value is zero.
//
// An Element adds without carries; a residue multiplies faster, for it has 16
// products of words and not 25.
type residue [4]uint64

// The words of p.
const (
	pWord0 = 1<<64 - fold
	pWord  = 1<<64 - 1 // the three others
)

// setBytes sets z to the 32 big-endian bytes b and reports whether the number
// is not below p. Then z is not normal.
func (z *residue) setBytes(b *[32]byte) (overflow bool) {
	z[0], z[1], z[2], z[3] = words(b)
	return !z.isNormal()
}

// isNormal reports whether z is below p.
func (z *residue) isNormal() bool {
	return z[3]&z[2]&z[1] != pWord || z[0] < pWord0
}

// normalize makes z normal.
func (z *residue) normalize() {
	if !z.isNormal() {
		*z = residue{z[0] - pWord0}
	}
}

// isZero reports whether z is zero modulo p.
func (z *residue) isZero() bool {
	return *z == residue{} || *z == residue{pWord0, pWord, pWord, pWord}
}

// isOdd reports whether the number that z is, is odd. z must be normal.
func (z *residue) isOdd() bool { return z[0]&1 == 1 }

// equal reports whether z and x are equal modulo p.
func (z *residue) equal(x *residue) bool {
	var d residue
	d.sub(z, x)
	return d.isZero()
}

// add sets z to x + y.
func (z *residue) add(x, y *residue) {
	r0, c := bits.Add64(x[0], y[0], 0)
	r1, c := bits.Add64(x[1], y[1], c)
	r2, c := bits.Add64(x[2], y[2], c)
	r3, c := bits.Add64(x[3], y[3], c)
	r0, c = bits.Add64(r0, -c&fold, 0) // 2²⁵⁶ is fold
	if z[0], z[1], z[2], z[3] = r0, r1, r2, r3; c != 0 {
		z.carry(1)
	}
}

// carry adds 2^(64i) to z. Of what adds a few fold to any number it is the part
// that is needed once in 2³⁰ numbers. If z + 2^(64i) overflows, what is left must
// be below 2⁶⁷.
func (z *residue) carry(i int) {
	for ; i < len(z); i++ {
		if z[i]++; z[i] != 0 {
			return
		}
	}
	if z[0] += fold; z[0] < fold {
		z[1]++
	}
}

// sub sets z to x - y.
func (z *residue) sub(x, y *residue) {
	r0, b := bits.Sub64(x[0], y[0], 0)
	r1, b := bits.Sub64(x[1], y[1], b)
	r2, b := bits.Sub64(x[2], y[2], b)
	r3, b := bits.Sub64(x[3], y[3], b)
	r0, b = bits.Sub64(r0, -b&fold, 0)
	if z[0], z[1], z[2], z[3] = r0, r1, r2, r3; b != 0 {
		z.borrow()
	}
}

// borrow subtracts 2⁶⁴ from z. Like carry it is rarely needed. If that is
// negative, z[0] must be fold at least.
func (z *residue) borrow() {
	for i := 1; i < len(z); i++ {
		if z[i]--; z[i] != 1<<64-1 {
			return
		}
	}
	z[0] -= fold
}

// subTwice sets z to x - 2⋅y.
func (z *residue) subTwice(x, y *residue) {
	r0, b := bits.Sub64(x[0], y[0]<<1, 0)
	r1, b := bits.Sub64(x[1], y[1]<<1|y[0]>>63, b)
	r2, b := bits.Sub64(x[2], y[2]<<1|y[1]>>63, b)
	r3, b := bits.Sub64(x[3], y[3]<<1|y[2]>>63, b)
	r0, b = bits.Sub64(r0, (b+y[3]>>63)*fold, 0)
	if z[0], z[1], z[2], z[3] = r0, r1, r2, r3; b != 0 {
		z.borrow()
	}
}

// negate sets z to -x.
func (z *residue) negate(x *residue) { z.sub(&residue{}, x) }

// threeHalves sets z to 3/2⋅x.
func (z *residue) threeHalves(x *residue) {
	// x, or x + p if x is odd, has 257 bits and is even.
	odd := -(x[0] & 1)
	r0, c := bits.Add64(x[0], odd&pWord0, 0)
	r1, c := bits.Add64(x[1], odd, c)
	r2, c := bits.Add64(x[2], odd, c)
	r3, c := bits.Add64(x[3], odd, c)
	z.add(x, &residue{r0>>1 | r1<<63, r1>>1 | r2<<63, r2>>1 | r3<<63, r3>>1 | c<<63})
}

// A product has eight words. The upper four times fold, added to the lower four,
// leave five words, of which the last is below 2³⁴; that times fold leaves four,
// and a carry once in 2⁶⁰ numbers, after which what is left is below 2⁶⁷.

// mul sets z to x⋅y.
func (z *residue) mul(x, y *residue) {
	y0, y1, y2, y3 := y[0], y[1], y[2], y[3]
	r0, r1, r2, r3, r4 := mulWord(x[0], y0, y1, y2, y3)
	t0, t1, t2, t3, t4 := mulWord(x[1], y0, y1, y2, y3)
	r1, r2, r3, r4, r5 := addWords(t0, t1, t2, t3, t4, r1, r2, r3, r4)
	t0, t1, t2, t3, t4 = mulWord(x[2], y0, y1, y2, y3)
	r2, r3, r4, r5, r6 := addWords(t0, t1, t2, t3, t4, r2, r3, r4, r5)
	t0, t1, t2, t3, t4 = mulWord(x[3], y0, y1, y2, y3)
	r3, r4, r5, r6, r7 := addWords(t0, t1, t2, t3, t4, r3, r4, r5, r6)

	t0, t1, t2, t3, t4 = mulWord(fold, r4, r5, r6, r7)
	r0, r1, r2, r3, r4 = addWords(t0, t1, t2, t3, t4, r0, r1, r2, r3)
	hi, lo := bits.Mul64(r4, fold)
	r0, c := bits.Add64(r0, lo, 0)
	r1, c = bits.Add64(r1, hi, c)
	if z[0], z[1], z[2], z[3] = r0, r1, r2, r3; c != 0 {
		z.carry(2)
	}
}

// mulSub sets z to a⋅b - c⋅d, and reduces once.
func (z *residue) mulSub(a, b, c, d *residue) {
	r0, r1, r2, r3, r4, r5, r6, r7 := product(a, b)
	s0, s1, s2, s3, s4, s5, s6, s7 := product(c, d)
	r0, w := bits.Sub64(r0, s0, 0)
	r1, w = bits.Sub64(r1, s1, w)
	r2, w = bits.Sub64(r2, s2, w)
	r3, w = bits.Sub64(r3, s3, w)
	r4, w = bits.Sub64(r4, s4, w)
	r5, w = bits.Sub64(r5, s5, w)
	r6, w = bits.Sub64(r6, s6, w)
	r7, w = bits.Sub64(r7, s7, w)
	// The upper four words are a residue, too: what multiplies 2²⁵⁶.
	r4, w = bits.Sub64(r4, -w&fold, 0)
	if w != 0 {
		u := residue{r4, r5, r6, r7}
		u.borrow()
		r4, r5, r6, r7 = u[0], u[1], u[2], u[3]
	}

	t0, t1, t2, t3, t4 := mulWord(fold, r4, r5, r6, r7)
	r0, r1, r2, r3, r4 = addWords(t0, t1, t2, t3, t4, r0, r1, r2, r3)
	hi, lo := bits.Mul64(r4, fold)
	r0, w = bits.Add64(r0, lo, 0)
	r1, w = bits.Add64(r1, hi, w)
	if z[0], z[1], z[2], z[3] = r0, r1, r2, r3; w != 0 {
		z.carry(2)
	}
}

// product returns the eight words of x⋅y, the lowest first.
func product(x, y *residue) (r0, r1, r2, r3, r4, r5, r6, r7 uint64) {
	y0, y1, y2, y3 := y[0], y[1], y[2], y[3]
	r0, r1, r2, r3, r4 = mulWord(x[0], y0, y1, y2, y3)
	t0, t1, t2, t3, t4 := mulWord(x[1], y0, y1, y2, y3)
	r1, r2, r3, r4, r5 = addWords(t0, t1, t2, t3, t4, r1, r2, r3, r4)
	t0, t1, t2, t3, t4 = mulWord(x[2], y0, y1, y2, y3)
	r2, r3, r4, r5, r6 = addWords(t0, t1, t2, t3, t4, r2, r3, r4, r5)
	t0, t1, t2, t3, t4 = mulWord(x[3], y0, y1, y2, y3)
	r3, r4, r5, r6, r7 = addWords(t0, t1, t2, t3, t4, r3, r4, r5, r6)
	return
}

// sqr sets z to x².
func (z *residue) sqr(x *residue) {
	x0, x1, x2, x3 := x[0], x[1], x[2], x[3]
	// The products of different words, which count twice.
	h01, r1 := bits.Mul64(x0, x1)
	h02, l02 := bits.Mul64(x0, x2)
	h03, l03 := bits.Mul64(x0, x3)
	r2, c := bits.Add64(l02, h01, 0)
	r3, c := bits.Add64(l03, h02, c)
	r4, _ := bits.Add64(h03, 0, c)
	h12, l12 := bits.Mul64(x1, x2)
	h13, l13 := bits.Mul64(x1, x3)
	h23, l23 := bits.Mul64(x2, x3)
	l13, c = bits.Add64(l13, h12, 0)
	l23, c = bits.Add64(l23, h13, c)
	h23, _ = bits.Add64(h23, 0, c)
	r3, c = bits.Add64(r3, l12, 0)
	r4, c = bits.Add64(r4, l13, c)
	r5, c := bits.Add64(l23, 0, c)
	r6, _ := bits.Add64(h23, 0, c)
	r7 := r6 >> 63
	r6 = r6<<1 | r5>>63
	r5 = r5<<1 | r4>>63
	r4 = r4<<1 | r3>>63
	r3 = r3<<1 | r2>>63
	r2 = r2<<1 | r1>>63
	r1 <<= 1
	// The squares of the words.
	h0, r0 := bits.Mul64(x0, x0)
	h1, l1 := bits.Mul64(x1, x1)
	h2, l2 := bits.Mul64(x2, x2)
	h3, l3 := bits.Mul64(x3, x3)
	r1, c = bits.Add64(r1, h0, 0)
	r2, c = bits.Add64(r2, l1, c)
	r3, c = bits.Add64(r3, h1, c)
	r4, c = bits.Add64(r4, l2, c)
	r5, c = bits.Add64(r5, h2, c)
	r6, c = bits.Add64(r6, l3, c)
	r7, _ = bits.Add64(r7, h3, c)

	t0, t1, t2, t3, t4 := mulWord(fold, r4, r5, r6, r7)
	r0, r1, r2, r3, r4 = addWords(t0, t1, t2, t3, t4, r0, r1, r2, r3)
	hi, lo := bits.Mul64(r4, fold)
	r0, c = bits.Add64(r0, lo, 0)
	r1, c = bits.Add64(r1, hi, c)
	if z[0], z[1], z[2], z[3] = r0, r1, r2, r3; c != 0 {
		z.carry(2)
	}
}

// sqrTimes sets z to x squared n times, n > 0.
func (z *residue) sqrTimes(x *residue, n int) {
	z.sqr(x)
	for range n - 1 {
		z.sqr(z)
	}
}

// inverse sets z to 1/x, and to zero if x is zero. z is normal.
func (z *residue) inverse(x *residue) {
	t := *x
	t.normalize()
	z[0], z[1], z[2], z[3] = fieldModulus.invert(t[0], t[1], t[2], t[3])
}

// sqrt sets z to a square root of x and reports whether x has one. If not, z is
// a root of -x. z must not alias x.
func (z *residue) sqrt(x *residue) bool {
	// p is 3 modulo 4, so a root is x^((p+1)/4). In binary the exponent is 223 ones,
	// a zero, 22 ones, 4 zeros, two ones and two zeros. xN is x to the number of N
	// ones, and the number of a+b ones is that of a ones shifted by b, and that of b
	// ones.
	var x2, x3, x6, x11, x22, x44, x88, t residue
	x2.sqr(x)
	x2.mul(&x2, x)
	x3.sqr(&x2)
	x3.mul(&x3, x)
	x6.sqrTimes(&x3, 3)
	x6.mul(&x6, &x3)
	t.sqrTimes(&x6, 3)
	t.mul(&t, &x3)
	x11.sqrTimes(&t, 2)
	x11.mul(&x11, &x2)
	x22.sqrTimes(&x11, 11)
	x22.mul(&x22, &x11)
	x44.sqrTimes(&x22, 22)
	x44.mul(&x44, &x22)
	x88.sqrTimes(&x44, 44)
	x88.mul(&x88, &x44)
	t.sqrTimes(&x88, 88)
	t.mul(&t, &x88)
	t.sqrTimes(&t, 44)
	t.mul(&t, &x44)
	t.sqrTimes(&t, 3)
	t.mul(&t, &x3)
	t.sqrTimes(&t, 23)
	t.mul(&t, &x22)
	t.sqrTimes(&t, 6)
	t.mul(&t, &x2)
	z.sqrTimes(&t, 2)

	t.sqr(z)
	return t.equal(x)
}
