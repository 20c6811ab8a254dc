package coindb

import (
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/outrider-project/outrider/perfcore"
)

// instruments are the package's metrics.
type instruments struct {
	found, missing     *perfcore.Counter
	known, read        *perfcore.Counter
	stalls, waits      *perfcore.Counter
	compactions        *perfcore.Counter
	compacting         *perfcore.Gauge
	coins, full        *perfcore.Gauge
	hits, misses       *perfcore.Counter // of Pebble's cache
	debt               *perfcore.Gauge
	seen               struct{ hits, misses int64 } // told; guarded by DB.write
	apply, undo, batch *perfcore.Timer
	muhash             *perfcore.Timer
}

var fullMetric = perfcore.Metric{
	Name: "outrider_coindb_disk_full",
	Help: "1 while there is too little space on the disk to write coins, else 0.",
	Alert: perfcore.Alert{
		Name: "disk_full", Help: "The disk of the data directory is full: make room. Blocks wait until there is some, and nothing is lost.",
		Urgent: true, Keep: time.Minute,
	},
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
	cached := func(answer string) *perfcore.Counter {
		return rec.Counter(perfcore.Metric{
			Name:   "outrider_coindb_cache_reads_total",
			Help:   "Blocks of tables that were asked for in Pebble's cache, by whether they were there; up to the last change of the coins.",
			Labels: []string{"answer", answer},
		})
	}
	timer := func(name, help, panel string) *perfcore.Timer {
		return rec.Timer(perfcore.Metric{Name: name, Help: help, Panel: panel})
	}
	const waits, block = "Waits", "Time of a block"
	return instruments{
		found:   reads("coin"),
		missing: reads("none"),
		known:   spent("known"),
		read:    spent("read"),
		stalls: rec.Counter(perfcore.Metric{
			Name: "outrider_coindb_stalls_total",
			Help: "Times that a write had to wait for the disk.", Panel: waits,
			Alert: perfcore.Alert{
				Name: "coindb_stalls", Help: "Writes of coins wait for the disk.",
				Raise: 0.1, Clear: 0.01, For: time.Minute, Keep: 5 * time.Minute,
			},
		}),
		waits: rec.Counter(perfcore.Metric{
			Name: "outrider_coindb_muhash_waits_total",
			Help: "Times that a block had to wait until earlier ones were hashed.", Panel: waits,
		}),
		compactions: rec.Counter(perfcore.Metric{
			Name: "outrider_coindb_compactions_total",
			Help: "Compactions of coins on disk, and flushes of what is not in tables yet, that ended.",
		}),
		compacting: rec.Gauge(perfcore.Metric{
			Name: "outrider_coindb_compacting",
			Help: "Compactions and flushes of coins on disk that run.",
		}),
		coins: rec.Gauge(perfcore.Metric{
			Name: "outrider_coindb_coins",
			Help: "Unspent coins on disk.",
		}),
		full:   rec.Gauge(fullMetric),
		hits:   cached("hit"),
		misses: cached("miss"),
		debt: rec.Gauge(perfcore.Metric{
			Name: "outrider_coindb_compaction_debt_bytes",
			Help: "What Pebble has yet to compact of the coins on disk, as it estimates, before the last change of the coins.",
		}),
		apply:  timer("outrider_coindb_apply_seconds", "Time to apply a block to the coins on disk, durably.", block),
		undo:   timer("outrider_coindb_undo_seconds", "Time to undo a block in the coins on disk, durably.", block),
		muhash: timer("outrider_coindb_muhash_seconds", "Time to hash what a block did to the coins, after it was applied.", block),
		batch:  timer("outrider_coindb_batch_seconds", "Time to look up one batch of coins on disk.", ""),
	}
}

// changed records that a change has ended with err.
func (p *instruments) changed(err error) {
	switch {
	case err == nil:
		p.full.Set(0)
	case errors.Is(err, ErrDiskFull):
		p.full.Set(1)
	}
}

// tell records what Pebble measures of itself.
func (p *instruments) tell(m *pebble.Metrics) {
	p.hits.Add(uint64(m.BlockCache.Hits - p.seen.hits))
	p.misses.Add(uint64(m.BlockCache.Misses - p.seen.misses))
	p.seen.hits, p.seen.misses = m.BlockCache.Hits, m.BlockCache.Misses
	p.debt.Set(float64(m.Compact.EstimatedDebt))
}

func (p *instruments) report(s *state) { p.coins.Set(float64(s.coins)) }
