package secp

import (
	"encoding/binary"
	"math/bits"
)

// An Element is an element of the field of p = 2²⁵⁶ - 2³² - 977 elements, the
// coordinates of secp256k1 (SEC 2, section 2.4.1). Its value is the sum of
// limb i times 2^(52i), modulo p. The zero value is zero.
//
// A value has many representations. How loose one is, is its magnitude: an
// element of magnitude m has limbs of at most 2m(2⁵²-1), the last one of at
// most 2m(2⁴⁸-1). Every operation states the magnitudes that it takes and
// gives, and does not check them; 32 is the most that any takes. An element is
// normal if all limbs are below 2⁵² and its value, as an integer, is below p;
// there is one such representation, and its magnitude is 1.
type Element [5]uint64

const (
	mask52 = 1<<52 - 1
	mask48 = 1<<48 - 1

	// fold is 2²⁵⁶ mod p, fold52 is 2²⁶⁰ mod p.
	fold   = 1<<32 + 977
	fold52 = fold << 4

	// p0 and p4 are the first and the last limb of p; the others are mask52.
	p0 = mask52 - fold + 1
	p4 = mask48
)

// SetBytes sets z to the 32 big-endian bytes b and reports whether the number
// is not below p. Then z is that number modulo p, as for all others. z is
// normal.
func (z *Element) SetBytes(b *[32]byte) (overflow bool) {
	return z.setWords(words(b))
}

// setWords is SetBytes for the four words of a number, the lowest first.
func (z *Element) setWords(w0, w1, w2, w3 uint64) (overflow bool) {
	*z = Element{
		w0 & mask52,
		(w0>>52 | w1<<12) & mask52,
		(w1>>40 | w2<<24) & mask52,
		(w2>>28 | w3<<36) & mask52,
		w3 >> 16,
	}
	if w3&w2&w1 == 1<<64-1 && w0 >= 1<<64-fold {
		*z = Element{w0 - (1<<64 - fold)}
		return true
	}
	return false
}

// words returns the number that z is as four words, the lowest first. z must be
// normal.
func (z *Element) words() (w0, w1, w2, w3 uint64) {
	return z[0] | z[1]<<52, z[1]>>12 | z[2]<<40, z[2]>>24 | z[3]<<28, z[3]>>36 | z[4]<<16
}

// Bytes returns the number that z is, as 32 big-endian bytes. z must be normal.
func (z *Element) Bytes() (b [32]byte) {
	w0, w1, w2, w3 := z.words()
	binary.BigEndian.PutUint64(b[24:], w0)
	binary.BigEndian.PutUint64(b[16:], w1)
	binary.BigEndian.PutUint64(b[8:], w2)
	binary.BigEndian.PutUint64(b[:], w3)
	return b
}

// Normalize makes z, of magnitude at most 32, normal.
func (z *Element) Normalize() {
	// After the first pass the last limb has 49 bits at most: the value is below
	// 2p, and p has to be subtracted once at most.
	z.Carry()
	if z[4]>>48 != 0 || z[4] == p4 && z[3]&z[2]&z[1] == mask52 && z[0] >= p0 {
		// Adding 2²⁵⁶ - p and dropping 2²⁵⁶ subtracts p.
		t := z[0] + fold
		z[0] = t & mask52
		t = z[1] + t>>52
		z[1] = t & mask52
		t = z[2] + t>>52
		z[2] = t & mask52
		t = z[3] + t>>52
		z[3] = t & mask52
		z[4] = (z[4] + t>>52) & mask48
	}
}

// Carry makes the limbs of z, of magnitude at most 32, smaller than 2⁵² and the
// last one smaller than 2⁴⁸ + 2⁶: z has magnitude 1 and is below 2²⁵⁶ + 2²¹⁴. It
// does not make z normal.
func (z *Element) Carry() {
	t := z[0] + z[4]>>48*fold
	z[0] = t & mask52
	t = z[1] + t>>52
	z[1] = t & mask52
	t = z[2] + t>>52
	z[2] = t & mask52
	t = z[3] + t>>52
	z[3] = t & mask52
	z[4] = z[4]&mask48 + t>>52
}

