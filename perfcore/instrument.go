package perfcore

import (
	"math"
	"math/bits"
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
// records nothing. Observe is two atomic additions, allocates nothing and is
// safe for concurrent use.
type Timer struct {
	sum     atomic.Uint64 // nanoseconds
	buckets [timerBuckets]atomic.Uint64
}

const (
	// subBits is the logarithm of the number of buckets in each power of two.
	subBits = 3
	// timerMax is the largest duration told apart, about 18 minutes; longer
	// ones count in the last bucket.
	timerMax     = 1 << 40
	timerBuckets = (40 - subBits + 1) << subBits
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
	ns := uint64(max(d, 0))
	t.sum.Add(ns)
	t.buckets[bucketOf(ns)].Add(1)
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
	d.Sum = time.Duration(t.sum.Load())
	for b := range t.buckets {
		if n := t.buckets[b].Load(); n > 0 {
			d.Count += n
			d.Buckets = append(d.Buckets, Bucket{time.Duration(bucketEnd(b)), n})
		}
	}
	return d
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
