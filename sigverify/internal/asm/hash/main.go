// Command hash writes the assembly of package hashlane: SHA-256 and RIPEMD-160
// of many messages at once, for amd64.
//
//	go run ./hash -out ../../hashlane/kernels_amd64.s
//
// What each function does is told by its declaration in hashlane. The output
// depends on nothing but this source.
package main

import (
	. "github.com/mmcloughlin/avo/build"
)

func main() {
	ConstraintExpr("!purego")
	processor()
	tables()
	advance512()
	advance256()
	advanceSHANI()
	sum32(avx512, 2)
	sum32(avx2, 1)
	sum32SHANI()
	double64(avx512, 2)
	double64(avx2, 1)
	double64SHANI()
	ripemd32(avx512, 2)
	ripemd32(avx2, 1)
	chain160(avx512, 2)
	chain160(avx2, 1)
	Generate()
}
