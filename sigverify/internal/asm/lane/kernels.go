package main

import (
	"fmt"
	"strings"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A generator writes the kernels into one file.
type generator struct {
	c      *build.Context
	data   *constants
	limit  int // rows that a schedule keeps alive
	labels int
}

// kernel begins a function.
func (g *generator) kernel(name, signature string, doc ...string) {
	g.c.Function(name)
	g.c.Attributes(attr.NOSPLIT)
	g.c.Pragma("noescape")
	// avo knows no types of the package; vector, work and table are aliases there.
	g.c.SignatureExpr(strings.NewReplacer(
		"*vector", fmt.Sprintf("*[%d][8]uint64", size(vecParts)),
		"*work", fmt.Sprintf("*[%d][8]uint64", workRows),
		"*table", fmt.Sprintf("*[%d][8]uint64", 2<<(windowG-1)),
	).Replace(signature))
	g.c.Doc(doc...)
}

// end leaves the function. Without VZEROUPPER the SHA instructions that the
// standard library uses run a hundred times slower from then on.
func (g *generator) end() {
	g.c.VZEROUPPER()
	g.c.RET()
}

func (g *generator) param(name string, r reg.GPPhysical) { g.c.Load(g.c.Param(name), r) }

// times writes code that runs as often as the counter says, at least once.
func (g *generator) times(counter reg.GPPhysical, body func()) {
	g.labels++
	label := fmt.Sprintf("loop%d", g.labels)
	g.c.Label(label)
	body()
	g.c.DECQ(counter)
	g.c.JNZ(operand.LabelRef(label))
}

func (g *generator) move(n int, r reg.GPPhysical) { g.c.MOVQ(operand.U32(uint32(n)), r) }

func (g *generator) advance(r reg.GPPhysical, bytes int) {
	if bytes < 0 {
		g.c.SUBQ(operand.U32(uint32(-bytes)), r)
		return
	}
	g.c.ADDQ(operand.U32(uint32(bytes)), r)
}

func (g *generator) emit(b *block, spill addr) { b.emit(g.c, g.data, spill, g.limit) }

func at(base reg.GPPhysical, disp int) addr { return addr{base, disp} }

// words loads the four words at a.
func (b *block) words(a addr) [4]*value {
	var w [4]*value
	for i := range w {
		w[i] = b.load(a.plus(i), all64)
	}
	return w
}

// overVectors begins a kernel that walks n vectors, forward or backward, with
// vector v in RDI and the work area's spill rows in RDX.
func (g *generator) overVectors(stride int, body func(v reg.GPPhysical, spill addr)) {
	g.param("v", reg.RDI)
	g.param("w", reg.RDX)
	g.param("n", reg.RCX)
	g.times(reg.RCX, func() {
		body(reg.RDI, at(reg.RDX, spillStart*rowBytes))
		g.advance(reg.RDI, stride)
	})
	g.end()
}

// processor writes the functions that ask what the processor can do.
func (g *generator) processor() {
	c := g.c
	signature := func(name, expr string, doc ...string) {
		c.Function(name)
		c.Attributes(attr.NOSPLIT)
		c.SignatureExpr(expr)
		c.Doc(doc...)
	}
	signature("cpuid", "func(leaf, sub uint32) (a, b, c, d uint32)",
		"cpuid returns what the CPUID instruction says of a leaf.")
	c.Load(c.Param("leaf"), reg.EAX)
	c.Load(c.Param("sub"), reg.ECX)
	c.CPUID()
	c.Store(reg.EAX, c.Return("a"))
	c.Store(reg.EBX, c.Return("b"))
	c.Store(reg.ECX, c.Return("c"))
	c.Store(reg.EDX, c.Return("d"))
	c.RET()

	signature("xgetbv", "func() (a, d uint32)",
		"xgetbv returns the register XCR0: which states the operating system saves.")
	c.XORL(reg.ECX, reg.ECX)
	c.XGETBV()
	c.Store(reg.EAX, c.Return("a"))
	c.Store(reg.EDX, c.Return("d"))
	c.RET()
}
