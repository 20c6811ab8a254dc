package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// liftSteps is the addition chain for the exponent (p+1)/4 but for the last
// squaring: square so often, multiply, keep.
var liftSteps = []struct {
	squarings      int
	multiply, keep string
}{
	{1, "rowCube", "rowPower2"},
	{1, "rowCube", "rowPower3"},
	{3, "rowPower3", "rowUnused"},
	{3, "rowPower3", "rowUnused"},
	{2, "rowPower2", "rowPower11"},
	{11, "rowPower11", "rowPower22"},
	{22, "rowPower22", "rowPower44"},
	{44, "rowPower44", "rowPower88"},
	{88, "rowPower88", "rowUnused"},
	{44, "rowPower44", "rowUnused"},
	{3, "rowPower3", "rowUnused"},
	{23, "rowPower22", "rowUnused"},
	{6, "rowPower2", "rowUnused"},
	{1, "", ""},
}

var (
	generatorX = number("79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798")
	generatorY = number("483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8")
	// beta is the cube root of 1 modulo p for which λ(x, y) = (βx, y).
	beta = number("7AE96A2B657C07106E64479EAC3434E99CF0497512F58995C1396C28719501EE")
)

func (g *generator) lift() {
	c := g.c
	g.kernel("liftKernel", "func(v *vector, w *work, n int)",
		"liftKernel finds the keys of n vectors, at most liftVectors, from their x and",
		"the parity of their y.")
	steps := operand.NewDataAddr(operand.NewStaticSymbol("liftSteps"), 0)
	vp, n, tmp, counter := reg.RDI, reg.RSI, reg.R12, reg.R13
	work, spill := reg.RDX, at(reg.RDX, spillStart*rowBytes)
	step, left, rounds := reg.RAX, reg.RBX, reg.RCX
	other, keep := reg.R10, reg.R11
	g.param("w", work)
	g.param("n", n)
	each := func(body func()) {
		c.LEAQ(operand.Mem{Base: work, Disp: coldStart * rowBytes}, tmp)
		c.MOVQ(n, counter)
		g.times(counter, func() {
			body()
			g.advance(tmp, liftBytes)
		})
	}

	g.param("v", vp)
	each(func() {
		b := newBlock("lift: cube")
		x := b.unpack(b.words(at(vp, vec("rowKeyX"))))
		b.storeReduced(at(vp, vec("rowQX")), x)
		cube := b.reduce(b.addSmall(b.fold(b.mulColumns(columns{}, b.sqrSemi(x), x)), 7))
		b.storeReduced(at(tmp, lift("rowCube")), cube)
		b.storeReduced(at(tmp, lift("rowPower")), cube)
		g.emit(b, spill)
		g.advance(vp, vecBytes)
	})

	c.LEAQ(steps, step)
	g.move(len(liftSteps), left)
	c.Label("step")
	c.MOVQ(operand.Mem{Base: step}, rounds)
	g.times(rounds, func() {
		each(func() {
			b := newBlock("lift: square")
			p := at(tmp, lift("rowPower"))
			b.storeSemi(p, b.sqrSemi(b.loadSemi(p)))
			g.emit(b, spill)
		})
	})
	c.DECQ(left)
	c.JZ(operand.LabelRef("root"))
	each(func() {
		c.MOVQ(operand.Mem{Base: step, Disp: 8}, other)
		c.MOVQ(operand.Mem{Base: step, Disp: 16}, keep)
		c.ADDQ(tmp, other)
		c.ADDQ(tmp, keep)
		b := newBlock("lift: multiply")
		p := at(tmp, lift("rowPower"))
		m := b.mulSemi(b.loadSemi(p), b.loadSemi(at(other, 0)))
		b.storeSemi(p, m)
		b.storeSemi(at(keep, 0), m)
		g.emit(b, spill)
	})
	g.advance(step, 24)
	c.JMP(operand.LabelRef("step"))

	c.Label("root")
	g.param("v", vp)
	each(func() {
		b := newBlock("lift: root")
		root := b.sqr(b.loadSemi(at(tmp, lift("rowPower"))))
		cube := b.loadReduced(at(tmp, lift("rowCube")))
		onCurve := b.zeroMask(b.normal(b.reduce(b.plus(b.fold(b.sqrColumns(root)), b.negated(2, cube)))))
		y := b.normal(root)
		flip := b.xorMask(b.isNonzero(y.l[0], b.constant(1)), b.loadMask(at(vp, vec("rowFlags")+flagByte("flagOdd"))))
		y = b.selectReduced(flip, y, b.reduce(b.negated(2, y)))
		given := b.unpack(b.words(at(vp, vec("rowKeyY"))))
		same := b.zeroMask(b.normal(b.reduce(b.addReduced(b.negated(2, given), y))))
		b.storeMask(at(vp, vec("rowFlags")+flagByte("flagOnCurve")), onCurve)
		b.storeMask(at(vp, vec("rowFlags")+flagByte("flagSameY")), same)
		x := b.loadReduced(at(vp, vec("rowQX")))
		b.storeReduced(at(vp, vec("rowQX")), b.selectReduced(onCurve, b.constantElement(generatorX), x))
		b.storeReduced(at(vp, vec("rowQY")), b.selectReduced(onCurve, b.constantElement(generatorY), y))
		g.emit(b, spill)
		g.advance(vp, vecBytes)
	})
	g.end()

	c.StaticGlobal("liftSteps")
	c.DataAttributes(attr.RODATA | attr.NOPTR)
	for _, s := range liftSteps {
		c.AppendDatum(operand.U64(uint64(s.squarings)))
		for _, row := range []string{s.multiply, s.keep} {
			offset := 0
			if row != "" {
				offset = lift(row)
			}
			c.AppendDatum(operand.U64(uint64(offset)))
		}
	}
}
