package sigverify

import (
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// mixed returns n items of every kind, valid and not, and their verdicts.
func mixed(r *rand.Rand, n int) (items []Item, want []bool) {
	for i := range n {
		kind := kinds[i%len(kinds)]
		items, want = append(items, kind.make(r)), append(want, kind.want)
	}
	return items, want
}

// drawn returns n of the items, drawn with repetition, and their verdicts.
func drawn(r *rand.Rand, n int, from []Item, verdicts []bool) (items []Item, want []bool) {
	for range n {
		j := r.IntN(len(from))
		items, want = append(items, from[j]), append(want, verdicts[j])
	}
	return items, want
}

// eachPath runs f for each path that an operator may ask for.
func eachPath(t *testing.T, f func(t *testing.T, path Path)) {
	t.Helper()
	for _, path := range []Path{PathScalar, PathLane} {
		t.Run(string(path), func(t *testing.T) {
			needPath(t, path)
			f(t, path)
		})
	}
}

// needPath skips a test of the lanes on a machine that has none, and says so.
func needPath(tb testing.TB, path Path) {
	tb.Helper()
	if err := LaneCheck(); path == PathLane && err != nil {
		tb.Skipf("THE LANES WERE NOT TESTED: %v", err)
	}
}

// verifyEveryWay returns the verdicts on items. It asks each path, for all of
// them at once, in another order, and one by one, and fails the test where the
// answers differ.
func verifyEveryWay(t *testing.T, items []Item) []bool {
	t.Helper()
	scalar := newTestVerifier(t, Options{Path: PathScalar})
	want := verifyAll(t, scalar, items)
	for i := range items {
		if got := verifyAll(t, scalar, items[i:i+1])[0]; got != want[i] {
			t.Errorf("item %d: verdict %v in the batch, and %v alone", i, want[i], got)
		}
	}
	lanes := newTestVerifier(t, Options{})
	for i, got := range verifyAll(t, lanes, items) {
		if got != want[i] {
			t.Errorf("item %d: verdict %v, the scalar path's is %v", i, got, want[i])
		}
	}
	turned := slices.Clone(items)
	slices.Reverse(turned)
	for i, got := range verifyAll(t, lanes, turned) {
		if i = len(items) - 1 - i; got != want[i] {
			t.Errorf("item %d: verdict %v in the other order, the scalar path's is %v", i, got, want[i])
		}
	}
	return want
}

// batchSizes are all sizes up to some vectors, and those around the borders of
// chunks and of what several workers share.
func batchSizes() []int {
	var sizes []int
	few, borders := 65, []int{128, 256, 512, 768, 1024}
	if testing.Short() {
		few, borders = 34, []int{64, 256}
	}
	for n := range few {
		sizes = append(sizes, n)
	}
	for _, border := range borders {
		sizes = append(sizes, border-1, border, border+1)
	}
	return sizes
}

// Every size of a batch, chunk and number of workers gives each item the verdict
// that it has alone.
func TestBatchSizes(t *testing.T) {
	r := newRand(t)
	some, verdicts := mixed(r, 24)
	eachPath(t, func(t *testing.T, path Path) {
		for _, workers := range []int{1, 2, 3} {
			v := newTestVerifier(t, Options{Workers: workers, Chunk: []int{0, 16, 40}[workers-1], Path: path})
			for _, size := range batchSizes() {
				items, want := drawn(r, size, some, verdicts)
				valid := make([]bool, size)
				for i := range valid {
					valid[i] = !want[i]
				}
				if err := v.Verify(t.Context(), items, valid); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(valid, want) {
					t.Errorf("batch of %d, %d workers: %v, want %v", size, workers, valid, want)
				}
			}
		}
	})
}

// The verdicts of permuted items are permuted.
func TestPermutations(t *testing.T) {
	r := newRand(t)
	items, want := mixed(r, 37)
	eachPath(t, func(t *testing.T, path Path) {
		v := newTestVerifier(t, Options{Path: path})
		for range rounds(40) {
			r.Shuffle(len(items), func(i, j int) {
				items[i], items[j] = items[j], items[i]
				want[i], want[j] = want[j], want[i]
			})
			if got := verifyAll(t, v, items); !slices.Equal(got, want) {
				t.Errorf("verdicts %v, want %v", got, want)
			}
		}
	})
}

// A batch of one signature many times over, valid or not.
func TestDuplicates(t *testing.T) {
	r := newRand(t)
	eachPath(t, func(t *testing.T, path Path) {
		v := newTestVerifier(t, Options{Path: path})
		for _, kind := range kinds {
			want := slices.Repeat([]bool{kind.want}, 50)
			if got := verifyAll(t, v, slices.Repeat([]Item{kind.make(r)}, 50)); !slices.Equal(got, want) {
				t.Errorf("%s, 50 times: %v", kind.name, got)
			}
		}
	})
}

func TestUnknownScheme(t *testing.T) {
	it := signedECDSA(newRand(t))
	var items []Item
	for _, scheme := range []Scheme{0, BIP340, BIP340 + 1, 255} {
		it.Scheme = scheme
		items = append(items, it)
	}
	for i, got := range verifyEveryWay(t, items) {
		if got || verifyExact(&items[i]) || verifyDecred(&items[i]) {
			t.Errorf("an ECDSA signature is valid under scheme %d", items[i].Scheme)
		}
	}
}

// A key that only begins or ends like the right one is none, nor is no key.
func TestKeyLengths(t *testing.T) {
	r := newRand(t)
	for _, it := range []Item{signedECDSA(r), signedBIP340(r)} {
		right := it.Key
		items := []Item{{Scheme: it.Scheme}}
		for _, key := range [][]byte{
			append([]byte{0}, right...), append(slices.Clone(right), 0), append([]byte{2}, right...),
			right[1:], right[:len(right)-1], slices.Concat(right, right), {}, nil, make([]byte, 255), make([]byte, 256+len(right)),
		} {
			it.Key = key
			items = append(items, it)
		}
		for i, got := range verifyEveryWay(t, items) {
			if got {
				t.Errorf("scheme %d: key %x stands for %x", it.Scheme, items[i].Key, right)
			}
		}
	}
}

// Verify reads its items and writes nothing but the verdicts.
func TestItemsAreOnlyRead(t *testing.T) {
	items, _ := mixed(newRand(t), 24)
	before := slices.Clone(items)
	for i := range before {
		before[i].Key = slices.Clone(items[i].Key)
	}
	verifyEveryWay(t, items)
	for i := range items {
		if !slices.Equal(items[i].Key, before[i].Key) || items[i].Sig != before[i].Sig || items[i].Digest != before[i].Digest {
			t.Errorf("item %d was changed", i)
		}
	}
}

// Many calls at once, of both priorities and of sizes that share chunks, while
// the knobs are turned and the garbage collector runs all the time.
func TestConcurrentVerify(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(1))
	r := newRand(t)
	some, verdicts := mixed(r, 48)
	eachPath(t, func(t *testing.T, path Path) {
		v := newTestVerifier(t, Options{Workers: 3, Path: path, RecheckEvery: 8})
		var callers, others sync.WaitGroup
		var done atomic.Bool
		others.Go(func() {
			for !done.Load() {
				runtime.GC()
			}
		})
		others.Go(func() {
			for i := 0; !done.Load(); i++ {
				for _, k := range v.Knobs() {
					if err := k.Set(t.Context(), k.Ladder[i%len(k.Ladder)]); err != nil {
						t.Error(err)
					}
				}
			}
		})
		for i := range 4 {
			own := rand.New(rand.NewPCG(r.Uint64(), uint64(i)))
			callers.Go(func() {
				verify := v.Verify
				if i%2 == 1 {
					verify = v.VerifyMempool
				}
				for range rounds(40) {
					items, want := drawn(own, own.IntN(80), some, verdicts)
					valid := make([]bool, len(items))
					if err := verify(t.Context(), items, valid); err != nil || !slices.Equal(valid, want) {
						t.Errorf("%v, verdicts %v, want %v", err, valid, want)
					}
				}
			})
		}
		callers.Wait()
		done.Store(true)
		others.Wait()
	})
}

