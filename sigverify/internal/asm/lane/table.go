package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// tableStride is the distance between the tables of two lanes.
const tableStride = 2 * multiplesQ << entryBits

// table writes the kernel that makes the tables of k vectors.
func (g *generator) table(k int) {
	c := g.c
	signature := "func(a *vector, w *work)"
	vs := []reg.GPPhysical{reg.RDI, reg.RSI}[:k]
	if k == 2 {
		signature = "func(a, b *vector, w *work)"
	}
	g.kernel(fmt.Sprintf("table%dKernel", k), signature,
		fmt.Sprintf("table%dKernel makes the tables of odd multiples of the keys of %d vectors. All", k, k),
		"points of a lane share one Z, which goes to rowFactor: to the additions of",
		"these points they look affine, on a curve that differs only in b.")
	work, spill := reg.RDX, at(reg.RDX, spillStart*rowBytes)
	multiple, entry, counter := reg.R12, reg.R13, reg.RCX
	g.param("a", vs[0])
	if k == 2 {
		g.param("b", vs[1])
	}
	g.param("w", work)

	b := newBlock("table: double")
	for i, v := range vs {
		b.nextVector()
		p := shared{b.loadReduced(at(v, vec("rowQX"))), b.loadReduced(at(v, vec("rowQY")))}
		twice, same, z := b.doubleShared(p)
		b.storeReduced(at(work, half(i, "coldTwice")), twice.x)
		b.storeReduced(at(work, half(i, "coldTwice")).plus(5), twice.y)
		b.storeReduced(at(work, half(i, "coldMultiples")), same.x)
		b.storeReduced(at(work, half(i, "coldMultiples")).plus(5), same.y)
		b.storeSemi(at(work, half(i, "coldMultiples")).plus(10), z)
	}
	g.emit(b, spill)

	c.LEAQ(operand.Mem{Base: work, Disp: half(0, "coldMultiples")}, multiple)
	g.move(multiplesQ-1, counter)
	g.times(counter, func() {
		b := newBlock("table: add")
		for i := range vs {
			b.nextVector()
			h := i * coldBytes
			twice := at(work, half(i, "coldTwice"))
			p := shared{b.loadReduced(twice), b.loadReduced(twice.plus(5))}
			q := shared{b.loadReduced(at(multiple, h)), b.loadReduced(at(multiple, h).plus(5))}
			sum, same, ratio := b.addShared(p, q)
			b.storeReduced(twice, same.x)
			b.storeReduced(twice.plus(5), same.y)
			b.storeReduced(at(multiple, h).plus(15), sum.x)
			b.storeReduced(at(multiple, h).plus(20), sum.y)
			b.storeSemi(at(multiple, h).plus(25), ratio)
		}
		g.emit(b, spill)
		g.advance(multiple, 15*rowBytes)
	})

	b = newBlock("table: one")
	for i := range vs {
		b.nextVector()
		var one semi
		for j := range one.l {
			one.l[j] = b.value(value{op: opXor, args: []*value{b.constant(1), b.constant(1)}})
		}
		one.l[0] = b.value(value{op: opOr, args: []*value{one.l[1], b.constant(1)}, hi: 1})
		b.storeSemi(at(work, half(i, "hotFactor")), one)
	}
	g.emit(b, spill)
	c.LEAQ(operand.Mem{Base: work, Disp: half(0, "coldTable") + (multiplesQ-1)<<entryBits}, entry)
	g.move(multiplesQ, counter)
	g.times(counter, func() {
		b := newBlock("table: share Z")
		for i := range vs {
			b.nextVector()
			h := i * coldBytes
			place := at(work, half(i, "hotFactor"))
			f := b.loadSemi(place)
			f2 := b.sqrSemi(f)
			x := b.fits(b.mul(b.loadReduced(at(multiple, h)), f2))
			y := b.fits(b.mul(b.loadReduced(at(multiple, h).plus(5)), b.mulSemi(f2, f)))
			xs, ys, lambda := b.pack(x), b.pack(y), b.pack(b.fits(b.mul(x, b.constantElement(beta))))
			plain := b.transpose([8]*value{xs[0], xs[1], xs[2], xs[3], ys[0], ys[1], ys[2], ys[3]})
			turned := b.transpose([8]*value{lambda[0], lambda[1], lambda[2], lambda[3], ys[0], ys[1], ys[2], ys[3]})
			for lane := range plain {
				b.store(at(entry, h+lane*tableStride), plain[lane], all64)
				b.store(at(entry, h+lane*tableStride+multiplesQ<<entryBits), turned[lane], all64)
			}
			b.storeSemi(place, b.mulSemi(f, b.loadSemi(at(multiple, h).plus(10))))
		}
		g.emit(b, spill)
		g.advance(multiple, -15*rowBytes)
		g.advance(entry, -(1 << entryBits))
	})
	g.end()
}
