package hashlane

import "testing"

// A processor without something, or a kernel that fails, leaves a path that
// works.
func TestFallback(t *testing.T) {
	all := path{avx512: true, avx2: true, shani: true}
	paths := all.fallbacks()
	if len(paths) != 8 || paths[0] != all || paths[7] != (path{}) {
		t.Errorf("fallbacks of %v: %v", all, paths)
	}
	some := path{avx2: true}.fallbacks()
	if len(some) != 2 || some[0] != (path{avx2: true}) || some[1] != (path{}) {
		t.Errorf("fallbacks of avx2: %v", some)
	}
	if got := firstWorking(paths, func(p path) bool { return !p.avx512 }); got != (path{avx2: true, shani: true}) {
		t.Errorf("without AVX-512: %v", got)
	}
	if got := firstWorking(paths, func(path) bool { return false }); got != (path{}) {
		t.Errorf("without anything: %v", got)
	}
	for _, p := range detect().fallbacks() {
		if !p.works() {
			t.Errorf("%v does not work", p)
		}
	}
	if got := Path(); got != detect().String() {
		t.Errorf("Path is %s, the processor has %v", got, detect())
	}
}

// agree must see a single wrong bit of anything but an empty chain.
func TestAgree(t *testing.T) {
	right := path{}.computer()
	if !agree(right, right) {
		t.Fatal("the standard library does not agree with itself")
	}
	for _, n := range []int{70, 9, 2} {
		for _, bad := range []int{1, n - 1} {
			sums, chains := right, right
			sums.sums = func(dst [][32]byte, msgs messages) {
				if right.sums(dst, msgs); len(dst) == n {
					dst[bad][31] ^= 1
				}
			}
			chains.chains = func(values [][20]byte, steps []int) {
				if right.chains(values, steps); len(values) == n {
					values[bad][0] ^= 0x80
				}
			}
			wrong := []computer{sums, chains}
			for _, which := range []op{sum32, double64, ripemd32} {
				fixed := right
				fixed.fixed = func(o op, dst, src []byte) {
					if right.fixed(o, dst, src); o == which && len(dst) == n*o.out() {
						dst[bad*o.out()] ^= 1
					}
				}
				wrong = append(wrong, fixed)
			}
			for i, c := range wrong {
				if agree(c, right) {
					t.Errorf("computer %d with message %d of %d wrong: agrees", i, bad, n)
				}
			}
		}
	}
}