func TestLengthsMustMatch(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("Verify took fewer verdicts than items")
		}
	}()
	newTestVerifier(t, Options{}).Verify(t.Context(), make([]Item, 2), make([]bool, 1))
}

// No signature costs an allocation, whatever the path, the size of the batch and
// the priority.
func TestNoAllocation(t *testing.T) {
	r := newRand(t)
	some, verdicts := mixed(r, 24)
	eachPath(t, func(t *testing.T, path Path) {
		for _, workers := range []int{1, 2} {
			v := newTestVerifier(t, Options{Workers: workers, Path: path})
			v.drawn = 0 // decred's code allocates
			for _, size := range []int{1, 8, 150} {
				items, _ := drawn(r, size, some, verdicts)
				valid := make([]bool, size)
				for name, verify := range map[string]func() error{
					"Verify":        func() error { return v.Verify(t.Context(), items, valid) },
					"VerifyMempool": func() error { return v.VerifyMempool(t.Context(), items, valid) },
				} {
					for range 3 {
						verify() // every worker comes to have its memory
					}
					if n := testing.AllocsPerRun(5, func() {
						if err := verify(); err != nil {
							t.Fatal(err)
						}
					}); n > 0 {
						t.Errorf("%s of %d items, %d workers: %v allocations", name, size, workers, n)
					}
				}
			}
		}
	})
}
