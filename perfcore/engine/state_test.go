package engine_test

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/engine"
	"github.com/outrider-project/outrider/perfcore/plant"
	"github.com/outrider-project/outrider/perfcore/snapshot"
)

// A shelf is a store in memory that fails where told to.
type shelf struct {
	mu   sync.Mutex // guards what follows
	kept map[uint64][]byte
	err  error
}

func (s *shelf) Put(_ context.Context, seq uint64, b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	if s.kept == nil {
		s.kept = make(map[uint64][]byte)
	}
	s.kept[seq] = slices.Clone(b)
	return nil
}

func (s *shelf) All(context.Context) ([]snapshot.Stored, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []snapshot.Stored
	for _, seq := range slices.Sorted(maps.Keys(s.kept)) {
		all = append(all, snapshot.Stored{Seq: seq, Encoded: s.kept[seq]})
	}
	return all, s.err
}

func (s *shelf) newest() []byte {
	all, _ := s.All(context.Background())
	return all[len(all)-1].Encoded
}

func everyChange(c *engine.Config) {
	c.Engine, c.Snapshots = fixed{6}, snapshot.NewRing(1)
}

// Each accepted change makes a snapshot, of incumbents and never of a trial.
func TestSnapshotsFollowChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ring := snapshot.NewRing(1)
		value := func() int64 {
			all := ring.Snapshots()
			if len(all) == 0 {
				return 0
			}
			s, err := all[len(all)-1].State()
			if err != nil {
				t.Fatal(err)
			}
			return s.Knobs[0].Value
		}
		r := newRig(t, better(1), func(c *engine.Config) {
			c.Engine, c.Snapshots = fixed{6}, ring
			c.Decided = func(d perfcore.Decision) {
				if d.Verdict == perfcore.Promoted && value() != d.Moves[0].To {
					t.Errorf("the promotion to %d is decided, and the newest snapshot holds %d", d.Moves[0].To, value())
				}
			}
		})
		stop := r.start(t)
		until(t, "a trial", time.Hour, r.trying)
		if err := r.SetTargets(perfcore.Network, perfcore.Targets{Utilization: 0.5}); err != nil {
			t.Fatal(err)
		}
		if got := value(); got != plant.Value(5) {
			t.Errorf("in a trial the newest snapshot holds %d, want the incumbent %d", got, plant.Value(5))
		}
		until(t, "promotion", time.Hour, r.decided(perfcore.Promoted))
		if got := value(); got != plant.Value(6) {
			t.Errorf("after the promotion the newest snapshot holds %d, want %d", got, plant.Value(6))
		}
		before := ring.Changes()
		target := perfcore.Targets{Utilization: 0.5}
		for range 2 { // the second changes nothing
			if err := r.SetTargets(perfcore.Disk, target); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Resources.Pin(t.Context(), "plant.knob0", plant.Value(2)); err != nil {
			t.Fatal(err)
		}
		if got := ring.Changes() - before; got != 2 || value() != plant.Value(2) {
			t.Errorf("a target and a pin are %d changes, and the newest snapshot holds %d", got, value())
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if err := ring.Verify(); err != nil {
			t.Error(err)
		}
	})
}

