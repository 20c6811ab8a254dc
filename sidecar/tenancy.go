package sidecar

import (
	"slices"
	"sync"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/arbiter"
	"github.com/outrider-project/outrider/perfcore/heap"
	"github.com/outrider-project/outrider/sidecar/perf"
	"github.com/outrider-project/outrider/utxocache"
	"github.com/outrider-project/outrider/utxocache/coindb"
	"github.com/outrider-project/outrider/utxocache/coins"
)

const (
	// leaseUnits is in how many units the memory is divided at most, and leaseUnit
	// the least size of one.
	leaseUnits, leaseUnit = 64, 1 << 20
	// leastBlocksCached is what the coin database needs beside its memtables.
	leastBlocksCached = 16 << 20
	// headroomError is the error of what the garbage collector costs, as a share.
	headroomError = 0.05
)

// A tenancy is who shares the memory that the operator has set: the coins in memory,
// the coin database, and what the garbage collector may let the heap grow by. It says
// what each would save by how much of it, by what was seen.
type tenancy struct {
	// limit is what they may have together, unit what is moved, in bytes.
	limit, unit int64
	cache       *utxocache.Cache
	coins       *coinRatio
	db          *coindb.DB  // nil in cache mode
	blocks      *blockRatio // asked in full mode only
	governor    *heap.Governor
	since       *moments // of the collector's bid
}

// unitOf returns the unit in which limit bytes are divided.
func unitOf(limit int64) int64 {
	return max((limit/leaseUnits+leaseUnit-1)/leaseUnit, 1) * leaseUnit
}

// watch has the curves of the caches know what their misses cost: what was asked of
// whoever is below the memory, the node among them, and what Pebble read.
func (t *tenancy) watch(set *coins.Set, asked *asking, reg *perfcore.Registry) {
	t.coins.missed = func() (float64, time.Duration) {
		n, took := set.Below()
		return float64(n + asked.coins.Load()), took + time.Duration(asked.nanoseconds.Load())
	}
	hits := timersOf(reg, "outrider_utxo_lookup_seconds", "ring", "ristretto")
	t.coins.hit = func() float64 { return meanOf(hits) }
	if t.db != nil {
		t.blocks.missed = func() (float64, time.Duration) {
			r := t.db.Reads()
			return float64(r.Missed) / tableBlock, r.Time
		}
	}
}

// govern has the collector's bid be for the headroom of a governor.
func (t *tenancy) govern(g *heap.Governor) { t.governor, t.since = g, newMoments(g.Now()) }

// timersOf returns the timers of a name, with one of the values of its only label.
func timersOf(reg *perfcore.Registry, name string, values ...string) []*perfcore.Timer {
	var timers []*perfcore.Timer
	for _, s := range reg.Series() {
		if s.Timer != nil && s.Metric.Name == name && len(s.Metric.Labels) == 2 && slices.Contains(values, s.Metric.Labels[1]) {
			timers = append(timers, s.Timer)
		}
	}
	return timers
}

// meanOf returns the mean of what timers observed, in nanoseconds; 0 of nothing.
func meanOf(timers []*perfcore.Timer) float64 {
	var n uint64
	var sum time.Duration
	for _, t := range timers {
		d := t.Snapshot()
		n, sum = n+d.Count, sum+d.Sum
	}
	return float64(sum) / float64(max(n, 1))
}

// Knobs returns the knobs of all of them. Those of leases have values in units, none
// of them larger than the limit.
func (t *tenancy) Knobs() []perfcore.Knob {
	knobs := slices.Concat(t.cache.Knobs(), t.governor.Knobs())
	if t.db != nil {
		knobs = append(knobs, t.db.Knobs()...)
	}
	for i := range knobs {
		if slices.Contains(leases, knobs[i].Name) {
			knobs[i].Ladder = t.inUnits(knobs[i].Ladder, knobs[i].Read())
		}
	}
	return knobs
}

// leases are the knobs by which memory is divided.
var leases = []string{"utxocache.budget", "coindb.memory", "go.headroom"}

// inUnits returns a ladder between the ends of another, in units, with now on it.
func (t *tenancy) inUnits(ladder []int64, now int64) []int64 {
	var steps []int64
	least, most := ladder[0], min(ladder[len(ladder)-1], t.limit)
	for n := (least + t.unit - 1) / t.unit * t.unit; n <= most; n += t.unit {
		steps = append(steps, n)
	}
	return perfcore.Ladder(steps, now)
}

