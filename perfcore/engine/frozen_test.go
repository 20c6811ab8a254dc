package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/engine"
	"github.com/outrider-project/outrider/perfcore/plant"
	"github.com/outrider-project/outrider/perfcore/snapshot"
)

// verified is a state in which a knob is at 5 in one regime, and at 7 in another.
func verified(now, other string) snapshot.State {
	return snapshot.State{
		Knobs:   []snapshot.Knob{{Name: "plant.knob0", Value: plant.Value(5), Mode: snapshot.Free}},
		Regime:  now,
		Regimes: []snapshot.Regime{{Name: other, Values: []snapshot.Value{{Knob: "plant.knob0", Value: plant.Value(7)}}}},
	}
}

// Frozen before it runs, no knob moves, not even to what was verified in the regime, until it
// thaws; and when it ends before that, what was in force is what it leaves.
func TestFrozenFromTheStart(t *testing.T) {
	for _, thaws := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			ring, collector := snapshot.NewRing(0), new(traveller)
			r := newRig(t, worse(7), func(c *engine.Config) {
				collector.Plant = c.Collector.(*plant.Plant)
				c.Snapshots, c.Collector, c.Store = ring, collector, new(shelf)
			})
			kept, err := ring.Take(snapshot.Asked, verified("L2 heavy", "tip idle"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.Restore(t.Context(), kept.Seq); err != nil {
				t.Fatal(err)
			}
			thaw := r.Freeze("maintenance")
			stop := r.start(t)
			time.Sleep(time.Hour)
			synctest.Wait()
			if got := r.Levels()[0]; got != 5 || r.Slice() > 0 || len(r.Decisions(0)) != 1 {
				t.Errorf("frozen, the knob is at level %d after %d slices, and was decided %v", got, r.Slice(), r.Decisions(0))
			}
			level, regime := 5, "L2 heavy"
			if thaws {
				level, regime = 7, "tip idle"
				thaw()
				until(t, "what was verified in the regime", time.Minute, r.decided(perfcore.Recalled))
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
			if _, recalled := r.last(perfcore.Recalled); recalled != thaws || r.Levels()[0] != level {
				t.Errorf("thaws %v: in the end the knob is at level %d, and was decided %v", thaws, r.Levels()[0], r.Decisions(0))
			}
			all := ring.Snapshots()
			s, err := all[len(all)-1].State()
			if err != nil || s.Regime != regime || s.Knobs[0].Value != plant.Value(level) {
				t.Errorf("thaws %v: the newest snapshot has %+v, %v; want %d in the regime %s", thaws, s, err, plant.Value(level), regime)
			}
		})
	}
}

// When the regime changes behind a freeze, whatever that has ended, no knob moves until it
// thaws.
func TestFrozenBeforeTheRegimeChanges(t *testing.T) {
	calibrated := func(r *rig) bool { return r.decided(perfcore.Calibrated)() }
	for _, tt := range []struct {
		name  string
		begun func(*rig) bool
		later time.Duration
	}{
		{"calibration", func(r *rig) bool { return r.Slice() > 3 }, 0},
		{"trial", (*rig).trying, 0},
		{"rest", calibrated, 0},
		{"rest, some seconds later", calibrated, 3 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ring, collector := snapshot.NewRing(0), new(traveller)
				r := newRig(t, worse(7), func(c *engine.Config) {
					collector.Plant = c.Collector.(*plant.Plant)
					c.Snapshots, c.Collector, c.Engine = ring, collector, fixed{6}
				})
				kept, err := ring.Take(snapshot.Asked, verified("tip idle", "L2 heavy"))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := r.Restore(t.Context(), kept.Seq); err != nil {
					t.Fatal(err)
				}
				stop := r.start(t)
				until(t, tt.name, 24*time.Hour, func() bool { return tt.begun(r) })
				time.Sleep(1500 * time.Millisecond)
				thaw := r.Freeze("maintenance")
				time.Sleep(tt.later)
				collector.inL2.Store(true)
				time.Sleep(time.Hour)
				synctest.Wait()
				if _, recalled := r.last(perfcore.Recalled); recalled || r.Levels()[0] != 5 {
					t.Errorf("frozen, the knob is at level %d, and was decided %v", r.Levels()[0], r.Decisions(0))
				}
				thaw()
				thaw = r.Freeze("maintenance, again")
				time.Sleep(time.Hour)
				if _, recalled := r.last(perfcore.Recalled); recalled || r.Levels()[0] != 5 {
					t.Errorf("frozen again at once, the knob is at level %d, and was decided %v", r.Levels()[0], r.Decisions(0))
				}
				thaw()
				until(t, "what was verified in the regime", time.Minute, r.decided(perfcore.Recalled))
				if got := r.Resources.Knobs()[0].Incumbent; got != plant.Value(7) {
					t.Errorf("thawed, the incumbent is %d", got)
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
