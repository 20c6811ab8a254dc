package lane

import (
	"math/rand/v2"
	"testing"
)

// An implementation is a set of kernels to test.
type implementation struct {
	new  func() *Scratch
	slow bool // about a hundred times
}

// eachImpl runs the test with every implementation, and skips the kernels where
// this machine cannot run them.
func eachImpl(t *testing.T, test func(t *testing.T, impl implementation)) {
	t.Helper()
	table := newTable()
	t.Run("models", func(t *testing.T) {
		test(t, implementation{func() *Scratch { return newScratch(models(), table) }, true})
	})
	t.Run("kernels", func(t *testing.T) {
		needKernels(t)
		test(t, implementation{func() *Scratch { return newScratch(assembly(), table) }, false})
	})
}

// needKernels skips a test of the kernels where this machine cannot run them, and
// says what is missing. That is no failure in CI either: it is the machine's.
func needKernels(tb testing.TB) {
	tb.Helper()
	if missing := missingFeature(); missing != "" {
		tb.Skipf("THE LANES OF SIGNATURES WERE NOT TESTED: this machine lacks %s", missing)
	}
}

// rounds is how often a test does something: less often with slow models, and
// in short tests.
func (impl *implementation) rounds(n int) int {
	if impl.slow {
		n /= 20
	}
	if testing.Short() {
		n /= 5
	}
	return max(n, 1)
}

func verify(s *Scratch, samples []*sample) []Verdict {
	verdicts := make([]Verdict, len(samples))
	for i := range verdicts {
		verdicts[i] = 255 // every verdict is written
	}
	s.Verify(itemsOf(samples), verdicts)
	return verdicts
}

// check fails if a verdict is neither right nor Unsure, and returns how many are
// Unsure.
func check(t *testing.T, samples []*sample, verdicts []Verdict) (unsure int) {
	t.Helper()
	for i, s := range samples {
		switch {
		case verdicts[i] == Unsure:
			unsure++
		case verdicts[i] > Unsure || (verdicts[i] == Valid) != s.want:
			t.Errorf("item %d of %d: verdict %d, want valid %v: %v", i, len(samples), verdicts[i], s.want, s)
		}
	}
	return unsure
}

func TestVerify(t *testing.T) {
	eachImpl(t, func(t *testing.T, impl implementation) {
		r, s := newRand(t), impl.new()
		for range impl.rounds(20) {
			samples := mixed(r, 200)
			check(t, samples, verify(s, samples))
		}
	})
}

// The lanes are sure of everything that is not made to be exceptional.
func TestOrdinaryItemsAreSure(t *testing.T) {
	eachImpl(t, func(t *testing.T, impl implementation) {
		r, s := newRand(t), impl.new()
		for range impl.rounds(40) {
			samples := make([]*sample, 64)
			for i := range samples {
				samples[i] = valid(r)
				if i%2 == 1 {
					samples[i].sig[32+r.IntN(32)] ^= 1 << r.IntN(8)
					samples[i].want = false
				}
			}
			if unsure := check(t, samples, verify(s, samples)); unsure > 0 {
				t.Errorf("%d ordinary items are Unsure", unsure)
			}
		}
	})
}

// Exceptional items are Unsure: a wrapped r, and a result at infinity.
func TestExceptionalItemsAreUnsure(t *testing.T) {
	eachImpl(t, func(t *testing.T, impl implementation) {
		r, s := newRand(t), impl.new()
		var samples []*sample
		for range impl.rounds(100) {
			samples = append(samples, wrappedECDSA(r), infiniteECDSA(r), infiniteBIP340(r), valid(r))
		}
		for i, v := range verify(s, samples) {
			if (v == Unsure) != (i%4 < 3) {
				t.Errorf("verdict %d of %v", v, samples[i])
			}
		}
	})
}

// Every number of items, around all boundaries of vectors, pairs of vectors,
// groups and chunks. A slip of representation once showed at one size only.
func TestEveryLength(t *testing.T) {
	eachImpl(t, func(t *testing.T, impl implementation) {
		r, s := newRand(t), impl.new()
		samples := mixed(r, 2*chunk+20)
		lengths := []int{0, chunk - 1, chunk, chunk + 1, chunk + 8, chunk + 17, 2*chunk + 9}
		longest := 64
		if impl.slow {
			lengths, longest = []int{0}, 18
			if testing.Short() {
				longest = 9
			}
		} else if !testing.Short() {
			longest = 140
		}
		for n := 1; n <= longest; n++ {
			lengths = append(lengths, n)
		}
		for _, n := range lengths {
			start := r.IntN(len(samples) - n + 1)
			check(t, samples[start:start+n], verify(s, samples[start:start+n]))
			// And of valid items alone: none may be lost.
			good := make([]*sample, n)
			for i := range good {
				good[i] = samples[2]
			}
			if unsure := check(t, good, verify(s, good)); unsure > 0 {
				t.Errorf("%d of %d valid items are Unsure", unsure, n)
			}
		}
	})
}

// A verdict does not depend on the neighbours or on the place.
func TestPermutations(t *testing.T) {
	eachImpl(t, func(t *testing.T, impl implementation) {
		r, s := newRand(t), impl.new()
		n := 120
		if impl.slow {
			n = 24
		}
		samples := mixed(r, n)
		want := map[*sample]Verdict{}
		for i, v := range verify(s, samples) {
			want[samples[i]] = v
		}
		for range impl.rounds(60) {
			r.Shuffle(n, func(i, j int) { samples[i], samples[j] = samples[j], samples[i] })
			part := samples[:1+r.IntN(n)]
			for i, v := range verify(s, part) {
				if v != want[part[i]] {
					t.Errorf("item %d: verdict %d, and %d elsewhere: %v", i, v, want[part[i]], part[i])
				}
			}
		}
	})
}