// Add sets z to x + y. The magnitude of z is the sum of theirs.
func (z *Element) Add(x, y *Element) {
	z[0] = x[0] + y[0]
	z[1] = x[1] + y[1]
	z[2] = x[2] + y[2]
	z[3] = x[3] + y[3]
	z[4] = x[4] + y[4]
}

// AddSmall sets z to x + k. The magnitude of z is that of x and 1; k must be
// below 2⁵².
func (z *Element) AddSmall(x *Element, k uint64) {
	*z = *x
	z[0] += k
}

// Negate sets z to -x. The magnitude of x must be at most m, that of z is m+1.
func (z *Element) Negate(x *Element, m uint64) {
	k := 2 * (m + 1)
	z[0] = k*p0 - x[0]
	z[1] = k*mask52 - x[1]
	z[2] = k*mask52 - x[2]
	z[3] = k*mask52 - x[3]
	z[4] = k*p4 - x[4]
}

// Sub sets z to x - y. The magnitude of y must be at most m; that of z is m+1
// more than that of x.
func (z *Element) Sub(x, y *Element, m uint64) {
	k := 2 * (m + 1)
	z[0] = x[0] + (k*p0 - y[0])
	z[1] = x[1] + (k*mask52 - y[1])
	z[2] = x[2] + (k*mask52 - y[2])
	z[3] = x[3] + (k*mask52 - y[3])
	z[4] = x[4] + (k*p4 - y[4])
}

// MulSmall sets z to k⋅x, whose magnitude is k times that of x.
func (z *Element) MulSmall(x *Element, k uint64) {
	z[0] = k * x[0]
	z[1] = k * x[1]
	z[2] = k * x[2]
	z[3] = k * x[3]
	z[4] = k * x[4]
}

// Half sets z to x/2. An x of magnitude m gives a z of magnitude m/2 + 1,
// rounded down.
func (z *Element) Half(x *Element) {
	odd := -(x[0] & 1)
	t0 := x[0] + odd&p0
	t1 := x[1] + odd&mask52
	t2 := x[2] + odd&mask52
	t3 := x[3] + odd&mask52
	t4 := x[4] + odd&p4
	z[0] = t0>>1 + t1&1<<51
	z[1] = t1>>1 + t2&1<<51
	z[2] = t2>>1 + t3&1<<51
	z[3] = t3>>1 + t4&1<<51
	z[4] = t4 >> 1
}

// IsZero reports whether x, of magnitude at most 32, is zero modulo p.
func (z *Element) IsZero() bool {
	// A number below 2²⁵⁶ + 2²¹⁴ is a multiple of p if it is 0 or p. Of an element
	// that is not zero the first limb decides nearly always.
	low := (z[0] + z[4]>>48*fold) & mask52
	if low != 0 && low != p0 {
		return false
	}
	t := *z
	t.Carry()
	return t == Element{} || t == Element{p0, mask52, mask52, mask52, p4}
}

// IsOdd reports whether the number that z is, is odd. z must be normal.
func (z *Element) IsOdd() bool { return z[0]&1 == 1 }

// Equal reports whether x and y are equal modulo p. The magnitude of y must be
// at most 15, that of x at most 16.
func (z *Element) Equal(y *Element) bool {
	var d Element
	d.Sub(z, y, 15)
	return d.IsZero()
}

// A wide is a number of 128 bits.
type wide struct{ hi, lo uint64 }

// mac returns w + a⋅b, which must be below 2¹²⁸.
func (w wide) mac(a, b uint64) wide {
	hi, lo := bits.Mul64(a, b)
	lo, carry := bits.Add64(w.lo, lo, 0)
	hi, _ = bits.Add64(w.hi, hi, carry)
	return wide{hi, lo}
}

// add returns w + a, which must be below 2¹²⁸.
func (w wide) add(a uint64) wide {
	lo, carry := bits.Add64(w.lo, a, 0)
	return wide{w.hi + carry, lo}
}

// shift52 returns w / 2⁵².
func (w wide) shift52() wide { return wide{w.hi >> 52, w.hi<<12 | w.lo>>52} }
