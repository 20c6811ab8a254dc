package utxocache

import (
	"strconv"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// instruments are the package's metrics.
type instruments struct {
	lookups             [tiers]*perfcore.Counter
	latency             [tiers]*perfcore.Timer
	forgotten           *perfcore.Counter
	ringCoins, oldCoins *perfcore.Gauge
	ringBytes, oldBytes *perfcore.Gauge
	indexBytes          *perfcore.Gauge
	apply, disconnect   *perfcore.Timer
	// ages counts the coins that were found, by tier and age; of the tiers, two
	// have some.
	ages [tiers][ageClasses]*perfcore.Counter
	// refer is Options.Refer.
	refer func(Reference)
	// observing says that look-ups in the sample are for somebody.
	observing bool
}

// ages are the ages by which found coins are counted, in blocks: an hour, a day, a
// week, a month, a quarter and a year. One class more is for those that are older.
var ages = [...]uint32{6, 144, 1_008, 4_320, 12_960, 52_560}

const ageClasses = len(ages) + 1

// ageOf returns the class of an age.
func ageOf(blocks uint32) int {
	for i, most := range ages {
		if blocks <= most {
			return i
		}
	}
	return len(ages)
}

// sampleGets is how many calls of Get one is measured of, and counted for all:
// a counter that every Get changed would cost more than the look-up.
const sampleGets = 64

// A tier is where a look-up ended.
type tier int

const (
	tierRing      tier = iota // the coin was in the ring
	tierRistretto             // the coin was in ristretto
	tierAbsent                // it is certain that there is no such coin
	tierUnknown               // the cache could not say
	tiers
)

// tally counts the look-ups of one call by where they ended. One place more is
// for what warm returns.
type tally [tiers + 1]uint64

const warmed = tiers

func newInstruments(rec perfcore.Recorder, refer func(Reference)) instruments {
	lookups := func(answer string) *perfcore.Counter {
		return rec.Counter(perfcore.Metric{
			Name:   "outrider_utxo_lookups_total",
			Help:   "Coin look-ups, by what answered them; single ones by a sample.",
			Labels: []string{"answer", answer},
		})
	}
	latency := func(answer string) *perfcore.Timer {
		return rec.Timer(perfcore.Metric{
			Name:   "outrider_utxo_lookup_seconds",
			Help:   "Time of single coin look-ups, a sample, by what answered them.",
			Labels: []string{"answer", answer},
		})
	}
	gauge := func(name, help, tier string) *perfcore.Gauge {
		return rec.Gauge(perfcore.Metric{Name: name, Help: help, Labels: []string{"tier", tier}})
	}
	const (
		coins, coinsHelp = "outrider_utxo_coins", "Unspent coins held."
		bytes, bytesHelp = "outrider_utxo_bytes", "Memory that the coins and what undoes blocks take, as accounted."
	)
	p := instruments{
		refer: refer,
		lookups: [tiers]*perfcore.Counter{
			tierRing: lookups("ring"), tierRistretto: lookups("ristretto"),
			tierAbsent: lookups("absent"), tierUnknown: lookups("unknown"),
		},
		latency: [tiers]*perfcore.Timer{
			tierRing: latency("ring"), tierRistretto: latency("ristretto"),
			tierAbsent: latency("absent"), tierUnknown: latency("unknown"),
		},
		forgotten: rec.Counter(perfcore.Metric{
			Name: "outrider_utxo_forgotten_total",
			Help: "Unspent coins of pages that ristretto evicted or turned away.",
		}),
		ringCoins: gauge(coins, coinsHelp, "ring"),
		oldCoins:  gauge(coins, coinsHelp, "ristretto"),
		ringBytes: gauge(bytes, bytesHelp, "ring"),
		oldBytes:  gauge(bytes, bytesHelp, "ristretto"),
		// of both
		indexBytes: gauge(bytes, bytesHelp, "index"),
		apply: rec.Timer(perfcore.Metric{
			Name: "outrider_utxo_apply_seconds",
			Help: "Time to apply a block to the coins.",
		}),
		disconnect: rec.Timer(perfcore.Metric{
			Name: "outrider_utxo_disconnect_seconds",
			Help: "Time to disconnect a block from the coins.",
		}),
	}
	for t, name := range map[tier]string{tierRing: "ring", tierRistretto: "ristretto"} {
		for i := range p.ages[t] {
			blocks := "more"
			if i < len(ages) {
				blocks = strconv.FormatUint(uint64(ages[i]), 10)
			}
			p.ages[t][i] = rec.Counter(perfcore.Metric{
				Name:   "outrider_utxo_found_total",
				Help:   "Coins that look-ups found, by where, and by up to how many blocks old they were; by a sample of the outpoints.",
				Labels: []string{"tier", name, "blocks", blocks},
			})
		}
	}
	p.observing = refer != nil || p.ages[tierRing][0] != nil
	return p
}

// count adds what one call looked up.
func (p *instruments) count(n *tally) {
	for t, c := range p.lookups {
		if n[t] > 0 {
			c.Add(n[t])
		}
	}
}

// sample adds one look-up that stands for sampleGets.
func (p *instruments) sample(t tier, took time.Duration) {
	p.lookups[t].Add(sampleGets)
	p.latency[t].Observe(took)
}
