package sigverify

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/outrider-project/outrider/perfcore"
)

// pool returns n items of every kind, valid and not, and their verdicts.
func pool(r *rand.Rand, n int) (items []Item, want []bool) {
	for i := range n {
		kind := kinds[i%len(kinds)]
		items, want = append(items, kind.make(r)), append(want, kind.want)
	}
	return items, want
}

// Every batch size, and every number of workers for it, gives each item the
// verdict that it has alone.
func TestBatchSizes(t *testing.T) {
	r := newRand(t)
	some, verdicts := pool(r, 24)
	for size := range 65 {
		items, want := make([]Item, size), make([]bool, size)
		for i := range items {
			j := r.IntN(len(some))
			items[i], want[i] = some[j], verdicts[j]
		}
		valid := make([]bool, size)
		for i := range valid {
			valid[i] = !want[i]
		}
		v := New(Options{Workers: 1 + size%5})
		if err := v.Verify(t.Context(), items, valid); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(valid, want) {
			t.Errorf("batch of %d: %v, want %v", size, valid, want)
		}
	}
}

func TestUnknownScheme(t *testing.T) {
	it := signedECDSA(newRand(t))
	for _, scheme := range []Scheme{0, BIP340, BIP340 + 1, 255} {
		it.Scheme = scheme
		if verifyAll(t, New(Options{}), []Item{it})[0] {
			t.Errorf("an ECDSA signature is valid under scheme %d", scheme)
		}
	}
}

func TestNoKey(t *testing.T) {
	for _, scheme := range []Scheme{ECDSA, BIP340} {
		if verifyAll(t, New(Options{}), []Item{{Scheme: scheme}})[0] {
			t.Errorf("scheme %d: an empty item is valid", scheme)
		}
	}
}

// A key that only begins or ends like the right one is none.
func TestKeyLengths(t *testing.T) {
	r := newRand(t)
	for _, it := range []Item{signedECDSA(r), signedBIP340(r)} {
		right := it.Key
		var items []Item
		for _, key := range [][]byte{
			append([]byte{0}, right...), append(slices.Clone(right), 0), append([]byte{2}, right...),
			right[1:], right[:len(right)-1], slices.Concat(right, right),
		} {
			it.Key = key
			items = append(items, it)
		}
		for i, got := range verifyAll(t, New(Options{}), items) {
			if got {
				t.Errorf("scheme %d: key %x stands for %x", it.Scheme, items[i].Key, right)
			}
		}
	}
}

// Verify reads its items and writes nothing but the verdicts.
func TestItemsAreOnlyRead(t *testing.T) {
	items, _ := pool(newRand(t), 12)
	before := slices.Clone(items)
	for i := range before {
		before[i].Key = slices.Clone(items[i].Key)
	}
	verifyAll(t, New(Options{}), items)
	for i := range items {
		if !slices.Equal(items[i].Key, before[i].Key) || items[i].Sig != before[i].Sig || items[i].Digest != before[i].Digest {
			t.Errorf("item %d was changed", i)
		}
	}
}

func TestConcurrentVerify(t *testing.T) {
	items, want := pool(newRand(t), 48)
	v := New(Options{Workers: 3})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			valid := make([]bool, len(items))
			if err := v.Verify(t.Context(), items, valid); err != nil || !slices.Equal(valid, want) {
				t.Errorf("Verify: %v, verdicts %v, want %v", err, valid, want)
			}
		})
	}
	wg.Wait()
}

// A countdown is a context that ends when its Err has been asked often enough.
type countdown struct {
	context.Context
	left *atomic.Int64
}

func (c countdown) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

func TestCancellation(t *testing.T) {
	one := signedECDSA(newRand(t))
	items := slices.Repeat([]Item{one}, 10*chunk)
	for asked := range int64(6) {
		var registry perfcore.Registry
		valid := make([]bool, len(items))
		left := new(atomic.Int64)
		left.Store(asked)
		err := New(Options{Workers: 2, Recorder: &registry}).Verify(countdown{t.Context(), left}, items, valid)
		if err != context.Canceled {
			t.Errorf("cancelled: Verify = %v", err)
		}
		done := 0
		for _, ok := range valid {
			if ok {
				done++
			}
		}
		if done != int(asked)*chunk {
			t.Errorf("cancelled at the check after %d: %d signatures verified, want %d", asked, done, asked*chunk)
		}
		for _, s := range registry.Series() {
			if s.Counter.Value() != 0 || s.Timer.Snapshot().Count != 0 {
				t.Errorf("%s counts a batch that was not finished", s.Metric.Name)
			}
		}
	}
}

func TestMetrics(t *testing.T) {
	var registry perfcore.Registry
	v := New(Options{Recorder: &registry})
	items, want := pool(newRand(t), 40)
	verifyAll(t, v, items)
	verifyAll(t, v, items[:6])
	var valid, invalid uint64
	for _, ok := range slices.Concat(want, want[:6]) {
		if ok {
			valid++
		} else {
			invalid++
		}
	}
	got := make(map[string]uint64)
	for _, s := range registry.Series() {
		switch {
		case s.Counter != nil:
			got[s.Metric.Labels[1]] = s.Counter.Value()
		case s.Timer != nil:
			got["batches"] = s.Timer.Snapshot().Count
		}
	}
	if got["valid"] != valid || got["invalid"] != invalid || got["batches"] != 2 {
		t.Errorf("metrics are %v, want %d valid, %d invalid, 2 batches", got, valid, invalid)
	}
}

func TestLengthsMustMatch(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("Verify took fewer verdicts than items")
		}
	}()
	New(Options{}).Verify(t.Context(), make([]Item, 2), make([]bool, 1))
}

// One signature on one core.
func BenchmarkVerify(b *testing.B) {
	r := newRand(b)
	for name, sign := range map[string]func(*rand.Rand) Item{"ECDSA": signedECDSA, "BIP340": signedBIP340} {
		items := make([]Item, 64)
		for i := range items {
			items[i] = sign(r)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if !items[i%len(items)].verify() {
					b.Fatal("a valid signature is invalid")
				}
				i++
			}
		})
	}
}

// A batch of 1,024 signatures, on one core and on all; ns/sig is what counts.
func BenchmarkVerifyBatch(b *testing.B) {
	r := newRand(b)
	some := make([]Item, 64)
	for i := range some {
		if some[i] = signedECDSA(r); i%2 == 1 {
			some[i] = signedBIP340(r)
		}
	}
	items := slices.Repeat(some, 16)
	valid := make([]bool, len(items))
	for name, workers := range map[string]int{"one core": 1, "all cores": 0} {
		b.Run(name, func(b *testing.B) {
			v := New(Options{Workers: workers})
			for b.Loop() {
				if err := v.Verify(b.Context(), items, valid); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(items)), "ns/sig")
		})
	}
}
