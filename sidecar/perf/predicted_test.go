package perf

import (
	"context"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// What the mempool brings at each hour of the day is foreseen when some days have passed,
// and how well is told.
func TestLoadIsPredicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMill(t)
		ctx, cancel := context.WithCancel(context.Background())
		rate := func(hour int) uint64 {
			if hour%24 >= 18 {
				return 300
			}
			return 20
		}
		hour := 0
		var working sync.WaitGroup
		working.Go(func() {
			for minute := 0; ctx.Err() == nil; minute++ {
				m.done.Add(60 * rate(minute/60))
				select {
				case <-ctx.Done():
				case <-time.After(time.Minute):
				}
			}
		})
		p, stop := m.start(t, Config{Mode: Observe, Slice: 5 * time.Minute}, 0)
		quantity := func(name string) (float64, bool) {
			p.mu.RLock()
			defer p.mu.RUnlock()
			p.following.mu.Lock()
			defer p.following.mu.Unlock()
			v, ok := p.following.quantities[name]
			return v, ok
		}
		for ; hour < 6*24; hour++ {
			time.Sleep(59 * time.Minute)
			got, ok := quantity(mempoolLoad + "_predicted")
			switch want := float64(rate(hour)); {
			case ok && hour < 48:
				t.Errorf("a prediction in hour %d", hour)
			case hour >= 5*24 && (!ok || math.Abs(got-want) > 0.4*want+15):
				t.Errorf("hour %d: predicted %v, %v, want %v", hour, got, ok, want)
			}
			time.Sleep(time.Minute)
		}
		if skill := p.told[mempoolLoad+"_forecast_skill"].Value(); !(skill > 0.2) {
			t.Errorf("the skill is told to be %v", skill)
		}
		cancel()
		working.Wait()
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}
