//go:build !purego

package secp

//go:generate go run -C ../asm ./secp -out ../secp/kernels_amd64.s

// useADX says that the processor has the instructions of BMI2 and ADX that the
// assembly needs, and that this did what Go does. Tests turn it off.
var useADX = detectADX() && testKernels(doubleADX, addADX)

// testKernels reports whether the kernels leave the same words as Go, of a few
// hundred doublings and additions, one of them an addition that must be refused. It
// takes some 50 µs.
func testKernels(double func(*jacobian, uint64), add func(*jacobian, *affine, *residue) bool) bool {
	var got jacobian
	got.setAffine(&basePoint)
	q, want := basePoint, got
	for n := range 24 {
		z := want.z
		if add(&got, &q, &z) != want.addDistinctGo(&q, &z) || got != want {
			return false
		}
		double(&got, uint64(n+1))
		want.doubleTimesGo(n + 1)
		if got != want {
			return false
		}
		q.x.mul(&q.x, &beta) // another point of the curve
		if n%2 == 0 {
			q.y.sub(&residue{}, &q.y)
		}
	}
	return true
}

// Code names the code that does the arithmetic, and says why if it is not the
// fastest.
func Code() string {
	switch {
	case useADX:
		return "assembly for BMI2 and ADX"
	case !detectADX():
		return "Go: the processor lacks BMI2 or ADX"
	}
	return "Go: the assembly failed its test"
}

// detectADX asks the processor. (Intel's manual, volume 2, CPUID.)
func detectADX() bool {
	if last, _, _, _ := cpuid(0, 0); last < 7 {
		return false
	}
	_, b, _, _ := cpuid(7, 0)
	return offersADX(b)
}

// offersADX reports whether EBX of CPUID's leaf 7 tells of BMI2 and ADX. They
// have no state that the operating system would have to save.
func offersADX(b uint32) bool {
	const (
		bmi2 = 1 << 8
		adx  = 1 << 19
	)
	return b&bmi2 != 0 && b&adx != 0
}

// cpuid returns the registers that the instruction CPUID leaves.
//
//go:noescape
func cpuid(leaf, subleaf uint32) (a, b, c, d uint32)

// doubleADX is doubleTimesGo, with n > 0. Nothing can preempt it, which for the
// 129 doublings that a signature has at most is a matter of 6 µs.
//
//go:noescape
func doubleADX(p *jacobian, n uint64)

// addADX is addDistinctGo. A p that it refuses is as it was.
//
//go:noescape
func addADX(p *jacobian, q *affine, z *residue) bool

// The operations that doubleADX and addADX are made of, one function each, for
// the tests: mulADX is residue.mul, and so on. sqrADX and threeHalvesADX leave y
// out; subFromADX is sub in the other order of registers.

//go:noescape
func mulADX(z, x, y *residue)

//go:noescape
func sqrADX(z, x, y *residue)

//go:noescape
func subADX(z, x, y *residue)

//go:noescape
func subFromADX(z, x, y *residue)

//go:noescape
func subTwiceADX(z, x, y *residue)

//go:noescape
func threeHalvesADX(z, x, y *residue)

//go:noescape
func mulSubADX(z, a, b, c, d *residue)

func (p *jacobian) doubleTimes(n int) {
	if useADX && n > 0 {
		doubleADX(p, uint64(n))
	} else {
		p.doubleTimesGo(n)
	}
}

func (p *jacobian) addDistinct(q *affine, z *residue) bool {
	if useADX {
		return addADX(p, q, z)
	}
	return p.addDistinctGo(q, z)
}
