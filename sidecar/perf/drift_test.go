package perf

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// A knob that somebody else moves is found in every mode: it is left alone, or stays the
// operator's who has it, and an alert, a decision and the list of knobs say so.
func TestDrift(t *testing.T) {
	for _, mode := range []Mode{Observe, Optimize} {
		synctest.Test(t, func(t *testing.T) {
			m := newMill(t)
			p, stop := m.start(t, Config{Mode: mode}, 0)
			time.Sleep(time.Minute)
			if err := p.pin(t.Context(), "plant.size", 40); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			if s := p.status(); len(s.Alerts) != 0 || drifts(p) != 0 {
				t.Errorf("%s: where nobody else moved anything: %+v", mode, s.Alerts)
			}
			m.size.Store(20)
			m.speed.Store(2)
			time.Sleep(time.Minute)
			var firing []string
			for _, a := range p.status().Alerts {
				if a.State == Firing {
					firing = append(firing, a.Name)
				}
			}
			if slices.Sort(firing); !slices.Equal(firing, []string{"knob_drift", "knob_isolated"}) {
				t.Errorf("%s: the alerts are %q", mode, firing)
			}
			if got := drifts(p); got != 2 {
				t.Errorf("%s: %d decisions tell of two knobs", mode, got)
			}
			knobs, err := p.knobs()
			if err != nil {
				t.Fatal(err)
			}
			speed, size := knobs[0], knobs[1]
			if speed.Owner != "nobody" || speed.Value != 2 || !strings.Contains(speed.Why, "somebody else moved it") {
				t.Errorf("%s: the optimizer's knob is %+v", mode, speed)
			}
			if size.Owner != "operator" || size.Value != 20 || size.Incumbent != 40 || !strings.Contains(size.Why, "it is pinned; it was set to 40, and reads 20: somebody else") {
				t.Errorf("%s: the operator's knob is %+v", mode, size)
			}
			if err := p.pin(t.Context(), "plant.size", 40); err != nil {
				t.Error(err)
			}
			if err := p.release("plant.speed"); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Minute)
			if s := p.status(); len(s.Alerts) != 0 || drifts(p) != 2 {
				t.Errorf("%s: once they are set again: %+v", mode, s.Alerts)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// What somebody else moved goes to its value at the start with all others, and is tried again.
func TestDefaultsOfWhatDrifted(t *testing.T) {
	for _, back := range []int64{2, 1} { // where it is at the command
		synctest.Test(t, func(t *testing.T) {
			m := newMill(t)
			p, stop := m.start(t, Config{Mode: Optimize}, 0)
			time.Sleep(time.Minute)
			m.speed.Store(2)
			time.Sleep(time.Minute)
			speed := func() Knob {
				t.Helper()
				knobs, err := p.knobs()
				if err != nil {
					t.Fatal(err)
				}
				return knobs[0]
			}
			if k := speed(); k.Owner != "nobody" {
				t.Fatalf("a knob that somebody else moved is %+v", k)
			}
			m.speed.Store(back)
			if err := p.defaults(t.Context()); err != nil {
				t.Error(err)
			}
			if k := speed(); k.Owner != "engine" || k.Value != 1 {
				t.Errorf("behind defaults it is %+v", k)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// drifts returns how many decisions tell that somebody moved a knob.
func drifts(p *Performance) (n int) {
	_ = p.read(func(f *following) error {
		for _, d := range f.optimizer.Decisions(0) {
			if d.Verdict == perfcore.Isolated || d.Verdict == perfcore.Drifted {
				n++
			}
		}
		return nil
	}) // without a plant there are none
	return n
}
