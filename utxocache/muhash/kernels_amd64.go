//go:build !purego

package muhash

//go:generate go run -C ../../sigverify/internal/asm ./muhash -out ../../../utxocache/muhash/kernels_amd64.s

// useADX and useAVX2 say that the processor has the instructions that the assembly
// needs, and that this did what Go does. Tests turn them off.
var (
	useADX  = detectADX() && testProduct(productADX)
	useAVX2 = detectAVX2() && testStream(streamAVX2)
)

// testProduct reports whether product does what mulHalvesGo does, with some numbers.
// It takes some 5 µs.
func testProduct(product func(*number, *half, *half)) bool {
	x, y := half{1, 2, 3}, half{}
	for i := range y {
		y[i] = ^uint64(i)
	}
	for range 8 {
		var got, want number
		product(&got, &x, &y)
		mulHalvesGo(&want, &x, &y)
		if got != want {
			return false
		}
		low, high := want.halves()
		x, y = *high, *low
		x[0] |= 1
		y[0] |= 1
	}
	return true
}

// testStream reports whether stream does what streamGo does, with some keys. It
// takes some 10 µs.
func testStream(stream func(*[numberSize]byte, *[32]byte)) bool {
	var got, want [numberSize]byte
	for range 8 {
		key := [32]byte(want[numberSize-32:])
		stream(&got, &key)
		streamGo(&want, &key)
		if got != want {
			return false
		}
	}
	return true
}

// detectADX asks the processor for BMI2 and ADX, which have no state that the
// operating system would have to save. (Intel's manual, volume 2, CPUID.)
func detectADX() bool {
	const (
		bmi2 = 1 << 8
		adx  = 1 << 19
	)
	return leaf7()&(bmi2|adx) == bmi2|adx
}

// detectAVX2 asks the processor for AVX2, and whether the operating system saves
// its registers.
func detectAVX2() bool {
	const (
		osxsave = 1 << 27
		avx2    = 1 << 5
		states  = 1<<1 | 1<<2 // XMM and YMM
	)
	if _, _, c, _ := cpuid(1, 0); c&osxsave == 0 {
		return false
	}
	saved, _ := xgetbv()
	return leaf7()&avx2 != 0 && saved&states == states
}

// leaf7 returns EBX of CPUID's leaf 7, 0 if there is none.
func leaf7() uint32 {
	if last, _, _, _ := cpuid(0, 0); last < 7 {
		return 0
	}
	_, b, _, _ := cpuid(7, 0)
	return b
}

// cpuid returns the registers that the instruction CPUID leaves.
//
//go:noescape
func cpuid(leaf, subleaf uint32) (a, b, c, d uint32)

// xgetbv returns what the instruction XGETBV tells of XCR0.
func xgetbv() (a, d uint32)

// productADX is mulHalvesGo. z is neither x nor y.
//
//go:noescape
func productADX(z *number, x, y *half)

// streamAVX2 is streamGo.
//
//go:noescape
func streamAVX2(stream *[numberSize]byte, key *[32]byte)

func mulHalves(z *number, x, y *half) {
	if useADX {
		productADX(z, x, y)
	} else {
		mulHalvesGo(z, x, y)
	}
}

func streamOf(stream *[numberSize]byte, key *[32]byte) {
	if useAVX2 {
		streamAVX2(stream, key)
	} else {
		streamGo(stream, key)
	}
}
