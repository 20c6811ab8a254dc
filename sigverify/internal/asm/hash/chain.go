package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// chain160 emits chains of HASH160, of a different length in each lane.
func chain160(v isa, sets int) {
	width := sets * v.lanes
	name := fmt.Sprintf("chain160x%d", width)
	TEXT(name, 0, fmt.Sprintf("func(values *[5][%d]uint32, counts *[%[1]d]int32, steps int)", width))
	const (
		left    = iota // steps that each lane is still to make
		words          // 8 registers, of RIPEMD-160's message
		spilled = words + 8
	)
	s, spill := newSHA256(v, name, sets, spilled)
	values := Load(Param("values"), GP64())
	counts := Load(Param("counts"), GP64())
	steps := Load(Param("steps"), GP64())
	value := func(set, i int) Mem { return Mem{Base: values, Disp: 4*width*i + v.bytes()*set} }
	count := func(set int) Mem { return Mem{Base: counts, Disp: v.bytes() * set} }
	for n := range sets {
		v.load(count(n), v.regs[0])
		v.store(v.regs[0], spill(n, left))
	}

	Label("step")
	for n, of := range s.sets {
		rows, spare := s.take(5)
		for i, x := range rows {
			s.load(value(n, i), x)
		}
		s.swap(rows, spare)
		s.storeWords(of, 0, rows)
	}
	for i := 5; i < 16; i++ {
		VPBROADCASTD(pad20Table.Offset(4*(i-5)), s.constant)
		for _, of := range s.sets {
			s.store(s.constant, s.word(of, i))
		}
	}
	s.start()
	s.compress()
	s.addInitial()
	for n, of := range s.sets {
		s.swap(of.state[:], of.t[0])
		for i, x := range of.state {
			s.store(x, spill(n, words+i))
		}
	}

	r, free := newRIPEMD160(v, sets, func(n int) Mem { return spill(n, words) })
	r.compress()
	old, zero, mask := r.sets[0].t[0], r.sets[0].t[1], free[0]
	for n, of := range r.sets {
		v.zero(zero)
		v.load(spill(n, left), old)
		if v.wide() {
			VPCMPGTD(zero, old, reg.K1)
		} else {
			VPCMPGTD(zero, old, mask)
		}
		VPBROADCASTD(boundTable.Offset(boundPast), zero)
		VPADDD(zero, old, old)
		v.store(old, spill(n, left))
		for i, x := range of.lines[0] {
			v.load(value(n, i), old)
			if v.wide() {
				VMOVDQA32(x, reg.K1, old)
			} else {
				VPBLENDVB(mask, x, old, old)
			}
			v.store(old, value(n, i))
		}
	}
	DECQ(steps)
	JNZ(LabelRef("step"))
	for n := range sets {
		v.load(spill(n, left), v.regs[0])
		v.store(v.regs[0], count(n))
	}
	VZEROUPPER()
	RET()
}
