package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A register is a vector register, whose 32-bit words are lanes.
type register = reg.VecPhysical

// An isa is the instruction set that a kernel is written in.
type isa struct {
	name string
	// lanes is how many 32-bit words a register holds.
	lanes int
	regs  []register
}

var avx512 = isa{"AVX-512", 16, []register{
	reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7,
	reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
	reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23,
	reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
}}

var avx2 = isa{"AVX2", 8, []register{
	reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7,
	reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15,
}}

// wide reports whether the instructions of AVX-512 are there.
func (v isa) wide() bool { return v.lanes == 16 }

// bytes returns the size of a register.
func (v isa) bytes() int { return 4 * v.lanes }

// take returns n registers to transpose and one to spare. What they hold is lost.
func (v isa) take(n int) (rows []register, spare register) {
	return append(rows, v.regs[:n]...), v.regs[n]
}

// load emits x = the words at m, which need not be aligned.
func (v isa) load(m Mem, x register) {
	if v.wide() {
		VMOVDQU32(m, x)
	} else {
		VMOVDQU(m, x)
	}
}

// store emits m = x, where m need not be aligned.
func (v isa) store(x register, m Mem) {
	if v.wide() {
		VMOVDQU32(x, m)
	} else {
		VMOVDQU(x, m)
	}
}

// store16 emits m = the first 16 bytes of x.
func (v isa) store16(x register, m Mem) {
	if v.wide() {
		VMOVDQU32(x.(reg.Vec).AsX(), m)
	} else {
		VMOVDQU(x.(reg.Vec).AsX(), m)
	}
}

// zero emits x = 0.
func (v isa) zero(x register) {
	if v.wide() {
		VPXORD(x, x, x)
	} else {
		VPXOR(x, x, x)
	}
}

// VPTERNLOGD's truth tables of functions of x, y and z, where x is the
// destination.
const (
	xor3     = 0x96
	choice   = 0xca // x ? y : z
	majority = 0xe8
)

// rotate emits dst = x ror n, with t for a while.
func (v isa) rotate(n uint64, x, dst, t register) {
	if v.wide() {
		VPRORD(U8(n), x, dst)
		return
	}
	VPSRLD(U8(n), x, dst)
	VPSLLD(U8(32-n), x, t)
	VPXOR(t, dst, dst)
}

// sigma emits dst = x ror p ^ x ror q ^ x ror r, or with shift x shr r in the
// third place. x is no register of t.
func (v isa) sigma(p, q, r uint64, shift bool, x, dst register, t []register) {
	if v.wide() {
		VPRORD(U8(p), x, dst)
		VPRORD(U8(q), x, t[0])
		if shift {
			VPSRLD(U8(r), x, t[1])
		} else {
			VPRORD(U8(r), x, t[1])
		}
		VPTERNLOGD(U8(xor3), t[0], t[1], dst)
		return
	}
	v.rotate(p, x, dst, t[0])
	for _, n := range []uint64{q, r} {
		VPSRLD(U8(n), x, t[0])
		VPXOR(t[0], dst, dst)
		if n == q || !shift {
			VPSLLD(U8(32-n), x, t[0])
			VPXOR(t[0], dst, dst)
		}
	}
}

// choose emits dst = x & y ^ ^x & z, where dst is none of them.
func (v isa) choose(x, y, z, dst register) {
	if v.wide() {
		VMOVDQA32(x, dst)
		VPTERNLOGD(U8(choice), z, y, dst)
		return
	}
	VPXOR(y, z, dst)
	VPAND(x, dst, dst)
	VPXOR(z, dst, dst)
}

// majority emits dst = the majority of x, y and z in each bit. It uses t, and
// dst and t are none of them.
func (v isa) majority(x, y, z, dst, t register) {
	if v.wide() {
		VMOVDQA32(x, dst)
		VPTERNLOGD(U8(majority), z, y, dst)
		return
	}
	VPOR(x, y, dst)
	VPAND(z, dst, dst)
	VPAND(x, y, t)
	VPOR(t, dst, dst)
}

// A shuffle emits a shuffle of x and y into dst, in the order of the operands
// of Go's assembler: what comes from y goes first.
type shuffle func(x, y, dst Op)

