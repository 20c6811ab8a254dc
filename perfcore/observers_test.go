package perfcore

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Ten thousand observe at once, and others look on: nothing is lost, and what
// is seen only grows.
func TestManyObservers(t *testing.T) {
	const observers, each = 10_000, 20
	var registry Registry
	timer := registry.Timer(Metric{Name: "a_seconds"})
	counter := registry.Counter(Metric{Name: "b_total"})
	gauge := registry.Gauge(Metric{Name: "c"})

	done := make(chan struct{})
	var onlookers sync.WaitGroup
	for range 2 {
		onlookers.Go(func() {
			var before Distribution
			for {
				select {
				case <-done:
					return
				default:
				}
				d := timer.Snapshot()
				if d.Count < before.Count || d.Sum < before.Sum || d.Since(before).Count != d.Count-before.Count {
					t.Errorf("%d observations became %d", before.Count, d.Count)
					return
				}
				before = d
				registry.Series()
			}
		})
	}
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range observers {
		wg.Go(func() {
			<-start
			for j := range each {
				timer.Observe(time.Duration(i*each + j))
				counter.Add(1)
				gauge.Set(float64(i))
			}
		})
	}
	close(start)
	wg.Wait()
	close(done)
	onlookers.Wait()

	const n = observers * each
	d := timer.Snapshot()
	if want := time.Duration(n) * (n - 1) / 2; d.Count != n || d.Sum != want || counter.Value() != n {
		t.Errorf("%d observations, sum %d, counter %d; want %d, %d", d.Count, d.Sum, counter.Value(), n, want)
	}
	if v := gauge.Value(); v < 0 || v >= observers {
		t.Errorf("the gauge holds %v, which nobody set", v)
	}
}

// Observe costs little more than two atomic additions would, at most.
// The figure in nanoseconds is the benchmark's; a ratio holds on any machine.
func TestObserveIsCheap(t *testing.T) {
	if raceEnabled || testing.CoverMode() != "" {
		t.Skip("what Observe costs was not checked: the code is instrumented")
	}
	const rounds, times, most = 21, 20_000, 2.5
	var timer Timer
	var sum, bucket atomic.Uint64
	ratios := make([]float64, rounds)
	for i := range ratios {
		begun := time.Now()
		for d := range time.Duration(times) {
			sum.Add(uint64(d))
			bucket.Add(1)
		}
		anchor := time.Since(begun)
		begun = time.Now()
		for d := range time.Duration(times) {
			timer.Observe(d * 1021)
		}
		ratios[i] = float64(time.Since(begun)) / float64(anchor)
	}
	slices.Sort(ratios)
	t.Logf("Observe takes %.2f times as long as two atomic additions, in the median of %d rounds", ratios[rounds/2], rounds)
	if ratios[rounds/2] > most {
		t.Errorf("Observe takes %.2f times as long as two atomic additions, want %v", ratios[rounds/2], most)
	}
}
