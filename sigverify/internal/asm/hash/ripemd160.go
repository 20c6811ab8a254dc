package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// The order of the words and the rotations of the two lines of RIPEMD-160, of 80
// steps each, from "RIPEMD-160: A Strengthened Version of RIPEMD" (Dobbertin,
// Bosselaers, Preneel, 1996), appendix A.
var (
	ripemdWord = [2][80]int{{
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
	ripemdRotation = [2][80]int{{
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
	// The constants of the lines' rounds, of 16 steps each.
	ripemdRound = [2][5]uint32{
		{0x00000000, 0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xa953fd4e},
		{0x50a28be6, 0x5c4dd124, 0x6d703ef3, 0x7a6d76e9, 0x00000000},
	}
	ripemdInitial = [5]uint32{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}
)

// ripemdPad is word 8 to 15 of the block of a message of 32 bytes.
var ripemdPad = [8]uint32{0: 0x80, 6: 32 * 8}

// A ripemd160 emits RIPEMD-160 of messages of 32 bytes, as many as its sets have
// lanes.
type ripemd160 struct {
	isa
	sets []*ripemdSet
}

// A ripemdSet is the part of a ripemd160 that fills the lanes of a register.
type ripemdSet struct {
	lines [2][5]register
	t     [2]register
	x     Mem // the 8 words of the messages
}

// newRIPEMD160 returns a ripemd160 whose set i reads its messages from x(i), and
// the registers that it leaves alone.
func newRIPEMD160(v isa, sets int, x func(set int) Mem) (r *ripemd160, free []register) {
	r = &ripemd160{isa: v}
	free = v.regs
	for i := range sets {
		one := &ripemdSet{x: x(i)}
		for line := range one.lines {
			free = free[copy(one.lines[line][:], free):]
		}
		free = free[copy(one.t[:], free):]
		r.sets = append(r.sets, one)
	}
	return r, free
}

// function emits a += f(x, y, z) + c, where f is the function of a round.
func (r *ripemd160) function(round int, a, x, y, z register, t [2]register, c uint32) {
	f := t[0]
	if r.wide() {
		// The bits of an index are x, y and z, high one first.
		truth := [5]uint8{
			xor3,
			choice,
			0x59, // (x | ^y) ^ z
			0xe4, // x & z | y & ^z
			0x2d, // x ^ (y | ^z)
		}
		if c != 0 {
			VPADDD_BCST(ripemdConstant(c), a, a)
		}
		VMOVDQA32(x, f)
		VPTERNLOGD(U8(truth[round]), z, y, f)
		VPADDD(f, a, a)
		return
	}
	// What is a complement is subtracted: ^f = -f - 1.
	complement := round == 2 || round == 4
	if complement {
		c--
	}
	if c != 0 {
		VPBROADCASTD(ripemdConstant(c), f)
		VPADDD(f, a, a)
	}
	switch round {
	case 0:
		VPXOR(x, y, f)
		VPXOR(z, f, f)
	case 1:
		r.choose(x, y, z, f)
	case 2:
		VPANDN(y, x, f) // ^x & y
		VPXOR(z, f, f)
	case 3:
		r.choose(z, x, y, f)
	case 4:
		VPANDN(z, y, f)
		VPXOR(x, f, f)
	}
	if complement {
		VPSUBD(f, a, a)
	} else {
		VPADDD(f, a, a)
	}
}

// rotateLeft emits x = x rol n.
func (r *ripemd160) rotateLeft(n int, x, t register) {
	if r.wide() {
		VPROLD(U8(n), x, x)
		return
	}
	VPSLLD(U8(n), x, t)
	VPSRLD(U8(32-n), x, x)
	VPXOR(t, x, x)
}

// compress emits RIPEMD-160 of the messages, and leaves the digests' words in
// the first line's registers.
func (r *ripemd160) compress() {
	for _, of := range r.sets {
		for line := range of.lines {
			for i, x := range of.lines[line] {
				VPBROADCASTD(ripemdConstant(ripemdInitial[i]), x)
			}
		}
	}
	for step := range 80 {
		for line := range 2 {
			round := step / 16
			if line == 1 {
				round = 4 - round
			}
			word, c := ripemdWord[line][step], ripemdRound[line][step/16]
			if word >= 8 {
				c += ripemdPad[word-8]
			}
			for _, of := range r.sets {
				s := &of.lines[line]
				if word < 8 {
					VPADDD(of.x.Offset(word*r.bytes()), s[0], s[0])
				}
				r.function(round, s[0], s[1], s[2], s[3], of.t, c)
				r.rotateLeft(ripemdRotation[line][step], s[0], of.t[0])
				VPADDD(s[4], s[0], s[0])
				r.rotateLeft(10, s[2], of.t[0])
				*s = [5]register{s[4], s[0], s[1], s[2], s[3]}
			}
		}
	}
	for _, of := range r.sets {
		a, b := &of.lines[0], &of.lines[1]
		// Word i of the sum is initial[i+1] + a[i+2] + b[i+3].
		for i, x := range a {
			VPADDD(b[(i+1)%5], x, x)
			VPBROADCASTD(ripemdConstant(ripemdInitial[(i+4)%5]), of.t[0])
			VPADDD(of.t[0], x, x)
		}
		*a = [5]register{a[2], a[3], a[4], a[0], a[1]}
	}
}

// ripemdConstant returns where the number c is in read-only memory.
func ripemdConstant(c uint32) Mem {
	for i, x := range ripemdConstants() {
		if x == c {
			return ripemdTable.Offset(4 * i)
		}
	}
	panic(fmt.Sprintf("no constant %#x", c))
}

// ripemdConstants returns the numbers that RIPEMD-160 adds, in an order that is
// always the same.
func ripemdConstants() (all []uint32) {
	all = append(all, ripemdInitial[:]...)
	for _, line := range ripemdRound {
		for _, c := range line {
			for _, pad := range []uint32{0, ripemdPad[0], ripemdPad[6]} {
				all = append(all, c+pad, c+pad-1)
			}
		}
	}
	return all
}

// ripemd32 emits RIPEMD-160 of messages of 32 bytes.
func ripemd32(v isa, sets int) {
	name := fmt.Sprintf("ripemd32x%d", v.lanes*sets)
	TEXT(name, 0, "func(dst, src *byte, groups int)")
	mem := frame(sets * 8 * v.bytes())
	r, free := newRIPEMD160(v, sets, func(i int) Mem { return mem.Offset(8 * v.bytes() * i) })
	dst := Load(Param("dst"), GP64())
	src := Load(Param("src"), GP64())
	groups := Load(Param("groups"), GP64())
	word := GP32()

	Label("group")
	for i, of := range r.sets {
		rows, spare := v.take(8)
		v.load32(Mem{Base: src, Disp: 32 * v.lanes * i}, rows, &spare)
		for i, x := range rows {
			v.store(x, of.x.Offset(i*v.bytes()))
		}
	}
	r.compress()
	for i, of := range r.sets {
		rows, spare := of.lines[0][:4], free[0]
		v.store(of.lines[0][4], of.x)
		quad(rows, &spare)
		// Block b of rows[i] is the first 16 bytes of digest 4b+i.
		at := func(digest int) Mem { return Mem{Base: dst, Disp: 20 * (v.lanes*i + digest)} }
		for j, x := range rows {
			for block := range v.lanes / 4 {
				switch {
				case block == 0:
					v.store16(x, at(j))
				case v.wide():
					VEXTRACTI32X4(U8(block), x, at(4*block+j))
				default:
					VEXTRACTI128(U8(block), x, at(4*block+j))
				}
			}
		}
		for j := range v.lanes {
			MOVL(of.x.Offset(4*j), word)
			MOVL(word, at(j).Offset(16))
		}
	}
	ADDQ(U32(32*v.lanes*sets), src)
	ADDQ(U32(20*v.lanes*sets), dst)
	DECQ(groups)
	JNZ(LabelRef("group"))
	VZEROUPPER()
	RET()
}
