package engine_test

import (
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/engine"
	"github.com/outrider-project/outrider/perfcore/plant"
	"github.com/outrider-project/outrider/perfcore/snapshot"
)

// onDisk returns what a store would have if the program were killed now.
func (s *shelf) onDisk() *shelf {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &shelf{kept: maps.Clone(s.kept)}
}

// A program that is killed again and again, at whatever moment behind its start, goes on
// with what was verified, however seldom snapshots are taken; and neither that nor ends in
// good order push out what an operator has kept.
func TestKilledAgainAndAgain(t *testing.T) {
	for _, every := range []uint32{snapshot.DefaultEvery, 0} {
		synctest.Test(t, func(t *testing.T) {
			disk := new(shelf)
			begin := func() *rig {
				r := newRig(t, better(1), func(c *engine.Config) {
					c.Engine, c.Snapshots, c.Store = fixed{6}, snapshot.NewRing(every), disk
				})
				if refused, err := r.Resume(t.Context()); refused != nil || err != nil {
					t.Fatalf("Resume: %v, %v", refused, err)
				}
				return r
			}
			r := begin()
			stop := r.start(t)
			until(t, "promotion", time.Hour, r.decided(perfcore.Promoted))
			if err := r.SetTargets(perfcore.Disk, perfcore.Targets{Utilization: 0.5}); err != nil {
				t.Fatal(err)
			}
			asked, err := r.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			for i := range 2 * snapshot.Size {
				r := begin()
				if got := r.Levels()[0]; got != 6 || r.Targets(perfcore.Disk).Utilization != 0.5 {
					t.Fatalf("every %d, life %d: it goes on at %d with targets %v", every, i, got, r.Targets(perfcore.Disk))
				}
				stop := r.start(t)
				<-time.After(time.Duration(i) * time.Second)
				synctest.Wait()
				killed := disk.onDisk()
				if err := stop(); err != nil {
					t.Error(err)
				}
				if i%2 == 0 {
					disk = killed
				}
			}
			if _, err := begin().Restore(t.Context(), asked.Seq); err != nil {
				t.Errorf("every %d: what was asked for is gone: %v", every, err)
			}
		})
	}
}

// Who restores an earlier state has it behind a kill, too, and the way back.
func TestKilledBehindARestoration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := new(shelf)
		var ring *snapshot.Ring
		with := func(c *engine.Config) {
			ring = snapshot.NewRing(snapshot.DefaultEvery)
			c.Snapshots, c.Store = ring, disk
		}
		cfg := plant.Config{Start: []int{5}, Surface: plant.Flat(), Seed: 3}
		r := newRig(t, cfg, with)
		stop := r.start(t)
		pin := func(level int) {
			t.Helper()
			if err := r.Resources.Pin(t.Context(), "plant.knob0", plant.Value(level)); err != nil {
				t.Fatal(err)
			}
		}
		pin(2)
		good, err := r.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		pin(8)
		if _, err := r.Restore(t.Context(), good.Seq); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		killed := disk.onDisk()
		if err := stop(); err != nil {
			t.Error(err)
		}
		disk = killed
		r = newRig(t, cfg, with)
		if _, err := r.Resume(t.Context()); err != nil || r.Levels()[0] != 2 {
			t.Fatalf("behind the kill it is at %v, %v", r.Levels(), err)
		}
		all := ring.Snapshots()
		i := slices.IndexFunc(all, func(s snapshot.Snapshot) bool { return s.Cause == snapshot.PreRestore })
		if i < 0 {
			t.Fatal("there is no way back")
		}
		if _, err := r.Restore(t.Context(), all[i].Seq); err != nil || r.Levels()[0] != 8 {
			t.Errorf("the way back leads to %v, %v", r.Levels(), err)
		}
	})
}
