package engine

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/plant"
)

// Of what was recalled each knob is tested when it can be, and none holds the others up,
// however often the regime comes back, and from whatever values.
func TestRecalledKnobsDoNotWait(t *testing.T) {
	for name, hinder := range map[string]func(t *testing.T, tu *tuner, why *string){
		"it tells nothing": func(_ *testing.T, _ *tuner, why *string) { *why = "it is early" },
		"it is pinned": func(t *testing.T, tu *tuner, _ *string) {
			if err := tu.o.Resources.Pin(t.Context(), "plant.knob0", plant.Value(5)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tu, in, why := travels(t)
				o := tu.o
				for n := range 5 {
					*why = ""
					in.regime = "second"
					tu.enter(t.Context())
					tu.refresh()
					if !o.Resources.promote([]int{4 - n%2, n}, tu.epoch) {
						t.Fatal("nothing was promoted")
					}
					o.restore(t.Context())
					in.regime = "first"
					tu.enter(t.Context())
					if got := len(tu.trials); tu.trials[0].due > tu.budget.slices || got > 2 {
						t.Fatalf("back for time %d, %d changes are on probation, of which due first %+v", n+1, got, tu.trials[0])
					}
					hinder(t, tu, why)
					tu.refresh()
					if err := tu.retest(t.Context(), tu.dueTrial(false)); err != nil {
						t.Fatal(err)
					}
					var tested []int
					for _, p := range tu.trials {
						if p.passed > 0 {
							tested = append(tested, p.from...)
						}
					}
					if want := []int{5, n}; !slices.Equal(tested, want) || tu.dueTrial(true) >= 0 {
						t.Fatalf("back for time %d, what is tested is from %v, want %v; on probation are %+v", n+1, tested, want, tu.trials)
					}
					if k, _ := o.Resources.Knob("plant.knob0"); k.Owner == Operator {
						if err := o.Resources.Release("plant.knob0"); err != nil {
							t.Fatal(err)
						}
					}
				}
				*why = ""
				tu.refresh()
				waits := slices.IndexFunc(tu.trials, func(p probation) bool { return p.passed == 0 })
				if err := tu.retest(t.Context(), waits); err != nil {
					t.Fatal(err)
				}
				if len(tu.trials) != 2 || tu.trials[0].passed != 1 || tu.trials[1].passed != 1 {
					t.Errorf("when all can be tested there are on probation %+v", tu.trials)
				}
			})
		})
	}
}

// travels returns a tuner of two knobs in the first regime, the plant that has it, and why the first
// knob tells nothing; "" while it does.
func travels(t *testing.T) (tu *tuner, in *there, why *string) {
	t.Helper()
	p := plant.New(plant.Config{Start: []int{5, 5}, Surface: linear(-0.02, -0.02), Seed: 1})
	in = &there{Plant: p, regime: "first"}
	knobs := p.Knobs()
	why = new(string)
	knobs[0].Unready = func(int64) string { return *why }
	o, err := New(Config{Knobs: knobs, Collector: in, Slice: time.Second, Seed: 2})
	if err != nil {
		t.Fatal(err)
	}
	return newTuner(o), in, why
}

// recalled returns a tuner of two knobs behind a recall of (3, 2)→(5, 5), and a function that makes
// the first of them tell nothing.
func recalled(t *testing.T) (tu *tuner, hinder func()) {
	t.Helper()
	tu, in, why := travels(t)
	in.regime = "second"
	tu.enter(t.Context())
	if tu.refresh(); !tu.o.Resources.promote([]int{3, 2}, tu.epoch) {
		t.Fatal("nothing was promoted")
	}
	tu.o.restore(t.Context())
	in.regime = "first"
	tu.enter(t.Context())
	return tu, func() { *why = "it is early" }
}

// Of what was recalled a knob that moves is out, and the others are tested all the same.
func TestRecallOfWhatMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tu, _ := recalled(t)
		if err := tu.o.Resources.Pin(t.Context(), "plant.knob0", plant.Value(6)); err != nil {
			t.Fatal(err)
		}
		tu.refresh()
		if err := tu.retest(t.Context(), tu.dueTrial(false)); err != nil {
			t.Fatal(err)
		}
		if len(tu.trials) != 1 || tu.trials[0].passed != 1 || !slices.Equal(tu.trials[0].from, []int{5, 2}) {
			t.Errorf("on probation are %+v", tu.trials)
		}
	})
}

