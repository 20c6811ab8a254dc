package bench

import (
	"math"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/outrider-project/outrider/perfcore"
)

const (
	// observeWindows is in how many windows Observe is measured, in turns with its
	// anchor, and observeTimes how often in each.
	observeWindows = 41
	observeTimes   = 100_000
	// observeStep is what the durations that are observed grow by, in nanoseconds, so
	// that buckets change.
	observeStep = 1021
)

// measureObserve returns the row of perfcore's Timer beside client_golang's histogram
// with its default buckets, each alone on one thread, and how many allocations an
// observation makes.
func measureObserve() (Row, float64) {
	var timer perfcore.Timer
	histogram := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "observed_seconds", Help: "Durations.", Buckets: prometheus.DefBuckets})
	ours := func() {
		for d := time.Duration(0); d < observeStep*observeTimes; d += observeStep {
			timer.Observe(d)
		}
	}
	theirs := func() {
		for d := time.Duration(0); d < observeStep*observeTimes; d += observeStep {
			histogram.Observe(d.Seconds())
		}
	}
	var took [2][]float64
	for range observeWindows {
		for i, do := range []func(){ours, theirs} {
			took[i] = append(took[i], onThread(do)/observeTimes)
		}
	}
	allocations := math.Inf(1)
	for range observeWindows { // in most of which nobody else allocates
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		ours()
		runtime.ReadMemStats(&after)
		allocations = min(allocations, float64(after.Mallocs-before.Mallocs)/observeTimes)
	}
	return lessIsBetter("observe", median(took[0]), "ns", "client_golang", median(took[1])), allocations
}

// onThread returns for how many nanoseconds the thread that do is called on had a
// processor.
func onThread(do func()) float64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began := threadTime()
	do()
	return float64(threadTime() - began)
}
