package hashlane

import (
	"crypto/sha256"
	"slices"
	"syscall"
	"testing"
	"unsafe"

	"github.com/btcsuite/btcd/address/v2"
)

// guarded returns n bytes that end where memory ends that can be read.
func guarded(t *testing.T, n int) []byte {
	page := syscall.Getpagesize()
	size := (n + page - 1) / page * page
	mem, err := syscall.Mmap(-1, 0, size+page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Munmap(mem); err != nil {
			t.Error(err)
		}
	})
	if err := syscall.Mprotect(mem[size:], syscall.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	return mem[size-n : size : size]
}

// No byte after a message is read, and none after a digest is written: a test
// that does either ends the process.
func TestGuardPages(t *testing.T) {
	r := newRand(t)
	const n = 40
	end := guarded(t, 4096)
	copy(end, randomBytes(r, len(end)))
	sums := guarded(t, n*64)
	onEachPath(t, func(t *testing.T, p path) {
		for length := range 301 {
			whole, parts := make([][]byte, n), make([]Parts, n)
			want := make([][32]byte, n)
			for i := range whole {
				whole[i] = end[len(end)-max(length-i%3, 0):]
				parts[i] = split(r, whole[i])
				want[i] = sha256.Sum256(whole[i])
			}
			got := make([][32]byte, n)
			if p.sums(got, messages{whole: whole, n: n}); !slices.Equal(got, want) {
				t.Fatalf("%d bytes: wrong", length)
			}
			if p.sums(got, messages{parts: parts, n: n}); !slices.Equal(got, want) {
				t.Fatalf("%d bytes in parts: wrong", length)
			}
		}
		for count := range n + 1 {
			for _, o := range []op{sum32, double64, ripemd32} {
				dst := sums[len(sums)-count*o.out():]
				src := end[len(end)-count*o.in():]
				want := make([]byte, len(dst))
				o.each(want, src)
				if p.fixed(o, dst, src); !slices.Equal(dst, want) {
					t.Fatalf("op %d of %d messages: wrong", o, count)
				}
			}
		}
	})
}

// Values of chains that end where memory does.
func TestGuardPagesChains(t *testing.T) {
	values := guarded(t, 20*33)
	onEachPath(t, func(t *testing.T, p path) {
		clear(values)
		p.chains((*[33][20]byte)(unsafe.Pointer(&values[0]))[:], slices.Repeat([]int{1}, 33))
		if want := address.Hash160(make([]byte, 20)); !slices.Equal(values[32*20:], want) {
			t.Errorf("got %x, want %x", values[32*20:], want)
		}
	})
}

// Messages whose length in bits needs more than 32 bits, in every kernel. What
// they are costs no memory: it is nothing but zeros that nobody wrote.
func TestHuge(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	if raceEnabled {
		t.Skip("the race detector needs memory for it")
	}
	m := guarded(t, 1<<29+100)
	want := sha256.Sum256(m)
	onEachPath(t, func(t *testing.T, p path) {
		if p == (path{}) {
			t.Skip("this path has no kernels")
		}
		// Just that many of them that one lane each has the kernel to itself.
		whole := slices.Repeat([][]byte{m}, 32)
		if !p.avx512 {
			whole = whole[:2]
		}
		if p.avx512 && p.avx2 {
			return // as without AVX2
		}
		got := make([][32]byte, len(whole))
		p.sums(got, messages{whole: whole, n: len(whole)})
		for i := range got {
			if got[i] != want {
				t.Errorf("message %d: got %x, want %x", i, got[i], want)
			}
		}
	})
}