// memory returns the tenants, for an arbiter. What it may be set to is knobs'.
func (t *tenancy) memory(knobs []perfcore.Knob) *perf.Memory {
	m := &perf.Memory{Limit: t.limit, Unit: t.unit}
	headroom := func() int64 { return 0 }
	if i := slices.IndexFunc(knobs, func(k perfcore.Knob) bool { return k.Name == "go.headroom" }); i >= 0 {
		headroom = knobs[i].Read
	}
	for _, k := range knobs {
		tenant := arbiter.Tenant{Knob: k.Name, Most: k.Ladder[len(k.Ladder)-1], Settle: k.Settle}
		lease, first := k.Read, k.Ladder[0]
		switch k.Name {
		case "utxocache.budget":
			tenant.Least = func() int64 { return max(first, t.leastCoins(lease())) }
			tenant.Held = func() int64 { return t.cache.Memory().Total() }
			tenant.Bid = func(unit int64, units int) arbiter.Bid {
				b := t.coins.bid(unit, units, lease(), tenant.Settle)
				t.chargeHeap(&b, unit, headroom())
				return b
			}
			tenant.Fade = t.coins.age
		case "coindb.memory":
			start := lease()
			tenant.Least = func() int64 { return max(first, min(t.db.MemTables()+leastBlocksCached, start)) }
			tenant.Held = func() int64 {
				cached, memtables, _ := t.db.Held() // a closed one holds nothing
				return cached + memtables
			}
			tenant.Bid = func(unit int64, units int) arbiter.Bid { return t.blocks.bid(unit, units, lease(), tenant.Settle) }
			tenant.Fade = t.blocks.age
		case "go.headroom":
			tenant.Least = func() int64 { _, least, _ := t.governor.Room(); return max(first, least) }
			tenant.Held = func() int64 { held, _, _ := t.governor.Room(); return held }
			tenant.Bid = func(unit int64, units int) arbiter.Bid { return t.headroom(unit, units, lease()) }
			tenant.Fade = func() { t.since.turn(t.governor.Now()) }
		default:
			continue
		}
		m.Tenants = append(m.Tenants, tenant)
	}
	return m
}

// leastCoins returns the least budget for which nothing of the ring need go that the
// budget does not already leave out.
func (t *tenancy) leastCoins(budget int64) int64 {
	m := t.cache.Memory()
	const spare = 4 // utxocache.Accounted leaves a quarter at most
	return min(budget, (m.Ring+m.Index)*spare/(spare-1))
}

// headroom returns the collector's bid: processor time that it needs less. GOGC bounds
// what it takes of a lease.
func (t *tenancy) headroom(unit int64, units int, lease int64) arbiter.Bid {
	h, ok := t.governor.Headroom(t.since.get())
	if !ok {
		return arbiter.Bid{Why: "too little garbage was collected to say what it costs"}
	}
	_, _, most := t.governor.Room()
	b := arbiter.Bid{Saved: h.Savings(float64(unit), units), Error: headroomError * h.Cost * h.Allocated * h.Live / float64(max(min(lease, most), unit))}
	for u := range b.Saved {
		if wished := int(min((most+unit-1)/unit, int64(units))); u > wished {
			b.Saved[u] = b.Saved[wished]
		}
	}
	return b
}

// chargeHeap takes off a bid what it costs to mark the memory that is bid for, which is
// Go's, where the lease and not GOGC says how often that is done.
func (t *tenancy) chargeHeap(b *arbiter.Bid, unit, headroom int64) {
	h, ok := t.governor.Headroom(t.since.get())
	if _, _, most := t.governor.Room(); !ok || headroom >= most {
		return
	}
	marking := h.Cost * h.Allocated / float64(headroom) // of one byte, all the time
	for u := range b.Saved {
		b.Saved[u] -= marking * float64(int64(u)*unit)
	}
}

// A moments is from when on the collector's work counts: from the last decision but
// one, so that there is always some. It is safe for concurrent use.
type moments struct {
	mu           sync.Mutex // guards what follows
	before, last heap.Mark
}

func newMoments(now heap.Mark) *moments { return &moments{before: now, last: now} }

func (m *moments) get() heap.Mark {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.before
}

func (m *moments) turn(now heap.Mark) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.before, m.last = m.last, now
}
