// Command muhash writes the assembly of package muhash: products of numbers, for
// amd64 with BMI2 and ADX, and the key stream of ChaCha20, for AVX2.
//
//	go run ./muhash -out ../../../utxocache/muhash/kernels_amd64.s
//
// What each function does is told by its declaration in muhash. The output depends
// on nothing but this source.
package main

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/reg"
)

const (
	nosplit    = attr.NOSPLIT
	attrRODATA = attr.RODATA | attr.NOPTR
)

func main() {
	ConstraintExpr("!purego")
	processor()
	product()
	stream()
	Generate()
}

// processor writes cpuid and xgetbv.
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

	TEXT("xgetbv", nosplit, "func() (a, d uint32)")
	XORL(reg.ECX, reg.ECX)
	XGETBV()
	Store(reg.EAX, Return("a"))
	Store(reg.EDX, Return("d"))
	RET()
}
