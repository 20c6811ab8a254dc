package perf

import (
	"slices"

	"github.com/outrider-project/outrider/bitvm/claim"
	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/collect"
)

// These are the quantities by which the database, the network, the cache and claims of
// BitVM bridges are said to be used.
const (
	databaseP90 = "coindb_batch_p90"
	claimRate   = "bitvm_claim_per_second"
	claimP90    = "bitvm_claim_p90"
	networkRate = "network_exchanges_per_second"
	networkP90  = "network_exchange_p90"
	cacheUsed   = "cache_used_ratio"
	cacheRate   = "cache_lookups_per_second"
	cacheP90    = "cache_lookup_p90"
)

// exchangeTimers are the timers of exchanges with nodes, Bitcoin's and those of the L2 and
// its L1, by the metric's name.
var exchangeTimers = []string{"outrider_node_rpc_seconds", "outrider_bob_rpc_seconds"}

// These are the metrics of the coins in memory.
const (
	lookupCounter = "outrider_utxo_lookups_total"
	lookupTimer   = "outrider_utxo_lookup_seconds"
	coinBytes     = "outrider_utxo_bytes"
)

// throughputOf returns what the throughput of a resource counts, by the resource's name.
func throughputOf(resource string) string {
	switch resource {
	case perfcore.CPU.String():
		return "units of work"
	case perfcore.Network.String():
		return "exchanges with nodes"
	case perfcore.Cache.String():
		return "look-ups of coins"
	case claim.Resource().String():
		return "claims of BitVM bridges"
	}
	return "operations"
}

// recorders are the parts of the program that some quantities of resources are of, and the
// metrics of which they record one at least.
var recorders = func() map[string]recorder {
	exchanges := recorder{"whoever asks nodes", exchangeTimers}
	const cache = "the coins in memory"
	claims := recorder{"whoever judges claims of BitVM bridges", []string{"outrider_bitvm_claim_seconds"}}
	return map[string]recorder{
		workRate:    {"whoever judges blocks", workCounters},
		databaseP90: {"the coin database, which the mode full has,", []string{"outrider_coindb_batch_seconds"}},
		networkRate: exchanges,
		networkP90:  exchanges,
		cacheUsed:   {cache, []string{coinBytes}},
		cacheRate:   {cache, []string{lookupCounter}},
		cacheP90:    {cache, []string{lookupTimer}},
		claimRate:   claims,
		claimP90:    claims,
	}
}()

type recorder struct {
	part    string
	metrics []string
}

// coinBudget is the knob that says how many bytes the coins in memory may have.
const coinBudget = "utxocache.budget"

// A pooled is what several timers observe together.
type pooled struct {
	timers []*perfcore.Timer
	from   []perfcore.Distribution
}

// newPooled returns what those timers among series observe whose metrics have one of names.
func newPooled(series []perfcore.Series, names ...string) *pooled {
	p := new(pooled)
	for _, s := range series {
		if s.Timer != nil && slices.Contains(names, s.Metric.Name) {
			p.timers = append(p.timers, s.Timer)
		}
	}
	return p
}

func (p *pooled) begin() {
	p.from = p.from[:0]
	for _, t := range p.timers {
		p.from = append(p.from, t.Snapshot())
	}
}

// end returns what was observed since begin.
func (p *pooled) end() (sum perfcore.Distribution) {
	for i, t := range p.timers {
		sum = sum.Plus(t.Snapshot().Since(p.from[i]))
	}
	return sum
}

// uses is the source of what the network and the cache do. What nobody counts is absent.
type uses struct {
	exchanges, lookups *pooled
	counters           []*perfcore.Counter // of look-ups
	bytes              []*perfcore.Gauge   // of coins
	budget             func() int64        // of these bytes; nil where there is none
	from               uint64
}

// newUses returns the source, as what is among series counts and the knobs say.
func newUses(series []perfcore.Series, knobs []perfcore.Knob) *uses {
	u := &uses{exchanges: newPooled(series, exchangeTimers...), lookups: newPooled(series, lookupTimer)}
	for _, s := range series {
		switch {
		case s.Counter != nil && s.Metric.Name == lookupCounter:
			u.counters = append(u.counters, s.Counter)
		case s.Gauge != nil && s.Metric.Name == coinBytes:
			u.bytes = append(u.bytes, s.Gauge)
		}
	}
	if i := slices.IndexFunc(knobs, func(k perfcore.Knob) bool { return k.Name == coinBudget }); i >= 0 {
		u.budget = knobs[i].Read
	}
	return u
}

func (u *uses) looked() (sum uint64) {
	for _, c := range u.counters {
		sum += c.Value()
	}
	return sum
}

// Begin implements collect.Source.
func (u *uses) Begin() {
	u.exchanges.begin()
	u.lookups.begin()
	u.from = u.looked()
}

// End implements collect.Source.
func (u *uses) End(s *collect.Slice) {
	if len(u.exchanges.timers) > 0 {
		d := u.exchanges.end()
		s.SetRate(networkRate, 0, float64(d.Count))
		setP90(s, networkP90, d)
	}
	if len(u.counters) > 0 {
		s.SetRate(cacheRate, float64(u.from), float64(u.looked()))
	}
	setP90(s, cacheP90, u.lookups.end())
	if u.budget == nil || len(u.bytes) == 0 {
		return
	}
	if budget := u.budget(); budget > 0 {
		used := 0.0
		for _, g := range u.bytes {
			used += g.Value()
		}
		s.Set(cacheUsed, used/float64(budget))
	}
}

// setP90 sets a quantity to the 90th percentile of what was observed, if anything was.
func setP90(s *collect.Slice, quantity string, d perfcore.Distribution) {
	if d.Count > 0 {
		s.Set(quantity, d.Quantile(latencyQuantile).Seconds())
	}
}

// Missing implements collect.Source.
func (*uses) Missing() []string { return nil }
