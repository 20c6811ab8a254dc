package engine

import (
	"math"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/outrider-project/outrider/perfcore/plant"
)

// What a change saves counts while it is in force: not behind an operator's undoing it, a
// restoration, or somebody else's moving its knob. Another knob does not matter.
func TestGainIsOfWhatIsInForce(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, tu *tuner, p *plant.Plant) error
		kept bool
	}{
		{"undone", func(t *testing.T, tu *tuner, _ *plant.Plant) error {
			return tu.o.Resources.Pin(t.Context(), "plant.knob0", plant.Value(6))
		}, false},
		{"pinned as it is", func(t *testing.T, tu *tuner, _ *plant.Plant) error {
			return tu.o.Resources.Pin(t.Context(), "plant.knob0", plant.Value(7))
		}, true},
		{"another is pinned", func(t *testing.T, tu *tuner, _ *plant.Plant) error {
			return tu.o.Resources.Pin(t.Context(), "plant.knob1", plant.Value(8))
		}, true},
		{"restored", func(t *testing.T, tu *tuner, _ *plant.Plant) error {
			_, err := tu.o.Restore(t.Context(), 1)
			return err
		}, false},
		{"isolated", func(t *testing.T, tu *tuner, p *plant.Plant) error {
			if err := tu.watched(t.Context()); err != nil { // it is in force
				return err
			}
			p.Interfere(0, 2)
			return tu.watched(t.Context())
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tu, p := promoted(t, linear(-0.1, 0), []int{5, 5}, []int{6, 5})
				if _, err := tu.o.Snapshot(); err != nil {
					t.Fatal(err)
				}
				further(t, tu, 7, 5)
				before := tu.budget.gain
				if before < 0.19 {
					t.Fatalf("a slice saves %v", before)
				}
				if err := tt.do(t, tu, p); err != nil {
					t.Fatal(err)
				}
				want := 0.0
				if tt.kept {
					want = before
				}
				if tu.refresh(); tu.budget.gain != want {
					t.Errorf("a slice saves %v, want %v", tu.budget.gain, want)
				}
			})
		})
	}
}

// Behind going back a slice saves what it did before, whichever of a change's knobs had gone
// back already, and also where the change comes again.
func TestGainGoesWithTheChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		worse := 0.0
		tu, _ := promoted(t, func(levels []int, slice int) float64 {
			cost := linear(-0.1, -0.1, 0.02)(levels, slice)
			if levels[1] == 6 {
				cost += worse
			}
			return cost
		}, []int{5, 5, 5}, []int{6, 5, 5})
		before := tu.budget.gain
		further(t, tu, 6, 6, 7)
		tu.apart = tu.apart.with([]int{6, 5, 5}, tu.at)
		takeApart(t, tu)
		if !slices.Equal(tu.at, []int{6, 6, 5}) || tu.budget.gain < before+0.09 {
			t.Fatalf("at %v a slice saves %v", tu.at, tu.budget.gain)
		}
		for _, tt := range []struct {
			worse float64
			test  int // of those on probation
			at    []int
		}{
			{0.2, 1, []int{6, 5, 5}}, {0, 2, []int{6, 6, 5}}, {0.2, 2, []int{6, 5, 5}},
		} {
			worse = tt.worse
			if err := tu.retest(t.Context(), tt.test); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(tu.at, tt.at) || math.Abs(tu.budget.gain-before) > 1e-9 {
				t.Errorf("at %v a slice saves %v, want %v at %v; on probation are %+v", tu.at, tu.budget.gain, before, tt.at, tu.trials)
			}
		}
	})
}

// When what was recalled goes back, nothing is saved any more of what the regime had saved.
func TestGainOfARecall(t *testing.T) {
	for _, holds := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			slope := -0.1
			tu, p := promoted(t, func(levels []int, _ int) float64 { return slope * float64(levels[0]) }, []int{5}, []int{6})
			gain := tu.budget.gain
			in := &there{Plant: p, regime: "second"}
			tu.o.cfg.Collector = in
			tu.enter(t.Context())
			if tu.budget.gain != 0 {
				t.Errorf("in another regime a slice saves %v", tu.budget.gain)
			}
			further(t, tu, 7)
			in.regime = ""
			tu.enter(t.Context())
			if !slices.Equal(tu.at, []int{6}) || tu.budget.gain != gain {
				t.Fatalf("back at %v a slice saves %v, want %v", tu.at, tu.budget.gain, gain)
			}
			if holds { // 7, which it has replaced, costs more than 6
				slope = 0.1
			}
			if err := tu.retest(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			tu.refresh()
			want := 0.0
			if holds {
				want = gain
			}
			if slices.Equal(tu.at, []int{6}) != holds || tu.budget.gain != want {
				t.Errorf("at %v a slice saves %v, want %v", tu.at, tu.budget.gain, want)
			}
		})
	}
}

// An operator who moves a knob while its regime is away undoes what it had saved there.
func TestGainOfARegime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tu, p := promoted(t, linear(-0.1), []int{5}, []int{6})
		in := &there{Plant: p, regime: "second"}
		tu.o.cfg.Collector = in
		tu.enter(t.Context())
		if err := tu.o.Resources.Pin(t.Context(), "plant.knob0", plant.Value(5)); err != nil {
			t.Fatal(err)
		}
		in.regime = ""
		tu.enter(t.Context())
		if tu.refresh(); tu.budget.gain != 0 {
			t.Errorf("at %v a slice saves %v", tu.at, tu.budget.gain)
		}
	})
}

// Where nobody knows any more what a slice saves, it is not less behind the withdrawal of a knob
// that came along; and what a newer change saves stays when that, or an older change, goes back.
func TestGainBehindAnOperator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		worse, along := 0.0, -0.012
		tu, _ := promoted(t, func(levels []int, slice int) float64 {
			cost := linear(-0.1, along, -0.1)(levels, slice)
			if levels[0] == 6 {
				cost += worse
			}
			return cost
		}, []int{5, 5, 5}, []int{6, 6, 5})
		further(t, tu, 6, 6, 6)
		if err := tu.o.Resources.Pin(t.Context(), "plant.knob2", plant.Value(5)); err != nil {
			t.Fatal(err)
		}
		takeApart(t, tu)
		if !slices.Equal(tu.at, []int{6, 5, 5}) || tu.budget.gain != 0 {
			t.Fatalf("at %v a slice saves %v", tu.at, tu.budget.gain)
		}
		if err := tu.o.Resources.Release("plant.knob2"); err != nil {
			t.Fatal(err)
		}
		further(t, tu, 6, 5, 6)
		want := tu.budget.gain
		if want < 0.09 {
			t.Fatalf("a newer change saves %v", want)
		}
		goesBack := func(withdrawn bool, at ...int) {
			t.Helper()
			i := slices.IndexFunc(tu.trials, func(p probation) bool { return p.withdrawn == withdrawn })
			if err := tu.retest(t.Context(), i); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(tu.at, at) || math.Abs(tu.budget.gain-want) > 1e-9 {
				t.Errorf("at %v a slice saves %v, want %v at %v", tu.at, tu.budget.gain, want, at)
			}
		}
		along = -0.1
		goesBack(true, 6, 6, 6)
		worse = 0.2
		goesBack(false, 5, 6, 6)
	})
}
