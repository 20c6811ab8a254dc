//go:build !purego

package hashlane

// detect returns what the processor offers and the operating system lets
// programs use. (Intel's manual, volume 1, sections 13.3, 14.3 and 15.2.)
func detect() (p path) {
	const (
		// Leaf 1, ECX.
		osxsave = 1 << 27
		avx     = 1 << 28
		// Leaf 7, EBX.
		avx2     = 1 << 5
		bmi2     = 1 << 8
		avx512f  = 1 << 16
		avx512bw = 1 << 30
		sha      = 1 << 29
		// The state that the operating system saves: of XMM and YMM registers,
		// and of opmasks, of the upper halves of ZMM registers and of those from
		// 16 on.
		ymm = 0x06
		zmm = ymm | 0xe0
	)
	has := func(bits, want uint32) bool { return bits&want == want }
	last, _, _, _ := cpuid(0, 0)
	if last < 7 {
		return p
	}
	if _, _, c, _ := cpuid(1, 0); !has(c, osxsave|avx) {
		return p
	}
	saved, _ := xgetbv(0)
	_, b, _, _ := cpuid(7, 0)
	p.avx2 = has(saved, ymm) && has(b, avx2)
	p.shani = p.avx2 && has(b, sha)
	p.avx512 = has(saved, zmm) && has(b, bmi2|avx512f|avx512bw)
	return p
}
