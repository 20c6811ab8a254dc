package hashlane

import (
	"crypto/sha256"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"testing"

	"github.com/btcsuite/btcd/address/v2"
)

// Every length around which the padding or the place of a message changes, in a
// batch of its own kind.
func TestLengths(t *testing.T) {
	r := newRand(t)
	samples := make([]*sample, 0, 700)
	for length := range 301 {
		for _, n := range []int{3, 33} {
			whole := make([][]byte, n)
			for i := range whole {
				whole[i] = randomBytes(r, length)
			}
			samples = append(samples, newSample(r, whole))
		}
	}
	onEachPath(t, func(t *testing.T, p path) {
		for _, s := range samples {
			s.check(t, p)
		}
	})
}

// Every number of messages, of mixed lengths.
func TestCounts(t *testing.T) {
	r := newRand(t)
	var samples []*sample
	for range rounds(10) {
		for n := range 41 {
			most := []int{64, 300, 2000}[r.IntN(3)]
			samples = append(samples, newSample(r, mixed(r, n, most)))
		}
	}
	onEachPath(t, func(t *testing.T, p path) {
		for _, s := range samples {
			s.check(t, p)
		}
	})
}

// mixed returns n messages of up to most bytes.
func mixed(r *rand.Rand, n, most int) [][]byte {
	whole := make([][]byte, n)
	for i := range whole {
		whole[i] = randomBytes(r, edgeLength(r, most))
	}
	return whole
}

// Batches in which some messages are far longer than the others, and more
// messages than are put in order at a time.
func TestLong(t *testing.T) {
	r := newRand(t)
	var samples []*sample
	for range rounds(10) {
		whole := mixed(r, 1+r.IntN(400), 300)
		for range 1 + r.IntN(40) {
			whole[r.IntN(len(whole))] = randomBytes(r, edgeLength(r, 40000))
		}
		samples = append(samples, newSample(r, whole))
	}
	samples = append(samples, newSample(r, [][]byte{randomBytes(r, 1<<20), randomBytes(r, 1<<20-9), nil}))
	samples = append(samples, newSample(r, mixed(r, 8192+hashWindow+7, 150)))
	onEachPath(t, func(t *testing.T, p path) {
		for _, s := range samples {
			s.check(t, p)
		}
	})
}

// The order of a batch must not matter to a message.
func TestPermutation(t *testing.T) {
	r := newRand(t)
	whole := mixed(r, 100, 400)
	got, want := make([][32]byte, len(whole)), make([][32]byte, len(whole))
	perm := r.Perm(len(whole))
	onEachPath(t, func(t *testing.T, p path) {
		shuffled := make([][]byte, len(whole))
		for i, j := range perm {
			shuffled[i] = whole[j]
		}
		p.sums(want, messages{whole: whole, n: len(whole)})
		p.sums(got, messages{whole: shuffled, n: len(whole)})
		for i, j := range perm {
			if got[i] != want[j] {
				t.Fatalf("message %d: %x at place %d, %x at place %d", j, want[j], j, got[i], i)
			}
		}
	})
}

// The exported functions, each on as many messages as take it through the
// kernels and through what they leave over.
func TestExported(t *testing.T) {
	r := newRand(t)
	for _, n := range []int{0, 1, 2, 5, 16, 31, 32, 33, 75, 600, 8192 + 40} {
		s := newSample(r, mixed(r, n, 300))
		got := make([][32]byte, n)
		expect := func(name string, want [][32]byte) {
			t.Helper()
			if !slices.Equal(got, want) {
				t.Errorf("%s of %d messages is wrong", name, n)
			}
			clear(got)
		}
		Sum256(got, s.whole)
		expect("Sum256", s.single)
		SumParts(got, s.parts)
		expect("SumParts", s.single)
		DoubleSum256(got, s.whole)
		expect("DoubleSum256", s.double)
		DoubleSumParts(got, s.parts)
		expect("DoubleSumParts", s.double)
		got20 := make([][20]byte, n)
		if Hash160(got20, s.whole); !slices.Equal(got20, s.hash20) {
			t.Errorf("Hash160 of %d messages is wrong", n)
		}

		pairs, headers := make([][64]byte, n), make([][80]byte, n)
		of64, of80 := make([][32]byte, n), make([][32]byte, n)
		for i := range n {
			copy(pairs[i][:], randomBytes(r, 64))
			copy(headers[i][:], randomBytes(r, 80))
			of64[i], of80[i] = doubleSHA(pairs[i][:]), doubleSHA(headers[i][:])
		}
		DoubleSum64(got, pairs)
		expect("DoubleSum64", of64)
		DoubleSum80(got, headers)
		expect("DoubleSum80", of80)
	}
}

