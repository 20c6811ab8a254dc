package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const nosplit = attr.NOSPLIT

// fold is 2²⁵⁶ modulo the field prime, whose words are pWord0 and three times
// 2⁶⁴-1.
const (
	fold   = 1<<32 + 977
	pWord0 = 1<<64 - fold
)

// The registers. The operations below leave their results in low and change
// high, dx, t and u; p and q are for pointers.
var (
	low  = words{reg.RAX, reg.RBX, reg.RCX, reg.RSI}
	high = words{reg.R8, reg.R9, reg.R10, reg.R11}
	dx   = reg.RDX
	t    = reg.R12
	u    = reg.R13
	p    = reg.RDI
	q    = reg.R15
)

// words are a residue in registers, the lowest first.
type words [4]reg.GPPhysical

// A place is a residue in memory, the lowest word first.
type place [4]operand.Op

// at returns the residue at offset bytes behind base.
func at(base reg.Register, offset int) (m place) {
	for i := range m {
		m[i] = operand.Mem{Base: base, Disp: offset + 8*i}
	}
	return m
}

func load(r words, from place) {
	for i := range r {
		MOVQ(from[i], r[i])
	}
}

func store(to place, r words) {
	for i := range r {
		MOVQ(r[i], to[i])
	}
}

// storeWide stores the eight words of a product.
func storeWide(to [8]operand.Mem, lower, upper words) {
	for i := range lower {
		MOVQ(lower[i], to[i])
		MOVQ(upper[i], to[4+i])
	}
}

// A kernel is one function of assembly. What it needs once in a billion cases it
// collects, to come after the end of the function.
type kernel struct {
	later  []func()
	labels int
}

// slot takes bytes of the stack frame.
func (k *kernel) slot(bytes int) operand.Mem { return AllocLocal(bytes) }

// residue takes a residue of the stack frame.
func (k *kernel) residue() (m place) {
	mem := k.slot(32)
	for i := range m {
		m[i] = mem.Offset(8 * i)
	}
	return m
}

// wide takes eight words of the stack frame.
func (k *kernel) wide() (m [8]operand.Mem) {
	mem := k.slot(64)
	for i := range m {
		m[i] = mem.Offset(8 * i)
	}
	return m
}

func (k *kernel) label(name string) string {
	k.labels++
	return fmt.Sprintf("%s%d", name, k.labels)
}

// rare writes what was collected.
func (k *kernel) rare() {
	for _, write := range k.later {
		write()
	}
}

// loop repeats body as often as the counter in memory says, which must not be 0.
func (k *kernel) loop(name string, count operand.Mem, body func()) {
	Label(name)
	body()
	DECQ(count)
	JNZ(operand.LabelRef(name))
}

// carry adds 2^(64i) to low if the carry flag is set. See the Go method.
func (k *kernel) carry(i int) {
	far, back := k.label("carry"), k.label("carried")
	JCS(operand.LabelRef(far))
	Label(back)
	k.later = append(k.later, func() {
		Label(far)
		ADDQ(operand.Imm(1), low[i])
		for _, r := range low[i+1:] {
			ADCQ(operand.Imm(0), r)
		}
		JCC(operand.LabelRef(back))
		MOVQ(operand.U64(fold), t)
		ADDQ(t, low[0])
		ADCQ(operand.Imm(0), low[1])
		JMP(operand.LabelRef(back))
	})
}

// borrow subtracts 2⁶⁴ from r if the carry flag is set. See the Go method.
func (k *kernel) borrow(r words) {
	far, back := k.label("borrow"), k.label("borrowed")
	JCS(operand.LabelRef(far))
	Label(back)
	k.later = append(k.later, func() {
		Label(far)
		SUBQ(operand.Imm(1), r[1])
		SBBQ(operand.Imm(0), r[2])
		SBBQ(operand.Imm(0), r[3])
		JCC(operand.LabelRef(back))
		MOVQ(operand.U64(fold), t)
		SUBQ(t, r[0])
		JMP(operand.LabelRef(back))
	})
}

// mul multiplies x and y.
func (k *kernel) mul(x, y place) {
	product(x, y)
	k.reduce()
}

// sqr squares x.
func (k *kernel) sqr(x place) {
	square(x)
	k.reduce()
}

// mulSub multiplies a and b, and subtracts the eight words of c.
func (k *kernel) mulSub(a, b place, c [8]operand.Mem) {
	product(a, b)
	SUBQ(c[0], low[0])
	for i := 1; i < 4; i++ {
		SBBQ(c[i], low[i])
	}
	for i, r := range high {
		SBBQ(c[4+i], r)
	}
	k.subFold(high)
	k.reduce()
}

// product leaves the eight words of x⋅y in low and high.
func product(x, y place) {
	// Column i of the product is r[i]. Each row adds to columns i to i+4: the low
	// halves along the carry flag, the high ones along the overflow flag.
	r := append(low[:], high[:]...)
	MOVQ(x[0], dx)
	MULXQ(y[0], r[0], r[1])
	MULXQ(y[1], t, r[2])
	ADDQ(t, r[1])
	MULXQ(y[2], t, r[3])
	ADCQ(t, r[2])
	MULXQ(y[3], t, r[4])
	ADCQ(t, r[3])
	ADCQ(operand.Imm(0), r[4])
	for i := 1; i < 4; i++ {
		MOVQ(x[i], dx)
		XORL(r[i+4].As32(), r[i+4].As32()) // and both flags are 0
		for j := range 4 {
			MULXQ(y[j], t, u)
			ADCXQ(t, r[i+j])
			ADOXQ(u, r[i+j+1])
		}
		ADCQ(operand.Imm(0), r[i+4])
	}
}