var (
	unpackLow   shuffle = func(x, y, dst Op) { VPUNPCKLDQ(x, y, dst) }
	unpackHigh  shuffle = func(x, y, dst Op) { VPUNPCKHDQ(x, y, dst) }
	unpackLow2  shuffle = func(x, y, dst Op) { VPUNPCKLQDQ(x, y, dst) }
	unpackHigh2 shuffle = func(x, y, dst Op) { VPUNPCKHQDQ(x, y, dst) }
	evenBlocks  shuffle = func(x, y, dst Op) { VSHUFI32X4(U8(0x88), x, y, dst) }
	oddBlocks   shuffle = func(x, y, dst Op) { VSHUFI32X4(U8(0xdd), x, y, dst) }
	lowBlocks   shuffle = func(x, y, dst Op) { VPERM2I128(U8(0x20), x, y, dst) }
	highBlocks  shuffle = func(x, y, dst Op) { VPERM2I128(U8(0x31), x, y, dst) }
)

// pair emits (x, y) = (lo(x, y), hi(x, y)). The register that was spare takes
// the place of one that is now.
func pair(x, y, spare *register, lo, hi shuffle) {
	lo(*y, *x, *spare)
	hi(*y, *x, *y)
	*x, *spare = *spare, *x
}

// quad emits the transposition of the 4x4 words in each 128-bit block of rows.
func quad(rows []register, spare *register) {
	pair(&rows[0], &rows[1], spare, unpackLow, unpackHigh)
	pair(&rows[2], &rows[3], spare, unpackLow, unpackHigh)
	pair(&rows[0], &rows[2], spare, unpackLow2, unpackHigh2)
	pair(&rows[1], &rows[3], spare, unpackLow2, unpackHigh2)
	rows[1], rows[2] = rows[2], rows[1]
}

// transpose emits the transposition of as many rows as a register has lanes.
func (v isa) transpose(rows []register, spare *register) {
	for i := 0; i < v.lanes; i += 4 {
		quad(rows[i:i+4], spare)
	}
	// Block b of rows[4q+c] is column 4b+c of rows 4q to 4q+3.
	if !v.wide() {
		for i := range 4 {
			pair(&rows[i], &rows[i+4], spare, lowBlocks, highBlocks)
		}
		return
	}
	for i := range 4 {
		pair(&rows[i], &rows[i+4], spare, evenBlocks, oddBlocks)
		pair(&rows[i+8], &rows[i+12], spare, evenBlocks, oddBlocks)
	}
	for i := range 8 {
		pair(&rows[i], &rows[i+8], spare, evenBlocks, oddBlocks)
	}
	// Now rows[i] is one column, whose block is the bits 2 (low) and 3 of i.
	var columns [16]register
	for i, x := range rows {
		columns[4*(i>>3&1<<1|i>>2&1)+i%4] = x
	}
	copy(rows, columns[:])
}

// swap emits the turning round of the bytes of each word of rows.
func (v isa) swap(rows []register, t register) {
	v.load(swapTable, t)
	for _, x := range rows {
		VPSHUFB(t, x, x)
	}
}

// load32 emits rows[i] = word i of as many messages of 32 bytes as a register
// has lanes, which begin at src, in the bytes' order. There are 8 rows.
func (v isa) load32(src Mem, rows []register, spare *register) {
	at := func(message int) Mem { return src.Offset(32 * message) }
	if !v.wide() {
		for i, x := range rows {
			v.load(at(i), x)
		}
		v.transpose(rows, spare)
		return
	}
	for i := range 4 {
		for _, first := range []int{0, 8} {
			x := rows[first/2+i]
			VMOVDQU64(at(first+i), x.(reg.Vec).AsY())
			VINSERTI64X4(U8(1), at(first+i+4), x, x)
		}
	}
	quad(rows[:4], spare)
	quad(rows[4:], spare)
	for i := range 4 {
		pair(&rows[i], &rows[i+4], spare, evenBlocks, oddBlocks)
	}
}

// store32 is the reverse of load32. It leaves rows undefined.
func (v isa) store32(rows []register, dst Mem, spare *register) {
	at := func(message int) Mem { return dst.Offset(32 * message) }
	if !v.wide() {
		v.transpose(rows, spare)
		for i, x := range rows {
			v.store(x, at(i))
		}
		return
	}
	lo, hi := rows[:4], rows[4:]
	quad(lo, spare)
	quad(hi, spare)
	// Block b of lo[i] and hi[i] are the halves of message 4b+i.
	for i := range 4 {
		for first, table := range []Mem{zipTable, zipTable.Offset(64)} {
			VMOVDQU64(table, *spare)
			VPERMI2Q(hi[i], lo[i], *spare)
			VMOVDQU64((*spare).(reg.Vec).AsY(), at(8*first+i))
			VEXTRACTI64X4(U8(1), *spare, at(8*first+4+i))
		}
	}
}
