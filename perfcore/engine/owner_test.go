package engine_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/engine"
	"github.com/outrider-project/outrider/perfcore/plant"
	"github.com/outrider-project/outrider/perfcore/regime"
)

// A knob that somebody else moves, at rest or in a trial, is left alone from
// then on, at the value that it was given.
func TestForeignChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := plant.Config{Start: []int{5, 5}, Surface: plant.Flat(), World: plant.Noisy(), Seed: 5}
		r := newRig(t, cfg, nil)
		stop := r.start(t)
		until(t, "a trial", time.Hour, r.trying)
		r.Interfere(1, 9)
		until(t, "isolation", time.Minute, func() bool { return r.Resources.Knobs()[1].Owner == engine.Nobody })
		for range 3600 {
			time.Sleep(time.Second)
			synctest.Wait()
			if got := r.knobs[1].Read(); got != plant.Value(9) {
				t.Fatalf("the isolated knob was moved to %d", got)
			}
		}
		if k := r.Resources.Knobs()[1]; !strings.Contains(k.Why, "somebody else") {
			t.Errorf("why: %q", k.Why)
		}
		if err := r.Resources.Release("plant.knob1"); err != nil {
			t.Error(err)
		}
		if k := r.Resources.Knobs()[1]; k.Owner != engine.Engine || k.Incumbent != plant.Value(9) {
			t.Errorf("once released its owner is %v, its incumbent %d", k.Owner, k.Incumbent)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// Knobs that lie or fail are given up; the others are optimized all the same.
func TestBadKnobs(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(*plant.Config)
	}{
		{"liar", func(c *plant.Config) { c.Liars = []int{1} }},
		{"broken", func(c *plant.Config) { c.Broken = []int{1} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := plant.Config{
					Start: []int{2, 5}, World: plant.Noisy(), Seed: 6,
					Surface: plant.Bowl{Bottom: []float64{8, 5}, Weight: []float64{1.2, 1.2}}.Surface(),
				}
				tt.spoil(&cfg)
				r := newRig(t, cfg, nil)
				stop := r.start(t)
				until(t, "isolation", 2*time.Hour, func() bool { return r.Resources.Knobs()[1].Owner == engine.Nobody })
				until(t, "the other knob's promotion", 10*time.Hour, func() bool { return r.Resources.Knobs()[0].Incumbent >= plant.Value(7) })
				until(t, "the end of the search", 10*time.Hour, func() bool { return r.Status(perfcore.CPU) != perfcore.Optimizing })
				if got := r.Status(perfcore.CPU); got != perfcore.Failed {
					t.Errorf("with a knob that could not be set the status is %v", got)
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
				if a := r.astray(); a != nil {
					t.Errorf("%v are not at their incumbents", a)
				}
			})
		})
	}
}

func TestFreeze(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, worse(7), propose(6))
		stop := r.start(t)
		until(t, "a trial", time.Hour, r.trying)
		thaw, other := r.Freeze("maintenance"), r.Freeze("a block")
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		before := r.Slice()
		for range 1000 {
			if r.trying() {
				t.Fatal("a frozen optimizer tries something")
			}
			time.Sleep(time.Second)
		}
		thaw()
		thaw() // is nothing
		time.Sleep(time.Minute)
		if r.trying() || r.Slice() != before {
			t.Fatal("the second freeze does not hold")
		}
		other()
		until(t, "a trial", time.Hour, r.trying)
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// The operator's pin ends a trial of the knob, and holds.
func TestPin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, worse(8), propose(6))
		stop := r.start(t)
		until(t, "a trial", time.Hour, r.trying)
		if err := r.Resources.Pin(t.Context(), "plant.knob0", plant.Value(3)); err != nil {
			t.Fatal(err)
		}
		for range 3600 {
			time.Sleep(time.Second)
			synctest.Wait()
			if got := r.knobs[0].Read(); got != plant.Value(3) {
				t.Fatalf("the pinned knob reads %d", got)
			}
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if got := r.knobs[0].Read(); got != plant.Value(3) {
			t.Errorf("in the end the pinned knob reads %d", got)
		}
	})
}