// square leaves the eight words of x² in low and high.
func square(x place) {
	r := append(low[:], high[:]...)
	// The products of different words; r[0] is not needed yet.
	MOVQ(x[0], dx)
	MULXQ(x[1], r[1], r[2])
	MULXQ(x[2], t, r[3])
	ADDQ(t, r[2])
	MULXQ(x[3], t, r[4])
	ADCQ(t, r[3])
	ADCQ(operand.Imm(0), r[4])
	MOVQ(x[1], dx)
	XORL(r[5].As32(), r[5].As32()) // and both flags are 0
	MULXQ(x[2], t, u)
	ADCXQ(t, r[3])
	ADOXQ(u, r[4])
	MULXQ(x[3], t, u)
	ADCXQ(t, r[4])
	ADOXQ(u, r[5])
	MOVQ(x[2], dx)
	MULXQ(x[3], t, r[6])
	ADCXQ(t, r[5])
	MOVQ(operand.U32(0), r[7])
	ADCXQ(r[7], r[6])
	// Twice that along the carry flag, and the squares of the words along the
	// overflow flag. The last sums had no overflow, and no carry.
	for i := range 4 {
		MOVQ(x[i], dx)
		if i == 0 {
			MULXQ(dx, r[0], u)
		} else {
			MULXQ(dx, t, u)
			ADCXQ(r[2*i], r[2*i])
			ADOXQ(t, r[2*i])
		}
		ADCXQ(r[2*i+1], r[2*i+1])
		ADOXQ(u, r[2*i+1])
	}
}

// reduce makes a residue of the eight words in low and high.
func (k *kernel) reduce() {
	MOVQ(operand.U64(fold), dx)
	XORL(t.As32(), t.As32()) // and both flags are 0
	for i := range 3 {
		MULXQ(high[i], t, u)
		ADCXQ(t, low[i])
		ADOXQ(u, low[i+1])
	}
	MULXQ(high[3], t, u)
	MOVQ(operand.U32(0), high[0])
	ADCXQ(t, low[3])
	ADOXQ(high[0], u)
	ADCXQ(high[0], u)
	MULXQ(u, t, u)
	ADDQ(t, low[0])
	ADCQ(u, low[1])
	k.carry(2)
}

// sub subtracts y from low.
func (k *kernel) sub(y place) {
	SUBQ(y[0], low[0])
	for i := 1; i < 4; i++ {
		SBBQ(y[i], low[i])
	}
	k.subFold(low)
}

// subFold subtracts fold from r if the carry flag is set.
func (k *kernel) subFold(r words) {
	MOVQ(operand.U64(fold), u)
	SBBQ(t, t)
	ANDQ(u, t)
	SUBQ(t, r[0])
	k.borrow(r)
}

// subFrom subtracts low from y.
func (k *kernel) subFrom(y place) {
	load(high, y)
	SUBQ(low[0], high[0])
	for i := 1; i < 4; i++ {
		SBBQ(low[i], high[i])
	}
	for i := range low {
		MOVQ(high[i], low[i])
	}
	k.subFold(low)
}

// subTwice subtracts y twice from low.
func (k *kernel) subTwice(y place) {
	SUBQ(y[0], low[0])
	for i := 1; i < 4; i++ {
		SBBQ(y[i], low[i])
	}
	SBBQ(t, t)
	SUBQ(y[0], low[0])
	for i := 1; i < 4; i++ {
		SBBQ(y[i], low[i])
	}
	SBBQ(operand.Imm(0), t)
	// t is 0, -1 or -2.
	MOVQ(operand.U64(fold), u)
	NEGQ(t)
	IMULQ(u, t)
	SUBQ(t, low[0])
	k.borrow(low)
}

// threeHalves multiplies low by 3/2.
func (k *kernel) threeHalves() {
	// x, or x + p if x is odd, has 257 bits and is even.
	for i := range low {
		MOVQ(low[i], high[i])
	}
	MOVQ(operand.U64(pWord0), u)
	MOVQ(low[0], t)
	ANDL(operand.Imm(1), t.As32())
	NEGQ(t)
	ANDQ(t, u)
	ADDQ(u, high[0])
	for i := 1; i < 4; i++ {
		ADCQ(t, high[i])
	}
	for i := 3; i >= 0; i-- {
		RCRQ(operand.Imm(1), high[i])
	}
	ADDQ(high[0], low[0])
	for i := 1; i < 4; i++ {
		ADCQ(high[i], low[i])
	}
	MOVQ(operand.U64(fold), u)
	SBBQ(t, t)
	ANDQ(u, t)
	ADDQ(t, low[0])
	k.carry(1)
}

// jumpIfZero jumps to the label if low is zero modulo p. It changes low.
func (k *kernel) jumpIfZero(label string) {
	MOVQ(low[0], t)
	ORQ(low[1], t)
	ORQ(low[2], t)
	ORQ(low[3], t)
	JZ(operand.LabelRef(label))
	maybe, back := k.label("maybe"), k.label("nonzero")
	CMPQ(low[3], operand.I32(-1))
	JEQ(operand.LabelRef(maybe))
	Label(back)
	k.later = append(k.later, func() {
		Label(maybe)
		ANDQ(low[1], low[2])
		CMPQ(low[2], operand.I32(-1))
		JNE(operand.LabelRef(back))
		MOVQ(operand.U64(pWord0), t)
		CMPQ(low[0], t)
		JNE(operand.LabelRef(back))
		JMP(operand.LabelRef(label))
	})
}
