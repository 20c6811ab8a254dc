package muhash

import (
	"encoding/binary"
	"math/big"
	"math/bits"
)

const (
	// numberSize is the size of an encoded number in bytes.
	numberSize = 384
	// limbs is the number of 64-bit words of a number.
	limbs = numberSize / 8
	// distance is how far the modulus is below 2^3072. It is small, so the upper
	// half of a product is reduced by one multiplication with one word.
	distance = 1103717
)

// A number is a number modulo 2^3072 − distance, its least significant word
// first. It is below 2^3072; of the two forms that the smallest numbers have,
// all functions take either, and only reduced tells which is returned.
type number [limbs]uint64

// one is the number of no elements.
var one = number{1}

// A half is one half of a number.
type half [limbs / 2]uint64

// halves returns the lower and the upper half of x.
func (x *number) halves() (low, high *half) {
	return (*half)(x[:limbs/2]), (*half)(x[limbs/2:])
}

// mul sets z to x·y. They may be the same.
//
// By Karatsuba's formula a product of numbers takes three products of halves
// instead of four. A second level would save less than its additions cost.
func (z *number) mul(x, y *number) {
	xl, xh := x.halves()
	yl, yh := y.halves()
	var low, high, cross, middle number // x·y = low + middle·2^1536 + high·2^3072
	mulHalves(&low, xl, yl)
	mulHalves(&high, xh, yh)
	var dx, dy half
	negative := difference(&dx, xl, xh) != difference(&dy, yl, yh)
	mulHalves(&cross, &dx, &dy)
	// middle = low + high − (xl − xh)·(yl − yh)
	middle = low
	carry := middle.add(&high)
	if negative {
		carry += middle.add(&cross)
	} else {
		carry -= middle.sub(&cross)
	}
	_, lowHigh := low.halves()
	highLow, highHigh := high.halves()
	middleLow, middleHigh := middle.halves()
	c := addHalf(lowHigh, middleLow, 0)
	c = addHalf(highLow, middleHigh, c)
	addWord(highHigh[:], carry+c)

	*z = low
	z.fold(&high)
}

// fold adds high·2^3072 to z.
func (z *number) fold(high *number) {
	zl, zh := z.halves()
	hl, hh := high.halves()
	carry := mulAdd(zl, hl, distance, 0)
	carry = mulAdd(zh, hh, distance, carry)
	// The carry is below 2^22. Where adding its multiple overflows again, what is
	// left is so small that adding the rest does not.
	if addWord(z[:], carry*distance) != 0 {
		z[0] += distance
	}
}

// mulHalvesGo sets z to x·y.
func mulHalvesGo(z *number, x, y *half) {
	low, _ := z.halves()
	*low = half{}
	for i, word := range y {
		z[len(x)+i] = mulAdd((*half)(z[i:]), x, word, 0)
	}
}

// mulAdd adds x·y + carry to z and returns what does not fit.
//
// Six words at a time are about as many as there are registers for, and in this
// order each chain of additions keeps its carry in the processor's flag.
func mulAdd(z, x *half, y, carry uint64) uint64 {
	for i := 0; i < len(x); i += 6 {
		x, z := (*[6]uint64)(x[i:]), (*[6]uint64)(z[i:])
		h0, l0 := bits.Mul64(x[0], y)
		h1, l1 := bits.Mul64(x[1], y)
		h2, l2 := bits.Mul64(x[2], y)
		h3, l3 := bits.Mul64(x[3], y)
		h4, l4 := bits.Mul64(x[4], y)
		h5, l5 := bits.Mul64(x[5], y)
		var c uint64
		l0, c = bits.Add64(l0, carry, 0)
		l1, c = bits.Add64(l1, h0, c)
		l2, c = bits.Add64(l2, h1, c)
		l3, c = bits.Add64(l3, h2, c)
		l4, c = bits.Add64(l4, h3, c)
		l5, c = bits.Add64(l5, h4, c)
		h5, _ = bits.Add64(h5, 0, c)
		z[0], c = bits.Add64(z[0], l0, 0)
		z[1], c = bits.Add64(z[1], l1, c)
		z[2], c = bits.Add64(z[2], l2, c)
		z[3], c = bits.Add64(z[3], l3, c)
		z[4], c = bits.Add64(z[4], l4, c)
		z[5], c = bits.Add64(z[5], l5, c)
		carry, _ = bits.Add64(h5, 0, c)
	}
	return carry
}

