package sigverify

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/outrider-project/outrider/perfcore"
)

// valuesOf returns the value of every series, by its name and labels; of a timer,
// how often it was observed.
func valuesOf(registry *perfcore.Registry) map[string]float64 {
	values := make(map[string]float64)
	for _, s := range registry.Series() {
		name := strings.Join(append([]string{s.Metric.Name}, s.Metric.Labels...), " ")
		switch {
		case s.Counter != nil:
			values[name] = float64(s.Counter.Value())
		case s.Gauge != nil:
			values[name] = s.Gauge.Value()
		case s.Timer != nil:
			values[name] = float64(s.Timer.Snapshot().Count)
		}
	}
	return values
}

// Every signature is counted once, by its verdict and by who gave it.
func TestMetrics(t *testing.T) {
	eachPath(t, func(t *testing.T, path Path) {
		var registry perfcore.Registry
		v := newTestVerifier(t, Options{Path: path, Recorder: &registry, RecheckEvery: 1, CacheBytes: 1 << 20})
		items, want := mixed(newRand(t), 48)
		var good, bad float64
		for _, ok := range want {
			if ok {
				good++
			} else {
				bad++
			}
		}
		valid := make([]bool, len(items))
		if err := v.VerifyMempool(t.Context(), items, valid); err != nil {
			t.Fatal(err)
		}
		verifyAll(t, v, items)
		got := valuesOf(&registry)
		const signatures = "outrider_sigverify_signatures_total "
		byPath := func(verdict string) float64 {
			return got[signatures+"verdict "+verdict+" path lane"] + got[signatures+"verdict "+verdict+" path scalar"]
		}
		if byPath("valid") != good || byPath("invalid") != 2*bad || got[signatures+"verdict valid path cache"] != good {
			t.Errorf("want %v valid, as many from the cache, and twice %v invalid: %v", good, bad, got)
		}
		doubted := got["outrider_sigverify_rechecks_total by scalar"]
		if path == PathLane && doubted < 2*bad || path == PathScalar && doubted != 0 {
			t.Errorf("%v signatures went to the scalar verifier as well", doubted)
		}
		if path == PathLane && got[signatures+"verdict valid path lane"] == 0 {
			t.Errorf("the lanes found nothing valid: %v", got)
		}
		// The first batch asks a cache that is empty to begin with.
		if missed := got["outrider_sigverify_cache_misses_total"]; missed < bad || missed > bad+good+bad {
			t.Errorf("%v signatures were missed in the cache", missed)
		}
		for name, want := range map[string]float64{
			"outrider_sigverify_rechecks_total by decred":                     good + 2*bad,
			"outrider_sigverify_cache_records":                                good,
			"outrider_sigverify_cache_bytes":                                  1 << 20,
			"outrider_sigverify_batch_seconds priority block":                 1,
			"outrider_sigverify_batch_seconds priority mempool":               1,
			"outrider_sigverify_queue_signatures priority block":              0,
			"outrider_sigverify_queue_signatures priority mempool":            0,
			"outrider_sigverify_path_info path " + string(path):               1,
			"outrider_sigverify_path_info path decred":                        0,
			"outrider_sigverify_mismatches_total path " + string(path):        0,
			"outrider_sigverify_mismatches_total path decred":                 0,
			"outrider_sigverify_signatures_total verdict valid path decred":   0,
			"outrider_sigverify_signatures_total verdict invalid path decred": 0,
		} {
			if got, ok := got[name]; !ok || got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
		}
	})
}

// Every knob fits its contract, has the value in force on its ladder, and takes
// all of it without a change of verdicts.
func TestKnobs(t *testing.T) {
	items, want := mixed(newRand(t), 24)
	for _, o := range []Options{{}, {Workers: 7, Chunk: 48, CacheBytes: 12345678}, {CacheBytes: -1, Workers: 1}} {
		v := newTestVerifier(t, o)
		names := make(map[string]bool)
		for _, k := range v.Knobs() {
			names[k.Name] = true
			carry := perfcore.Memoryless
			if k.Name == "sigverify.cache" {
				carry = perfcore.Stateful
			}
			if k.Carry != carry || (k.Settle > 0) != (carry == perfcore.Stateful) {
				t.Errorf("%s carries %d over %v", k.Name, k.Carry, k.Settle)
			}
			if k.Hastens == (k.Name == "sigverify.cache") {
				t.Errorf("%s hastens: %v", k.Name, k.Hastens)
			}
			if err := k.Check(); err != nil {
				t.Error(err)
			}
			now := k.Read()
			if !slices.Contains(k.Ladder, now) {
				t.Errorf("%s is %d, which is not on its ladder %v", k.Name, now, k.Ladder)
			}
			for _, n := range append(slices.Clone(k.Ladder), now) {
				if err := k.Set(t.Context(), n); err != nil {
					t.Error(err)
				}
				if got := verifyAll(t, v, items); !slices.Equal(got, want) {
					t.Errorf("%s is %d: verdicts %v, want %v", k.Name, n, got, want)
				}
			}
		}
		if got := slices.Sorted(maps.Keys(names)); !slices.Equal(got, []string{"sigverify.cache", "sigverify.chunk", "sigverify.workers"}) {
			t.Errorf("the knobs are %v", got)
		}
	}
	workers, chunk := newTestVerifier(t, Options{Workers: 3, Chunk: 1000}).pool.settings()
	if workers != 3 || chunk != maxChunk {
		t.Errorf("%d workers and a chunk of %d, want 3 and %d", workers, chunk, maxChunk)
	}
}
