package utxocache

import (
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
	apply, disconnect   *perfcore.Timer
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

func newInstruments(rec perfcore.Recorder) instruments {
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
	return instruments{
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
		apply: rec.Timer(perfcore.Metric{
			Name: "outrider_utxo_apply_seconds",
			Help: "Time to apply a block to the coins.",
		}),
		disconnect: rec.Timer(perfcore.Metric{
			Name: "outrider_utxo_disconnect_seconds",
			Help: "Time to disconnect a block from the coins.",
		}),
	}
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
