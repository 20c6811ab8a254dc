package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A stream is one of the two messages that the kernels of the SHA extensions
// hash at a time: each instruction waits for the one before it in its stream,
// and those of the other fill the wait.
type stream struct {
	// abef and cdgh hold the state as SHA256RNDS2 has it, the letter named
	// last in the lowest word.
	abef, cdgh register
	m          [4]register // 16 words of the schedule
	t          register
}

// shani emits SHA-256 of two messages.
type shani struct {
	streams [2]*stream
	swap    register
}

func newSHANI() *shani {
	return &shani{
		streams: [2]*stream{
			{reg.X1, reg.X2, [4]register{reg.X3, reg.X4, reg.X5, reg.X6}, reg.X7},
			{reg.X8, reg.X9, [4]register{reg.X10, reg.X11, reg.X12, reg.X13}, reg.X14},
		},
		swap: reg.X15,
	}
}

// start emits state = the initial state.
func (s *shani) start() {
	for _, of := range s.streams {
		VMOVDQU(shaniInitialTable, of.abef)
		VMOVDQU(shaniInitialTable.Offset(16), of.cdgh)
	}
}

// addInitial emits state += the initial state.
func (s *shani) addInitial() {
	for _, of := range s.streams {
		VPADDD(shaniInitialTable, of.abef, of.abef)
		VPADDD(shaniInitialTable.Offset(16), of.cdgh, of.cdgh)
	}
}

// four emits four rounds with the words in X0, which it overwrites, and what is to
// come between the second and the third.
func (of *stream) four(between func()) {
	SHA256RNDS2(reg.X0, of.abef, of.cdgh)
	between()
	VPSHUFD(U8(0x0e), reg.X0, reg.X0)
	SHA256RNDS2(reg.X0, of.cdgh, of.abef)
}

// compress emits the 64 rounds on the blocks in m, which it overwrites.
func (s *shani) compress() {
	for i := range 16 {
		for _, of := range s.streams {
			m := func(j int) register { return of.m[(i+j+4)%4] }
			VPADDD(roundTable.Offset(16*i), m(0), reg.X0)
			of.four(func() {
				if i >= 3 && i < 15 {
					VPALIGNR(U8(4), m(-1), m(0), of.t)
					VPADDD(of.t, m(1), m(1))
					SHA256MSG2(m(0), m(1))
				}
			})
			if i >= 1 && i < 13 {
				SHA256MSG1(m(0), m(-1))
			}
		}
	}
}

// compressTable emits the 64 rounds on a block whose schedule is added to the
// round constants of table.
func (s *shani) compressTable(table Mem) {
	for i := range 16 {
		for _, of := range s.streams {
			VMOVDQU(table.Offset(16*i), reg.X0)
			of.four(func() {})
		}
	}
}

// words emits m[0] and m[1] = the state's words in order.
func (of *stream) words() {
	VPSHUFD(U8(0x1b), of.abef, of.m[2])
	VPSHUFD(U8(0xb1), of.cdgh, of.m[3])
	VPBLENDD(U8(0x0c), of.m[3], of.m[2], of.m[0])
	VPALIGNR(U8(8), of.m[2], of.m[3], of.m[1])
}

// fromWords is the reverse of words.
func (of *stream) fromWords() {
	VPSHUFD(U8(0xb1), of.m[0], of.m[2]) // the words b a d c
	VPSHUFD(U8(0x1b), of.m[1], of.m[3]) // the words h g f e
	VPALIGNR(U8(8), of.m[3], of.m[2], of.abef)
	VPBLENDD(U8(0x0c), of.m[2], of.m[3], of.cdgh)
}

// pad32 emits m[2:] = the padding of a message of 32 bytes.
func (s *shani) pad32() {
	for _, of := range s.streams {
		VMOVDQU(pad32Table, of.m[2])
		VMOVDQU(pad32Table.Offset(16), of.m[3])
	}
}

// load emits m[:n] = 16⋅n bytes at src.
func (s *shani) load(of *stream, n int, src Mem) {
	for i, x := range of.m[:n] {
		VMOVDQU(src.Offset(16*i), x)
		VPSHUFB(s.swap, x, x)
	}
}

// storeDigests emits the writing of the state as digests at dst, one after the
// other.
func (s *shani) storeDigests(dst Mem) {
	for i, of := range s.streams {
		of.words()
		for half, x := range of.m[:2] {
			VPSHUFB(s.swap, x, x)
			VMOVDQU(x, dst.Offset(32*i+16*half))
		}
	}
}

// fixedSHANI is fixed for the SHA extensions.
func fixedSHANI(kernel string, size, spill int, body func(s *shani, dst, src, spill Mem)) {
	TEXT(kernel+"x2", 0, "func(dst, src *byte, groups int)")
	s := newSHANI()
	var mem Mem
	if spill > 0 {
		mem = AllocLocal(spill)
	}
	dst := Load(Param("dst"), GP64())
	src := Load(Param("src"), GP64())
	groups := Load(Param("groups"), GP64())
	VMOVDQU(swapTable, s.swap)
	Label("group")
	body(s, Mem{Base: dst}, Mem{Base: src}, mem)
	ADDQ(U8(2*size), src)
	ADDQ(U8(2*32), dst)
	DECQ(groups)
	JNZ(LabelRef("group"))
	VZEROUPPER()
	RET()
}

// sum32SHANI emits SHA-256 of messages of 32 bytes.
func sum32SHANI() {
	fixedSHANI("sum32", 32, 0, func(s *shani, dst, src, _ Mem) {
		for i, of := range s.streams {
			s.load(of, 2, src.Offset(32*i))
		}
		s.pad32()
		s.start()
		s.compress()
		s.addInitial()
		s.storeDigests(dst)
	})
}

// double64SHANI emits SHA-256 of SHA-256 of messages of 64 bytes.
func double64SHANI() {
	fixedSHANI("double64", 64, 64, func(s *shani, dst, src, spill Mem) {
		for i, of := range s.streams {
			s.load(of, 4, src.Offset(64*i))
		}
		s.start()
		s.compress()
		s.addInitial()
		for i, of := range s.streams {
			VMOVDQU(of.abef, spill.Offset(32*i))
			VMOVDQU(of.cdgh, spill.Offset(32*i+16))
		}
		s.compressTable(pad64Table)
		for i, of := range s.streams {
			VPADDD(spill.Offset(32*i), of.abef, of.abef)
			VPADDD(spill.Offset(32*i+16), of.cdgh, of.cdgh)
			of.words()
		}
		s.pad32()
		s.start()
		s.compress()
		s.addInitial()
		s.storeDigests(dst)
	})
}