// Whatever the optimizer does when somebody else moves a knob, one decision tells of it.
func TestForeignChangesAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := plant.Config{Start: []int{5, 5}, Surface: plant.Flat(), World: plant.Noisy(), Seed: 5}
		r := newRig(t, cfg, nil)
		stop := r.start(t)
		for i := range 24 {
			time.Sleep(17 * time.Minute)
			synctest.Wait()
			r.Interfere(1, i%2*9)
			until(t, "isolation", 10*time.Minute, func() bool { return r.Resources.Knobs()[1].Owner == engine.Nobody })
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			told := 0
			for _, d := range r.Decisions(0) {
				if d.Verdict == perfcore.Isolated {
					told++
				}
			}
			if told != i+1 {
				t.Fatalf("%d decisions tell of %d foreign changes", told, i+1)
			}
			if err := r.Resources.Release("plant.knob1"); err != nil {
				t.Fatal(err)
			}
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// A bell is a plant whose alarm somebody else rings, and that hangs while hung is held.
type bell struct {
	announced
	rings atomic.Bool
	hung  chan struct{}
}

func (b *bell) Collect() perfcore.Sample {
	b.hung <- struct{}{}
	<-b.hung
	return b.announced.Collect()
}

func (b *bell) Alarm() string {
	if b.rings.Load() {
		return "the bell rings"
	}
	return ""
}

// A knob that somebody else moves is left alone, and told of once, whatever ends the slice in
// which it was moved; the others are at their incumbents.
func TestForeignChangeInASliceThatEnds(t *testing.T) {
	type hand struct {
		*rig
		bell  *bell
		snap  uint64
		trial bool
	}
	ends := map[string]func(t *testing.T, h hand, stop func() error){
		"a block is announced": func(_ *testing.T, h hand, _ func() error) { h.bell.Announce() },
		"an alarm":             func(_ *testing.T, h hand, _ func() error) { h.bell.rings.Store(true) },
		"a freeze":             func(_ *testing.T, h hand, _ func() error) { h.Freeze("maintenance") },
		"a pin of another knob": func(t *testing.T, h hand, _ func() error) {
			if err := h.Resources.Pin(t.Context(), "plant.knob2", plant.Value(4)); err != nil {
				t.Error(err)
			}
		},
		"a snapshot is restored": func(t *testing.T, h hand, _ func() error) {
			if refused, err := h.Restore(t.Context(), h.snap); err != nil || len(refused) != 1 || refused[0].Knob != "plant.knob1" {
				t.Errorf("refused: %v, %v", refused, err)
			}
		},
		"the loop stops": func(t *testing.T, h hand, _ func() error) {
			h.bell.hung <- struct{}{}
			<-time.After(time.Minute)
			synctest.Wait()
			// At rest nobody has anything to restore, so that nobody looks.
			if _, told := h.last(perfcore.Isolated); told != h.trial || told && h.trying() {
				t.Errorf("while it has stopped a value is tried: %v, and it is told of what was moved: %v", h.trying(), told)
			}
			<-h.bell.hung
		},
		"the end of Run": func(t *testing.T, _ hand, stop func() error) {
			if err := stop(); err != nil {
				t.Error(err)
			}
		},
	}
	for name, end := range ends {
		for _, trial := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, in a trial %v", name, trial), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					classifier, err := regime.New(regime.Config{})
					if err != nil {
						t.Fatal(err)
					}
					h := hand{bell: &bell{hung: make(chan struct{}, 1)}, trial: trial}
					cfg := plant.Config{Start: []int{5, 5, 5}, Surface: plant.Flat(), World: plant.Noisy(), Seed: 5}
					h.rig = newRig(t, cfg, func(c *engine.Config) {
						h.bell.announced = announced{c.Collector.(*plant.Plant), classifier}
						c.Collector, c.Engine, c.Quiet = h.bell, fixed{6, 5, 5}, []string{regime.TipBlock}
					})
					snap, err := h.Snapshot()
					if err != nil {
						t.Fatal(err)
					}
					h.snap = snap.Seq
					stop := h.start(t)
					until(t, "a trial", time.Hour, h.trying)
					if !trial {
						until(t, "rest", 10*time.Hour, func() bool { return h.Status(perfcore.CPU) == perfcore.Optimized && !h.trying() })
					}
					slice := h.Slice()
					for h.Slice() == slice || h.trying() != trial {
						time.Sleep(10 * time.Millisecond)
						synctest.Wait()
					}
					time.Sleep(3 * time.Second)
					h.Interfere(1, 9)
					end(t, h, stop)
					time.Sleep(15 * time.Second)
					synctest.Wait()
					if k := h.Resources.Knobs()[1]; k.Owner != engine.Nobody || h.knobs[1].Read() != plant.Value(9) {
						t.Errorf("it is the %v's, and reads %d", k.Owner, h.knobs[1].Read())
					}
					if a := h.astray(); a != nil && (name == "the end of Run" || name == "a freeze") {
						t.Errorf("%v are not at their incumbents", a)
					}
					var told []perfcore.Decision
					for _, d := range h.Decisions(0) {
						if d.Verdict == perfcore.Isolated {
							told = append(told, d)
						}
					}
					if len(told) != 1 || !strings.Contains(told[0].Reason, "plant.knob1") {
						t.Errorf("of its isolation tell %v", told)
					}
					if name != "the end of Run" {
						err = stop()
					}
					if err != nil || h.knobs[1].Read() != plant.Value(9) || h.astray() != nil {
						t.Errorf("in the end it reads %d, and %v are not at their incumbents; %v", h.knobs[1].Read(), h.astray(), err)
					}
				})
			})
		}
	}
}
