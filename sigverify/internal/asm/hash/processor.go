package main

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/reg"
)

// rodata is where tables live.
const rodata = attr.RODATA | attr.NOPTR

// processor writes cpuid and xgetbv.
func processor() {
	TEXT("cpuid", attr.NOSPLIT, "func(leaf, subleaf uint32) (a, b, c, d uint32)")
	Load(Param("leaf"), reg.EAX)
	Load(Param("subleaf"), reg.ECX)
	CPUID()
	Store(reg.EAX, Return("a"))
	Store(reg.EBX, Return("b"))
	Store(reg.ECX, Return("c"))
	Store(reg.EDX, Return("d"))
	RET()

	TEXT("xgetbv", attr.NOSPLIT, "func(index uint32) (lo, hi uint32)")
	Load(Param("index"), reg.ECX)
	XGETBV()
	Store(reg.EAX, Return("lo"))
	Store(reg.EDX, Return("hi"))
	RET()
}
