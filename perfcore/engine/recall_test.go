package engine

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/plant"
)

// A meddler pins a knob whenever the regime is asked for.
type meddler struct {
	*there
	meddle func()
}

func (m *meddler) Regime() string {
	m.meddle()
	return m.there.Regime()
}

// What was verified in a regime returns although an operator pins another knob at that
// moment; one that is pinned itself stays.
func TestRecallBesideAPin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := plant.New(plant.Config{Start: []int{5, 5, 5}, Surface: plant.Flat(), Seed: 1})
		in := &meddler{&there{Plant: p, regime: "first"}, func() {}}
		o, err := New(Config{Knobs: p.Knobs(), Collector: in, Slice: time.Second, Seed: 2})
		if err != nil {
			t.Fatal(err)
		}
		tu := newTuner(o)
		verify := func(levels ...int) {
			t.Helper()
			if tu.refresh(); !o.Resources.promote(levels, tu.epoch) {
				t.Fatalf("%v are not promoted", levels)
			}
			o.restore(t.Context())
		}
		verify(7, 8, 5)
		in.regime = "second"
		tu.enter(t.Context())
		verify(2, 3, 5)
		level := 3
		in.meddle = func() {
			level = 7 - level
			for _, knob := range []string{"plant.knob1", "plant.knob2"} {
				if err := o.Resources.Pin(t.Context(), knob, plant.Value(level)); err != nil {
					t.Fatal(err)
				}
			}
		}
		in.regime = "first"
		tu.enter(t.Context())
		if want := []int{7, level, level}; !slices.Equal(p.Levels(), want) {
			t.Errorf("the levels are %v, want %v", p.Levels(), want)
		}
		all := o.Decisions(0)
		moves := []perfcore.Move{{Knob: "plant.knob0", From: plant.Value(2), To: plant.Value(7)}}
		if d := all[len(all)-1]; d.Verdict != perfcore.Recalled || !slices.Equal(d.Moves, moves) {
			t.Errorf("decision %v", d)
		}
		in.meddle = func() {}
		if tu.refresh(); tu.at[0] != 7 || tu.dueTrial(false) != 0 {
			t.Errorf("the incumbents are %v, and its test is not due of %+v", tu.at, tu.trials)
		}
	})
}

// However often a regime comes back, what is recalled is on probation once; and what was
// forgotten meanwhile is searched for anew.
func TestRecallAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := plant.New(plant.Config{Start: []int{5, 5}, Surface: plant.Flat(), Seed: 1})
		in := &there{Plant: p, regime: "first"}
		o, err := New(Config{Knobs: p.Knobs(), Collector: in, Slice: time.Second, Seed: 2})
		if err != nil {
			t.Fatal(err)
		}
		tu := newTuner(o)
		for i, regime := range []string{"first", "second", "first", "second", "first", "second"} {
			in.regime = regime
			if i > 0 {
				tu.enter(t.Context())
			}
			if i < 2 {
				if tu.refresh(); !o.Resources.promote([]int{7 - 5*i, 5}, tu.epoch) {
					t.Fatal("nothing was promoted")
				}
				o.restore(t.Context())
				tu.cost, tu.misses = average{1, true}, tu.most()
			} else if len(tu.trials) != 1 {
				t.Errorf("at visit %d there are %d changes on probation", i, len(tu.trials))
			}
		}
		if tu.enter(t.Context()); tu.misses != tu.most() || len(tu.trials) != 1 {
			t.Errorf("where the regime was another one for a moment there are %d misses and %+v", tu.misses, tu.trials)
		}
		o.cfg.Quiet = []string{"block"}
		in.regime = "block" // since it was seen that the regime is another one
		if tu.enter(t.Context()); tu.regime != "second" || len(tu.trials) != 1 {
			t.Errorf("a quiet regime is entered: %q, with %+v", tu.regime, tu.trials)
		}
		o.Resources.Forget()
		in.regime = "first"
		if tu.enter(t.Context()); tu.misses != 0 || tu.cost.known {
			t.Errorf("what was forgotten counts: %d misses, a cost of %v", tu.misses, tu.cost)
		}
	})
}

// What nobody has tried in a regime is recalled in it, and is not taken for verified, nor told
// to be; what was promoted in it stays verified there.
func TestRecallOfWhatWasNotVerified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := plant.New(plant.Config{Start: []int{5, 5}, Surface: plant.Flat(), Seed: 1})
		in := &there{Plant: p, regime: "first"}
		o, err := New(Config{Knobs: p.Knobs(), Collector: in, Slice: time.Second, Seed: 2})
		if err != nil {
			t.Fatal(err)
		}
		tu := newTuner(o)
		promote := func(levels ...int) {
			t.Helper()
			if tu.refresh(); !o.Resources.promote(levels, tu.epoch) {
				t.Fatal("nothing was promoted")
			}
			o.restore(t.Context())
		}
		check := func(levels []int, verified ...bool) {
			t.Helper()
			for i, k := range o.Resources.knobs {
				if k.incumbent != levels[i] || k.verified != verified[i] {
					t.Errorf("in the %s regime %s is at %d, verified %v; want %d, %v", in.regime, k.Name, k.incumbent, k.verified, levels[i], verified[i])
				}
			}
		}
		promote(5, 6)
		for range 2 {
			in.regime = "second"
			tu.enter(t.Context())
			promote(8, 8)
			check([]int{8, 8}, true, true)
			in.regime = "first"
			tu.enter(t.Context())
			check([]int{5, 6}, false, true)
			all := o.Decisions(0)
			if d := all[len(all)-1]; d.Verdict != perfcore.Recalled || strings.Contains(d.Reason, "verified") {
				t.Errorf("it was decided: %v", d)
			}
		}
	})
}

// A restart in a regime where time does not count takes no knob that hastens for verified there:
// what came along from another regime is not recalled. What can be tried there is.
func TestRecallBehindARestart(t *testing.T) {
	for _, begins := range []string{"tip", "sync"} {
		synctest.Test(t, func(t *testing.T) {
			p := plant.New(plant.Config{Start: []int{5, 5}, Surface: plant.Flat(), Seed: 1})
			in := &there{Plant: p, regime: "tip"}
			knobs := p.Knobs()
			knobs[0].Hastens = true
			o, err := New(Config{Knobs: knobs, Collector: in, Slice: time.Second, Seed: 2, Timed: []string{"sync"}})
			if err != nil {
				t.Fatal(err)
			}
			tu := newTuner(o)
			move := func(regime string) {
				in.regime = regime
				tu.enter(t.Context())
				tu.refresh()
			}
			promote := func(levels ...int) {
				t.Helper()
				if tu.refresh(); !o.Resources.promote(levels, tu.epoch) {
					t.Fatal("nothing was promoted")
				}
				o.restore(t.Context())
			}
			move("sync")
			promote(6, 5)
			move("tip")
			promote(6, 7)
			s, err := o.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			in.regime = begins
			tu = newTuner(o)
			if _, err := o.Restore(t.Context(), s.Seq); err != nil {
				t.Fatal(err)
			}
			move("sync")
			promote(8, 4)
			move("tip")
			if want := []int{8, 7}; !slices.Equal(tu.at, want) {
				t.Errorf("begun in the %s regime, the incumbents are %v at the tip, want %v", begins, tu.at, want)
			}
			move("sync")
			if want := []int{8, 4}; !slices.Equal(tu.at, want) {
				t.Errorf("begun in the %s regime, the incumbents are %v behind the tip, want %v", begins, tu.at, want)
			}
		})
	}
}