// What is restored is what was kept, a running trial or not.
func TestRestoreIsIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := plant.Config{Start: []int{5, 5}, Surface: plant.Flat(), World: plant.Noisy(), Seed: 3}
		ring := snapshot.NewRing(0)
		r := newRig(t, cfg, func(c *engine.Config) { c.Engine, c.Snapshots = fixed{6, 6}, ring })
		targets := perfcore.Targets{Utilization: 0.5, Throughput: 7, Latency: time.Second, Quantile: 0.9}
		err := errors.Join(r.Resources.Pin(t.Context(), "plant.knob1", plant.Value(3)), r.SetTargets(perfcore.Cache, targets))
		if err != nil {
			t.Fatal(err)
		}
		kept, err := r.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		err = errors.Join(r.Resources.Pin(t.Context(), "plant.knob1", plant.Value(8)), r.Resources.Release("plant.knob1"), r.SetTargets(perfcore.Cache, perfcore.Targets{}),
			r.SetTargets(perfcore.Disk, targets), r.Resources.Pin(t.Context(), "plant.knob0", plant.Value(8)),
			r.Resources.Release("plant.knob0"))
		if err != nil {
			t.Fatal(err)
		}
		stop := r.start(t)
		until(t, "a trial", time.Hour, r.trying)
		refused, err := r.Restore(t.Context(), kept.Seq)
		if err != nil || refused != nil {
			t.Fatalf("Restore: %v, %v", refused, err)
		}
		again, err := r.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		want, err1 := kept.State()
		got, err2 := again.State()
		// Statuses follow from what is measured.
		for _, s := range []*snapshot.State{&want, &got} {
			s.Resources = slices.DeleteFunc(s.Resources, func(r snapshot.Resource) bool { return r.Type != uint64(perfcore.Cache) })
		}
		if err1 != nil || err2 != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("restored %+v, %v; want %+v, %v", got, err2, want, err1)
		}
		if r.Targets(perfcore.Disk) != (perfcore.Targets{}) || r.Targets(perfcore.Cache) != targets {
			t.Error("the targets are not those that were kept")
		}
		if got := r.Levels(); !slices.Equal(got, []int{5, 3}) {
			t.Errorf("levels %v", got)
		}
		d, ok := r.last(perfcore.Restored)
		wantMoves := []perfcore.Move{
			{Knob: "plant.knob0", From: plant.Value(8), To: plant.Value(5)}, {Knob: "plant.knob1", From: plant.Value(8), To: plant.Value(3)},
		}
		if !ok || !slices.Equal(d.Moves, wantMoves) {
			t.Errorf("decision %v", d)
		}
		// The way back is a snapshot as well.
		all := ring.Snapshots()
		if before := all[len(all)-3]; before.Cause != snapshot.PreRestore {
			t.Errorf("before the restoration there is a snapshot that was %v", before.Cause)
		}
		until(t, "the loop goes on", time.Hour, r.trying)
		if got := r.Levels(); got[1] != 3 {
			t.Errorf("the pinned knob is at %d", got[1])
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// A restart goes on with the values that were verified, not those of a trial.
func TestResume(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(s *shelf)
		want   int
		broken bool
	}{
		{"whole", func(*shelf) {}, 6, false},
		{"empty", func(s *shelf) { s.kept = nil }, 5, false},
		{"newest damaged", func(s *shelf) { s.newest()[80] ^= 1 }, 6, true},
		{"all damaged", func(s *shelf) {
			for _, b := range s.kept {
				b[0] ^= 1
			}
		}, 5, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := new(shelf)
				with := func(c *engine.Config) { everyChange(c); c.Store = s }
				r := newRig(t, better(1), with)
				if refused, err := r.Resume(t.Context()); refused != nil || err != nil {
					t.Fatalf("from nothing: %v, %v", refused, err)
				}
				stop := r.start(t)
				until(t, "promotion", time.Hour, r.decided(perfcore.Promoted))
				if err := stop(); err != nil {
					t.Error(err)
				}
				tt.damage(s)
				r = newRig(t, better(1), with)
				refused, err := r.Resume(t.Context())
				if refused != nil || errors.Is(err, snapshot.ErrInvalid) != tt.broken || (err != nil) != tt.broken {
					t.Errorf("Resume: %v, %v", refused, err)
				}
				if got := r.Levels()[0]; got != tt.want {
					t.Errorf("resumed at %d, want %d", got, tt.want)
				}
			})
		})
	}
}

// A program killed at any moment has the changes before the last few.
func TestStoreIsKeptUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(shelf)
		r := newRig(t, better(1), func(c *engine.Config) { everyChange(c); c.Store = s })
		stop := r.start(t)
		until(t, "promotion", time.Hour, r.decided(perfcore.Promoted))
		synctest.Wait()
		snap, err := snapshot.Decode(s.newest())
		if err != nil {
			t.Fatal(err)
		}
		if st, err := snap.State(); err != nil || st.Knobs[0].Value != plant.Value(6) {
			t.Errorf("the store has %+v, %v", st, err)
		}
		s.mu.Lock()
		s.err = errors.New("the shelf fell down")
		s.mu.Unlock()
		if err := r.SetTargets(perfcore.Disk, perfcore.Targets{Utilization: 1}); err != nil {
			t.Fatal(err)
		}
		until(t, "the loop goes on", time.Hour, r.trying)
		if err := stop(); !errors.Is(err, s.err) {
			t.Errorf("in the end: %v, want the store's error", err)
		}
		if a := r.astray(); a != nil {
			t.Errorf("%v are not at their incumbents", a)
		}
	})
}

// Values that are legal no more, and knobs that are gone, are refused by name;
// the others are restored.
func TestResumeOnOtherLadders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(shelf)
		cfg := plant.Config{Start: []int{1, 2, 3}, Surface: plant.Flat(), Seed: 3}
		r := newRig(t, cfg, func(c *engine.Config) { c.Store = s })
		for _, name := range []string{"plant.knob0", "plant.knob1", "plant.knob2"} {
			if err := r.Resources.Pin(t.Context(), name, plant.Value(9)); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.start(t)(); err != nil {
			t.Fatal(err)
		}
		r = newRig(t, cfg, func(c *engine.Config) {
			c.Store = s
			c.Knobs[1].Ladder = c.Knobs[1].Ladder[:6]
			c.Knobs = c.Knobs[:2]
		})
		refused, err := r.Resume(t.Context())
		if err != nil || len(refused) != 2 || !strings.Contains(refused[0].String(), "plant.knob1: 190") || refused[1].Knob != "plant.knob2" {
			t.Errorf("Resume: %v, %v", refused, err)
		}
		if got := r.Levels(); !slices.Equal(got, []int{9, 2, 3}) {
			t.Errorf("levels %v", got)
		}
		if d, ok := r.last(perfcore.Restored); !ok || !strings.Contains(d.Reason, "plant.knob2") {
			t.Errorf("decision %v", d)
		}
	})
}

