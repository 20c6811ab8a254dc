package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The turns of the two additions of Q's digits, and of G's. A turn counts down
// after each.
const (
	firstQ, lastQ = 2, 1
	firstG, lastG = 5, 4
)

// The doublings of a multiplication, and those before the first point of G. It is
// done in two calls, for nobody can preempt one: headDoublings are those of the
// first.
const (
	doublings     = windowQ * (windowsQ - 1)
	doublingsToG  = doublings - windowG*(windowsG/2-1)
	headDoublings = doublings/2 + 1

	// The first call gets to G, and the second has fewer to do.
	_ = uint(headDoublings - doublingsToG)
	_ = uint(headDoublings - (doublings - headDoublings) - 1)
)

// multiply writes the kernel that adds u1⋅G and u2⋅Q for k vectors.
func (g *generator) multiply(k int) {
	c := g.c
	vs := []reg.GPPhysical{reg.RDI, reg.RSI}[:k]
	signature := "func(a *vector, w *work, t *table, tail int)"
	if k == 2 {
		signature = "func(a, b *vector, w *work, t *table, tail int)"
	}
	g.kernel(fmt.Sprintf("multiply%dKernel", k), signature,
		fmt.Sprintf("multiply%dKernel sets the results of %d vectors to u1⋅G + u2⋅Q, from the digits", k, k),
		"and tables in w, in two calls: tail is 0, then 1. The sums between them are in w.",
		"The result of a lane that met an exceptional case has Z = 0.")
	work, table, spill := reg.RDX, reg.RCX, at(reg.RDX, spillStart*rowBytes)
	digitsQ, signsQ, digitsG, signsG := reg.RAX, reg.RBX, reg.R12, reg.R13
	left, untilQ, untilG, turn := reg.RDI, reg.RSI, reg.R10, reg.R11
	g.param("w", work)
	g.param("t", table)
	// from points to the digits that follow so many of Q and of G.
	from := func(ofQ, ofG int) {
		c.LEAQ(operand.Mem{Base: work, Disp: half(0, "coldDigitsQ") + digitBytes*ofQ}, digitsQ)
		c.LEAQ(operand.Mem{Base: work, Disp: half(0, "coldSignsQ") + ofQ}, signsQ)
		c.LEAQ(operand.Mem{Base: work, Disp: half(0, "coldDigitsG") + digitBytes*ofG}, digitsG)
		c.LEAQ(operand.Mem{Base: work, Disp: half(0, "coldSignsG") + ofG}, signsG)
	}

	sum := func(i int) addr { return at(work, half(i, "hotSum")) }
	// prefetch asks for the points of the next two digits of G. After the last it
	// takes what lies behind the digits for some, which a prefetch may.
	prefetch := func() {
		for i := range vs {
			for lane := range 16 { // two digits
				offset := rowOffsets[lane%len(rowOffsets)]
				c.MOVL(operand.Mem{Base: digitsG, Disp: i*coldBytes + 4*lane}, offset.As32())
				c.PREFETCHT0(operand.Mem{Base: table, Index: offset, Scale: 1})
			}
		}
	}
	// fetch puts the point of the next digit where add finds it. The points of the
	// key's table have the Z of the sum already, for G's it must be scaled.
	fetch := func(name string, digits, signs reg.GPPhysical, entries func(i int) addr, stride int, scaled bool) {
		b := newBlock(name)
		for i := range vs {
			b.nextVector()
			h := i * coldBytes
			x, y := b.lookup(at(digits, h), entries(i), stride)
			for j := range x {
				b.store(at(work, half(i, "hotEntry")).plus(j), x[j], all64)
				b.store(at(work, half(i, "hotEntry")).plus(4+j), y[j], all64)
			}
			z := b.loadSemi(sum(i).plus(10))
			if scaled {
				z = b.mulSemi(z, b.loadSemi(at(work, half(i, "hotFactor"))))
			}
			b.storeSemi(at(work, half(i, "hotScale")), z)
			b.storeMask(at(work, half(i, "hotSign")), b.loadMask(at(signs, h)))
		}
		g.emit(b, spill)
		g.advance(digits, digitBytes)
		g.advance(signs, 1)
	}

	g.param("tail", turn)
	c.TESTQ(turn, turn)
	c.JNZ(operand.LabelRef("tail"))
	from(0, 0)
	prefetch()
	b := newBlock("multiply: first")
	for i := range vs {
		b.nextVector()
		h := i * coldBytes
		xw, yw := b.lookup(at(digitsQ, h), at(work, half(i, "coldTable")), tableStride)
		x, y := b.unpack(xw), b.unpack(yw)
		y = b.selectReduced(b.loadMask(at(signsQ, h)), y, b.reduce(b.negated(2, y)))
		zero := b.value(value{op: opXor, args: []*value{b.constant(1), b.constant(1)}})
		one := b.value(value{op: opOr, args: []*value{zero, b.constant(1)}, hi: 1})
		b.storeJacobian(sum(i), jacobian{x, y, semi{[5]*value{one, zero, zero, zero, zero}}})
	}
	g.emit(b, spill)
	g.advance(digitsQ, digitBytes)
	g.advance(signsQ, 1)
	g.move(headDoublings, left)
	g.move(windowQ, untilQ)
	g.move(doublingsToG, untilG)
	g.move(lastQ, turn)
	c.JMP(operand.LabelRef("fetchQ"))

	c.Label("tail")
	from(2*(1+headDoublings/windowQ), 2*(1+(headDoublings-doublingsToG)/windowG))
	g.move(doublings-headDoublings, left)
	g.move(windowQ-headDoublings%windowQ, untilQ)
	g.move(windowG-(headDoublings-doublingsToG)%windowG, untilG)

	c.Label("double")
	b = newBlock("multiply: double")
	for i := range vs {
		b.nextVector()
		b.storeJacobian(sum(i), b.double(b.loadJacobian(sum(i))))
	}
	g.emit(b, spill)
	c.DECQ(untilQ)
	c.JNZ(operand.LabelRef("noQ"))
	g.move(windowQ, untilQ)
	g.move(firstQ, turn)
	c.Label("fetchQ")
	fetch("multiply: fetch Q", digitsQ, signsQ, func(i int) addr { return at(work, half(i, "coldTable")) }, tableStride, false)
	c.JMP(operand.LabelRef("add"))
	c.Label("noQ")
	c.DECQ(untilG)
	c.JNZ(operand.LabelRef("noG"))
	g.move(windowG, untilG)
	g.move(firstG, turn)
	c.Label("fetchG")
	fetch("multiply: fetch G", digitsG, signsG, func(int) addr { return at(table, 0) }, 0, true)

	c.Label("add")
	b = newBlock("multiply: add")
	for i := range vs {
		b.nextVector()
		x, y := b.words(at(work, half(i, "hotEntry"))), b.words(at(work, half(i, "hotEntry")).plus(4))
		z := b.loadSemi(at(work, half(i, "hotScale")))
		sign := b.loadMask(at(work, half(i, "hotSign")))
		b.storeJacobian(sum(i), b.addAffine(b.loadJacobian(sum(i)), z, b.unpackSemi(x), b.unpackSemi(y), sign))
	}
	g.emit(b, spill)
	c.DECQ(turn)
	c.CMPQ(turn, operand.U32(lastQ))
	c.JEQ(operand.LabelRef("fetchQ"))
	c.CMPQ(turn, operand.U32(lastG))
	c.JEQ(operand.LabelRef("fetchG"))
	c.TESTQ(turn, turn)
	c.JZ(operand.LabelRef("afterQ"))
	prefetch()
	c.JMP(operand.LabelRef("noG"))
	c.Label("afterQ")
	// The first digits come before any doubling. The second call has fewer to do.
	c.CMPQ(left, operand.U32(headDoublings))
	c.JNE(operand.LabelRef("noQ"))
	c.JMP(operand.LabelRef("double"))
	c.Label("noG")
	c.DECQ(left)
	c.JNZ(operand.LabelRef("double"))
	g.param("tail", turn)
	c.TESTQ(turn, turn)
	c.JZ(operand.LabelRef("end"))
	g.param("a", vs[0])
	if k == 2 {
		g.param("b", vs[1])
	}
	b = newBlock("multiply: last")
	for i, v := range vs {
		b.nextVector()
		p := b.loadJacobian(sum(i))
		b.storeReduced(at(v, vec("rowX")), p.x)
		b.storeReduced(at(v, vec("rowY")), p.y)
		b.storeReduced(at(v, vec("rowZ")), b.mul(p.z, b.loadSemi(at(work, half(i, "hotFactor")))))
	}
	g.emit(b, spill)
	c.Label("end")
	g.end()
}
