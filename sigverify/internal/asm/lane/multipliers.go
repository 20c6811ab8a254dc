package main

import (
	"math/big"

	"github.com/mmcloughlin/avo/reg"
)

func (g *generator) scalars() {
	g.kernel("scalarPrefixKernel", "func(v *vector, w *work, n int)",
		"scalarPrefixKernel multiplies the divisors of n vectors up: each product is that",
		"of the vector before, which must be there, and the divisor, by Montgomery.")
	g.overVectors(vecBytes, func(v reg.GPPhysical, spill addr) {
		b := newBlock("scalar prefix")
		before := b.loadScalar(at(v, vec("rowPrefix")-vecBytes))
		b.storeScalar(at(v, vec("rowPrefix")), b.montgomery(before, b.unpack(b.words(at(v, vec("rowS"))))))
		g.emit(b, spill)
	})

	g.kernel("scalarQuotientKernel", "func(v *vector, w *work, n int)",
		"scalarQuotientKernel divides the multipliers of n vectors, v being the last, by",
		"their divisors. rowFactor of w is the inverse of the last product.")
	g.overVectors(-vecBytes, func(v reg.GPPhysical, spill addr) {
		b := newBlock("scalar quotient")
		place := at(reg.RDX, half(0, "hotFactor"))
		all := b.loadScalar(place)
		inverse := b.montgomery(all, b.loadScalar(at(v, vec("rowPrefix")-vecBytes)))
		b.storeScalar(place, b.montgomery(all, b.unpack(b.words(at(v, vec("rowS"))))))
		b.storeScalar(at(v, vec("rowU1")), b.montgomery(b.unpack(b.words(at(v, vec("rowM")))), inverse))
		b.storeScalar(at(v, vec("rowU2")), b.montgomery(b.unpack(b.words(at(v, vec("rowT")))), inverse))
		g.emit(b, spill)
	})
}

// entryBits is the logarithm of the bytes of a table's entry: x and y.
const entryBits = 6

func (g *generator) recode() {
	g.kernel("recodeKernel", "func(v *vector, w *work, second int)",
		"recodeKernel makes the digits of the multipliers of v. They go to the first cold",
		"part of w, or to what is so many bytes behind it.")
	v, w, spill := reg.RDI, reg.RDX, at(reg.RSI, spillStart*rowBytes)
	g.param("v", v)
	g.param("w", w)
	g.c.MOVQ(w, reg.RSI)
	g.param("second", reg.RAX)
	g.c.ADDQ(reg.RAX, w)

	b := newBlock("recode Q")
	k1, k2 := b.split(b.loadScalar(at(v, vec("rowU2"))))
	for n, k := range [][3]*value{k1, k2} {
		one := big.NewInt(1)
		bias := limbsOf(one.Sub(one.Lsh(one, bitsQ), big.NewInt(1)))
		for i := range k {
			k[i] = b.add(k[i], b.constant(bias[i]))
		}
		k = b.carry156(k)
		for i := range windowsQ {
			event := 2*(windowsQ-1-i) + n
			b.storeDigit(k[:], windowQ*i+1, windowQ, uint64(n)<<(windowQ-1+entryBits), entryBits,
				at(w, half(0, "coldDigitsQ")+digitBytes*event), at(w, half(0, "coldSignsQ")+event))
		}
	}
	g.emit(b, spill)

	b = newBlock("recode G")
	u := b.loadScalar(at(v, vec("rowU1"))).l
	even := b.evenness(u[0])
	n := limbsOf(groupOrder)
	for i := range u {
		// 2^260 - 1 is all ones.
		u[i] = b.add(b.maddSmall(u[i], even, b.constant(n[i])), b.constant(mask52))
		if i > 0 {
			u[i] = b.add(u[i], b.shr(u[i-1], 52))
			u[i-1] = b.and(u[i-1], mask52)
		}
	}
	for i := range windowsG {
		group := i / (windowsG / 2)
		event := 2*(windowsG/2-1-i%(windowsG/2)) + group
		b.storeDigit(u[:], windowG*i+1, windowG, uint64(group)<<(windowG-1+entryBits), entryBits,
			at(w, half(0, "coldDigitsG")+digitBytes*event), at(w, half(0, "coldSignsG")+event))
	}
	g.emit(b, spill)
	g.end()
}
