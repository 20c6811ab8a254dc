package engine_test

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/engine"
	"github.com/outrider-project/outrider/perfcore/plant"
	"github.com/outrider-project/outrider/perfcore/snapshot"
)

// Random hands pin, release, freeze, interfere, set targets, restore snapshots, change the
// regime and end the run, while Apply fails now and then and the collector says
// nothing now and then. At every instant the values are on their ladders (the
// plant panics otherwise) and pinned knobs stay; nothing is promoted without
// evidence, nor recalled without a change of the regime; every seventh change
// makes a snapshot, and all of them verify; and in the end the incumbents are in
// force.
//
// OUTRIDER_PERFCORE_HANDS sets how often the hands act in each of 20 runs (300);
// with 8000 of them values are applied a million times.
func TestRandomHands(t *testing.T) {
	hands, applied := 300, 0
	if env := os.Getenv("OUTRIDER_PERFCORE_HANDS"); env != "" {
		var err error
		if hands, err = strconv.Atoi(env); err != nil {
			t.Fatal(err)
		}
	}
	defer func() { t.Logf("values were applied %d times", applied) }()
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			hand := rand.New(rand.NewPCG(seed, 11))
			w := plant.Noisy()
			w.Neighbour, w.SeenNeighbour = 0.5, true
			cfg := plant.Config{
				Start: []int{5, 5, 5}, Surface: plant.Cliff(plant.RandomBowl(hand, 3).Surface(), 9, 0.8), World: w,
				Seed: seed, FailingApply: 0.02, Unordered: []int{2},
				Uses: []plant.Use{{
					Resource: perfcore.Database, Noise: 0.1, Unseen: func(_ []int, t int) bool { return t%7 == 0 },
					Latency: func(l []int, _ int) float64 { return -0.1 * float64(l[1]) },
				}},
			}
			ring := snapshot.NewRing(7)
			traveller := new(traveller)
			regimes, recalled := 0, 0 // a snapshot may be of another regime, too
			var mu sync.Mutex
			pinned := make(map[int]int64)
			cfg.Applied = func(levels []int) {
				mu.Lock()
				defer mu.Unlock()
				applied++
				for i, v := range pinned {
					if plant.Value(levels[i]) != v {
						t.Errorf("seed %d: pinned knob %d is at %d, not %d", seed, i, plant.Value(levels[i]), v)
					}
				}
			}
			r := newRig(t, cfg, func(c *engine.Config) {
				c.Slice, c.Snapshots = time.Second, ring
				traveller.Plant = c.Collector.(*plant.Plant)
				c.Collector = traveller
				c.Decided = func(d perfcore.Decision) {
					if d.Verdict == perfcore.Recalled {
						recalled++
					}
					least := 10.0
					if d.Evidence.Targets != 0 {
						least = 30
					}
					if e := d.Evidence; d.Verdict == perfcore.Promoted && !(e.Ratio >= least && e.Effect >= 0.015 && len(e.Diffs) >= 2) {
						t.Errorf("seed %d: promoted on %+v", seed, e)
					}
					if e := d.Evidence; d.Verdict == perfcore.Withdrawn && !(e.Effect > -0.015 && len(e.Diffs) >= 2 && len(d.Moves) == 1) {
						t.Errorf("seed %d: withdrawn on %+v", seed, e)
					}
				}
			})
			stop := r.start(t)
			for range hands {
				time.Sleep(time.Duration(hand.IntN(30)) * time.Second / 2)
				i := hand.IntN(3)
				name, value := r.knobs[i].Name, plant.Value(hand.IntN(9))
				switch hand.IntN(9) {
				case 0:
					mu.Lock()
					delete(pinned, i)
					mu.Unlock()
					if err := r.Resources.Pin(t.Context(), name, value); err == nil {
						mu.Lock()
						pinned[i] = value
						mu.Unlock()
					}
				case 1, 2:
					mu.Lock()
					delete(pinned, i)
					mu.Unlock()
					if err := r.Resources.Release(name); err != nil {
						t.Errorf("seed %d: %v", seed, err)
					}
				case 3:
					thaw := r.Freeze("a random hand")
					time.Sleep(5 * time.Second)
					thaw()
				case 4:
					mu.Lock()
					if _, ok := pinned[i]; !ok && hand.IntN(3) == 0 {
						r.Interfere(i, hand.IntN(9))
					}
					mu.Unlock()
				case 5:
					if err := stop(); err != nil && !strings.Contains(err.Error(), "stuck") {
						t.Errorf("seed %d: %v", seed, err)
					}
					if a := r.astray(); a != nil {
						t.Errorf("seed %d: %v are not at their incumbents", seed, a)
					}
					stop = r.start(t)
				case 6:
					traveller.inL2.Store(!traveller.inL2.Load())
					regimes++
				case 8:
					var targets perfcore.Targets
					if n := hand.IntN(4); n > 0 {
						targets = quickly(time.Duration(n) * 250 * time.Millisecond)
					}
					if err := r.SetTargets(perfcore.Database, targets); err != nil {
						t.Errorf("seed %d: %v", seed, err)
					}
				case 7:
					all := ring.Snapshots()
					if len(all) == 0 {
						break
					}
					mu.Lock()
					clear(pinned)
					mu.Unlock()
					if _, err := r.Restore(t.Context(), all[hand.IntN(len(all))].Seq); err != nil && !strings.Contains(err.Error(), "stuck") {
						t.Errorf("seed %d: %v", seed, err)
					}
					regimes++
					mu.Lock()
					for i, k := range r.Resources.Knobs() {
						if k.Owner == engine.Operator {
							pinned[i] = k.Incumbent
						}
					}
					mu.Unlock()
				}
			}
			if err := stop(); err != nil && !strings.Contains(err.Error(), "stuck") {
				t.Errorf("seed %d: %v", seed, err)
			}
			if a := r.astray(); a != nil {
				t.Errorf("seed %d: %v are not at their incumbents", seed, a)
			}
			if err := ring.Verify(); err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
			if recalled > regimes {
				t.Errorf("seed %d: values were recalled %d times, and the regime changed, or may have, %d times", seed, recalled, regimes)
			}
			for _, s := range slices.Backward(ring.Snapshots()) {
				if s.Cause != snapshot.Counted {
					continue
				}
				if want := ring.Changes() / 7 * 7; s.Changes != want {
					t.Errorf("seed %d: the newest counted snapshot is behind %d changes, want %d", seed, s.Changes, want)
				}
				break
			}
		})
	}
}

// A traveller is a plant that goes from one regime to another.
type traveller struct {
	*plant.Plant
	inL2 atomic.Bool
}

func (t *traveller) Regime() string {
	if t.inL2.Load() {
		return "L2 heavy"
	}
	return "tip idle"
}