// inEveryLane verifies each sample in each lane of a vector, among seven valid
// and among seven invalid neighbours.
func inEveryLane(t *testing.T, impl implementation, samples []*sample) (unsure int) {
	t.Helper()
	r, s := newRand(t), impl.new()
	neighbours := make([]*sample, 8)
	for i := range neighbours {
		neighbours[i] = valid(r)
	}
	var all []*sample
	for _, it := range samples {
		for lane := range 8 {
			for _, good := range []bool{true, false} {
				vector := make([]*sample, 8)
				for i, n := range neighbours {
					if vector[i] = n; !good {
						vector[i] = n.clone()
						vector[i].digest[i] ^= 1
						vector[i].want = false
					}
				}
				vector[lane] = it
				all = append(all, vector...)
			}
		}
	}
	return check(t, all, verify(s, all))
}

func TestEveryLane(t *testing.T) {
	eachImpl(t, func(t *testing.T, impl implementation) {
		r := newRand(t)
		n := 48
		if impl.slow {
			n = 2
		} else if testing.Short() {
			n = 16
		}
		inEveryLane(t, impl, mixed(r, n))
	})
}

// The same key, the same signature, and the same everything, many times over.
func TestDuplicates(t *testing.T) {
	eachImpl(t, func(t *testing.T, impl implementation) {
		r, s := newRand(t), impl.new()
		key := pairOf(edgeMod(r))
		var samples []*sample
		for i := range 16 {
			nonce := pairOf(edgeMod(r))
			digest := edge32(r)
			samples = append(samples, signECDSA(&key, &nonce, digest, 2), signBIP340(&key, &nonce, digest, i%4 == 3))
		}
		check(t, samples, verify(s, samples))
		same := make([]*sample, 32)
		for _, it := range samples[:4] {
			for i := range same {
				same[i] = it
			}
			verdicts := verify(s, same)
			check(t, same, verdicts)
			for _, v := range verdicts {
				if v != verdicts[0] {
					t.Errorf("verdicts %v on one item", verdicts)
				}
			}
		}
	})
}

// Every pair of edges as r and s, under a key and a digest to which nothing of
// it belongs.
func TestEdgePairs(t *testing.T) {
	eachImpl(t, func(t *testing.T, impl implementation) {
		r, s := newRand(t), impl.new()
		var samples []*sample
		for i, sigR := range edges {
			if impl.slow && i%7 != 0 {
				continue
			}
			key := pairOf(edgeMod(r))
			for _, sigS := range edges {
				samples = append(samples,
					newSample("edges", key.encode(randomForm(r)), sigR, sigS, edge32(r), false, false),
					newSample("edges", key.encode(0), sigR, sigS, edge32(r), true, false))
			}
		}
		check(t, samples, verify(s, samples))
	})
}

// Verify only reads items, and works whatever memory it finds.
func TestScratchIsReusable(t *testing.T) {
	eachImpl(t, func(t *testing.T, impl implementation) {
		r, s := newRand(t), impl.new()
		for range impl.rounds(20) {
			samples := mixed(r, 1+r.IntN(40))
			before := make([]sample, len(samples))
			for i, it := range samples {
				before[i] = *it.clone()
			}
			for i := range s.vectors {
				fill(r, s.vectors[i][:])
			}
			fill(r, s.work[:])
			check(t, samples, verify(s, samples))
			for i, it := range samples {
				if it.sig != before[i].sig || it.digest != before[i].digest || string(it.Key) != string(before[i].Key) {
					t.Errorf("item %d was written to", i)
				}
			}
		}
	})
}

// Key, signature and digest may be the same memory as those of other items, or
// parts of each other.
func TestAliasing(t *testing.T) {
	eachImpl(t, func(t *testing.T, impl implementation) {
		r, s := newRand(t), impl.new()
		good := valid(r)
		items := []Item{good.Item, good.Item, {Key: good.sig[:33], Sig: good.Sig, Digest: (*[32]byte)(good.sig[32:])},
			{Key: good.digest[:], Sig: good.Sig, Digest: good.Digest, BIP340: true}}
		verdicts := make([]Verdict, len(items))
		s.Verify(items, verdicts)
		for i := range items {
			if want := oracle(&items[i]); verdicts[i] == Unsure || (verdicts[i] == Valid) != want {
				t.Errorf("item %d: verdict %d, want valid %v", i, verdicts[i], want)
			}
		}
	})
}

func TestLengthsMustMatch(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic for slices of different lengths")
		}
	}()
	newScratch(models(), nil).Verify(make([]Item, 1), nil)
}

func TestNoAllocations(t *testing.T) {
	needKernels(t)
	s := newScratch(assembly(), newTable())
	items := itemsOf(mixed(rand.New(rand.NewPCG(1, 2)), chunk+9))
	verdicts := make([]Verdict, len(items))
	if n := testing.AllocsPerRun(10, func() { s.Verify(items, verdicts) }); n != 0 {
		t.Errorf("Verify allocates %v times", n)
	}
}

// A processor that claims IFMA must run the kernels.
func TestAvailable(t *testing.T) {
	err := Check()
	if (err == nil) != Available() {
		t.Errorf("Check() = %v, Available() = %v", err, Available())
	}
	if missing := missingFeature(); missing != "" && err == nil {
		t.Errorf("available where %s is missing", missing)
	}
	t.Run("kernels", func(t *testing.T) {
		needKernels(t)
		if err != nil {
			t.Fatalf("the processor claims to have what the kernels need: %v", err)
		}
		s, err := NewScratch()
		if err != nil {
			t.Fatal(err)
		}
		samples := mixed(newRand(t), 20)
		check(t, samples, verify(s, samples))
	})
}
