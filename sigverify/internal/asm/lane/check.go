package main

import (
	"github.com/mmcloughlin/avo/reg"
)

func (g *generator) checks() {
	g.kernel("checkKernel", "func(v *vector, w *work, n int)",
		"checkKernel compares the results of n vectors with the x that they must have:",
		"X = r⋅Z².")
	g.overVectors(vecBytes, func(v reg.GPPhysical, spill addr) {
		b := newBlock("check")
		z := b.loadReduced(at(v, vec("rowZ")))
		r := b.unpack(b.words(at(v, vec("rowR"))))
		d := b.fold(b.mulColumns(columnsOf(b.negated(2, b.loadReduced(at(v, vec("rowX"))))), r, b.sqrSemi(z)))
		b.storeMask(at(v, vec("rowFlags")+flagByte("flagEqual")), b.zeroMask(b.normal(b.reduce(d))))
		b.storeMask(at(v, vec("rowFlags")+flagByte("flagZero")), b.zeroMask(b.normal(z)))
		g.emit(b, spill)
	})

	// nonzero returns Z, or 1 where it is zero.
	nonzero := func(b *block, v reg.GPPhysical) reduced {
		z := b.loadReduced(at(v, vec("rowZ")))
		var one reduced
		for i := range one.l {
			one.l[i] = b.constant(0)
		}
		one.l[0] = b.constant(1)
		return b.selectReduced(b.loadMask(at(v, vec("rowFlags")+flagByte("flagZero"))), z, one)
	}
	g.kernel("zPrefixKernel", "func(v *vector, w *work, n int)",
		"zPrefixKernel multiplies the Z of n vectors up: each product is that of the vector",
		"before, which must be there, and Z. A Z of zero counts as one.")
	g.overVectors(vecBytes, func(v reg.GPPhysical, spill addr) {
		b := newBlock("z prefix")
		before := b.loadReduced(at(v, vec("rowPrefix")-vecBytes))
		b.storeReduced(at(v, vec("rowPrefix")), b.mul(before, nonzero(b, v)))
		g.emit(b, spill)
	})

	g.kernel("oddKernel", "func(v *vector, w *work, n int)",
		"oddKernel tells which results of n vectors, v being the last, have an odd y.",
		"rowFactor of w is the inverse of the last product of zPrefixKernel.")
	g.overVectors(-vecBytes, func(v reg.GPPhysical, spill addr) {
		b := newBlock("odd")
		place := at(reg.RDX, half(0, "hotFactor"))
		all := b.loadReduced(place)
		inverse := b.mulSemi(all, b.loadReduced(at(v, vec("rowPrefix")-vecBytes)))
		b.storeReduced(place, b.mul(all, nonzero(b, v)))
		y := b.normal(b.mul(b.loadReduced(at(v, vec("rowY"))), b.mulSemi(b.sqrSemi(inverse), inverse)))
		b.storeMask(at(v, vec("rowFlags")+flagByte("flagOddY")), b.isNonzero(y.l[0], b.constant(1)))
		g.emit(b, spill)
	})
}
