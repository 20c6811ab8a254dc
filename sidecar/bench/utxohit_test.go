package bench

import (
	"container/list"
	"math"
	"sync"
	"testing"

	"github.com/outrider-project/outrider/perfcore/arbiter"
	"github.com/outrider-project/outrider/testvectors"
	"github.com/outrider-project/outrider/utxocache"
)

// A stack is a cache of keys that drops the one that was mentioned least recently.
type stack struct {
	size         int
	order        list.List
	places       map[uint64]*list.Element
	hits, misses float64
}

func (s *stack) mention(key uint64) {
	if e, ok := s.places[key]; ok {
		s.hits++
		s.order.MoveToFront(e)
		return
	}
	s.misses++
	s.places[key] = s.order.PushFront(key)
	if len(s.places) > s.size {
		delete(s.places, s.order.Remove(s.order.Back()).(uint64))
	}
}

// The references of the sample tell the arbiter's sampler what caches of any size
// would miss: as much as caches of those sizes do that hear of all coins.
func TestSampledCurve(t *testing.T) {
	if testing.Short() {
		t.Skip("not checked with -short: that the sample's miss ratios are those of all look-ups")
	}
	const unit, units = 4000, 20
	sampler := arbiter.NewSampler(arbiter.SamplerConfig{
		Unit: unit >> utxocache.SampleShift, Units: units, RateShift: 1, Salt: 1,
	})
	var mu sync.Mutex
	events := make(map[utxocache.Event]int)
	cache, err := utxocache.New(utxocache.Options{Blocks: 20, Refer: func(r utxocache.Reference) {
		mu.Lock()
		defer mu.Unlock()
		events[r.Event]++
		if r.Event != utxocache.Spent {
			sampler.Reference(r.Hash)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	cache.Reset(utxocache.Tip{Hash: numbered("block", 0)}, true)
	both := &played{cacheKeeper: &cacheKeeper{cache: cache, ended: t.Context().Err}}
	for _, n := range []int{1, 2, 5, 10, 20} {
		both.stacks = append(both.stacks, &stack{size: n * unit, places: make(map[uint64]*list.Element)})
	}
	if ratio := testvectors.HitRatio(both, testvectors.NewSpends(5, 240), 0, 500); ratio != 1 || both.err != nil {
		t.Fatalf("%v of the spends were hits: %v", ratio, both.err)
	}
	curve, references := sampler.Curve()
	t.Logf("%d references, %v", references, events)
	for _, s := range both.stacks {
		want, got := s.misses/(s.hits+s.misses), curve[s.size/unit]
		t.Logf("%d coins: %.4f of the references miss, by the sample %.4f", s.size, want, got)
		if math.Abs(want-got) > 0.06 { // which outpoints are in the sample is drawn anew each time
			t.Errorf("%d coins: %.4f of the references miss, by the sample %.4f", s.size, want, got)
		}
	}
	if events[utxocache.FoundInRing] == 0 || events[utxocache.FoundInPages] == 0 || events[utxocache.NotFound] != 0 ||
		events[utxocache.Spent] != events[utxocache.FoundInRing]+events[utxocache.FoundInPages] {
		t.Errorf("events %v", events)
	}
}

// A played chain goes to a cache and to stacks.
type played struct {
	*cacheKeeper
	stacks []*stack
}

func (p *played) mention(coin int) {
	for _, s := range p.stacks {
		s.mention(uint64(coin))
	}
}

func (p *played) Spend(coin int) bool {
	p.mention(coin)
	return p.cacheKeeper.Spend(coin)
}

func (p *played) Made(first, end int) {
	for coin := first; coin < end; coin++ {
		p.mention(coin)
	}
	p.cacheKeeper.Made(first, end)
}
