package hashlane

import (
	"slices"
	"strings"
	"sync"
)

// A path is what the processor offers that is used. The zero path is Go's
// standard library.
type path struct {
	// avx512 is 32 messages at a time, with AVX-512 F, BW and VL, and BMI2.
	avx512 bool
	// avx2 is eight messages at a time.
	avx2 bool
	// shani is two messages at a time, with the SHA extensions and AVX2.
	shani bool
}

// current returns the path that all functions take.
var current = sync.OnceValue(func() path {
	return firstWorking(detect().fallbacks(), path.works)
})

// firstWorking returns the first of paths that works, or the zero path.
func firstWorking(paths []path, works func(path) bool) path {
	if i := slices.IndexFunc(paths, works); i >= 0 {
		return paths[i]
	}
	return path{}
}

// Path returns which instructions are used: "go" for the standard library, else
// one or more of "avx512", "avx2" and "shani", joined by "+". Instructions that
// the processor has, but whose results are wrong when the package is first used,
// are not used.
func Path() string { return current().String() }

func (p path) String() string {
	var names []string
	for _, set := range []struct {
		name string
		used bool
	}{{"avx512", p.avx512}, {"avx2", p.avx2}, {"shani", p.shani}} {
		if set.used {
			names = append(names, set.name)
		}
	}
	if names == nil {
		return "go"
	}
	return strings.Join(names, "+")
}

// fallbacks returns every path that a processor with p can take, the best first
// and the zero path last.
func (p path) fallbacks() []path {
	var all []path
	for without := range 8 {
		q := path{avx512: without&4 == 0, shani: without&2 == 0, avx2: without&1 == 0}
		if (p.avx512 || !q.avx512) && (p.avx2 || !q.avx2) && (p.shani || !q.shani) {
			all = append(all, q)
		}
	}
	return all
}

// A computer computes the hashes of this package.
type computer struct {
	// sums sets dst[i] to the SHA-256 of message i.
	sums func(dst [][32]byte, msgs messages)
	// fixed sets the results of dst to o of the messages of src. dst may begin
	// where src does.
	fixed func(o op, dst, src []byte)
	// chains replaces values[i] by what HASH160 makes of it when it is taken
	// steps[i] times.
	chains func(values [][20]byte, steps []int)
}

// computer returns the methods of p.
func (p path) computer() computer { return computer{p.sums, p.fixed, p.chains} }

// works reports whether p computes what the standard library does.
func (p path) works() bool { return agree(p.computer(), path{}.computer()) }

// agree reports whether a and b compute the same, of as many messages as take a
// path through each of its kernels.
func agree(a, b computer) bool {
	const most = 70
	var data [64 * most]byte
	for i := range data {
		data[i] = byte(i*i>>3 + 7*i)
	}
	for _, n := range []int{most, 9, 2} {
		x, y := make([][32]byte, n), make([][32]byte, n)
		parts := make([]Parts, n)
		for i := range parts {
			m := data[i : 4*i+200]
			parts[i] = Parts{m[:i%5], m[i%5 : 2*i+64], m[2*i+64 : 2*i+64+i%7]}
		}
		a.sums(x, messages{parts: parts, n: n})
		b.sums(y, messages{parts: parts, n: n})
		if !slices.Equal(x, y) {
			return false
		}
		for _, o := range []op{sum32, double64, ripemd32} {
			a.fixed(o, bytesOf(x)[:n*o.out()], data[:n*o.in()])
			b.fixed(o, bytesOf(y)[:n*o.out()], data[:n*o.in()])
			if !slices.Equal(x, y) {
				return false
			}
		}
		v, w, steps := make([][20]byte, n), make([][20]byte, n), make([]int, n)
		for i := range steps {
			steps[i] = i % 4
		}
		a.chains(v, steps)
		b.chains(w, steps)
		if !slices.Equal(v, w) {
			return false
		}
	}
	return true
}
