package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// pairs of blocks of ChaCha20 are an element's number. A register holds one row of
// the state for both blocks of a pair.
const pairs = 3

// rowsOf are the four rows of a pair.
type rowsOf [4]reg.VecVirtual

// stream writes streamAVX2.
func stream() {
	constants := table("chachaConstants", 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574)
	counters := [pairs]operand.Mem{}
	for p := range pairs {
		counters[p] = table(fmt.Sprintf("chachaCounters%d", p), uint32(2*p), 0, 0, 0, uint32(2*p+1), 0, 0, 0)
	}
	// Where the bytes of words come from that are turned left by 16 and by 8 bits.
	left16 := table("chachaLeft16", 0x01000302, 0x05040706, 0x09080b0a, 0x0d0c0f0e)
	left8 := table("chachaLeft8", 0x02010003, 0x06050407, 0x0a09080b, 0x0e0d0c0f)

	TEXT("streamAVX2", nosplit, "func(stream *[384]byte, key *[32]byte)")
	to := Load(Param("stream"), GP64())
	key := Load(Param("key"), GP64())
	rounds := GP64()
	by16, by8 := YMM(), YMM()
	VBROADCASTI128(left16, by16)
	VBROADCASTI128(left8, by8)
	initial := func(row, pair int, r reg.VecVirtual) {
		switch row {
		case 0:
			VBROADCASTI128(constants, r)
		case 3:
			VMOVDQU(counters[pair], r)
		default:
			VBROADCASTI128(operand.Mem{Base: key, Disp: 16 * (row - 1)}, r)
		}
	}
	var state [pairs]rowsOf
	for p := range state {
		for row := range state[p] {
			state[p][row] = YMM()
			initial(row, p, state[p][row])
		}
	}
	t := YMM()
	turn := func(r reg.VecVirtual, bits uint64) {
		VPSRLD(operand.Imm(32-bits), r, t)
		VPSLLD(operand.Imm(bits), r, r)
		VPOR(t, r, r)
	}
	// each does something to every pair, so that none waits for itself.
	each := func(do func(s *rowsOf)) {
		for p := range state {
			do(&state[p])
		}
	}
	round := func() {
		each(func(s *rowsOf) { VPADDD(s[1], s[0], s[0]); VPXOR(s[0], s[3], s[3]) })
		each(func(s *rowsOf) { VPSHUFB(by16, s[3], s[3]) })
		each(func(s *rowsOf) { VPADDD(s[3], s[2], s[2]); VPXOR(s[2], s[1], s[1]) })
		each(func(s *rowsOf) { turn(s[1], 12) })
		each(func(s *rowsOf) { VPADDD(s[1], s[0], s[0]); VPXOR(s[0], s[3], s[3]) })
		each(func(s *rowsOf) { VPSHUFB(by8, s[3], s[3]) })
		each(func(s *rowsOf) { VPADDD(s[3], s[2], s[2]); VPXOR(s[2], s[1], s[1]) })
		each(func(s *rowsOf) { turn(s[1], 7) })
	}
	// The words of a row are moved so that what was a diagonal is a column.
	const by1, by2, by3 = 0b00_11_10_01, 0b01_00_11_10, 0b10_01_00_11
	shift := func(s *rowsOf, first, third uint64) {
		VPSHUFD(operand.Imm(first), s[1], s[1])
		VPSHUFD(operand.Imm(by2), s[2], s[2])
		VPSHUFD(operand.Imm(third), s[3], s[3])
	}
	MOVQ(operand.U32(10), rounds)
	Label("rounds")
	round()
	each(func(s *rowsOf) { shift(s, by1, by3) })
	round()
	each(func(s *rowsOf) { shift(s, by3, by1) })
	DECQ(rounds)
	JNZ(operand.LabelRef("rounds"))
	for p := range state {
		for row, r := range state[p] {
			initial(row, p, t)
			VPADDD(t, r, r)
			VMOVDQU(r.AsX(), operand.Mem{Base: to, Disp: 128*p + 16*row})
			VEXTRACTI128(operand.Imm(1), r, operand.Mem{Base: to, Disp: 128*p + 64 + 16*row})
		}
	}
	VZEROUPPER()
	RET()
}

// table makes a constant of words.
func table(name string, words ...uint32) operand.Mem {
	m := GLOBL(name, attrRODATA)
	for i, w := range words {
		DATA(4*i, operand.U32(w))
	}
	return m
}
