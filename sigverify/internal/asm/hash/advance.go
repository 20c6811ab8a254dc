package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Predicates of VPCMPD.
const (
	less    = 1
	atLeast = 5
)

// advance512 emits SHA-256 of blocks at 32 places, with the padding of messages
// that end.
func advance512() {
	const sets = 2
	TEXT("advance32", 0, "func(digests *[32][32]byte, state *[8][32]uint32, base *[32]*byte, "+
		"offset, left *[32]int32, length *[2][32]uint32, steps int, fresh uint32)")
	const (
		remaining = iota // bytes of message
		message          // the same, but from 0 to 64
		mark             // the same, but -1 once the mark is behind
		pointers         // two registers
		spilled   = pointers + 2
	)
	s, spill := newSHA256(avx512, "advance32", sets, spilled)
	state := Load(Param("state"), GP64())
	base := Load(Param("base"), GP64())
	offset := Load(Param("offset"), GP64())
	left := Load(Param("left"), GP64())
	length := Load(Param("length"), GP64())
	steps := Load(Param("steps"), GP64())
	fresh := Load(Param("fresh"), GP32())
	// lanes returns where a set's part of row i of an array of 32 words is.
	lanes := func(array reg.Register, row, set int) Mem {
		return Mem{Base: array, Disp: 128*row + 64*set}
	}
	delta, p, q, table, ones := GP64(), GP64(), GP64(), GP64(), GP64()

	x := avx512.regs[0]
	KMOVD(fresh, reg.K1)
	KSHIFTRD(U8(16), reg.K1, reg.K2)
	for i := range 8 {
		for n, fresh := range []reg.OpmaskPhysical{reg.K1, reg.K2} {
			s.load(lanes(state, i, n), x)
			VPBROADCASTD(initialTable.Offset(4*i), fresh, x)
			s.store(x, lanes(state, i, n))
		}
	}
	for n := range sets {
		for i := range 16 {
			MOVQ(Mem{Base: base, Disp: 8 * (16*n + i)}, p)
			MOVL(lanes(offset, 0, n).Offset(4*i), q.As32())
			ADDQ(q, p)
			MOVQ(p, spill(n, pointers).Offset(8*i))
		}
		s.load(lanes(left, 0, n), x)
		s.store(x, spill(n, remaining))
	}
	LEAQ(markTable, table)
	MOVQ(I32(-1), ones)
	XORQ(delta, delta)

	unfinished := [sets]reg.OpmaskPhysical{reg.K3, reg.K4}
	Label("step")
	for n, of := range s.sets {
		whole, swap := fmt.Sprintf("whole%d", n), fmt.Sprintf("swap%d", n)
		rows, spare := s.take(16)
		bytes, bound := rows[0], rows[1]
		s.load(spill(n, remaining), bytes)
		VPCMPD_BCST(U8(less), boundTable.Offset(boundLength), bytes, reg.K2)
		VPCMPD_BCST(U8(atLeast), boundTable.Offset(boundEnd), bytes, unfinished[n])
		VPCMPD_BCST(U8(atLeast), boundTable.Offset(boundBlock), bytes, reg.K1)
		VPSUBD_BCST(boundTable.Offset(boundBlock), bytes, bound)
		s.store(bound, spill(n, remaining))
		KORTESTW(reg.K1, reg.K1)
		JCS(LabelRef(whole))

		VPBROADCASTD(boundTable.Offset(boundBlock), bound)
		VPMINSD(bound, bytes, bytes)
		VPBROADCASTD(boundTable.Offset(boundZero), bound)
		VPMAXSD(bound, bytes, bound)
		s.store(bound, spill(n, message))
		VPBROADCASTD(boundTable.Offset(boundPast), bound)
		VPMAXSD(bound, bytes, bound)
		s.store(bound, spill(n, mark))
		for i, x := range rows {
			MOVL(spill(n, message).Offset(4*i), p.As32())
			BZHIQ(p, ones, p)
			KMOVQ(p, reg.K1)
			MOVQ(spill(n, pointers).Offset(8*i), q)
			VMOVDQU8_Z(Mem{Base: q, Index: delta, Scale: 1}, reg.K1, x)
			MOVLQSX(spill(n, mark).Offset(4*i), p)
			NEGQ(p)
			VPORD(Mem{Base: table, Index: p, Scale: 1, Disp: 64}, x, x)
		}
		JMP(LabelRef(swap))

		Label(whole)
		for i, x := range rows {
			MOVQ(spill(n, pointers).Offset(8*i), q)
			s.load(Mem{Base: q, Index: delta, Scale: 1}, x)
		}

		Label(swap)
		s.swap(rows, spare)
		s.transpose(rows, &spare)
		VPORD(lanes(length, 0, n), rows[14], reg.K2, rows[14])
		VPORD(lanes(length, 1, n), rows[15], reg.K2, rows[15])
		s.storeWords(of, 0, rows)
	}
	for n, of := range s.sets {
		for i, x := range of.state {
			s.load(lanes(state, i, n), x)
		}
	}
	s.compress()
	for n, of := range s.sets {
		for i, x := range of.state {
			sum := of.t[i%len(of.t)]
			s.load(lanes(state, i, n), sum)
			VPADDD(x, sum, unfinished[n], sum)
			s.store(sum, lanes(state, i, n))
		}
	}
	ADDQ(U8(64), delta)
	DECQ(steps)
	JNZ(LabelRef("step"))

	for n, of := range s.sets {
		for i, x := range of.state {
			s.load(lanes(state, i, n), x)
		}
	}
	digests := Load(Param("digests"), GP64())
	s.storeDigests(Mem{Base: digests})
	VPBROADCASTD(delta.As32(), avx512.regs[1])
	for n := range sets {
		s.load(spill(n, remaining), avx512.regs[0])
		s.store(avx512.regs[0], lanes(left, 0, n))
		VPADDD(lanes(offset, 0, n), avx512.regs[1], avx512.regs[0])
		s.store(avx512.regs[0], lanes(offset, 0, n))
	}
	VZEROUPPER()
	RET()
}

