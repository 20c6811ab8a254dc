package hashlane

import (
	"encoding/binary"
	"math/bits"
)

// The order of the words and the rotations in the two lines of RIPEMD-160's
// compression, and the constants of their rounds of 16 steps, from "RIPEMD-160: A
// Strengthened Version of RIPEMD" (Dobbertin, Bosselaers, Preneel, 1996),
// appendix A.
var (
	ripemdWords = [2][80]uint8{{
		0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
		7, 4, 13, 1, 10, 6, 15, 3, 12, 0, 9, 5, 2, 14, 11, 8,
		3, 10, 14, 4, 9, 15, 8, 1, 2, 7, 0, 6, 13, 11, 5, 12,
		1, 9, 11, 10, 0, 8, 12, 4, 13, 3, 7, 15, 14, 5, 6, 2,
		4, 0, 5, 9, 7, 12, 2, 10, 14, 1, 3, 8, 11, 6, 15, 13,
	}, {
		5, 14, 7, 0, 9, 2, 11, 4, 13, 6, 15, 8, 1, 10, 3, 12,
		6, 11, 3, 7, 0, 13, 5, 10, 14, 15, 8, 12, 4, 9, 1, 2,
		15, 5, 1, 3, 7, 14, 6, 9, 11, 8, 12, 2, 10, 0, 4, 13,
		8, 6, 4, 1, 3, 11, 15, 0, 5, 12, 2, 13, 9, 7, 10, 14,
		12, 15, 10, 4, 1, 5, 8, 7, 6, 2, 13, 14, 0, 3, 9, 11,
	}}
	ripemdRotations = [2][80]uint8{{
		11, 14, 15, 12, 5, 8, 7, 9, 11, 13, 14, 15, 6, 7, 9, 8,
		7, 6, 8, 13, 11, 9, 7, 15, 7, 12, 15, 9, 11, 7, 13, 12,
		11, 13, 6, 7, 14, 9, 13, 15, 14, 8, 13, 6, 5, 12, 7, 5,
		11, 12, 14, 15, 14, 15, 9, 8, 9, 14, 5, 6, 8, 6, 5, 12,
		9, 15, 5, 11, 6, 8, 13, 12, 5, 12, 13, 14, 11, 8, 5, 6,
	}, {
		8, 9, 9, 11, 13, 15, 15, 5, 7, 7, 8, 11, 14, 14, 12, 6,
		9, 13, 15, 7, 12, 8, 9, 11, 7, 7, 12, 7, 6, 15, 13, 11,
		9, 7, 15, 11, 8, 6, 6, 14, 12, 13, 5, 14, 13, 13, 7, 5,
		15, 5, 8, 11, 14, 14, 6, 14, 6, 9, 12, 9, 12, 5, 15, 8,
		8, 5, 12, 9, 12, 5, 14, 6, 8, 13, 6, 5, 15, 13, 11, 11,
	}}
	ripemdConstants = [2][5]uint32{
		{0x00000000, 0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xa953fd4e},
		{0x50a28be6, 0x5c4dd124, 0x6d703ef3, 0x7a6d76e9, 0x00000000},
	}
)

// ripemdInitial is RIPEMD-160's initial state.
var ripemdInitial = [5]uint32{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}

// ripemd160 returns the RIPEMD-160 of m.
func ripemd160(m [32]byte) [20]byte {
	block := [16]uint32{8: 0x80, 14: 32 * 8}
	for i := range 8 {
		block[i] = binary.LittleEndian.Uint32(m[4*i:])
	}
	h := ripemdInitial
	ripemdCompress(&h, &block)
	return ripemdDigest(&h)
}

// RIPEMD160 returns the RIPEMD-160 of one message of any length.
func RIPEMD160(m []byte) [20]byte {
	h := ripemdInitial
	rest := m
	for ; len(rest) >= 64; rest = rest[64:] {
		ripemdBytes(&h, (*[64]byte)(rest))
	}
	var last [64]byte
	n := copy(last[:], rest)
	last[n] = 0x80
	if n >= 56 {
		ripemdBytes(&h, &last)
		last = [64]byte{}
	}
	binary.LittleEndian.PutUint64(last[56:], 8*uint64(len(m)))
	ripemdBytes(&h, &last)
	return ripemdDigest(&h)
}

// ripemdBytes is RIPEMD-160's compression function.
func ripemdBytes(h *[5]uint32, block *[64]byte) {
	var words [16]uint32
	for i := range words {
		words[i] = binary.LittleEndian.Uint32(block[4*i:])
	}
	ripemdCompress(h, &words)
}

// ripemdDigest returns what the state h is at the end.
func ripemdDigest(h *[5]uint32) (digest [20]byte) {
	for i, x := range h {
		binary.LittleEndian.PutUint32(digest[4*i:], x)
	}
	return digest
}

// ripemdCompress is RIPEMD-160's compression function, on the words of a block.
func ripemdCompress(h *[5]uint32, block *[16]uint32) {
	a, b, c, d, e := h[0], h[1], h[2], h[3], h[4]
	p, q, r, s, t := a, b, c, d, e
	// step is one step of both lines, f and g their functions' values. The lines
	// do not depend on each other, so that a processor computes them at a time.
	step := func(i int, f, g uint32) {
		f += a + block[ripemdWords[0][i]&15] + ripemdConstants[0][i/16]
		a, b, c, d, e = e, bits.RotateLeft32(f, int(ripemdRotations[0][i]))+e, b, bits.RotateLeft32(c, 10), d
		g += p + block[ripemdWords[1][i]&15] + ripemdConstants[1][i/16]
		p, q, r, s, t = t, bits.RotateLeft32(g, int(ripemdRotations[1][i]))+t, q, bits.RotateLeft32(r, 10), s
	}
	for i := range 16 {
		step(i, b^c^d, q^(r|^s))
	}
	for i := 16; i < 32; i++ {
		step(i, b&c|^b&d, q&s|r&^s)
	}
	for i := 32; i < 48; i++ {
		step(i, (b|^c)^d, (q|^r)^s)
	}
	for i := 48; i < 64; i++ {
		step(i, b&d|c&^d, q&r|^q&s)
	}
	for i := 64; i < 80; i++ {
		step(i, b^(c|^d), q^r^s)
	}
	*h = [5]uint32{h[1] + c + s, h[2] + d + t, h[3] + e + p, h[4] + a + q, h[0] + b + r}
}
