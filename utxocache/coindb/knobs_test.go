package coindb

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/outrider-project/outrider/perfcore"
)

func TestKnobs(t *testing.T) {
	for _, opts := range []Options{{}, {Memory: 3 << 20, Compactions: 5}, {Memory: 1}, {Memory: memoryCeiling, Compactions: maxCompactions}} {
		d := mustOpen(t, vfs.NewMem(), opts)
		names := map[string]bool{}
		for _, k := range d.Knobs() {
			if err := k.Check(); err != nil {
				t.Error(err)
			}
			names[k.Name] = true
			start := k.Read()
			for _, n := range k.Ladder {
				must(t, k.Set(t.Context(), n))
			}
			must(t, k.Set(t.Context(), start)) // the value it began with is on the ladder
			if err := k.Apply(t.Context(), -1); err == nil || k.Read() != start {
				t.Errorf("%s takes -1 and reads %d: %v", k.Name, k.Read(), err)
			}
		}
		if !names["coindb.memory"] || !names["coindb.compactions"] || !names["coindb.readers"] || len(names) != 3 {
			t.Errorf("the knobs are %v", names)
		}
		must(t, d.Close())
		for _, k := range d.Knobs() {
			mustFail(t, k.Apply(t.Context(), k.Ladder[0]), ErrClosed)
		}
	}
}

// Whoever measures knows of each flush and compaction, from before the first table of it
// is written.
func TestCompacting(t *testing.T) {
	var registry perfcore.Registry
	instrument := func(name string) perfcore.Series {
		for _, s := range registry.Series() {
			if s.Metric.Name == name {
				return s
			}
		}
		t.Fatalf("there is no %s", name)
		return perfcore.Series{}
	}
	var tables, unseen atomic.Int64
	var running *perfcore.Gauge
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, ".sst") {
			tables.Add(1)
			if running.Value() < 1 {
				unseen.Add(1)
			}
		}
		return nil
	}))
	d := mustOpen(t, fs, Options{MemTable: 64 << 10, Recorder: &registry})
	running = instrument("outrider_coindb_compacting").Gauge
	ended := instrument("outrider_coindb_compactions_total").Counter
	c := newChain(seedOf(t))
	must(t, d.Reset(c.top().tip, true))
	before := tables.Load()
	for range 300 {
		must(t, d.Apply(c.mine()))
	}
	must(t, d.Compact(t.Context()))
	must(t, d.Close())
	if n := tables.Load() - before; n < 2 || unseen.Load() > 0 || ended.Value() < 2 || running.Value() != 0 {
		t.Errorf("%d tables were written, %d of them while nothing ran; %d flushes and compactions have ended, and %v run", n, unseen.Load(), ended.Value(), running.Value())
	}
}

// What Pebble counts of its cache is told with each block, each read once, and what it has yet to compact.
func TestCacheReadsAreTold(t *testing.T) {
	var registry perfcore.Registry
	told := func() (hits, misses int64) {
		for _, s := range registry.Series() {
			if s.Metric.Name != "outrider_coindb_cache_reads_total" {
				continue
			}
			if s.Metric.Labels[1] == "hit" {
				hits = int64(s.Counter.Value())
			} else {
				misses = int64(s.Counter.Value())
			}
		}
		return hits, misses
	}
	d := mustOpen(t, vfs.NewMem(), Options{MemTable: 64 << 10, Recorder: &registry})
	c := newChain(seedOf(t))
	must(t, d.Reset(c.top().tip, true))
	for range 300 {
		must(t, d.Apply(c.mine()))
	}
	must(t, d.Compact(t.Context()))
	for range 2 {
		compareDB(t, d, c.top())
		s, err := d.Stats()
		must(t, err)
		must(t, d.Apply(c.mine()))
		if hits, misses := told(); s.CacheHits == 0 || s.CacheMisses == 0 || hits < s.CacheHits || misses < s.CacheMisses {
			t.Errorf("%d hits and %d misses are told, behind %d and %d", hits, misses, s.CacheHits, s.CacheMisses)
		} else if again, err := d.Stats(); err != nil || hits > again.CacheHits || misses > again.CacheMisses {
			t.Errorf("%d hits and %d misses are told of %d and %d; %v", hits, misses, again.CacheHits, again.CacheMisses, err)
		}
	}
	must(t, d.Close())

	var other perfcore.Registry
	m, p := new(pebble.Metrics), newInstruments(&other)
	m.Compact.EstimatedDebt = 5
	p.tell(m)
	is := func(s perfcore.Series) bool {
		return s.Metric.Name == "outrider_coindb_compaction_debt_bytes" && s.Gauge.Value() == 5
	}
	if !slices.ContainsFunc(other.Series(), is) {
		t.Error("nobody tells that 5 bytes are to be compacted")
	}
}

// What the knobs are set to reaches Pebble.
func TestKnobsReachPebble(t *testing.T) {
	d := mustOpen(t, vfs.NewMem(), Options{Memory: 64 << 20, MemTable: 64 << 10})
	for _, k := range d.Knobs() {
		if k.Name != "coindb.compactions" {
			continue
		}
		for _, n := range k.Ladder {
			setKnob(t, d, k.Name, n)
			if _, upper := d.options.CompactionConcurrencyRange(); int64(upper) != n {
				t.Errorf("Pebble is told of %d compactions, not of %d", upper, n)
			}
		}
	}

	c := newChain(seedOf(t))
	must(t, d.Reset(c.top().tip, true))
	for range 300 {
		must(t, d.Apply(c.mine()))
	}
	must(t, d.Compact(t.Context()))
	scan := func() int64 {
		t.Helper()
		compareDB(t, d, c.top())
		s, err := d.Stats()
		must(t, err)
		return s.CacheBytes
	}
	whole := scan()
	if whole < 64<<10 {
		t.Fatalf("only %d bytes are in the cache", whole)
	}
	must(t, d.SetMemory(0))
	if got := scan(); got > whole/4 {
		t.Errorf("with no memory %d bytes are in the cache, of %d", got, whole)
	}
	setKnob(t, d, "coindb.memory", 64<<20)
	if got := scan(); got < whole/2 {
		t.Errorf("with memory again %d bytes are in the cache, before it were %d", got, whole)
	}
}

// setKnob sets a knob by name.
func setKnob(t *testing.T, d *DB, name string, n int64) {
	t.Helper()
	for _, k := range d.Knobs() {
		if k.Name == name {
			must(t, k.Set(t.Context(), n))
			return
		}
	}
	t.Fatalf("there is no knob %s", name)
}
