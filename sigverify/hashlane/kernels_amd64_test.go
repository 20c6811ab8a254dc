//go:build !purego

package hashlane

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	"unsafe"
)

// sha256K holds SHA-256's round constants (FIPS 180-4, section 4.2.2).
var sha256K = [64]uint32{
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
}

// compressModel is SHA-256's compression function (FIPS 180-4, section 6.2.2).
func compressModel(h *[8]uint32, block []byte) {
	ror := func(x uint32, n int) uint32 { return bits.RotateLeft32(x, -n) }
	var w [64]uint32
	for i := range w {
		if i < 16 {
			w[i] = binary.BigEndian.Uint32(block[4*i:])
			continue
		}
		x, y := w[i-15], w[i-2]
		w[i] = w[i-16] + w[i-7] + (ror(x, 7) ^ ror(x, 18) ^ x>>3) + (ror(y, 17) ^ ror(y, 19) ^ y>>10)
	}
	s := *h
	for i := range w {
		a, b, c, e, f, g := s[0], s[1], s[2], s[4], s[5], s[6]
		t1 := s[7] + (ror(e, 6) ^ ror(e, 11) ^ ror(e, 25)) + (e&f ^ ^e&g) + sha256K[i] + w[i]
		t2 := (ror(a, 2) ^ ror(a, 13) ^ ror(a, 22)) + (a&b ^ a&c ^ b&c)
		s = [8]uint32{t1 + t2, a, b, c, s[3] + t1, e, f, g}
	}
	for i := range h {
		h[i] += s[i]
	}
}

// A laneModel is one lane of advance32.
type laneModel struct {
	state        [8]uint32
	run          []byte // what base points to
	offset, left int
	length       uint64 // of the message in bits
}

// step is one step of the lane.
func (l *laneModel) step() {
	if l.left >= -8 {
		var block [64]byte
		if l.left > 0 {
			copy(block[:], l.run[l.offset:][:min(l.left, 64)])
		}
		if 0 <= l.left && l.left < 64 {
			block[l.left] = 0x80
		}
		if l.left < 56 {
			binary.BigEndian.PutUint64(block[56:], l.length)
		}
		compressModel(&l.state, block[:])
	}
	l.offset += 64
	l.left -= 64
}

// digest returns the lane's state as a digest.
func (l *laneModel) digest() (d [32]byte) {
	for i, x := range l.state {
		binary.BigEndian.PutUint32(d[4*i:], x)
	}
	return d
}

// requires skips the test if the processor lacks what p has.
func requires(t *testing.T, p path) {
	t.Helper()
	if has := detect(); p.avx512 && !has.avx512 || p.avx2 && !has.avx2 || p.shani && !has.shani {
		t.Skipf("THE LANES OF HASHES WERE NOT TESTED, those of %v: this processor has %v", p, has)
	}
}

// needKernel skips the test if the processor has none of the kernels.
func needKernel(t *testing.T) {
	t.Helper()
	if detect() == (path{}) {
		t.Skip("THE LANES OF HASHES WERE NOT TESTED, none of them: this processor can run none")
	}
}

func TestAdvance32(t *testing.T) {
	requires(t, path{avx512: true})
	r := newRand(t)
	for range rounds(2000) {
		var lanes [32]laneModel
		s := new(scratch)
		var base [32]*byte
		steps := 1 + r.IntN(4)
		fresh := r.Uint32() & r.Uint32()
		if r.IntN(3) == 0 {
			fresh = 0
		}
		for i := range lanes {
			l := &lanes[i]
			l.length = r.Uint64() >> r.IntN(64)
			l.offset = r.IntN(100)
			switch r.IntN(4) {
			case 0: // blocks before the last
				l.left = 64 * (steps + r.IntN(2))
			case 1:
				l.left = -64 * r.IntN(2)
			default:
				l.left = edgeLength(r, 64*steps+10)
			}
			l.run = randomBytes(r, l.offset+max(l.left, 0)+1)
			for w := range l.state {
				l.state[w] = r.Uint32()
				s.state[w][i] = l.state[w]
			}
			if fresh>>i&1 != 0 {
				l.state = initial
			}
			base[i], s.offset[i], s.left[i] = &l.run[0], int32(l.offset), int32(l.left)
			s.length[0][i], s.length[1][i] = uint32(l.length>>32), uint32(l.length)
		}
		advance32(&s.digests, &s.state, &base, &s.offset, &s.left, &s.length, steps, fresh)
		for i := range lanes {
			l := &lanes[i]
			start := *l
			for range steps {
				l.step()
			}
			var got [8]uint32
			for w := range got {
				got[w] = s.state[w][i]
			}
			if got != l.state || s.digests[i] != l.digest() ||
				int(s.offset[i]) != l.offset || int(s.left[i]) != l.left {
				t.Fatalf("lane %d, %d steps, fresh %032b: %+v\nbecame %x, digest %x, offset %d, left %d\nwant %x, %x, %d, %d",
					i, steps, fresh, start, got, s.digests[i], s.offset[i], s.left[i], l.state, l.digest(), l.offset, l.left)
			}
		}
	}
}

