package lane

import "github.com/outrider-project/outrider/sigverify/internal/secp"

// A scalar is one lane of a number modulo the group order n, below 2n, in five
// limbs of 52 bits, the lowest first.
type scalar = element

// orderLimbs are the limbs of n; orderInverse is -1/n modulo 2⁵².
var orderLimbs = scalar{0x25E8CD0364141, 0xE6AF48A03BBFD, 0xFFFFFFEBAAEDC, mask52, mask48}

const orderInverse = 0xDFF665588B13F

// montgomery returns x⋅y/2²⁶⁰ modulo n.
func montgomery(x, y element) scalar {
	t := mulColumns(x, y)
	for i := range 5 {
		m := lowProduct(t[i], orderInverse)
		for j, n := range orderLimbs {
			t[i+j] += lowProduct(m, n)
			t[i+j+1] += highProduct(m, n)
		}
		t[i+1] += t[i] >> 52
	}
	return raw{l: element(t[5:])}.masked()
}

// A half is a number modulo 2¹⁵⁶, in limbs of 52 bits.
type half [3]uint64

// The lattice of the endomorphism, (a1, b1) and (a2, a1), and the negatives that
// are needed, modulo 2¹⁵⁶.
var (
	latticeA1    = half{0xC90E49284EB15, 0x21A7D46BCDE86, 0x3086D2}
	latticeB1    = half{0xB8056F5401B3D, 0x29FEF177D790A, 0xFFFFFFF1BBC81}
	latticeA2    = half{0x1108D9D44CFD8, 0xF7A8E2F3F657C, 0x114CA50}
	latticeNegA1 = half{0x36F1B6D7B14EB, 0xDE582B9432179, 0xFFFFFFFCF792D}
	latticeNegB1 = half{0x47FA90ABFE4C3, 0xD6010E88286F5, 0xE4437E}
	latticeNegA2 = half{0xEEF7262BB3028, 0x08571D0C09A83, 0xFFFFFFEEB35AF}
)

// splitG1 and splitG2 are 2³⁸⁴⋅a1/n and -2³⁸⁴⋅b1/n, rounded.
var (
	splitG1 = scalar{0x3209A45DBB031, 0x1471E8CA7FE89, 0x284EB153DAA8A, 0x6BCDE86C90E49, 0x3086D221A7D4}
	splitG2 = scalar{0x1B4AE8AC47F71, 0xAC9DF506C6157, 0xABFE4C4221208, 0x88286F547FA90, 0xE4437ED6010E}
)

// highProduct384 returns about x⋅g/2³⁸⁴, at most one too small.
func (x scalar) highProduct384(g scalar) half {
	var t columns
	for i := range x {
		for j := range g {
			if i+j >= 5 {
				t[i+j] += lowProduct(x[i], g[j])
			}
			if i+j+1 >= 5 {
				t[i+j+1] += highProduct(x[i], g[j])
			}
		}
	}
	for i := 5; i < 9; i++ {
		t[i+1] += t[i] >> 52
		t[i] &= mask52
	}
	return half{(t[7]>>20 | t[8]<<32) & mask52, (t[8]>>20 | t[9]<<32) & mask52, t[9] & mask52 >> 20}
}

// addProduct returns x + c⋅k, not carried.
func (x half) addProduct(c, k half) half {
	for i := range x {
		for j := range 3 - i {
			x[i+j] += lowProduct(c[i], k[j])
			if i+j < 2 {
				x[i+j+1] += highProduct(c[i], k[j])
			}
		}
	}
	return x
}

// carried returns x carried, modulo 2¹⁵⁶.
func (x half) carried() half {
	x[1] += x[0] >> 52
	x[2] += x[1] >> 52
	return half{x[0] & mask52, x[1] & mask52, x[2] & mask52}
}

// plus returns x + y, not carried.
func (x half) plus(y half) half { return half{x[0] + y[0], x[1] + y[1], x[2] + y[2]} }

// split returns k1 and k2 with k1 + k2⋅λ = k modulo n, both odd and between
// -2¹³⁰ and 2¹³⁰, not carried.
func (x scalar) split() (k1, k2 half) {
	c1, c2 := x.highProduct384(splitG1), x.highProduct384(splitG2)
	k1 = half(x[:3]).addProduct(c1, latticeNegA1).addProduct(c2, latticeNegA2).carried()
	k2 = half{}.addProduct(c1, latticeNegB1).addProduct(c2, latticeNegA1).carried()
	if k1[0]&1 == 0 {
		k1, k2 = k1.plus(latticeA1), k2.plus(latticeB1)
	}
	if k2[0]&1 == 0 {
		k1, k2 = k1.plus(latticeA2), k2.plus(latticeA1)
	}
	return k1, k2
}

// biasQ is 2^bitsQ - 1.
var biasQ = half{mask52, mask52, 1<<(bitsQ-104) - 1}

// digitsQ returns the windows of (x + 2^bitsQ - 1)/2, for an odd x. Window v stands
// for the digit 2v - (2^windowQ - 1).
func (x half) digitsQ() (windows [windowsQ]uint64) {
	x = x.plus(biasQ).carried()
	for i := range windows {
		windows[i] = window(x[:], windowQ*i+1, windowQ)
	}
	return windows
}

// digitsG returns the windows of (x + 2²⁶⁰ - 1)/2, with n added to x if x is even.
func (x scalar) digitsG() (windows [windowsG]uint64) {
	odd := x[0]&1 == 1
	for i := range x {
		if !odd {
			x[i] += orderLimbs[i]
		}
		x[i] += mask52
	}
	x = raw{l: x}.masked()
	for i := range windows {
		windows[i] = window(x[:], windowG*i+1, windowG)
	}
	return windows
}

// window returns the w bits from bit at on.
func window(limbs []uint64, at, w int) uint64 {
	i, off := at/52, at%52
	if i >= len(limbs) {
		i, off = len(limbs)-1, at-52*(len(limbs)-1)
	}
	v := limbs[i] >> off
	if i+1 < len(limbs) {
		v |= limbs[i+1] << (52 - off)
	}
	return v & (1<<w - 1)
}

// digit returns the index of the odd multiple that window v of w bits stands for,
// and whether it is negative.
func digit(v uint64, w int) (index uint64, negative bool) {
	low := uint64(1)<<(w-1) - 1
	if v>>(w-1) == 0 {
		return v ^ low, true
	}
	return v & low, false
}

// scalar returns x, below 2n, as the number below n that it is.
func (x scalar) scalar() secp.Scalar {
	var d scalar // x - n
	var borrow uint64
	for i := range x {
		d[i] = x[i] - orderLimbs[i] - borrow
		borrow = d[i] >> 63
		d[i] &= mask52
	}
	if borrow == 0 {
		x = d
	}
	return secp.Scalar(x.packed())
}
