package perfcore

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"
)

// newRand returns a source whose seed the test prints, so that a failure can
// be repeated.
func newRand(t *testing.T) *rand.Rand {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// edgeDuration returns durations that lie on and next to the ends of buckets
// more often than not.
func edgeDuration(r *rand.Rand) time.Duration {
	switch r.IntN(8) {
	case 0:
		return time.Duration(r.IntN(20)) // the linear buckets
	case 1:
		return timerMax - time.Duration(r.IntN(3))
	case 2, 3, 4:
		return time.Duration(bucketEnd(r.IntN(timerBuckets)) - uint64(r.IntN(2)))
	case 5:
		return min(time.Duration(bucketEnd(r.IntN(timerBuckets))+1), timerMax)
	}
	return time.Duration(r.Uint64N(1 << r.IntN(41)))
}

func TestHandlesDoNotAllocate(t *testing.T) {
	var registry Registry
	start := time.Now()
	for _, rec := range []Recorder{Discard, &registry} {
		c := rec.Counter(Metric{Name: "c_total"})
		g := rec.Gauge(Metric{Name: "g"})
		tm := rec.Timer(Metric{Name: "t_seconds"})
		n := testing.AllocsPerRun(100, func() {
			c.Add(1)
			g.Set(1)
			tm.Observe(time.Second)
			tm.Since(start)
		})
		if n != 0 {
			t.Errorf("%T: %v allocations, want 0", rec, n)
		}
	}
}

func TestNilHandles(t *testing.T) {
	c, g, tm := Discard.Counter(Metric{}), Discard.Gauge(Metric{}), Discard.Timer(Metric{})
	c.Add(1)
	g.Set(1)
	tm.Observe(1)
	tm.Since(time.Now())
	if c.Value() != 0 || g.Value() != 0 {
		t.Errorf("nil handles hold %d and %v, want 0", c.Value(), g.Value())
	}
	if d := tm.Snapshot(); d.Count != 0 || d.Sum != 0 || d.Buckets != nil || d.Quantile(0.5) != 0 {
		t.Errorf("a nil Timer holds %+v, want nothing", d)
	}
}

func TestCounterAndGauge(t *testing.T) {
	var c Counter
	c.Add(2)
	c.Add(40)
	if c.Value() != 42 {
		t.Errorf("Counter = %d, want 42", c.Value())
	}
	var g Gauge
	for _, v := range []float64{-1.5, 0, math.Inf(1), math.MaxFloat64} {
		if g.Set(v); g.Value() != v {
			t.Errorf("Gauge = %v, want %v", g.Value(), v)
		}
	}
}

// Buckets follow each other without gap or overlap, none is wider than an
// eighth of what it holds, and every power of two ends one.
func TestBuckets(t *testing.T) {
	var low uint64 // the end of the bucket before
	for b := range timerBuckets {
		end := bucketEnd(b)
		if end <= low {
			t.Fatalf("bucket %d ends at %d, the one before at %d", b, end, low)
		}
		for _, ns := range []uint64{low + 1, (low + 1 + end) / 2, end} {
			if got := bucketOf(ns); got != b {
				t.Errorf("bucketOf(%d) = %d, want %d", ns, got, b)
			}
		}
		if width := end - low - 1; width*8 > low+1 {
			t.Errorf("bucket %d, from %d to %d, is wider than an eighth", b, low+1, end)
		}
		low = end
	}
	if low != timerMax {
		t.Errorf("the last bucket ends at %d, want %d", low, uint64(timerMax))
	}
	for ns, want := range map[uint64]int{0: 0, timerMax + 1: timerBuckets - 1, math.MaxInt64: timerBuckets - 1} {
		if got := bucketOf(ns); got != want {
			t.Errorf("bucketOf(%d) = %d, want %d", ns, got, want)
		}
	}
}

// Around every power of two that a duration can have, each nanosecond falls
// into the bucket that a search among all ends finds.
func TestBucketsAtPowersOfTwo(t *testing.T) {
	ends := make([]uint64, timerBuckets)
	for b := range ends {
		ends[b] = bucketEnd(b)
	}
	for exp := range 41 {
		power := uint64(1) << exp
		if _, found := slices.BinarySearch(ends, power); !found {
			t.Errorf("no bucket ends at 2^%d", exp)
		}
		for ns := power - min(power, 300); ns <= min(power+300, timerMax); ns++ {
			want, _ := slices.BinarySearch(ends, max(ns, 1))
			if got := bucketOf(ns); got != want {
				t.Fatalf("bucketOf(%d) = %d, want %d", ns, got, want)
			}
		}
	}
}

func TestQuantile(t *testing.T) {
	r := newRand(t)
	quantiles := []float64{1e-9, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1}
	for range 300 {
		samples := make([]time.Duration, 1+r.IntN(400))
		var tm Timer
		var sum time.Duration
		for i := range samples {
			samples[i] = edgeDuration(r)
			sum += samples[i]
			tm.Observe(samples[i])
		}
		slices.Sort(samples)
		d := tm.Snapshot()
		if d.Count != uint64(len(samples)) || d.Sum != sum {
			t.Fatalf("Snapshot has count %d, sum %d, want %d, %d", d.Count, d.Sum, len(samples), sum)
		}
		for _, q := range quantiles {
			exact := samples[max(int(math.Ceil(q*float64(len(samples)))), 1)-1]
			got := d.Quantile(q)
			if got < exact || got-exact > max(exact/8, 1) {
				t.Fatalf("Quantile(%v) of %d samples = %d, exact %d", q, len(samples), got, exact)
			}
		}
	}
}

// What was observed between two snapshots is what a timer that began with the
// first would hold.
func TestDistributionSince(t *testing.T) {
	r := newRand(t)
	for range 200 {
		var whole, later Timer
		for range r.IntN(50) {
			whole.Observe(edgeDuration(r))
		}
		before := whole.Snapshot()
		for range r.IntN(50) {
			d := edgeDuration(r)
			whole.Observe(d)
			later.Observe(d)
		}
		got, want := whole.Snapshot().Since(before), later.Snapshot()
		if got.Count != want.Count || got.Sum != want.Sum || !slices.Equal(got.Buckets, want.Buckets) {
			t.Fatalf("since %+v: %+v, want %+v", before, got, want)
		}
	}
}

// Cells are emptied before they overflow: of a million observations at the upper end
// of the widest of them, by several at once, none is lost, and what a snapshot sees
// of them only grows.
func TestCellsAreEmptied(t *testing.T) {
	const observers, each = 4, 2*fullCell + 12_345
	for _, d := range []time.Duration{1, 2, 1 << shortBits, 1<<shortBits - 1} {
		var tm Timer
		var wg sync.WaitGroup
		for range observers {
			wg.Go(func() {
				for range each {
					tm.Observe(d)
				}
			})
		}
		var before Distribution
		for before.Count < observers*each/2 {
			now := tm.Snapshot()
			if now.Count < before.Count || now.Sum != time.Duration(now.Count)*d {
				t.Fatalf("%d observations of %v with a sum of %d became %d with a sum of %d", before.Count, d, before.Sum, now.Count, now.Sum)
			}
			before = now
		}
		wg.Wait()
		end := time.Duration(bucketEnd(bucketOf(uint64(d))))
		if got := tm.Snapshot(); got.Sum != observers*each*d || !slices.Equal(got.Buckets, []Bucket{{end, observers * each}}) {
			t.Errorf("%d observations of %v: %+v", observers*each, d, got)
		}
	}
}

// Around the ends of what one addition records, everything counts as elsewhere.
func TestEndsOfCells(t *testing.T) {
	for _, d := range []time.Duration{0, 1, 2, 1<<shortBits - 1, 1 << shortBits, 1<<shortBits + 1, timerMax, timerMax + 1} {
		var tm Timer
		tm.Observe(d)
		want := Distribution{Count: 1, Sum: d, Buckets: []Bucket{{time.Duration(bucketEnd(bucketOf(uint64(d)))), 1}}}
		if got := tm.Snapshot(); got.Count != want.Count || got.Sum != want.Sum || !slices.Equal(got.Buckets, want.Buckets) {
			t.Errorf("an observation of %d: %+v, want %+v", d, got, want)
		}
	}
}

func TestObserveOutOfRange(t *testing.T) {
	var tm Timer
	tm.Observe(-time.Second)
	tm.Observe(time.Hour)
	d := tm.Snapshot()
	want := []Bucket{{1, 1}, {timerMax, 1}}
	if d.Sum != time.Hour || !slices.Equal(d.Buckets, want) {
		t.Errorf("Snapshot = %+v, want sum 1h and buckets %v", d, want)
	}
}

func BenchmarkCounterAdd(b *testing.B) {
	for name, c := range map[string]*Counter{"live": new(Counter), "nil": nil} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.Add(1)
			}
		})
	}
}

