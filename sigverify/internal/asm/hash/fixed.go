package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// fixed emits a kernel over groups of messages of a fixed size, which lie one
// after the other, with digests that do too. body emits the work on one group.
func fixed(v isa, kernel string, sets, extra, size int, body func(s *sha256, spill func(set, i int) Mem, dst, src Mem)) {
	kernel = fmt.Sprintf("%sx%d", kernel, sets*v.lanes)
	TEXT(kernel, 0, "func(dst, src *byte, groups int)")
	s, spill := newSHA256(v, kernel, sets, extra)
	dst := Load(Param("dst"), GP64())
	src := Load(Param("src"), GP64())
	groups := Load(Param("groups"), GP64())
	Label("group")
	body(s, spill, Mem{Base: dst}, Mem{Base: src})
	ADDQ(U32(s.width()*size), src)
	ADDQ(U32(s.width()*32), dst)
	DECQ(groups)
	JNZ(LabelRef("group"))
	VZEROUPPER()
	RET()
}

// sum32 emits SHA-256 of messages of 32 bytes.
func sum32(v isa, sets int) {
	fixed(v, "sum32", sets, 0, 32, func(s *sha256, _ func(set, i int) Mem, dst, src Mem) {
		for i, of := range s.sets {
			rows, spare := s.take(8)
			s.load32(src.Offset(32*s.lanes*i), rows, &spare)
			s.swap(rows, spare)
			s.storeWords(of, 0, rows)
		}
		s.pad32()
		s.start()
		s.compress()
		s.addInitial()
		s.storeDigests(dst)
	})
}

// double64 emits SHA-256 of SHA-256 of messages of 64 bytes. Both begin with the
// initial state and a block that has a schedule: they share its instructions,
// which would not fit into the caches of instructions twice.
func double64(v isa, sets int) {
	fixed(v, "double64", sets, 8, 64, func(s *sha256, spill func(set, i int) Mem, dst, src Mem) {
		for i, of := range s.sets {
			// A register holds a message, or half of one.
			for half := range 16 / s.lanes {
				rows, spare := s.take(s.lanes)
				for j, x := range rows {
					s.load(src.Offset(64*(s.lanes*i+j)+32*half), x)
				}
				s.swap(rows, spare)
				s.transpose(rows, &spare)
				s.storeWords(of, 8*half, rows)
			}
		}
		second := GP32()
		XORL(second, second)
		Label("block")
		s.start()
		s.compress()
		s.addInitial()
		TESTL(second, second)
		JNZ(LabelRef("end"))
		for n, of := range s.sets {
			for i, x := range of.state {
				s.store(x, spill(n, i))
			}
		}
		s.compressTable(pad64Table)
		for n, of := range s.sets {
			for i, x := range of.state {
				VPADDD(spill(n, i), x, x)
				s.store(x, s.word(of, i))
			}
		}
		s.pad32()
		INCL(second)
		JMP(LabelRef("block"))
		Label("end")
		s.storeDigests(dst)
	})
}