func TestFixed(t *testing.T) {
	r := newRand(t)
	for _, o := range []op{sum32, double64, ripemd32} {
		src := randomBytes(r, 700*o.in())
		want := make([]byte, 700*o.out())
		o.each(want, src)
		onEachPath(t, func(t *testing.T, p path) {
			for n := range 701 {
				if n > 100 && n%67 > 1 {
					continue
				}
				got := make([]byte, n*o.out()+1)
				p.fixed(o, got[:n*o.out()], src[:n*o.in()])
				if !slices.Equal(got, append(want[:n*o.out():n*o.out()], 0)) {
					t.Fatalf("op %d of %d messages is wrong", o, n)
				}
				inPlace := slices.Clone(src[:n*o.in()])
				p.fixed(o, inPlace[:n*o.out()], inPlace)
				if !slices.Equal(inPlace[:n*o.out()], want[:n*o.out()]) {
					t.Fatalf("op %d of %d messages in place is wrong", o, n)
				}
			}
		})
	}
}

func TestChains(t *testing.T) {
	r := newRand(t)
	onEachPath(t, func(t *testing.T, p path) {
		for _, n := range []int{0, 1, 2, 7, 8, 9, 31, 32, 33, 70, 200} {
			values, want, steps := make([][20]byte, n), make([][20]byte, n), make([]int, n)
			for i := range values {
				copy(values[i][:], randomBytes(r, 20))
				steps[i] = r.IntN(18) - 1
				if r.IntN(40) == 0 {
					steps[i] = 60 + r.IntN(220) // more than one call
				}
				want[i] = values[i]
				for range steps[i] {
					want[i] = [20]byte(address.Hash160(want[i][:]))
				}
			}
			p.chains(values, steps)
			for i := range values {
				if values[i] != want[i] {
					t.Fatalf("chain %d of %d, of %d steps: got %x, want %x", i, n, steps[i], values[i], want[i])
				}
			}
		}
	})
}

// A number of steps that is not positive leaves the value, however small it is.
func TestHash160Chain(t *testing.T) {
	values := [][20]byte{{1}, {2}, {3}, {4}, {5}, {6}}
	steps := []int{0, 200, -1, math.MinInt, math.MinInt + 5, 2}
	want := slices.Clone(values)
	for i := range want {
		for range steps[i] {
			want[i] = [20]byte(address.Hash160(want[i][:]))
		}
	}
	if Hash160Chain(values, steps); !slices.Equal(values, want) {
		t.Errorf("got %x, want %x", values, want)
	}
}

// A message may be the memory of its own digest.
func TestInPlace(t *testing.T) {
	r := newRand(t)
	onEachPath(t, func(t *testing.T, p path) {
		for _, n := range []int{1, 2, 7, 20, 40, 100} {
			got, want, whole := make([][32]byte, n), make([][32]byte, n), make([][]byte, n)
			for i := range got {
				copy(got[i][:], randomBytes(r, 32))
				whole[i] = got[i][:r.IntN(33)]
				want[i] = doubleSHA(whole[i])
			}
			doubleSum(p, got, messages{whole: whole, n: n}, "")
			if !slices.Equal(got, want) {
				t.Fatalf("%d messages in place: wrong", n)
			}
		}
	})
}

func TestLengthMismatch(t *testing.T) {
	one, pair := make([][32]byte, 1), make([][]byte, 2)
	for name, f := range map[string]func(){
		"Sum256":         func() { Sum256(one, pair) },
		"DoubleSum256":   func() { DoubleSum256(one, pair) },
		"SumParts":       func() { SumParts(one, make([]Parts, 2)) },
		"DoubleSumParts": func() { DoubleSumParts(one, make([]Parts, 2)) },
		"DoubleSum80":    func() { DoubleSum80(one, make([][80]byte, 2)) },
		"DoubleSum64":    func() { DoubleSum64(one, make([][64]byte, 2)) },
		"Hash160":        func() { Hash160(make([][20]byte, 1), pair) },
		"Hash160Chain":   func() { Hash160Chain(make([][20]byte, 1), make([]int, 2)) },
	} {
		func() {
			defer func() {
				if r := recover(); r == nil {
					t.Errorf("%s did not panic", name)
				} else if !slices.Contains([]string{
					"hashlane: " + name + ": len(dst) != len(msgs)",
					"hashlane: " + name + ": len(values) != len(steps)",
				}, fmt.Sprint(r)) {
					t.Errorf("%s panicked with %v", name, r)
				}
			}()
			f()
		}()
	}
}

