package arbiter_test

import (
	"container/list"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/outrider-project/outrider/perfcore/arbiter"
)

const (
	unit  = 500 // entries
	units = 60
)

// A source is what one cache is asked for.
type source struct {
	name          string
	rate, penalty float64
	next          func() uint64
}

func zipf(r *rand.Rand, s float64, n uint64) func() uint64 {
	z := rand.NewZipf(r, s, 1, n)
	return func() uint64 { return z.Uint64() }
}

func loop(n uint64) func() uint64 {
	var i uint64
	return func() uint64 { i++; return i % n }
}

// sources are four caches with unlike misses; the second may be a loop over 24
// units, and the third a mixture of a loop and popular keys.
func sources(seed uint64, looping, mixed bool) []source {
	r := rand.New(rand.NewPCG(seed, 6))
	s := []source{
		{"utxo", 1, 80_000, zipf(r, 1.05, 60_000)},
		{"blocks", 2, 25_000, zipf(r, 1.2, 40_000)},
		{"answers", 0.05, 2_000_000, zipf(r, 1.01, 20_000)},
		{"states", 0.3, 150_000, zipf(r, 1.3, 30_000)},
	}
	if looping {
		s[1].next = loop(24 * unit)
	}
	if mixed {
		popular, around := s[2].next, loop(8*unit)
		s[2].next = func() uint64 {
			if r.IntN(2) == 0 {
				return popular()
			}
			return 1<<32 + around()
		}
	}
	return s
}

// exact returns the exact curve of a trace, by caches of every size.
func exact(trace []uint64) arbiter.Curve {
	misses := make([]int, units+1)
	for u := range misses {
		misses[u] = lruMisses(trace, u*unit)
	}
	c := make(arbiter.Curve, units+1)
	for u, m := range misses {
		c[u] = float64(m) / float64(len(trace))
	}
	return c
}

func lruMisses(trace []uint64, size int) int {
	if size == 0 {
		return len(trace)
	}
	order, at, misses := list.New(), make(map[uint64]*list.Element, size), 0
	for _, k := range trace {
		if e, ok := at[k]; ok {
			order.MoveToFront(e)
			continue
		}
		misses++
		if order.Len() == size {
			last := order.Back()
			delete(at, last.Value.(uint64))
			order.Remove(last)
		}
		at[k] = order.PushFront(k)
	}
	return misses
}

// worlds are the three plants whose division is looked for.
var worlds = []struct {
	name           string
	looping, mixed bool
}{{"smooth", false, false}, {"loop", true, false}, {"mixed", true, true}}

// A world is what the caches of a plant are asked for, and what that says of each.
type world struct {
	sources []source
	traces  [][]uint64
	truth   []arbiter.Bidder
	most    float64 // what all save that never miss
}

// worldOf returns the world of that number. It takes a second, the first time.
var worldOf = func() func(i int) *world {
	var made [3]func() *world
	for i := range made {
		made[i] = sync.OnceValue(func() *world { return newWorld(worlds[i].looping, worlds[i].mixed) })
	}
	return func(i int) *world { return made[i]() }
}()

func newWorld(looping, mixed bool) *world {
	const n = 40_000
	w := &world{sources: sources(1, looping, mixed)}
	for _, s := range w.sources {
		trace := make([]uint64, n)
		for i := range trace {
			trace[i] = s.next()
		}
		w.traces = append(w.traces, trace)
		w.truth = append(w.truth, arbiter.Bidder{Saved: arbiter.CacheSavings(exact(trace), s.rate, s.penalty)})
		w.most += s.rate * s.penalty
	}
	return w
}

// optimal returns the best division, by dynamic programming over all.
func optimal(bidders []arbiter.Bidder, total int) float64 {
	best := make([]float64, total+1)
	for _, b := range bidders {
		next := make([]float64, total+1)
		for have := range next {
			next[have] = math.Inf(-1)
			for n := b.Floor; n <= have; n++ {
				next[have] = max(next[have], best[have-n]+b.Saved[min(n, len(b.Saved)-1)])
			}
		}
		best = next
	}
	return best[total]
}

// Memory that is divided by curves of one key in 32 costs at most 3 % more than
// the best division of the true curves, where caches are smooth, where one has
// a cliff, and where they are mixed.
func TestDivisionByTheSample(t *testing.T) {
	if testing.Short() {
		t.Skip("divisions by sampled curves were not checked: they take seconds")
	}
	for i, tt := range worlds {
		t.Run(tt.name, func(t *testing.T) {
			w := worldOf(i)
			truth, traces, all, most := w.truth, w.traces, w.sources, w.most
			best := most - optimal(truth, units)
			for salt := range uint64(10) {
				var sampled []arbiter.Bidder
				for i, s := range all {
					sampler := arbiter.NewSampler(arbiter.SamplerConfig{Unit: unit, Units: units, Salt: salt * 0x9e3779b97f4a7c15})
					for _, k := range traces[i] {
						sampler.Reference(k)
					}
					curve, references := sampler.Curve()
					if references != uint64(len(traces[i])) {
						t.Fatalf("%s: %d references, want %d", s.name, references, len(traces[i]))
					}
					sampled = append(sampled, arbiter.Bidder{Name: s.name, Saved: arbiter.CacheSavings(curve, s.rate, s.penalty)})
				}
				given, err := arbiter.Allocate(sampled, units)
				if err != nil {
					t.Fatal(err)
				}
				got := most - arbiter.Saved(truth, given)
				t.Logf("%v costs %.2f %% more than the best", given, 100*(got/best-1))
				if got > 1.03*best {
					t.Errorf("%v costs %.4g, the best division %.4g", given, got, best)
				}
			}
		})
	}
}

