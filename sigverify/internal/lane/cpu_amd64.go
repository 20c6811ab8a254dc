//go:build !purego

package lane

// features are what the kernels need, as the bits of CPUID leaf 7.
var features = []struct {
	name     string
	register int // 1 is EBX, 2 is ECX
	bit      int
}{
	{"AVX512F", 1, 16},
	{"AVX512DQ", 1, 17},
	{"AVX512IFMA", 1, 21},
	{"AVX512VL", 1, 31},
	{"AVX512_VBMI2", 2, 6},
}

// missingFeature returns what the kernels need and the machine does not have; an
// empty string is nothing.
func missingFeature() string {
	top, _, _, _ := cpuid(0, 0)
	_, _, c1, _ := cpuid(1, 0)
	const osxsave = 1 << 27
	if top < 7 || c1&osxsave == 0 {
		return "AVX-512"
	}
	var leaf [4]uint32
	leaf[0], leaf[1], leaf[2], leaf[3] = cpuid(7, 0)
	for _, f := range features {
		if leaf[f.register]>>f.bit&1 == 0 {
			return f.name
		}
	}
	// XMM, YMM, the masks, and both halves of the ZMM registers.
	const states = 1<<1 | 1<<2 | 1<<5 | 1<<6 | 1<<7
	if xcr0, _ := xgetbv(); xcr0&states != states {
		return "an operating system that saves the AVX-512 registers"
	}
	return ""
}