// add adds x to z and returns the carry.
func (z *number) add(x *number) uint64 {
	zl, zh := z.halves()
	xl, xh := x.halves()
	return addHalf(zh, xh, addHalf(zl, xl, 0))
}

// sub subtracts x from z and returns the borrow.
func (z *number) sub(x *number) uint64 {
	zl, zh := z.halves()
	xl, xh := x.halves()
	return subHalf(zh, xh, subHalf(zl, xl, 0))
}

// addHalf adds x + carry to z and returns the carry.
func addHalf(z, x *half, carry uint64) uint64 {
	for i := 0; i < len(x); i += 6 {
		x, z := (*[6]uint64)(x[i:]), (*[6]uint64)(z[i:])
		z[0], carry = bits.Add64(z[0], x[0], carry)
		z[1], carry = bits.Add64(z[1], x[1], carry)
		z[2], carry = bits.Add64(z[2], x[2], carry)
		z[3], carry = bits.Add64(z[3], x[3], carry)
		z[4], carry = bits.Add64(z[4], x[4], carry)
		z[5], carry = bits.Add64(z[5], x[5], carry)
	}
	return carry
}

// subHalf subtracts x + borrow from z and returns the borrow.
func subHalf(z, x *half, borrow uint64) uint64 {
	for i := 0; i < len(x); i += 6 {
		x, z := (*[6]uint64)(x[i:]), (*[6]uint64)(z[i:])
		z[0], borrow = bits.Sub64(z[0], x[0], borrow)
		z[1], borrow = bits.Sub64(z[1], x[1], borrow)
		z[2], borrow = bits.Sub64(z[2], x[2], borrow)
		z[3], borrow = bits.Sub64(z[3], x[3], borrow)
		z[4], borrow = bits.Sub64(z[4], x[4], borrow)
		z[5], borrow = bits.Sub64(z[5], x[5], borrow)
	}
	return borrow
}

// difference sets z to the larger of x and y less the other, and reports whether
// y was larger. z is neither of them.
func difference(z, x, y *half) bool {
	*z = *x
	if subHalf(z, y, 0) == 0 {
		return false
	}
	*z = *y
	subHalf(z, x, 0)
	return true
}

// addWord adds word to z and returns the carry.
func addWord(z []uint64, word uint64) uint64 {
	for i := range z {
		if word == 0 {
			break
		}
		z[i], word = bits.Add64(z[i], word, 0)
	}
	return word
}

// reduced returns x below the modulus.
func (x *number) reduced() number {
	less := *x
	if addWord(less[:], distance) != 0 { // x − modulus = x + distance − 2^3072
		return less
	}
	return *x
}

// inverse returns the number whose product with x is 1, or 0 for 0, as Bitcoin
// Core's Num3072::GetInverse.
func (x *number) inverse() (inverse number) {
	modulus := new(big.Int).Lsh(big.NewInt(1), 8*numberSize)
	modulus.Sub(modulus, big.NewInt(distance))
	var b [numberSize]byte
	for i, word := range x {
		binary.BigEndian.PutUint64(b[numberSize-8*(i+1):], word)
	}
	if n := new(big.Int).SetBytes(b[:]); n.ModInverse(n, modulus) != nil {
		n.FillBytes(b[:])
		for i := range inverse {
			inverse[i] = binary.BigEndian.Uint64(b[numberSize-8*(i+1):])
		}
	}
	return inverse
}

// append appends x as it is, in numberSize bytes, little-endian.
func (x *number) append(dst []byte) []byte {
	for _, word := range x {
		dst = binary.LittleEndian.AppendUint64(dst, word)
	}
	return dst
}

// decode sets x to the number in b.
func (x *number) decode(b *[numberSize]byte) {
	for i := range x {
		x[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
}