// Look-ahead sees what a step of one unit does not.
func TestAllocate(t *testing.T) {
	cliff := arbiter.Bidder{Name: "loop", Saved: []float64{0, 0, 0, 0, 100}}
	smooth := arbiter.Bidder{Name: "smooth", Saved: []float64{0, 20, 30, 35, 37, 38}}
	idle := arbiter.Bidder{Name: "idle", Saved: []float64{0, 0, 0}}
	for _, tt := range []struct {
		name    string
		bidders []arbiter.Bidder
		units   int
		want    []int // nil when it fails
	}{
		{"nobody", nil, 5, []int{}},
		{"enough for all", []arbiter.Bidder{cliff, smooth}, 9, []int{4, 5}},
		{"the cliff first", []arbiter.Bidder{smooth, cliff}, 5, []int{1, 4}},
		{"too little for the cliff", []arbiter.Bidder{smooth, cliff}, 3, []int{3, 0}},
		{"a small bid before a large one", []arbiter.Bidder{
			{Saved: []float64{0, 1.1}}, {Saved: []float64{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10}},
		}, 10, []int{0, 10}},
		{"idle memory stays free", []arbiter.Bidder{idle, smooth}, 20, []int{0, 5}},
		{"floors", []arbiter.Bidder{{Name: "floor", Saved: []float64{0}, Floor: 3}, smooth}, 4, []int{3, 1}},
		{"floors that do not fit", []arbiter.Bidder{{Floor: 3}, {Floor: 2}}, 4, nil},
		{"negative floor", []arbiter.Bidder{{Floor: -1}}, 4, nil},
	} {
		got, err := arbiter.Allocate(tt.bidders, tt.units)
		if (err != nil) != (tt.want == nil) || !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, %v; want %v", tt.name, got, err, tt.want)
		}
	}
}

// Whatever the bids, the division fits and saves at least half of what the best
// one saves.
func TestAllocateRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for range 500 {
		bidders, total := make([]arbiter.Bidder, 1+r.IntN(4)), 5+r.IntN(40)
		for i := range bidders {
			saved := make([]float64, 2+r.IntN(30))
			for u := 1; u < len(saved); u++ {
				saved[u] = saved[u-1]
				if r.IntN(3) == 0 {
					saved[u] += r.ExpFloat64()
				}
			}
			bidders[i] = arbiter.Bidder{Saved: saved}
		}
		given, err := arbiter.Allocate(bidders, total)
		if err != nil {
			t.Fatal(err)
		}
		sum := 0
		for _, n := range given {
			sum += n
		}
		if sum > total {
			t.Fatalf("%v is more than %d", given, total)
		}
		if got, best := arbiter.Saved(bidders, given), optimal(bidders, total); got < best/2-1e-9 {
			t.Errorf("%v saves %.3f, the best division %.3f", given, got, best)
		}
	}
}

// The more the program allocates, the more of the memory is the collector's.
func TestHeadroomBids(t *testing.T) {
	const mib = 1 << 20
	cache := arbiter.Bidder{Name: "cache", Saved: make([]float64, 65)}
	for u := range cache.Saved {
		cache.Saved[u] = 2e8 * (1 - math.Exp(-float64(u)/16))
	}
	var before int
	for i, allocated := range []float64{1 * mib, 50 * mib, 500 * mib} {
		gc := arbiter.Headroom{Allocated: allocated, Live: 256 * mib, Cost: 0.3}
		given, err := arbiter.Allocate([]arbiter.Bidder{cache, {Name: "gc", Saved: gc.Savings(8*mib, 64), Floor: 1}}, 64)
		if err != nil {
			t.Fatal(err)
		}
		if given[1] < 1 || i > 0 && given[1] <= before {
			t.Errorf("at %.0f MiB/s the collector has %d units, %d at less", allocated/mib, given[1], before)
		}
		before = given[1]
	}
	s := arbiter.Headroom{Allocated: 100, Live: 10, Cost: 2}.Savings(5, 4)
	if want := []float64{0, 0, 200, 800.0 / 3, 300}; !slices.EqualFunc(s, want, func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }) {
		t.Errorf("savings %v, want %v", s, want)
	}
}