// testAdvance tests the kernel of a width that hashes whole blocks. state returns
// where word w of lane i's state is.
func testAdvance(t *testing.T, width int, s *scratch, state func(w, i int) *uint32) {
	r := newRand(t)
	for range rounds(2000) {
		lanes := make([]laneModel, width)
		var base [32]*byte
		steps := 1 + r.IntN(4)
		for i := range lanes {
			l := &lanes[i]
			l.offset = r.IntN(100)
			l.left = 64 * steps
			l.run = randomBytes(r, l.offset+l.left)
			for w := range l.state {
				l.state[w] = r.Uint32()
				*state(w, i) = l.state[w]
			}
			base[i], s.offset[i] = &l.run[0], int32(l.offset)
		}
		s.advance(width, &base, int32(steps), 0)
		for i := range lanes {
			l := &lanes[i]
			for range steps {
				l.step()
			}
			for w := range l.state {
				if got := *state(w, i); got != l.state[w] {
					t.Fatalf("lane %d, %d steps: word %d of the state is %#x, want %#x", i, steps, w, got, l.state[w])
				}
			}
			if s.digests[i] != l.digest() || int(s.offset[i]) != l.offset {
				t.Fatalf("lane %d: digest %x, offset %d; want %x, %d", i, s.digests[i], s.offset[i], l.digest(), l.offset)
			}
		}
	}
}

func TestAdvance8(t *testing.T) {
	requires(t, path{avx2: true})
	s := new(scratch)
	state := (*[8][8]uint32)(unsafe.Pointer(&s.state))
	testAdvance(t, 8, s, func(w, i int) *uint32 { return &state[w][i] })
}

func TestAdvance2(t *testing.T) {
	requires(t, path{shani: true})
	s := new(scratch)
	state := (*[2][8]uint32)(unsafe.Pointer(&s.state))
	testAdvance(t, 2, s, func(w, i int) *uint32 { return &state[i][w] })
}

// fixedKernels are the kernels of op.kernel.
var fixedKernels = []struct {
	op    op
	width int
	need  path
}{
	{sum32, 32, path{avx512: true}},
	{sum32, 8, path{avx2: true}},
	{sum32, 2, path{shani: true}},
	{double64, 32, path{avx512: true}},
	{double64, 8, path{avx2: true}},
	{double64, 2, path{shani: true}},
	{ripemd32, 32, path{avx512: true}},
	{ripemd32, 8, path{avx2: true}},
}

// model is o with the models of this file.
func (o op) model(dst, src []byte) {
	sum := func(m []byte) []byte {
		l := laneModel{state: initial, run: m, left: len(m), length: uint64(8 * len(m))}
		for l.left >= -8 {
			l.step()
		}
		d := l.digest()
		return d[:]
	}
	for len(src) > 0 {
		switch o {
		case sum32:
			copy(dst, sum(src[:32]))
		case double64:
			copy(dst, sum(sum(src[:64])))
		case ripemd32:
			d := ripemd160([32]byte(src))
			copy(dst, d[:])
		}
		dst, src = dst[o.out():], src[o.in():]
	}
}

