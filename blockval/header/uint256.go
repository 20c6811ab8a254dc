package header

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// A Uint256 is an unsigned 256-bit integer: its value is the sum of
// x[i] * 2^(64*i). A target is one, and so is a hash when it is compared with
// a target. The zero value is 0.
type Uint256 [4]uint64

// hashValue returns the integer that a hash is compared as: its bytes in
// internal order, little-endian.
func hashValue(h chainhash.Hash) Uint256 {
	var x Uint256
	for i := range x {
		x[i] = binary.LittleEndian.Uint64(h[8*i:])
	}
	return x
}

// String returns x as 64 hexadecimal digits, the way Bitcoin Core prints
// targets and chain work.
func (x Uint256) String() string {
	return fmt.Sprintf("%016x%016x%016x%016x", x[3], x[2], x[1], x[0])
}

// Cmp returns -1 if x < y, 0 if x == y, and +1 if x > y.
func (x Uint256) Cmp(y Uint256) int {
	for i := len(x) - 1; i >= 0; i-- {
		switch {
		case x[i] < y[i]:
			return -1
		case x[i] > y[i]:
			return 1
		}
	}
	return 0
}

// bitLen returns the number of bits that x needs; 0 for 0.
func (x Uint256) bitLen() int {
	for i := len(x) - 1; i >= 0; i-- {
		if x[i] != 0 {
			return 64*i + bits.Len64(x[i])
		}
	}
	return 0
}

// add returns x + y modulo 2^256.
func (x Uint256) add(y Uint256) Uint256 {
	var carry uint64
	for i := range x {
		x[i], carry = bits.Add64(x[i], y[i], carry)
	}
	return x
}

// sub returns x - y modulo 2^256, and whether y > x.
func (x Uint256) sub(y Uint256) (diff Uint256, borrowed bool) {
	var borrow uint64
	for i := range x {
		x[i], borrow = bits.Sub64(x[i], y[i], borrow)
	}
	return x, borrow != 0
}

// lsh returns x * 2^n modulo 2^256.
func (x Uint256) lsh(n uint) Uint256 {
	var z Uint256
	for i := range z {
		j := i - int(n/64)
		if j >= 0 {
			z[i] = x[j] << (n % 64)
		}
		if j >= 1 {
			z[i] |= x[j-1] >> (64 - n%64)
		}
	}
	return z
}

// rsh returns x / 2^n, rounded down.
func (x Uint256) rsh(n uint) Uint256 {
	var z Uint256
	for i := range z {
		j := i + int(n/64)
		if j < len(x) {
			z[i] = x[j] >> (n % 64)
		}
		if j+1 < len(x) {
			z[i] |= x[j+1] << (64 - n%64)
		}
	}
	return z
}

// quo returns x / y, rounded down. y must not be 0.
func (x Uint256) quo(y Uint256) Uint256 {
	var q Uint256
	shift := x.bitLen() - y.bitLen()
	if shift < 0 {
		return q
	}
	// Long division, one bit a step. Its only use is Work, where the quotient
	// of a real target is short: 32 bits at difficulty 1, 80 in 2025.
	for y = y.lsh(uint(shift)); shift >= 0; shift-- {
		if r, borrowed := x.sub(y); !borrowed {
			x = r
			q[shift/64] |= 1 << (shift % 64)
		}
		y = y.rsh(1)
	}
	return q
}

// mulDiv returns x * m / d, rounded down, the product in full width. overflow
// says that the result does not fit; the value is then meaningless. d must not
// be 0.
func (x Uint256) mulDiv(m, d uint64) (z Uint256, overflow bool) {
	var carry uint64
	for i := range x {
		hi, lo := bits.Mul64(x[i], m)
		var c uint64
		z[i], c = bits.Add64(lo, carry, 0)
		carry = hi + c
	}
	if carry >= d {
		return z, true
	}
	rem := carry
	for i := len(z) - 1; i >= 0; i-- {
		z[i], rem = bits.Div64(rem, z[i], d)
	}
	return z, false
}
