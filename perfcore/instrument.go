package perfcore

import (
	"math"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// A Counter is a count that only grows. A nil Counter is valid and records
// nothing. It is safe for concurrent use.
type Counter struct{ n atomic.Uint64 }

// Add adds n to the counter.
func (c *Counter) Add(n uint64) {
	if c != nil {
		c.n.Add(n)
	}
}

// Value returns the count so far; 0 for a nil Counter.
func (c *Counter) Value() uint64 {
	if c == nil {
		return 0
	}
	return c.n.Load()
}

// A Gauge is a value that goes up and down. A nil Gauge is valid and records
// nothing. It is safe for concurrent use.
type Gauge struct{ bits atomic.Uint64 }

// Set records v as the current value.
func (g *Gauge) Set(v float64) {
	if g != nil {
		g.bits.Store(math.Float64bits(v))
	}
}

// Value returns the value last set; 0 for a nil Gauge.
func (g *Gauge) Value() float64 {
	if g == nil {
		return 0
	}
	return math.Float64frombits(g.bits.Load())
}

// A Timer is a distribution of durations in log-linear buckets: eight to a
// power of two, so a quantile is read with an error of at most 12.5 %. Every
// power of two nanoseconds is the end of a bucket. A nil Timer is valid and
// records nothing. Observe is one atomic addition for durations of up to a
// second and two for others, allocates nothing and is safe for concurrent use.
type Timer struct {
	// cells hold the buckets of short durations: how many there were since the
	// cell was emptied and, above that, the sum of what each lies beyond the
	// least of its bucket. One addition records both.
	cells [shortBuckets]atomic.Uint64
	long  [timerBuckets - shortBuckets]atomic.Uint64
	sum   atomic.Uint64 // of long ones, in nanoseconds
	none  atomic.Uint64 // durations of 0, which are in the first bucket

	mu      sync.Mutex // guards what follows, and is held while a cell is emptied
	emptied [shortBuckets]uint64
	offsets uint64 // of what was emptied, in nanoseconds
}

const (
	// subBits is the logarithm of the number of buckets in each power of two.
	subBits = 3
	// timerMax is the largest duration told apart, about 18 minutes; longer
	// ones count in the last bucket.
	timerMax     = 1 << 40
	timerBuckets = (40 - subBits + 1) << subBits

	// shortBits is the logarithm of the longest short duration, about a second.
	shortBits    = 30
	shortBuckets = (shortBits - subBits + 1) << subBits
	// countBits of a cell are its count. The widest bucket has offsets of
	// shortBits-1-subBits bits, so that as many as the count tells fit above it.
	countBits = (64 - (shortBits - 1 - subBits)) / 2
	countMask = 1<<countBits - 1
	// fullCell is the count from which on whoever observes empties the cell first:
	// a quarter of a million could do so at once before the count overflows.
	fullCell = 1 << (countBits - 1)
)

// bucketOf returns the bucket that a duration of ns nanoseconds falls into. A
// bucket holds its upper end and not its lower one, so one nanosecond less
// decides; zero counts as one.
func bucketOf(ns uint64) int {
	n := min(max(ns, 1), timerMax) - 1
	exp := max(bits.Len64(n)-subBits-1, 0)
	return exp<<subBits + int(n>>exp)
}

// bucketEnd returns the largest number of nanoseconds that falls into bucket b
// (of the last one, the largest that it tells apart).
func bucketEnd(b int) uint64 {
	exp := max(b>>subBits-1, 0)
	return uint64(b-exp<<subBits+1) << exp
}

// Observe records that one operation took d; a negative d counts as zero.
func (t *Timer) Observe(d time.Duration) {
	if t == nil {
		return
	}
	if n := uint64(d) - 1; n < 1<<shortBits {
		exp := (bits.Len64(n|1<<subBits) - subBits - 1) & 63 // as bucketOf has it
		b := exp<<subBits + int(n>>exp)
		offset := n & (1<<exp - 1)
		if cell := t.cells[b].Add(offset<<countBits + 1); cell&fullCell != 0 {
			t.empty(b)
		}
		return
	}
	t.observeOther(d)
}

// observeOther records what is not short, and what took no time.
func (t *Timer) observeOther(d time.Duration) {
	if d <= 0 {
		t.none.Add(1)
		return
	}
	t.sum.Add(uint64(d))
	t.long[bucketOf(uint64(d))-shortBuckets].Add(1)
}

// empty makes room in a cell.
func (t *Timer) empty(b int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	cell := t.cells[b].Swap(0)
	t.emptied[b] += cell & countMask
	t.offsets += cell >> countBits
}

// Since records the time from start until now.
func (t *Timer) Since(start time.Time) {
	if t != nil {
		t.Observe(time.Since(start))
	}
}

// A Distribution is a Timer's content at one moment.
type Distribution struct {
	// Count is the number of observations, Sum their total.
	Count uint64
	Sum   time.Duration
	// Buckets holds the occupied buckets in ascending order.
	Buckets []Bucket
}

// A Bucket counts the observations of at most Max that no bucket before it
// holds. The last bucket of all, whose Max is 2^40 ns, holds longer ones too.
type Bucket struct {
	Max   time.Duration
	Count uint64
}

// Snapshot returns the distribution so far; the zero Distribution for a nil
// Timer. Observations made meanwhile may or may not be in it.
func (t *Timer) Snapshot() Distribution {
	var d Distribution
	if t == nil {
		return d
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	sum := t.sum.Load() + t.offsets
	least := uint64(1) // that bucket b holds
	for b := range t.cells {
		cell := t.cells[b].Load()
		n := t.emptied[b] + cell&countMask
		sum += n*least + cell>>countBits
		if b == 0 {
			n += t.none.Load()
		}
		d.add(b, n)
		least = bucketEnd(b) + 1
	}
	for i := range t.long {
		d.add(shortBuckets+i, t.long[i].Load())
	}
	d.Sum = time.Duration(sum)
	return d
}

// add adds n observations in bucket b, which lies behind those that are there.
func (d *Distribution) add(b int, n uint64) {
	if n > 0 {
		d.Count += n
		d.Buckets = append(d.Buckets, Bucket{time.Duration(bucketEnd(b)), n})
	}
}

// Quantile returns an upper bound of the q-quantile (0 < q ≤ 1), at most
// 12.5 % above it for durations under 18 minutes; 0 when nothing was observed.
func (d Distribution) Quantile(q float64) time.Duration {
	rank := max(uint64(math.Ceil(q*float64(d.Count))), 1)
	var seen uint64
	for _, b := range d.Buckets {
		if seen += b.Count; seen >= rank {
			return b.Max
		}
	}
	return 0
}

// Since returns what was observed between before, an earlier Snapshot of the
// same Timer, and d.
func (d Distribution) Since(before Distribution) Distribution {
	diff := Distribution{Count: d.Count - before.Count, Sum: d.Sum - before.Sum}
	old := before.Buckets
	for _, b := range d.Buckets {
		if len(old) > 0 && old[0].Max == b.Max {
			b.Count -= old[0].Count
			old = old[1:]
		}
		if b.Count > 0 {
			diff.Buckets = append(diff.Buckets, b)
		}
	}
	return diff
}

// Plus returns what d and other observed, which are of different times or Timers.
func (d Distribution) Plus(other Distribution) Distribution {
	sum := Distribution{Count: d.Count + other.Count, Sum: d.Sum + other.Sum}
	a, b := d.Buckets, other.Buckets
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].Max < b[0].Max:
			sum.Buckets, a = append(sum.Buckets, a[0]), a[1:]
		case len(a) == 0 || b[0].Max < a[0].Max:
			sum.Buckets, b = append(sum.Buckets, b[0]), b[1:]
		default:
			sum.Buckets = append(sum.Buckets, Bucket{a[0].Max, a[0].Count + b[0].Count})
			a, b = a[1:], b[1:]
		}
	}
	return sum
}