func TestFixedKernels(t *testing.T) {
	r := newRand(t)
	for _, k := range fixedKernels {
		t.Run("", func(t *testing.T) {
			requires(t, k.need)
			for range rounds(50) {
				groups := 1 + r.IntN(3)
				src := randomBytes(r, groups*k.width*k.op.in())
				got, want := make([]byte, groups*k.width*k.op.out()+1), make([]byte, groups*k.width*k.op.out()+1)
				k.op.kernel(k.width, &got[0], &src[0], groups)
				k.op.model(want, src)
				if !bytes.Equal(got, want) {
					t.Fatalf("op %d in groups of %d, %d groups of %x: got %x, want %x", k.op, k.width, groups, src, got, want)
				}
			}
		})
	}
}

// chainModel is one lane of a kernel of chains.
func chainModel(v *[5]uint32, count *int32, steps int) {
	var b [20]byte
	for w, x := range v {
		binary.LittleEndian.PutUint32(b[4*w:], x)
	}
	chainOne(&b, min(steps, max(int(*count), 0)))
	for w := range v {
		v[w] = binary.LittleEndian.Uint32(b[4*w:])
	}
	*count -= int32(steps)
}

// testChain tests a kernel of chains of a width.
func testChain(t *testing.T, width int, kernel func(s *scratch, steps int)) {
	r := newRand(t)
	for range rounds(200) {
		s := new(scratch)
		words := unsafe.Slice(&s.values[0][0], 5*width)
		values, counts := make([][5]uint32, width), make([]int32, width)
		steps := 1 + r.IntN(8)
		for i := range values {
			counts[i] = int32(r.IntN(12) - 2)
			s.left[i] = counts[i]
			for w := range values[i] {
				values[i][w] = r.Uint32()
				words[w*width+i] = values[i][w]
			}
		}
		kernel(s, steps)
		for i := range values {
			start := counts[i]
			chainModel(&values[i], &counts[i], steps)
			for w, want := range values[i] {
				if got := words[w*width+i]; got != want {
					t.Fatalf("lane %d, count %d, %d steps: word %d is %#x, want %#x", i, start, steps, w, got, want)
				}
			}
			if s.left[i] != counts[i] {
				t.Fatalf("lane %d: count %d became %d in %d steps", i, start, s.left[i], steps)
			}
		}
	}
}

func TestChain160x32(t *testing.T) {
	requires(t, path{avx512: true})
	testChain(t, 32, func(s *scratch, steps int) { chain160x32(&s.values, &s.left, steps) })
}

func TestChain160x8(t *testing.T) {
	requires(t, path{avx2: true})
	testChain(t, 8, func(s *scratch, steps int) {
		chain160x8((*[5][8]uint32)(unsafe.Pointer(&s.values)), (*[8]int32)(s.left[:8]), steps)
	})
}

// everyKernel calls f with each kernel that this processor has, on memory of
// its own.
func everyKernel(t *testing.T, f func(name string, call func())) {
	has := detect()
	s := new(scratch)
	src := make([]byte, 32*64)
	var base [32]*byte
	for i := range base {
		base[i], s.left[i] = &src[0], 64
	}
	for _, k := range fixedKernels {
		if k.need.avx512 && !has.avx512 || k.need.avx2 && !has.avx2 || k.need.shani && !has.shani {
			continue
		}
		name := [...]string{"sum32", "double64", "ripemd32"}[k.op]
		f(name+" "+k.need.String(), func() { k.op.kernel(k.width, &src[0], &src[0], 1) })
	}
	if has.avx512 {
		f("advance32", func() { s.offset = [32]int32{}; s.advance(32, &base, 1, 0) })
		f("chain160x32", func() { chain160x32(&s.values, &s.left, 1) })
	}
	if has.avx2 {
		f("advance8", func() { s.offset = [32]int32{}; s.advance(8, &base, 1, 0) })
		f("chain160x8", func() {
			chain160x8((*[5][8]uint32)(unsafe.Pointer(&s.values)), (*[8]int32)(s.left[:8]), 1)
		})
	}
	if has.shani {
		f("advance2", func() { s.offset = [32]int32{}; s.advance(2, &base, 1, 0) })
	}
}

