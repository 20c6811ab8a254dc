package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The words of a half number, and of a block, which is what the registers hold.
const (
	halfWords = 24
	block     = 8
)

// The registers of a product.
var (
	sum     = [block]reg.GPPhysical{reg.R8, reg.R9, reg.R10, reg.R11, reg.R12, reg.R13, reg.R14, reg.R15}
	x, y, z = reg.RSI, reg.RDI, reg.RCX
	lower   = reg.RAX
	upper   = reg.RBX
	word    = reg.RDX
)

// product writes productADX: the words of x are taken in blocks, and each block is
// multiplied by one word of y after the other. The registers hold what of the
// block's product is not final yet.
func product() {
	TEXT("productADX", nosplit, "func(z, x, y *uint64)")
	zero, outer, inner := AllocLocal(8), AllocLocal(8), AllocLocal(8)
	Load(Param("z"), z)
	Load(Param("x"), x)
	Load(Param("y"), y)
	XORL(lower.As32(), lower.As32())
	MOVQ(lower, zero)
	MOVQ(operand.U32(halfWords/block-1), upper)
	MOVQ(upper, outer)
	rows := func(name string, first bool) {
		for _, r := range sum {
			XORL(r.As32(), r.As32())
		}
		MOVQ(operand.U32(halfWords/block), upper)
		MOVQ(upper, inner)
		Label(name)
		for i := range block {
			row(i, zero, first)
		}
		ADDQ(operand.Imm(8*block), y)
		ADDQ(operand.Imm(8*block), z)
		DECQ(inner)
		JNZ(operand.LabelRef(name))
		for i, r := range sum {
			MOVQ(r, operand.Mem{Base: z, Disp: 8 * i})
		}
	}
	rows("first", true)
	Label("next")
	ADDQ(operand.Imm(8*block), x)
	SUBQ(operand.Imm(8*halfWords), y)
	SUBQ(operand.Imm(8*(halfWords-block)), z)
	rows("rows", false)
	DECQ(outer)
	JNZ(operand.LabelRef("next"))
	RET()
}

// row adds the product of the block and the i-th word of y to the sum, whose words
// have been turned i times, and to the i-th word of z if that is not the first
// block. The lowest word is final then and goes to z; its register becomes the
// highest. Nothing overflows: (2⁵¹²-1)·(2⁶⁴-1) + 2⁵¹²-1 + 2⁶⁴-1 = 2⁵⁷⁶-1.
func row(i int, zero operand.Mem, first bool) {
	at := func(n int) reg.GPPhysical { return sum[(i+n)%block] }
	Comment(fmt.Sprintf("Word %d.", i))
	out := operand.Mem{Base: z, Disp: 8 * i}
	MOVQ(operand.Mem{Base: y, Disp: 8 * i}, word)
	XORL(lower.As32(), lower.As32()) // both carries are 0
	if !first {
		ADOXQ(out, at(0))
	}
	for n := range block {
		MULXQ(operand.Mem{Base: x, Disp: 8 * n}, lower, upper)
		ADCXQ(lower, at(n))
		if n == 0 {
			MOVQ(at(0), out)
		}
		if n == block-1 {
			MOVQ(zero, at(0))
		}
		ADOXQ(upper, at(n+1))
	}
	ADCXQ(zero, at(0))
}