// advance256 emits SHA-256 of blocks at 8 places.
func advance256() {
	TEXT("advance8", 0, "func(digests *[8][32]byte, state *[8][8]uint32, base *[8]*byte, offset *[8]int32, steps int)")
	s, spill := newSHA256(avx2, "advance8", 1, 2)
	pointers := spill(0, 0)
	state := Mem{Base: Load(Param("state"), GP64())}
	base := Load(Param("base"), GP64())
	offset := Load(Param("offset"), GP64())
	steps := Load(Param("steps"), GP64())
	delta, p, q := GP64(), GP64(), GP64()
	for i := range 8 {
		MOVQ(Mem{Base: base, Disp: 8 * i}, p)
		MOVL(Mem{Base: offset, Disp: 4 * i}, q.As32())
		ADDQ(q, p)
		MOVQ(p, pointers.Offset(8*i))
	}
	XORQ(delta, delta)

	Label("step")
	of := s.sets[0]
	for half := range 2 {
		rows, spare := s.take(8)
		for i, x := range rows {
			MOVQ(pointers.Offset(8*i), p)
			s.load(Mem{Base: p, Index: delta, Scale: 1, Disp: 32 * half}, x)
		}
		s.swap(rows, spare)
		s.transpose(rows, &spare)
		s.storeWords(of, 8*half, rows)
	}
	for i, x := range of.state {
		s.load(state.Offset(32*i), x)
	}
	s.compress()
	for i, x := range of.state {
		VPADDD(state.Offset(32*i), x, x)
		s.store(x, state.Offset(32*i))
	}
	ADDQ(U8(64), delta)
	DECQ(steps)
	JNZ(LabelRef("step"))
	s.storeDigests(Mem{Base: Load(Param("digests"), GP64())})
	VZEROUPPER()
	RET()
}

// advanceSHANI emits SHA-256 of blocks at two places.
func advanceSHANI() {
	TEXT("advance2", 0, "func(digests *[2][32]byte, state *[2][8]uint32, base *[2]*byte, offset *[2]int32, steps int)")
	s := newSHANI()
	saved := AllocLocal(64)
	state := Load(Param("state"), GP64())
	base := Load(Param("base"), GP64())
	offset := Load(Param("offset"), GP64())
	steps := Load(Param("steps"), GP64())
	var at [2]reg.GPVirtual
	for i, of := range s.streams {
		p, q := GP64(), GP64()
		MOVQ(Mem{Base: base, Disp: 8 * i}, p)
		MOVL(Mem{Base: offset, Disp: 4 * i}, q.As32())
		ADDQ(q, p)
		at[i] = p
		VMOVDQU(Mem{Base: state, Disp: 32 * i}, of.m[0])
		VMOVDQU(Mem{Base: state, Disp: 32*i + 16}, of.m[1])
		of.fromWords()
	}
	VMOVDQU(swapTable, s.swap)

	Label("step")
	for i, of := range s.streams {
		VMOVDQU(of.abef, saved.Offset(32*i))
		VMOVDQU(of.cdgh, saved.Offset(32*i+16))
		s.load(of, 4, Mem{Base: at[i]})
		ADDQ(U8(64), at[i])
	}
	s.compress()
	for i, of := range s.streams {
		VPADDD(saved.Offset(32*i), of.abef, of.abef)
		VPADDD(saved.Offset(32*i+16), of.cdgh, of.cdgh)
	}
	DECQ(steps)
	JNZ(LabelRef("step"))

	for i, of := range s.streams {
		of.words()
		VMOVDQU(of.m[0], Mem{Base: state, Disp: 32 * i})
		VMOVDQU(of.m[1], Mem{Base: state, Disp: 32*i + 16})
	}
	s.storeDigests(Mem{Base: Load(Param("digests"), GP64())})
	VZEROUPPER()
	RET()
}
