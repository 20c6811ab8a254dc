package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// frame returns size bytes of the stack at a multiple of 64. The stack of its
// function must be checked (no NOSPLIT).
func frame(size int) Mem {
	local := AllocLocal(size + 64)
	p := GP64()
	LEAQ(local, p)
	ADDQ(U8(63), p)
	ANDQ(I8(-64), p)
	return Mem{Base: p}
}

// A sha256 emits SHA-256 of as many messages as its sets have lanes. The rounds
// of two sets are independent of each other, so that the instructions of one fill
// the waits of the other; where an instruction takes one cycle there are none.
type sha256 struct {
	isa
	kernel   string
	sets     []*set
	constant register
	k        reg.GPVirtual // points into a table of round constants
	count    reg.GPVirtual
	loops    int // labels given
}

// A set is the part of a sha256 that fills the lanes of a register.
type set struct {
	state [8]register // a to h
	t     [4]register
	w     Mem // the schedule's last 16 words
}

// newSHA256 begins a kernel whose frame has room for its schedule and for extra
// registers of each set, which the function returned gives.
func newSHA256(v isa, kernel string, sets, extra int) (s *sha256, spill func(set, i int) Mem) {
	s = &sha256{isa: v, kernel: kernel, k: GP64(), count: GP64()}
	size := (16 + extra) * v.bytes()
	mem := frame(sets * size)
	free := v.regs
	take := func(to []register) { free = free[copy(to, free):] }
	for i := range sets {
		one := &set{w: mem.Offset(size * i)}
		take(one.state[:])
		take(one.t[:])
		s.sets = append(s.sets, one)
	}
	s.constant = free[0]
	return s, func(set, i int) Mem { return mem.Offset(size*set + (16+i)*v.bytes()) }
}

// width returns how many messages there are.
func (s *sha256) width() int { return len(s.sets) * s.lanes }

// word returns where word i of the schedule is.
func (s *sha256) word(of *set, i int) Mem { return of.w.Offset(i % 16 * s.bytes()) }

// round emits one round. s.constant holds the round constant, added to the word
// of the schedule if w is nil.
//
// One set alone waits for its own results where an instruction takes two cycles.
// It takes T1 as e' - d, one subtraction more than two sets need: then the new e
// is three instructions behind the old one, not four, and the new a three behind
// the old a.
func (s *sha256) round(of *set, w Op) {
	a, b, c, d := of.state[0], of.state[1], of.state[2], of.state[3]
	e, f, g, h := of.state[4], of.state[5], of.state[6], of.state[7]
	t := of.t[:]
	alone := len(s.sets) == 1

	VPADDD(s.constant, h, h)
	if w != nil {
		VPADDD(w, h, h)
	}
	if alone {
		VPADDD(d, h, h)
	}
	s.sigma(6, 11, 25, false, e, t[0], t[1:])
	s.choose(e, f, g, t[3])
	VPADDD(t[3], h, h)
	VPADDD(t[0], h, h)
	if alone {
		VPSUBD(d, h, d) // h is e', and d becomes T1
	} else {
		VPADDD(h, d, d) // d becomes e', and h is T1
		d, h = h, d
	}
	s.sigma(2, 13, 22, false, a, t[0], t[1:])
	s.majority(a, b, c, t[3], t[2])
	VPADDD(t[3], d, d)
	VPADDD(t[0], d, d)

	of.state = [8]register{d, a, b, c, h, e, f, g}
}

// extend emits word i of the schedule = the one 16 rounds later.
func (s *sha256) extend(of *set, i int) {
	t := of.t[:]
	x, sum := t[2], t[3]
	sigma := func(p, q, r uint64, dst register) {
		if s.wide() {
			VPRORD(U8(p), x, dst)
			VPRORD(U8(q), x, t[1])
			VPSRLD(U8(r), x, x)
			VPTERNLOGD(U8(xor3), t[1], x, dst)
			return
		}
		s.sigma(p, q, r, true, x, dst, t[1:2])
	}
	s.load(s.word(of, i), sum)
	VPADDD(s.word(of, i+9), sum, sum)
	s.load(s.word(of, i+1), x)
	sigma(7, 18, 3, t[0])
	VPADDD(t[0], sum, sum)
	s.load(s.word(of, i+14), x)
	sigma(17, 19, 10, t[0])
	VPADDD(t[0], sum, sum)
	s.store(sum, s.word(of, i))
}

// loop emits body n times, as a loop.
func (s *sha256) loop(n int, body func()) {
	s.loops++
	label := fmt.Sprintf("%s%d", s.kernel, s.loops)
	MOVQ(U32(n), s.count)
	Label(label)
	body()
	DECQ(s.count)
	JNZ(LabelRef(label))
}

// rounds emits 16 rounds with the round constants that s.k points to, moves it
// on and calls then after each round of each set.
func (s *sha256) rounds(scheduled bool, then func(of *set, i int)) {
	for i := range 16 {
		VPBROADCASTD(Mem{Base: s.k, Disp: 4 * i}, s.constant)
		for _, of := range s.sets {
			var w Op
			if scheduled {
				w = s.word(of, i)
			}
			s.round(of, w)
			if then != nil {
				then(of, i)
			}
		}
	}
	ADDQ(U8(64), s.k)
}

// compress emits the 64 rounds on the block in the schedule, which it
// overwrites.
func (s *sha256) compress() {
	LEAQ(roundTable, s.k)
	s.loop(3, func() { s.rounds(true, s.extend) })
	s.rounds(true, nil)
}

// compressTable emits the 64 rounds on a block whose schedule is added to the
// round constants of table.
func (s *sha256) compressTable(table Mem) {
	LEAQ(table, s.k)
	s.loop(4, func() { s.rounds(false, nil) })
}

// start emits state = the initial state.
func (s *sha256) start() {
	for _, of := range s.sets {
		for i, x := range of.state {
			VPBROADCASTD(initialTable.Offset(4*i), x)
		}
	}
}

// addInitial emits state += the initial state.
func (s *sha256) addInitial() {
	for i := range 8 {
		VPBROADCASTD(initialTable.Offset(4*i), s.constant)
		for _, of := range s.sets {
			VPADDD(s.constant, of.state[i], of.state[i])
		}
	}
}

// pad32 emits words 8 to 15 of the schedule = the padding of a message of 32
// bytes.
func (s *sha256) pad32() {
	for i := 8; i < 16; i++ {
		VPBROADCASTD(pad32Table.Offset(4*(i-8)), s.constant)
		for _, of := range s.sets {
			s.store(s.constant, s.word(of, i))
		}
	}
}

// storeWords emits words first and on of the schedule = rows.
func (s *sha256) storeWords(of *set, first int, rows []register) {
	for i, x := range rows {
		s.store(x, s.word(of, first+i))
	}
}

// storeDigests emits the writing of the state as digests at dst, one after the
// other. It leaves the state undefined.
func (s *sha256) storeDigests(dst Mem) {
	for i, of := range s.sets {
		s.swap(of.state[:], of.t[0])
		s.store32(of.state[:], dst.Offset(32*s.lanes*i), &of.t[0])
	}
}