// Goroutines that grow their stacks hash what was just allocated, while memory
// is collected all the time.
func TestConcurrent(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(1))
	seed := newRand(t).Uint64()
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(g)))
			for range rounds(60) {
				if err := deep(r, r.IntN(40)); err != nil {
					t.Error(err)
					return
				}
				runtime.Gosched()
			}
		})
	}
	wg.Wait()
}

// deep hashes messages of the stack and of the heap at a depth of the stack.
func deep(r *rand.Rand, depth int) error {
	var local [200]byte
	local[0] = byte(depth)
	if depth > 0 {
		if err := deep(r, depth-1); err != nil {
			return err
		}
	}
	whole := make([][]byte, 0, 40)
	for range 20 {
		whole = append(whole, local[:r.IntN(len(local)+1)], make([]byte, r.IntN(600)))
	}
	got := make([][32]byte, len(whole))
	DoubleSum256(got, whole)
	for i, m := range whole {
		if got[i] != doubleSHA(m) {
			return fmt.Errorf("message %d of %d bytes: got %x, want %x", i, len(m), got[i], doubleSHA(m))
		}
	}
	return nil
}

func TestAllocations(t *testing.T) {
	r := newRand(t)
	s := newSample(r, mixed(r, 300, 500))
	n := len(s.whole)
	sums, hashes, steps := make([][32]byte, n), make([][20]byte, n), make([]int, n)
	for i := range steps {
		steps[i] = i % 3
	}
	pairs, headers := make([][64]byte, n), make([][80]byte, n)
	for name, f := range map[string]func(){
		"Sum256":         func() { Sum256(sums, s.whole) },
		"DoubleSumParts": func() { DoubleSumParts(sums, s.parts) },
		"few messages":   func() { DoubleSumParts(sums[:3], s.parts[:3]) },
		"DoubleSum80":    func() { DoubleSum80(sums, headers) },
		"DoubleSum64":    func() { DoubleSum64(sums, pairs) },
		"Hash160":        func() { Hash160(hashes, s.whole) },
		"Hash160Chain":   func() { Hash160Chain(hashes, steps) },
		"MerkleRoot":     func() { MerkleRoot(sums) },
		"a message on the stack": func() {
			var header [80]byte
			header[3] = 1
			whole := [2][]byte{header[:], header[1:]}
			Sum256(sums[:2], whole[:])
		},
	} {
		// A pool may drop what it holds when memory is collected, and does so at
		// random under the race detector.
		if got := testing.AllocsPerRun(50, f); got > 0 && !raceEnabled {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
}

func TestMerkleRoot(t *testing.T) {
	r := newRand(t)
	for n := range 200 {
		leaves := make([][32]byte, n)
		for i := range leaves {
			copy(leaves[i][:], randomBytes(r, 32))
			if i > 0 && r.IntN(100) == 0 {
				leaves[i] = leaves[i-1]
			}
			if i > 0 && r.IntN(20) == 0 {
				copy(leaves[i][:8], leaves[i-1][:8])
			}
		}
		if n >= 6 && r.IntN(4) == 0 { // twice the same subtree
			at := r.IntN(n/4) * 4 &^ 3
			copy(leaves[min(at+2, n-2):], leaves[min(at, n-4):][:2])
		}
		wantRoot, wantMutated := naiveRoot(leaves)
		onEachPath(t, func(t *testing.T, p path) {
			if n == 0 {
				return
			}
			nodes := slices.Clone(leaves)
			if mutated := merkle(p, nodes); nodes[0] != wantRoot || mutated != wantMutated {
				t.Fatalf("%d leaves: root %x, mutated %v; want %x, %v", n, nodes[0], mutated, wantRoot, wantMutated)
			}
		})
		root, mutated := MerkleRoot(slices.Clone(leaves))
		if root != wantRoot || mutated != wantMutated {
			t.Fatalf("%d leaves: MerkleRoot is %x, %v; want %x, %v", n, root, mutated, wantRoot, wantMutated)
		}
	}
}

// naiveRoot is MerkleRoot with one hash at a time.
func naiveRoot(leaves [][32]byte) (root [32]byte, mutated bool) {
	if len(leaves) == 0 {
		return root, false
	}
	level := slices.Clone(leaves)
	for len(level) > 1 {
		var above [][32]byte
		for i := 0; i < len(level); i += 2 {
			l, r := level[i], level[min(i+1, len(level)-1)]
			mutated = mutated || i+1 < len(level) && l == r
			sum := sha256.Sum256(slices.Concat(l[:], r[:]))
			above = append(above, sha256.Sum256(sum[:]))
		}
		level = above
	}
	return level[0], mutated
}
