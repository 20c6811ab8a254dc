package coins

import "github.com/outrider-project/outrider/perfcore"

// A tier is one below the cache, which counts its own.
type tier int

const (
	tierPebble tier = iota
	tierNode
	tiers
)

// instruments are the package's metrics.
type instruments struct {
	found, absent [tiers]*perfcore.Counter
	unknown       *perfcore.Counter
	latency       [tiers]*perfcore.Timer
}

func newInstruments(rec perfcore.Recorder) instruments {
	const name, help = "outrider_utxo_below_total", "Coin look-ups that the memory could not answer, by who did and what there was."
	count := func(tier, answer string) *perfcore.Counter {
		return rec.Counter(perfcore.Metric{Name: name, Help: help, Labels: []string{"tier", tier, "answer", answer}})
	}
	p := instruments{unknown: count("none", "unknown")}
	for t, tier := range [tiers]string{tierPebble: "pebble", tierNode: "node"} {
		p.found[t], p.absent[t] = count(tier, "unspent"), count(tier, "absent")
		p.latency[t] = rec.Timer(perfcore.Metric{
			Name: "outrider_utxo_below_seconds", Help: "Time to answer what the memory could not, for one question of one or many coins, by who answered.",
			Labels: []string{"tier", tier},
		})
	}
	return p
}