// The upper halves of the vector registers must be zero after a kernel. The
// processor says whether they are, if it has XGETBV with index 1 (Intel's
// manual, volume 1, section 13.6).
func TestUpperHalves(t *testing.T) {
	const upper = 1<<2 | 1<<6 // of YMM, and of ZMM 0 to 15
	needKernel(t)
	const without = "the upper halves were not looked at: the processor has no XGETBV with index 1"
	if last, _, _, _ := cpuid(0, 0); last < 13 {
		t.Skip(without)
	}
	if a, _, _, _ := cpuid(13, 1); a>>2&1 == 0 {
		t.Skip(without)
	}
	everyKernel(t, func(name string, call func()) {
		call()
		if inUse, _ := xgetbv(1); inUse&upper != 0 {
			t.Errorf("%s leaves upper halves in use: %#x", name, inUse)
		}
	})
}

// If the upper halves are not zero, the SHA extensions are about 100 times
// slower on some processors.
func TestStandardLibraryAfterKernel(t *testing.T) {
	needKernel(t)
	var m [64]byte
	shortest := func(before func()) time.Duration {
		best := time.Hour
		for range 200 {
			before()
			start := time.Now()
			for range 8 {
				m[0] ^= sha256.Sum256(m[:])[0]
			}
			best = min(best, time.Since(start))
		}
		return best
	}
	alone := shortest(func() {})
	everyKernel(t, func(name string, call func()) {
		if after := shortest(call); after > 10*alone {
			t.Errorf("crypto/sha256 takes %v after %s, %v alone", after, name, alone)
		}
	})
}

// anyOrder returns the numbers from 0 to n-1 in another order.
func anyOrder(r *rand.Rand, n int) []uint16 {
	order := make([]uint16, n)
	for i, j := range r.Perm(n) {
		order[i] = uint16(j)
	}
	return order
}

// A kernel's scheduling must not depend on the order that sums gives it.
func TestAnyOrder(t *testing.T) {
	r := newRand(t)
	has := detect()
	for width, can := range map[int]bool{32: has.avx512, 8: has.avx2, 2: has.shani} {
		if !can {
			continue
		}
		for range rounds(50) {
			whole := mixed(r, r.IntN(100), 700)
			want := newSample(r, whole)
			got := make([][32]byte, len(whole))
			for _, msgs := range []messages{{whole: whole, n: len(whole)}, {parts: want.parts, n: len(whole)}} {
				clear(got)
				s := new(scratch)
				s.run(width, got, &msgs, anyOrder(r, len(whole)))
				for i, offset := range s.offset {
					if offset != 0 {
						t.Fatalf("width %d: lane %d without a message goes on reading, at %d", width, i, offset)
					}
				}
				for i := range got {
					if got[i] != want.single[i] {
						t.Fatalf("width %d: message %d of %d bytes: got %x, want %x", width, i, len(whole[i]), got[i], want.single[i])
					}
				}
			}
		}
	}
}

func TestSort(t *testing.T) {
	r := newRand(t)
	s := new(scratch)
	for _, n := range []int{1, 2, 100, window} {
		for i := range n {
			s.keys[i] = uint8(r.IntN(1 + r.IntN(256)))
		}
		order := s.sort(n)
		if seen := slices.Sorted(slices.Values(order)); len(seen) != n || n > 0 && int(seen[n-1]) != n-1 || len(slices.Compact(seen)) != n {
			t.Errorf("%d: no permutation", n)
		}
		if !slices.IsSortedFunc(order, func(a, b uint16) int {
			return cmp.Or(cmp.Compare(s.keys[b], s.keys[a]), cmp.Compare(a, b))
		}) {
			t.Errorf("%d: not in order", n)
		}
	}
}

func TestShares(t *testing.T) {
	for _, tt := range []struct {
		length, total, width int
		want                 bool
	}{
		{64*10 - 9, 320, 32, true},
		{64*10 - 8, 320, 32, false}, // eleven blocks
		{0, 31, 32, false},
		{1 << 30, 1 << 40, 32, true},
		{1<<30 + 1, 1 << 40, 32, false},
	} {
		if got := shares(tt.length, tt.total, tt.width); got != tt.want {
			t.Errorf("%d bytes beside %d blocks in %d lanes: %v", tt.length, tt.total, tt.width, got)
		}
	}
}
