package secp

import (
	"encoding/binary"
	"math/bits"
)

// A Scalar is a number modulo n, the order of secp256k1's group (SEC 2, section
// 2.4.1): four words, the lowest first, always below n. The zero value is zero.
type Scalar [4]uint64

// The words of n, and of 2²⁵⁶ - n, which has 129 bits.
const (
	n0 = 0xBFD25E8CD0364141
	n1 = 0xBAAEDCE6AF48A03B
	n2 = 0xFFFFFFFFFFFFFFFE
	n3 = 0xFFFFFFFFFFFFFFFF

	nFold0 = 0x402DA1732FC9BEBF
	nFold1 = 0x4551231950B75FC4
	nFold2 = 1
)

// SetBytes sets z to the 32 big-endian bytes b modulo n, and reports whether
// the number was not below n.
func (z *Scalar) SetBytes(b *[32]byte) (overflow bool) {
	z[0], z[1], z[2], z[3] = words(b)
	return z.reduce(0)
}

// words returns the four words of 32 big-endian bytes, the lowest first.
func words(b *[32]byte) (w0, w1, w2, w3 uint64) {
	return binary.BigEndian.Uint64(b[24:]), binary.BigEndian.Uint64(b[16:]),
		binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[:])
}

// reduce subtracts n from z + carry⋅2²⁵⁶ if that is not below n, and reports
// whether it did. z + carry⋅2²⁵⁶ must be below 2n.
func (z *Scalar) reduce(carry uint64) bool {
	t0, b := bits.Sub64(z[0], n0, 0)
	t1, b := bits.Sub64(z[1], n1, b)
	t2, b := bits.Sub64(z[2], n2, b)
	t3, b := bits.Sub64(z[3], n3, b)
	if carry == 0 && b != 0 {
		return false
	}
	*z = Scalar{t0, t1, t2, t3}
	return true
}

// Bytes returns z as 32 big-endian bytes.
func (z *Scalar) Bytes() (b [32]byte) {
	binary.BigEndian.PutUint64(b[24:], z[0])
	binary.BigEndian.PutUint64(b[16:], z[1])
	binary.BigEndian.PutUint64(b[8:], z[2])
	binary.BigEndian.PutUint64(b[:], z[3])
	return b
}

// IsZero reports whether z is zero.
func (z *Scalar) IsZero() bool { return z[0]|z[1]|z[2]|z[3] == 0 }

// Add sets z to x + y.
func (z *Scalar) Add(x, y *Scalar) {
	var c uint64
	z[0], c = bits.Add64(x[0], y[0], 0)
	z[1], c = bits.Add64(x[1], y[1], c)
	z[2], c = bits.Add64(x[2], y[2], c)
	z[3], c = bits.Add64(x[3], y[3], c)
	z.reduce(c)
}

// Negate sets z to -x.
func (z *Scalar) Negate(x *Scalar) {
	if x.IsZero() {
		*z = Scalar{}
		return
	}
	var b uint64
	z[0], b = bits.Sub64(n0, x[0], 0)
	z[1], b = bits.Sub64(n1, x[1], b)
	z[2], b = bits.Sub64(n2, x[2], b)
	z[3], _ = bits.Sub64(n3, x[3], b)
}

