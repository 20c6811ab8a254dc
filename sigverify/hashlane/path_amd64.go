//go:build !purego

package hashlane

// The bits that tell what a processor has. (Intel's manual, volume 2, CPUID.)
const (
	// Leaf 1, ECX.
	hasXSAVE = 1 << 27 // and the operating system uses it
	hasAVX   = 1 << 28
	// Leaf 7, EBX.
	hasAVX2     = 1 << 5
	hasBMI2     = 1 << 8
	hasAVX512F  = 1 << 16
	hasSHA      = 1 << 29
	hasAVX512BW = 1 << 30
	hasAVX512VL = 1 << 31
	// The state that the operating system saves, as XGETBV with index 0 has it:
	// that of XMM and YMM registers, and of opmasks, of the upper halves of ZMM
	// registers and of those from 16 on. (Volume 1, sections 13.3, 14.3 and 15.2.)
	savesYMM = 0x06
	savesZMM = savesYMM | 0xe0
)

// detect returns what the processor offers and the operating system lets
// programs use.
func detect() path {
	if last, _, _, _ := cpuid(0, 0); last < 7 {
		return path{}
	}
	_, _, c, _ := cpuid(1, 0)
	if c&hasXSAVE == 0 {
		return path{} // there is no XGETBV
	}
	_, b, _, _ := cpuid(7, 0)
	saved, _ := xgetbv(0)
	return offered(c, b, saved)
}

// offered returns the path for what ECX of CPUID's leaf 1, EBX of leaf 7 and
// XGETBV tell. A set counts only with all that its kernels use.
func offered(c, b, saved uint32) (p path) {
	has := func(bits, want uint32) bool { return bits&want == want }
	if !has(c, hasXSAVE|hasAVX) {
		return p
	}
	p.avx2 = has(saved, savesYMM) && has(b, hasAVX2)
	p.shani = p.avx2 && has(b, hasSHA)
	p.avx512 = has(saved, savesZMM) && has(b, hasBMI2|hasAVX512F|hasAVX512BW|hasAVX512VL)
	return p
}
