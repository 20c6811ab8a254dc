package coindb

import "github.com/outrider-project/outrider/perfcore"

// instruments are the package's metrics.
type instruments struct {
	found, missing     *perfcore.Counter
	known, read        *perfcore.Counter
	stalls, waits      *perfcore.Counter
	coins              *perfcore.Gauge
	apply, undo, batch *perfcore.Timer
	muhash             *perfcore.Timer
}

func newInstruments(rec perfcore.Recorder) instruments {
	reads := func(answer string) *perfcore.Counter {
		return rec.Counter(perfcore.Metric{
			Name:   "outrider_coindb_reads_total",
			Help:   "Coins asked for on disk, by what was found.",
			Labels: []string{"answer", answer},
		})
	}
	spent := func(source string) *perfcore.Counter {
		return rec.Counter(perfcore.Metric{
			Name:   "outrider_coindb_spent_total",
			Help:   "Coins that blocks spent, by whether they were known from the blocks' validation or read from the disk.",
			Labels: []string{"source", source},
		})
	}
	timer := func(name, help string) *perfcore.Timer {
		return rec.Timer(perfcore.Metric{Name: name, Help: help})
	}
	return instruments{
		found:   reads("coin"),
		missing: reads("none"),
		known:   spent("known"),
		read:    spent("read"),
		stalls: rec.Counter(perfcore.Metric{
			Name: "outrider_coindb_stalls_total",
			Help: "Times that a write had to wait for the disk.",
		}),
		waits: rec.Counter(perfcore.Metric{
			Name: "outrider_coindb_muhash_waits_total",
			Help: "Times that a block had to wait until earlier ones were hashed.",
		}),
		coins: rec.Gauge(perfcore.Metric{
			Name: "outrider_coindb_coins",
			Help: "Unspent coins on disk.",
		}),
		apply:  timer("outrider_coindb_apply_seconds", "Time to apply a block to the coins on disk, durably."),
		undo:   timer("outrider_coindb_undo_seconds", "Time to undo a block in the coins on disk, durably."),
		muhash: timer("outrider_coindb_muhash_seconds", "Time to hash what a block did to the coins, after it was applied."),
		batch:  timer("outrider_coindb_batch_seconds", "Time to look up one batch of coins on disk."),
	}
}

func (p *instruments) report(s *state) { p.coins.Set(float64(s.coins)) }
