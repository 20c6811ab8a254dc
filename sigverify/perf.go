package sigverify

import (
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// A tally counts what became of a batch's signatures.
type tally [tallies]uint64

// These are the entries of a tally. Each valid one follows its invalid one.
const (
	invalidLane = iota
	validLane
	invalidScalar
	validScalar
	invalidDecred
	validDecred
	validCached
	missed    // was looked for in the cache, and not there
	doubted   // did not pass the lanes, and went to the scalar verifier
	rechecked // was drawn, and checked by decred's code
	tallies
)

func (t *tally) add(u *tally) {
	for i, n := range u {
		t[i] += n
	}
}

// instruments are the Verifier's metrics.
type instruments struct {
	tallies      [tallies]*perfcore.Counter
	mismatch     map[Path]*perfcore.Counter
	paths        map[Path]*perfcore.Gauge
	waiting      [priorities]*perfcore.Gauge
	batch        [priorities]*perfcore.Timer
	cacheBytes   *perfcore.Gauge
	cacheRecords *perfcore.Gauge
}

func newInstruments(rec perfcore.Recorder) instruments {
	verdicts := func(verdict, path string) *perfcore.Counter {
		return rec.Counter(perfcore.Metric{
			Name: "outrider_sigverify_signatures_total", Help: "Signatures verified, by verdict and by the path that gave it.",
			Labels: []string{"verdict", verdict, "path", path},
		})
	}
	rechecks := func(by Path) *perfcore.Counter {
		return rec.Counter(perfcore.Metric{
			Name: "outrider_sigverify_rechecks_total", Help: "Verdicts that a second verifier was asked for as well.",
			Labels: []string{"by", string(by)},
		})
	}
	m := instruments{
		mismatch: make(map[Path]*perfcore.Counter),
		paths:    make(map[Path]*perfcore.Gauge),
		cacheBytes: rec.Gauge(perfcore.Metric{
			Name: "outrider_sigverify_cache_bytes", Help: "Memory that the cache of verified signatures may take.",
		}),
		cacheRecords: rec.Gauge(perfcore.Metric{
			Name: "outrider_sigverify_cache_records", Help: "Signatures in the cache of verified ones.",
		}),
	}
	for i, path := range paths {
		m.tallies[invalidLane+2*i] = verdicts("invalid", string(path))
		m.tallies[validLane+2*i] = verdicts("valid", string(path))
		m.mismatch[path] = rec.Counter(perfcore.Metric{
			Name: "outrider_sigverify_mismatches_total", Help: "Wrong verdicts found by asking a second verifier, by who gave them.",
			Labels: []string{"path", string(path)},
			Alert: perfcore.Alert{
				Name: "signature_mismatch", Help: "A verifier of signatures gave a wrong verdict, which a second one found: a fault of this program or machine; look at the log.",
				Urgent: true, Keep: time.Hour,
			},
		})
		m.paths[path] = rec.Gauge(perfcore.Metric{
			Name: "outrider_sigverify_path_info", Help: "1 for the path that verifies signatures, 0 for the others.",
			Labels: []string{"path", string(path)},
		})
	}
	m.tallies[validCached] = verdicts("valid", "cache")
	m.tallies[missed] = rec.Counter(perfcore.Metric{
		Name: "outrider_sigverify_cache_misses_total", Help: "Signatures that were looked for in the cache, and not there.",
	})
	m.tallies[doubted] = rechecks(PathScalar)
	m.tallies[rechecked] = rechecks(PathDecred)
	for prio, name := range map[priority]string{forBlock: "block", forMempool: "mempool"} {
		labels := []string{"priority", name}
		m.waiting[prio] = rec.Gauge(perfcore.Metric{
			Name: "outrider_sigverify_queue_signatures", Help: "Signatures that wait for a worker.", Labels: labels,
		})
		m.batch[prio] = rec.Timer(perfcore.Metric{
			Name: "outrider_sigverify_batch_seconds", Help: "Time to verify one batch of signatures.", Labels: labels,
		})
	}
	return m
}

// path notes which path is taken.
func (m *instruments) path(taken Path) {
	for path, gauge := range m.paths {
		gauge.Set(0)
		if path == taken {
			gauge.Set(1)
		}
	}
}

// depth notes how many signatures wait.
func (m *instruments) depth(prio priority, waiting int) { m.waiting[prio].Set(float64(waiting)) }

// record notes a batch that was verified.
func (m *instruments) record(t *tally, prio priority, took time.Duration) {
	for i, n := range t {
		if n > 0 {
			m.tallies[i].Add(n)
		}
	}
	m.batch[prio].Observe(took)
}
