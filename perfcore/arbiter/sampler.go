// Package arbiter divides memory between those that want it: caches, whose
// worth at any size is estimated from a small sample of what they are asked
// for, and the headroom of the garbage collector. Allocate and Step compute a
// division; an Arbiter moves leases towards it, by a function of its Config or,
// without one, only by saying so. Who gives memory does so before another gets it.
package arbiter

import (
	"container/heap"
	"math"
	"sync"
	"sync/atomic"
)

// A SamplerConfig says what a Sampler tells apart. Unit and Units are needed.
type SamplerConfig struct {
	// Unit is the number of cache entries in one unit of memory, Units the
	// largest number of units that is asked about.
	Unit, Units int
	// RateShift gives the share of keys in the sample at first, 1/2^RateShift
	// (5, one in 32).
	RateShift int
	// MaxKeys bounds the keys in the sample (8192). When there are more, the
	// share falls.
	MaxKeys int
	// Salt keeps others from choosing keys that are in the sample, or are not.
	Salt uint64
}

// A Sampler estimates the miss ratio that a cache with least-recently-used
// eviction would have at other sizes: SHARDS (Waldspurger et al., FAST 2015),
// reuse distances among the keys whose hash is small, in bounded memory. It is
// safe for concurrent use; a reference to a key outside of the sample takes no
// lock.
type Sampler struct {
	cfg       SamplerConfig
	threshold atomic.Uint64 // keys with a hash below it are in the sample
	refs      [8]padded     // all references, by hash

	mu    sync.Mutex // guards what follows
	keys  map[uint64]int
	order largest // the keys' hashes
	ages  fenwick // one at the time of each key's last reference
	now   int     // position of the next reference in ages
	// reuse[u] is the weight of references whose distance fits into u units
	// but not into u-1; those of 0 units hold the correction, those of
	// Units+1 all that fit nowhere.
	reuse   []float64
	sampled float64
	last    uint64 // references already in reuse's weights
}

type padded struct {
	n atomic.Uint64
	_ [56]byte // a cache line each
}

// caution is by how many standard deviations a distance is taken to be longer
// than the sample says. A cache that is one unit too small for a loop is worth
// nothing, and one that is a little too large costs little.
const caution = 2

// NewSampler returns a Sampler that has seen nothing.
func NewSampler(cfg SamplerConfig) *Sampler {
	if cfg.RateShift == 0 {
		cfg.RateShift = 5
	}
	if cfg.MaxKeys == 0 {
		cfg.MaxKeys = 8192
	}
	s := &Sampler{
		cfg:   cfg,
		keys:  make(map[uint64]int),
		ages:  make(fenwick, 2*cfg.MaxKeys+2),
		reuse: make([]float64, cfg.Units+2),
	}
	s.threshold.Store(1 << (64 - cfg.RateShift))
	return s
}

// Reference records that the cache was asked for the key, whatever it answered.
// Keys that differ must differ in key; it need not be well mixed.
func (s *Sampler) Reference(key uint64) {
	h := mix(key ^ s.cfg.Salt)
	s.refs[h&7].n.Add(1)
	if h < s.threshold.Load() {
		s.sample(h)
	}
}

// mix is a bijection that spreads its argument over all bits: the finalizer of
// MurmurHash3.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// share returns the share of keys in the sample.
func (s *Sampler) share() float64 { return float64(s.threshold.Load()) / (1 << 63) / 2 }

func (s *Sampler) sample(h uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h >= s.threshold.Load() {
		return // it fell meanwhile
	}
	s.sampled++
	if s.now == len(s.ages)-1 {
		s.renumber()
	}
	if at, seen := s.keys[h]; seen {
		between := float64(s.ages.sum(s.now) - s.ages.sum(at+1))
		distance := (between + caution*math.Sqrt(between)) / s.share()
		u := min(int(distance)/s.cfg.Unit+1, s.cfg.Units+1)
		s.reuse[u]++
		s.ages.add(at, -1)
	} else {
		s.reuse[s.cfg.Units+1]++
		heap.Push(&s.order, h)
	}
	s.keys[h] = s.now
	s.ages.add(s.now, 1)
	s.now++
	if len(s.keys) > s.cfg.MaxKeys {
		s.thin()
	}
}

// thin drops the key with the largest hash, and all from there on. What was
// measured weighs as much less as there are fewer keys. s.mu is held.
func (s *Sampler) thin() {
	before := s.share()
	top := s.order[0]
	s.threshold.Store(top)
	for len(s.order) > 0 && s.order[0] >= top {
		h := heap.Pop(&s.order).(uint64)
		s.ages.add(s.keys[h], -1)
		delete(s.keys, h)
	}
	s.scale(s.share() / before)
}

// scale multiplies what was measured. s.mu is held.
func (s *Sampler) scale(by float64) {
	for u := range s.reuse {
		s.reuse[u] *= by
	}
	s.sampled *= by
}

// renumber moves the keys' last references to the front, in their order. s.mu
// is held.
func (s *Sampler) renumber() {
	at := make([]uint64, s.now)
	used := make([]bool, s.now)
	for h, t := range s.keys {
		at[t], used[t] = h, true
	}
	clear(s.ages)
	s.now = 0
	for t, h := range at {
		if used[t] {
			s.keys[h] = s.now
			s.ages.add(s.now, 1)
			s.now++
		}
	}
}

// A Curve holds the miss ratio at 0, 1, 2… units; it never rises.
type Curve []float64

// Curve returns the miss ratios of the references so far, and their number. The
// sample holds more or fewer references than its share by chance, for some keys
// are asked for often; the difference is taken for hits at the smallest size
// (SHARDS-adj). Without a reference all is missed.
func (s *Sampler) Curve() (c Curve, references uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	references = s.references() - s.last
	c = make(Curve, s.cfg.Units+1)
	expected := s.share() * float64(references)
	hits, best := expected-s.sampled, 1.0
	for u := range c {
		if u > 0 {
			hits += s.reuse[u]
		}
		if u > 0 && expected > 0 {
			best = min(best, max(1-hits/expected, 0))
		}
		c[u] = best
	}
	return c, references
}

// Keys returns how many keys there were so far, by the sample, and how many of them
// it holds. A curve says nothing of caches with room for more than there were.
func (s *Sampler) Keys() (all float64, sampled int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return float64(len(s.keys)) / s.share(), len(s.keys)
}

func (s *Sampler) references() uint64 {
	var n uint64
	for i := range s.refs {
		n += s.refs[i].n.Load()
	}
	return n
}

// Fade halves the weight of all references so far, so that the curve follows a
// workload that changes. Keys stay in the sample.
func (s *Sampler) Fade() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scale(0.5)
	s.last += (s.references() - s.last) / 2
}

// fenwick is a tree of prefix sums (Fenwick 1994).
type fenwick []int32

// add adds v at i.
func (f fenwick) add(i int, v int32) {
	for i++; i < len(f); i += i & -i {
		f[i] += v
	}
}

// sum returns the sum of what lies below i.
func (f fenwick) sum(i int) int32 {
	var s int32
	for ; i > 0; i &= i - 1 {
		s += f[i]
	}
	return s
}

// largest is a heap with the largest hash first.
type largest []uint64

func (l largest) Len() int           { return len(l) }
func (l largest) Less(i, j int) bool { return l[i] > l[j] }
func (l largest) Swap(i, j int)      { l[i], l[j] = l[j], l[i] }
func (l *largest) Push(x any)        { *l = append(*l, x.(uint64)) }
func (l *largest) Pop() any {
	last := len(*l) - 1
	x := (*l)[last]
	*l = (*l)[:last]
	return x
}
