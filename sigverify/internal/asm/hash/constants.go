package main

import (
	"math/big"
	"math/bits"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// Tables in read-only memory, which tables writes.
var (
	// roundTable holds SHA-256's 64 round constants.
	roundTable Mem
	// initialTable holds SHA-256's initial state.
	initialTable Mem
	// shaniInitialTable holds the initial state in the order of a stream.
	shaniInitialTable Mem
	// pad20Table holds words 5 to 15 of the block of a message of 20 bytes.
	pad20Table Mem
	// pad32Table holds words 8 to 15 of the block of a message of 32 bytes.
	pad32Table Mem
	// pad64Table holds, for each round, the sum of the round constant and the
	// schedule's word in the block that only pads a message of 64 bytes.
	pad64Table Mem
	// markTable is 64 zeros, the byte 0x80 and zeros: the 64 bytes that begin
	// 64-n bytes into it are the padding of a block with n bytes of message.
	markTable Mem
	// swapTable is VPSHUFB's index that turns the bytes of each 32-bit word
	// round.
	swapTable Mem
	// zipTable is two of VPERMI2Q's indices that put the blocks of two vectors
	// by turns: the lower two blocks of both, the upper two.
	zipTable Mem
	// ripemdTable holds what ripemdConstants returns.
	ripemdTable Mem
	// boundTable holds numbers that the kernels compare with and count by.
	boundTable Mem
)

// Where the numbers of boundTable are.
const (
	boundBlock  = 4 * iota // 64, the size of a block
	boundLength            // 56, where a block's length begins
	boundZero              // 0
	boundPast              // -1
	boundEnd               // -8, the least bytes left of a message that has a block left
)

func tables() {
	k, iv := roots()
	roundTable = words("rounds", k[:])
	initialTable = words("initial", iv[:])
	shaniInitialTable = words("initialSHANI", []uint32{iv[5], iv[4], iv[1], iv[0], iv[7], iv[6], iv[3], iv[2]})

	pad20Table = words("pad20", []uint32{0: 1 << 31, 10: 20 * 8})
	pad32Table = words("pad32", []uint32{0: 1 << 31, 7: 32 * 8})

	w := schedule([16]uint32{0: 1 << 31, 15: 64 * 8})
	for i := range w {
		w[i] += k[i]
	}
	pad64Table = words("pad64", w[:])

	var mark [192]byte
	mark[64] = 0x80
	markTable = data("mark", mark[:])

	var swap [64]byte
	for i := range swap {
		swap[i] = byte(i%16 ^ 3)
	}
	swapTable = data("swap", swap[:])

	zipTable = GLOBL("zip", rodata)
	for i, x := range []uint64{0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15} {
		DATA(8*i, U64(x))
	}
	ripemdTable = words("ripemd", ripemdConstants())
	past := -1
	boundTable = words("bound", []uint32{64, 56, 0, uint32(past), uint32(8 * past)})
}

// words puts w into read-only memory.
func words(name string, w []uint32) Mem {
	m := GLOBL(name, rodata)
	for i, x := range w {
		DATA(4*i, U32(x))
	}
	return m
}

// data puts b, whose length is a multiple of 8, into read-only memory.
func data(name string, b []byte) Mem {
	m := GLOBL(name, rodata)
	for i := 0; i < len(b); i += 8 {
		var x uint64
		for j, c := range b[i : i+8] {
			x |= uint64(c) << (8 * j)
		}
		DATA(i, U64(x))
	}
	return m
}

// roots returns the constants of FIPS 180-4: the first 32 bits of the fractional
// parts of the cube roots of the first 64 primes (section 4.2.2), and of the
// square roots of the first 8 (section 5.3.3).
func roots() (k [64]uint32, iv [8]uint32) {
	prime := int64(1)
	for i := range k {
		for prime++; !big.NewInt(prime).ProbablyPrime(0); prime++ {
		}
		p := big.NewInt(prime)
		k[i] = uint32(cubeRoot(new(big.Int).Lsh(p, 96)).Uint64())
		if i < len(iv) {
			iv[i] = uint32(new(big.Int).Sqrt(new(big.Int).Lsh(p, 64)).Uint64())
		}
	}
	return k, iv
}

// cubeRoot returns the largest r with r³ ≤ n.
func cubeRoot(n *big.Int) *big.Int {
	r := new(big.Int)
	for bit := n.BitLen()/3 + 1; bit >= 0; bit-- {
		s := new(big.Int).SetBit(r, bit, 1)
		if new(big.Int).Exp(s, big.NewInt(3), nil).Cmp(n) <= 0 {
			r = s
		}
	}
	return r
}

// schedule returns SHA-256's message schedule of a block (FIPS 180-4, section
// 6.2.2, step 1).
func schedule(block [16]uint32) (w [64]uint32) {
	copy(w[:], block[:])
	ror := func(x uint32, n int) uint32 { return bits.RotateLeft32(x, -n) }
	for i := 16; i < len(w); i++ {
		x, y := w[i-15], w[i-2]
		s0 := ror(x, 7) ^ ror(x, 18) ^ x>>3
		s1 := ror(y, 17) ^ ror(y, 19) ^ y>>10
		w[i] = w[i-16] + s0 + w[i-7] + s1
	}
	return w
}