// Mul sets z to x⋅y.
func (z *Scalar) Mul(x, y *Scalar) {
	y0, y1, y2, y3 := y[0], y[1], y[2], y[3]
	r0, r1, r2, r3, r4 := mulRow(x[0], y0, y1, y2, y3, 0, 0, 0, 0)
	r1, r2, r3, r4, r5 := mulRow(x[1], y0, y1, y2, y3, r1, r2, r3, r4)
	r2, r3, r4, r5, r6 := mulRow(x[2], y0, y1, y2, y3, r2, r3, r4, r5)
	r3, r4, r5, r6, r7 := mulRow(x[3], y0, y1, y2, y3, r3, r4, r5, r6)

	// The upper half times 2²⁵⁶ mod n, added to the lower one: below 2³⁸⁶. Its
	// part from 2²⁵⁶ up is below 2¹³⁰.
	h0, h1, h2, h3 := r4, r5, r6, r7
	r0, r1, r2, r3, r4 = mulRow(nFold0, h0, h1, h2, h3, r0, r1, r2, r3)
	r1, r2, r3, r4, r5 = mulRow(nFold1, h0, h1, h2, h3, r1, r2, r3, r4)
	r2, c := bits.Add64(r2, h0, 0)
	r3, c = bits.Add64(r3, h1, c)
	r4, c = bits.Add64(r4, h2, c)
	r5, c = bits.Add64(r5, h3, c)

	// The same again: below 2²⁵⁶ + 2²⁶⁰.
	h0, h1, h2 = r4, r5, c
	r0, r1, r2, r3, r4 = mulRow(nFold0, h0, h1, h2, 0, r0, r1, r2, r3)
	r1, r2, r3, r4, _ = mulRow(nFold1, h0, h1, h2, 0, r1, r2, r3, r4)
	r2, c = bits.Add64(r2, h0, 0)
	r3, c = bits.Add64(r3, h1, c)
	k := r4 + h2 + c

	// And again, for the five bits that are left.
	hi, lo := bits.Mul64(k, nFold0)
	r0, c = bits.Add64(r0, lo, 0)
	hi1, lo := bits.Mul64(k, nFold1)
	lo, c1 := bits.Add64(lo, hi, 0)
	r1, c = bits.Add64(r1, lo, c)
	r2, c = bits.Add64(r2, k+hi1+c1, c)
	r3, c = bits.Add64(r3, 0, c)
	*z = Scalar{r0, r1, r2, r3}
	z.reduce(c)
}

// mulRow returns the five words of k⋅y plus those of t, the lowest first.
func mulRow(k, y0, y1, y2, y3, t0, t1, t2, t3 uint64) (r0, r1, r2, r3, r4 uint64) {
	r0, r1, r2, r3, r4 = mulWord(k, y0, y1, y2, y3)
	return addWords(r0, r1, r2, r3, r4, t0, t1, t2, t3)
}

// mulWord returns the five words of k⋅y, the lowest first. It is apart from
// addWords so that the compiler takes both into their callers.
func mulWord(k, y0, y1, y2, y3 uint64) (r0, r1, r2, r3, r4 uint64) {
	r1, r0 = bits.Mul64(k, y0)
	r2, l1 := bits.Mul64(k, y1)
	r3, l2 := bits.Mul64(k, y2)
	r4, l3 := bits.Mul64(k, y3)
	r1, c := bits.Add64(r1, l1, 0)
	r2, c = bits.Add64(r2, l2, c)
	r3, c = bits.Add64(r3, l3, c)
	r4, _ = bits.Add64(r4, 0, c)
	return
}

// addWords returns r + t, which must be below 2³²⁰.
func addWords(r0, r1, r2, r3, r4, t0, t1, t2, t3 uint64) (s0, s1, s2, s3, s4 uint64) {
	s0, c := bits.Add64(r0, t0, 0)
	s1, c = bits.Add64(r1, t1, c)
	s2, c = bits.Add64(r2, t2, c)
	s3, c = bits.Add64(r3, t3, c)
	s4, _ = bits.Add64(r4, 0, c)
	return
}

// Inverse sets z to 1/x, and to zero if x is zero.
func (z *Scalar) Inverse(x *Scalar) {
	z[0], z[1], z[2], z[3] = scalarModulus.invert(x[0], x[1], x[2], x[3])
}

// InvertAll sets every element of s to its inverse, and leaves zeros as they
// are, at the cost of one inversion and three multiplications for each
// (Montgomery's trick). The content of scratch, which must be as long as s at
// least and not overlap it, is lost.
func InvertAll(s, scratch []Scalar) {
	if len(scratch) < len(s) {
		panic("secp: InvertAll: scratch is shorter than s")
	}
	product := Scalar{1}
	for i := range s {
		scratch[i] = product
		if !s[i].IsZero() {
			product.Mul(&product, &s[i])
		}
	}
	product.Inverse(&product)
	for i := len(s) - 1; i >= 0; i-- {
		if s[i].IsZero() {
			continue
		}
		x := s[i]
		s[i].Mul(&product, &scratch[i])
		product.Mul(&product, &x)
	}
}