func BenchmarkTimerObserve(b *testing.B) {
	for name, tm := range map[string]*Timer{"live": new(Timer), "nil": nil} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			d := time.Duration(1)
			for b.Loop() {
				tm.Observe(d)
				d += 1021 // so that the buckets change
			}
		})
	}
}

func BenchmarkTimerSnapshot(b *testing.B) {
	var tm Timer
	for bucket := range timerBuckets {
		tm.Observe(time.Duration(bucketEnd(bucket)))
	}
	b.ReportAllocs()
	for b.Loop() {
		tm.Snapshot()
	}
}

// What two timers observed together is what one would have that observed it all.
func TestDistributionPlus(t *testing.T) {
	var a, b, both Timer
	for i := range 400 {
		d := time.Duration(i*i) * time.Microsecond
		if both.Observe(d); i%3 == 0 || i > 350 {
			a.Observe(d)
		} else {
			b.Observe(d)
		}
	}
	want := both.Snapshot()
	for _, got := range []Distribution{a.Snapshot().Plus(b.Snapshot()), b.Snapshot().Plus(a.Snapshot()), want.Plus(Distribution{}), Distribution{}.Plus(want)} {
		if !reflect.DeepEqual(got, want) {
			t.Errorf("together they are %+v, want %+v", got, want)
		}
	}
}