// When one knob refuses, everything is as it was: targets too.
func TestRestoreIsAllOrNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := plant.Config{Start: []int{5, 5, 5}, Surface: plant.Flat(), Seed: 3}
		stuck := false
		r := newRig(t, cfg, func(c *engine.Config) {
			apply := c.Knobs[2].Apply
			c.Knobs[2].Apply = func(ctx context.Context, v int64) error {
				if stuck && v == plant.Value(1) {
					return errors.New("it is stuck")
				}
				return apply(ctx, v)
			}
		})
		pin := func(level int) {
			t.Helper()
			for _, k := range r.knobs {
				if err := r.Resources.Pin(t.Context(), k.Name, plant.Value(level)); err != nil {
					t.Fatal(err)
				}
			}
		}
		pin(1)
		kept, err := r.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		pin(7)
		if err := r.SetTargets(perfcore.CPU, perfcore.Targets{Utilization: 0.5}); err != nil {
			t.Fatal(err)
		}
		stuck = true
		if _, err := r.Restore(t.Context(), kept.Seq); err == nil || !strings.Contains(err.Error(), "plant.knob2") {
			t.Errorf("Restore: %v", err)
		}
		if got := r.Levels(); !slices.Equal(got, []int{7, 7, 7}) || r.Targets(perfcore.CPU).Utilization != 0.5 {
			t.Errorf("levels %v, targets %v", got, r.Targets(perfcore.CPU))
		}
		for _, k := range r.Resources.Knobs() {
			if k.Owner != engine.Operator || k.Incumbent != plant.Value(7) {
				t.Errorf("%s: owner %v, incumbent %d", k.Name, k.Owner, k.Incumbent)
			}
		}
		if _, err := r.Restore(t.Context(), 99); err == nil {
			t.Error("restored what there is none of")
		}
		stuck = false
		if _, err := r.Restore(t.Context(), kept.Seq); err != nil || !slices.Equal(r.Levels(), []int{1, 1, 1}) {
			t.Errorf("levels %v, %v", r.Levels(), err)
		}
	})
}

// What was verified in other regimes outlasts a restart too, in whichever regime
// the program ends and begins.
func TestResumeRegimes(t *testing.T) {
	const stay = 300
	for _, tt := range []struct {
		name string
		stop int // slice in which the first run ends
	}{
		{"ends in the first", 2*stay + 100},
		{"ends in the second", 3*stay + 100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := new(shelf)
			cfg := plant.Config{Start: []int{5}, Surface: twoRegimes, World: plant.Noisy(), Seed: 4}
			run(t, tt.stop, 0, cfg, func(c *engine.Config) {
				c.Store = s
				c.Collector = &commuter{trace: c.Collector.(*trace), stay: stay, tells: true}
			})
			last, err := snapshot.Decode(s.newest())
			if err != nil {
				t.Fatal(err)
			}
			state, err := last.State()
			if err != nil {
				t.Fatal(err)
			}
			found := map[string]int64{state.Regime: state.Knobs[0].Value}
			for _, r := range state.Regimes {
				found[r.Name] = r.Values[0].Value
			}
			if len(found) != 2 || found["sync"] > plant.Value(3) || found["tip"] < plant.Value(7) {
				t.Fatalf("the first run left %v", found)
			}
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(24 * time.Hour) // a bubble's time begins anew
				c := &commuter{stay: stay, tells: true}
				r := newRig(t, cfg, func(cfg *engine.Config) {
					c.trace = &trace{Plant: cfg.Collector.(*plant.Plant), surface: twoRegimes}
					cfg.Collector, cfg.Store = c, s
				})
				c.trace.optimizer, c.trace.stop = r.PerformanceOptimizer, func() {}
				if refused, err := r.Resume(t.Context()); refused != nil || err != nil {
					t.Fatalf("Resume: %v, %v", refused, err)
				}
				stop := r.start(t)
				until(t, "calibration", 24*time.Hour, r.decided(perfcore.Calibrated))
				until(t, "a slice or two", time.Minute, func() bool { return r.Resources.Knobs()[0].Incumbent == found["sync"] })
				until(t, "the second regime", 24*time.Hour, func() bool { return r.Slice() >= stay+2 })
				if got := r.Resources.Knobs()[0].Incumbent; got != found["tip"] {
					t.Errorf("in the second regime the incumbent is %d, and %d was verified in it", got, found["tip"])
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