// What tests of a whole have said is not of its parts, of which each is tested anew, in its place.
func TestRecallInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tu, hinder := recalled(t)
		for range 2 {
			if err := tu.retest(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
		}
		if tu.trials[0].passed != 2 {
			t.Fatalf("on probation are %+v", tu.trials)
		}
		tu.trials = append(tu.trials, probation{from: []int{4, 4}, to: []int{5, 5}})
		hinder()
		if err := tu.retest(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if p := tu.trials; len(p) != 3 || p[0].passed != 1 || len(p[0].diffs) != 1 || !slices.Equal(p[0].from, []int{5, 2}) ||
			p[1].passed != 0 || p[1].diffs != nil || !slices.Equal(p[1].from, []int{3, 5}) || p[2].recalled {
			t.Errorf("on probation are %+v", p)
		}
	})
}

// However often a regime comes back, a promotion in it is confirmed by tests as late as others'.
func TestRecallConfirmsNothingEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tu, p := promoted(t, linear(-0.1), []int{5}, []int{6})
		in := &there{Plant: p, regime: ""}
		tu.o.cfg.Collector = in
		begun := tu.budget.slices
		for range 6 {
			in.regime = "second"
			tu.enter(t.Context())
			if tu.refresh(); tu.at[0] == 6 && !tu.o.Resources.promote([]int{5}, tu.epoch) {
				t.Fatal("nothing was promoted")
			}
			tu.o.restore(t.Context())
			in.regime = ""
			tu.enter(t.Context())
			tu.refresh()
			if err := tu.retest(t.Context(), tu.dueTrial(false)); err != nil {
				t.Fatal(err)
			}
		}
		took := tu.budget.slices - begun
		if took > probations[1] || took < probations[0] {
			t.Fatalf("it took %v slices", took)
		}
		if len(tu.trials) != 1 || tu.trials[0].passed != 1 {
			t.Errorf("behind %v slices there are on probation %+v", took, tu.trials)
		}
	})
}

// A change that was promoted as a whole waits until all of it can be tested.
func TestPromotedKnobsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tu, p := promoted(t, linear(-0.1, -0.1), []int{5, 5}, []int{6, 6})
		tu.free[0] = false
		before := p.Slice()
		if err := tu.retest(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if len(tu.trials) != 1 || tu.trials[0].due != tu.budget.slices+probations[0] || p.Slice() != before {
			t.Errorf("behind %d slices there are on probation %+v", p.Slice()-before, tu.trials)
		}
	})
}

// A promotion that is recalled stays on probation as it was, tested at once, and is confirmed by
// its tests with what it promised, however often its regime is left between them.
func TestRecallKeepsAProbation(t *testing.T) {
	for _, holds := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			slope := -0.1
			tu, p := promoted(t, func(levels []int, _ int) float64 { return slope * float64(levels[0]-6) }, []int{5}, []int{6})
			in := &there{Plant: p, regime: ""}
			tu.o.cfg.Collector = in
			pass(t, tu, 2)
			was := tu.trials[0]
			for range 3 {
				in.regime = "second"
				tu.enter(t.Context())
				if tu.refresh(); tu.at[0] == 6 {
					slope = 0.1
					further(t, tu, 5)
					slope = -0.1
				}
				in.regime = ""
				tu.enter(t.Context())
				tu.refresh()
				if len(tu.trials) != 1 {
					t.Fatalf("on probation are %+v", tu.trials)
				}
				if q := tu.trials[0]; q.passed != 2 || q.gain != was.gain || q.credit != was.credit || tu.dueTrial(false) != 0 {
					t.Fatalf("in slice %v, of what was %+v there is %+v", tu.budget.slices, was, q)
				}
			}
			want := perfcore.Confirmed
			if !holds {
				slope, want = 0.1, perfcore.Promoted
			}
			tu.budget.slices = tu.trials[0].counts
			if err := tu.retest(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			all := tu.o.Decisions(0)
			d := all[len(all)-1]
			if d.Trigger != "probation" || d.Verdict != want || d.Prediction == "" || holds && len(d.Evidence.Diffs) != len(probations) {
				t.Errorf("decision %v", d)
			}
			if !holds && tu.budget.gain > d.Evidence.Effect {
				t.Errorf("a slice saves %v, of which it has %v by going back", tu.budget.gain, d.Evidence.Effect)
			}
		})
	}
}