// Steps never hand out more than there is, first shrink and then grow, reach
// the division, and then there is none.
func TestSteps(t *testing.T) {
	bidders := []arbiter.Bidder{
		{Name: "loop", Saved: append(make([]float64, 40), 500)},
		{Name: "smooth", Saved: make([]float64, 101)},
	}
	for u := range bidders[1].Saved {
		bidders[1].Saved[u] = 100 * math.Log1p(float64(u))
	}
	now, steps := []int{0, 100}, 0
	for {
		tr, worth, err := arbiter.Step(bidders, now, 100, 1)
		if err != nil {
			t.Fatal(err)
		}
		if !worth {
			break
		}
		moved := 0
		for i := range now {
			now[i] -= tr.Shrink[i]
			moved += tr.Shrink[i]
		}
		if moved > 10 || now[0] < 0 || now[1] < 0 {
			t.Fatalf("a step moves %d units, to %v", moved, now)
		}
		for i := range now {
			now[i] += tr.Grow[i]
		}
		if now[0]+now[1] > 100 {
			t.Fatalf("%v is more than there is", now)
		}
		if steps++; steps > 20 {
			t.Fatalf("no end of steps, at %v", now)
		}
	}
	if want := []int{40, 60}; !slices.Equal(now, want) {
		t.Errorf("the steps lead to %v, want %v", now, want)
	}
	if _, worth, _ := arbiter.Step(bidders, []int{0, 100}, 100, 1000); worth {
		t.Error("a step is worth less than the error of its gain, and is taken")
	}
	if _, worth, _ := arbiter.Step(bidders, []int{40, 58}, 100, 0); worth {
		t.Error("a step for less than 2 % is taken")
	}
}

// The sample is bounded, and thinning keeps the curve right.
func TestSamplerIsBounded(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	full := arbiter.NewSampler(arbiter.SamplerConfig{Unit: 100, Units: 50, RateShift: 1, MaxKeys: 1 << 16})
	small := arbiter.NewSampler(arbiter.SamplerConfig{Unit: 100, Units: 50, RateShift: 1, MaxKeys: 500})
	next := zipf(r, 1.1, 10_000)
	for range 200_000 {
		k := next()
		full.Reference(k)
		small.Reference(k)
	}
	a, _ := full.Curve()
	b, _ := small.Curve()
	all, _ := full.Keys()
	if some, sampled := small.Keys(); sampled > 500 || some < 0.8*all || some > 1.2*all {
		t.Errorf("of %.0f keys the smaller sample says that they are %.0f, by %d", all, some, sampled)
	}
	for u := range a {
		// Caution makes the smaller sample's curve the higher one.
		if b[u] < a[u]-0.02 || b[u] > a[u]+0.15 {
			t.Errorf("%d units: miss ratio %.3f of all, %.3f of 500 keys", u, a[u], b[u])
		}
		if u > 0 && (a[u] > a[u-1] || b[u] > b[u-1]) {
			t.Errorf("a curve rises at %d units", u)
		}
	}
	empty, references := arbiter.NewSampler(arbiter.SamplerConfig{Unit: 1, Units: 3}).Curve()
	if references != 0 || !slices.Equal(empty, arbiter.Curve{1, 1, 1, 1}) {
		t.Errorf("without a reference: %v of %d", empty, references)
	}
}

// A curve that fades forgets an old workload.
func TestFade(t *testing.T) {
	s := arbiter.NewSampler(arbiter.SamplerConfig{Unit: 100, Units: 20, RateShift: 2})
	run := func(next func() uint64) {
		for range 10 {
			for range 20_000 {
				s.Reference(next())
			}
			s.Fade()
		}
	}
	run(loop(1500))
	if c, _ := s.Curve(); c[14] < 0.5 || c[17] > 0.2 {
		t.Errorf("a loop over 15 units: %v", c)
	}
	short := loop(400)
	run(func() uint64 { return 1<<40 + short() })
	if c, _ := s.Curve(); c[3] < 0.5 || c[6] > 0.2 {
		t.Errorf("a loop over 4 units, behind one over 15: %v", c)
	}
}

func TestSamplerConcurrently(t *testing.T) {
	s := arbiter.NewSampler(arbiter.SamplerConfig{Unit: 10, Units: 10, RateShift: 1, MaxKeys: 100})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 5000 {
				s.Reference(uint64(g*1000 + i%1000))
				if i%1000 == 0 {
					s.Curve()
				}
			}
		})
	}
	wg.Wait()
	if _, n := s.Curve(); n != 20_000 {
		t.Errorf("%d references, want 20000", n)
	}
}

func BenchmarkReference(b *testing.B) {
	s := arbiter.NewSampler(arbiter.SamplerConfig{Unit: unit, Units: units})
	next := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		next += 0x9e3779b97f4a7c15
		s.Reference(next % 60_000)
	}
}
