// Command secp writes the assembly of package secp: runs of doublings, and
// additions, for amd64 with BMI2 and ADX.
//
//	go run ./secp -out ../secp/kernels_amd64.s
//
// What each function does is told by its declaration in secp, and its formulas
// are those of the Go function that it stands for. The output depends on nothing
// but this source.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("!purego")
	processor()
	double()
	add()
	operations()
	Generate()
}

// processor writes cpuid.
func processor() {
	TEXT("cpuid", nosplit, "func(leaf, subleaf uint32) (a, b, c, d uint32)")
	Load(Param("leaf"), reg.EAX)
	Load(Param("subleaf"), reg.ECX)
	CPUID()
	Store(reg.EAX, Return("a"))
	Store(reg.EBX, Return("b"))
	Store(reg.ECX, Return("c"))
	Store(reg.EDX, Return("d"))
	RET()
}

// double writes doubleADX.
func double() {
	TEXT("doubleADX", nosplit, "func(p *uint64, n uint64)")
	k := new(kernel)
	s, l, t, ss := k.residue(), k.residue(), k.residue(), k.wide()
	count := k.slot(8)
	Load(Param("n"), low[0])
	MOVQ(low[0], count)
	Load(Param("p"), p)
	px, py, pz := at(p, 0), at(p, 32), at(p, 64)
	k.loop("loop", count, func() {
		k.sqr(py)
		store(s, low)
		k.sqr(px)
		k.threeHalves()
		store(l, low)
		k.mul(px, s)
		store(t, low)
		k.mul(py, pz)
		store(pz, low)
		k.sqr(l)
		k.subTwice(t)
		store(px, low)
		k.subFrom(t)
		store(t, low)
		square(s)
		storeWide(ss, low, high)
		k.mulSub(t, l, ss)
		store(py, low)
	})
	RET()
	k.rare()
}

// add writes addADX.
func add() {
	TEXT("addADX", nosplit, "func(p, q, z *uint64) bool")
	k := new(kernel)
	t, h, i, v, hy := k.residue(), k.residue(), k.residue(), k.residue(), k.wide()
	Load(Param("p"), p)
	px, py, pz := at(p, 0), at(p, 32), at(p, 64)
	qx, qy, z := at(q, 0), at(q, 32), at(q, 0)

	Load(Param("z"), q)
	k.sqr(z)
	store(t, low)
	k.mul(z, t)
	store(i, low)
	Load(Param("q"), q)
	k.mul(qx, t)
	k.sub(px)
	store(h, low)
	k.jumpIfZero("same")
	k.mul(qy, i)
	k.subFrom(py)
	store(i, low)

	k.mul(pz, h)
	store(pz, low)
	k.sqr(h)
	store(t, low)
	k.mul(px, t)
	store(v, low)
	k.mul(h, t)
	store(h, low)
	k.sqr(i)
	k.sub(h)
	k.subTwice(v)
	store(px, low)
	k.sub(v)
	store(v, low)
	product(h, py)
	storeWide(hy, low, high)
	k.mulSub(v, i, hy)
	store(py, low)
	MOVB(operand.Imm(1), reg.AL)
	Store(reg.AL, ReturnIndex(0))
	RET()

	Label("same")
	MOVB(operand.Imm(0), reg.AL)
	Store(reg.AL, ReturnIndex(0))
	RET()
	k.rare()
}

// operations writes a function for each operation that double and add are made
// of, so that tests reach the rare ends of every one.
func operations() {
	binary := func(name string, op func(k *kernel, x, y place)) {
		TEXT(name, nosplit, "func(z, x, y *uint64)")
		k := new(kernel)
		Load(Param("x"), p)
		Load(Param("y"), q)
		op(k, at(p, 0), at(q, 0))
		Load(Param("z"), p)
		store(at(p, 0), low)
		RET()
		k.rare()
	}
	binary("mulADX", (*kernel).mul)
	binary("sqrADX", func(k *kernel, x, _ place) { k.sqr(x) })
	binary("subADX", func(k *kernel, x, y place) { load(low, x); k.sub(y) })
	binary("subFromADX", func(k *kernel, x, y place) { load(low, y); k.subFrom(x) })
	binary("subTwiceADX", func(k *kernel, x, y place) { load(low, x); k.subTwice(y) })
	binary("threeHalvesADX", func(k *kernel, x, _ place) { load(low, x); k.threeHalves() })

	TEXT("mulSubADX", nosplit, "func(z, a, b, c, d *uint64)")
	k := new(kernel)
	cd := k.wide()
	Load(Param("c"), p)
	Load(Param("d"), q)
	product(at(p, 0), at(q, 0))
	storeWide(cd, low, high)
	Load(Param("a"), p)
	Load(Param("b"), q)
	k.mulSub(at(p, 0), at(q, 0), cd)
	Load(Param("z"), p)
	store(at(p, 0), low)
	RET()
	k.rare()
}
