package engine

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/plant"
)

// A hindrance is a plant whose slices say nothing, or raise an alarm, once so many have ended.
type hindrance struct {
	*plant.Plant
	alarms bool
	left   int
}

func (h *hindrance) Collect() perfcore.Sample {
	s := h.Plant.Collect()
	if h.left--; h.left < 0 && !h.alarms {
		s.Void = "somebody else was busy"
	}
	return s
}

func (h *hindrance) Alarm() string {
	if h.left <= 0 && h.alarms {
		return "memory runs out"
	}
	return h.Plant.Alarm()
}

// further promotes levels of a tuner whose search goes on.
func further(t *testing.T, tu *tuner, levels ...int) {
	t.Helper()
	tu.refresh()
	r, err := tu.trial(t.Context(), levels, tu.isBetter())
	if err != nil {
		t.Fatal(err)
	}
	if got := tu.conclude(t.Context(), "search", levels, r).verdict; got != perfcore.Promoted {
		t.Fatalf("%v are %v: %s", levels, got, r.reason)
	}
}

// What looks worse than what it replaced stays on probation until a trial says so: one that
// comes to no verdict is put off, for longer each time.
func TestRetrialIsInterrupted(t *testing.T) {
	for _, alarms := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			old := 0.1 // what 5 costs more than 6
			tu, p := promoted(t, func(levels []int, _ int) float64 { return old * float64(6-levels[0]) }, []int{5}, []int{6})
			gain := tu.trials[0].gain
			for n, later := range []float64{40, 160, 160} {
				old = -0.1
				tu.o.cfg.Collector = &hindrance{p, alarms, 8}
				if err := tu.retest(t.Context(), 0); err != nil {
					t.Fatal(err)
				}
				tu.o.cfg.Collector = p
				all := tu.o.Decisions(0)
				if d := all[len(all)-1]; len(all) != n+2 || d.Trigger != "probation" || d.Verdict == perfcore.Promoted {
					t.Fatalf("it is interrupted: %v", all)
				}
				if len(tu.trials) != 1 || tu.trials[0].due != tu.budget.slices+later || tu.trials[0].gain != gain {
					t.Fatalf("behind an interruption, in slice %v, %+v are on probation", tu.budget.slices, tu.trials)
				}
				watch(t, tu) // behind an alarm nothing is tested until a slice has none
			}
			if err := tu.retest(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(tu.at, []int{5}) || len(tu.trials) != 1 || !slices.Equal(tu.trials[0].to, []int{5}) {
				t.Errorf("the incumbent is %v; on probation are %+v", tu.at, tu.trials)
			}
		})
	}
}

// What looked worse in one test, and is ended by its guard in the trial, is off probation.
func TestRetrialIsGuarded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		until := 0
		tu, p := promoted(t, func(levels []int, slice int) float64 {
			if slice < until {
				return -0.1 * float64(6-levels[0])
			}
			return float64(6 - levels[0])
		}, []int{5}, []int{6})
		until = p.Slice() + 8
		if err := tu.retest(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		all := tu.o.Decisions(0)
		if d := all[len(all)-1]; d.Trigger != "probation" || d.Verdict != perfcore.Aborted || len(tu.trials) != 0 || !slices.Equal(tu.at, []int{6}) {
			t.Errorf("%v; the incumbent is %v; on probation are %+v", d, tu.at, tu.trials)
		}
	})
}

// What looked worse in one test, and is not, is off probation by the verdict of the trial.
func TestRetrialIsRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, until := 0.1, 0
		tu, p := promoted(t, func(levels []int, slice int) float64 {
			if slice < until {
				return -old * float64(6-levels[0])
			}
			return old * float64(6-levels[0])
		}, []int{5}, []int{6})
		until = p.Slice() + 8
		if err := tu.retest(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		all := tu.o.Decisions(0)
		if d := all[len(all)-1]; d.Trigger != "probation" || d.Verdict != perfcore.Rejected || len(tu.trials) != 0 || !slices.Equal(tu.at, []int{6}) {
			t.Errorf("%v; the incumbent is %v; on probation are %+v", d, tu.at, tu.trials)
		}
	})
}

// When one change goes back, the others stay on probation, those of the same knob too where it
// is at what they had promoted again, and going back is on probation itself.
func TestOthersStayOnProbation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		worse := 0.0
		tu, _ := promoted(t, func(levels []int, slice int) float64 {
			cost := linear(-0.1, -0.1, -0.1)(levels, slice)
			if levels[0] == 6 {
				cost += worse
			}
			return cost
		}, []int{4, 5, 5}, []int{5, 5, 5})
		further(t, tu, 6, 5, 5)
		further(t, tu, 6, 6, 5)
		further(t, tu, 6, 6, 6)
		worse = 0.2
		if err := tu.retest(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		var moves [][]int
		for _, p := range tu.trials {
			moves = append(moves, p.from, p.to)
		}
		want := [][]int{{4, 5, 5}, {5, 5, 5}, {6, 5, 5}, {6, 6, 5}, {6, 6, 5}, {6, 6, 6}, {6, 6, 6}, {5, 6, 6}}
		if !slices.EqualFunc(moves, want, slices.Equal) {
			t.Errorf("on probation are %v, want %v", moves, want)
		}
	})
}

// A change whose knob is not tried for now waits for its tests.
func TestProbationOfHaste(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tu, p := promoted(t, linear(-0.1), []int{5}, []int{6})
		tu.hastens[0], tu.o.cfg.Timed = true, []string{"elsewhere"}
		tu.refresh()
		before := p.Slice()
		for range 3 {
			tu.budget.slices = tu.trials[0].due
			if err := tu.retest(t.Context(), tu.dueTrial(false)); err != nil {
				t.Fatal(err)
			}
			if len(tu.trials) != 1 || tu.trials[0].due != tu.budget.slices+probations[0] || p.Slice() != before {
				t.Fatalf("it is not tried, and on probation are %+v, in slice %v", tu.trials, tu.budget.slices)
			}
		}
		tu.o.cfg.Timed = nil
		pass(t, tu, len(probations))
	})
}

// Where the world has changed, or seemed to, what is on probation is tested again from the
// first test on.
func TestProbationBeginsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tu, _ := promoted(t, linear(-0.1), []int{5}, []int{6})
		gain := tu.trials[0].gain
		pass(t, tu, 2)
		tu.startOver("it seems so")
		if len(tu.trials) != 1 {
			t.Fatalf("on probation are %+v", tu.trials)
		}
		if p := tu.trials[0]; p.due != tu.budget.slices+probations[0] || p.gain != gain {
			t.Errorf("in slice %v %+v is on probation", tu.budget.slices, p)
		}
		pass(t, tu, len(probations))
		all := tu.o.Decisions(0)
		if d := all[len(all)-1]; d.Verdict != perfcore.Confirmed || len(d.Evidence.Diffs) != len(probations) {
			t.Errorf("decision %v", d)
		}
	})
}

// pass has the first change on probation pass so many of its tests, each when it is due.
func pass(t *testing.T, tu *tuner, tests int) {
	t.Helper()
	tu.refresh()
	for n := range tests {
		if len(tu.trials) == 0 || tu.trials[0].passed != n {
			t.Fatalf("behind %d tests %+v are on probation", n, tu.trials)
		}
		tu.budget.slices = tu.trials[0].due
		if err := tu.retest(t.Context(), tu.dueTrial(true)); err != nil {
			t.Fatal(err)
		}
	}
	if tests == len(probations) && len(tu.trials) != 0 {
		t.Errorf("behind all tests %+v are on probation", tu.trials)
	}
}
