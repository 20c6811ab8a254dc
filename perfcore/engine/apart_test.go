package engine

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/plant"
)

func TestLookIdle(t *testing.T) {
	const sd, tolerated = 0.04, 0.015
	for _, tt := range []struct {
		name  string
		diffs []float64
		want  outlook
	}{
		{"one block without it is not enough", []float64{0.1}, undecided},
		{"one block is much dearer", []float64{-0.13}, notBetter},
		{"two are cheaper", []float64{0.08, 0.1}, better},
		{"two are dearer", []float64{-0.08, -0.09}, notBetter},
		{"two are the same", []float64{0.01, -0.01}, undecided},
		{"eight are the same", []float64{0.03, -0.02, 0.02, -0.01, 0.01, -0.02, 0, 0}, better},
		{"eight are dearer by less than is tolerated", []float64{-0.01, -0.01, -0.01, -0.01, -0.01, -0.01, -0.01, -0.01}, better},
		{"eight are dearer by more", []float64{-0.02, -0.02, -0.02, -0.02, -0.02, -0.02, -0.02, -0.02}, notBetter},
	} {
		if got := lookIdle(tt.diffs, sd, tolerated); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

// What is taken apart is what several moved; promotions in a row are taken apart
// together, those knobs first that moved least.
func TestAblationOf(t *testing.T) {
	var a ablation
	if a = a.with([]int{5, 5, 5}, []int{8, 5, 5}); a.due() {
		t.Errorf("%+v is taken apart, and only one knob moved", a)
	}
	a = a.with([]int{5, 5, 5}, []int{8, 4, 5})
	if !slices.Equal(a.knobs, []int{1, 0}) {
		t.Errorf("%v are tried, want 1 and 0", a.knobs)
	}
	a = a.with([]int{8, 4, 5}, []int{8, 2, 4})
	if !slices.Equal(a.knobs, []int{2, 0, 1}) || !slices.Equal(a.from, []int{5, 5, 5}) || !slices.Equal(a.to, []int{8, 2, 4}) {
		t.Errorf("it is taken apart as %+v", a)
	}
	a.next()
	a.next()
	a.next()
	a = a.with([]int{8, 2, 4}, []int{8, 3, 3})
	if !slices.Equal(a.from, []int{8, 2, 4}) {
		t.Errorf("%v were before, and an earlier ablation has ended", a.from)
	}
}

// promoted returns a tuner in a world without noise, behind the promotion of a vector.
func promoted(t *testing.T, surface plant.Surface, from, to []int) (*tuner, *plant.Plant) {
	t.Helper()
	p := plant.New(plant.Config{Start: from, Surface: surface, Seed: 1})
	o, err := New(Config{Knobs: p.Knobs(), Collector: p, Slice: time.Second, Seed: 2})
	if err != nil {
		t.Fatal(err)
	}
	tu := newTuner(o)
	calm(tu)
	r, err := tu.trial(t.Context(), to, tu.isBetter())
	if err != nil {
		t.Fatal(err)
	}
	if got := tu.conclude(t.Context(), "search", to, r).verdict; got != perfcore.Promoted {
		t.Fatalf("the vector is %v: %s", got, r.reason)
	}
	tu.apart = tu.apart.with(from, to)
	return tu, p
}

// calm has tu know that there is no noise to speak of.
func calm(tu *tuner) {
	tu.noise.addZero(slices.Repeat([]float64{0.005}, 60))
	tu.plain = tu.noise
	tu.effort.addZero(make([]float64, maxBlocks))
}

// takeApart ablates until nothing is left.
func takeApart(t *testing.T, tu *tuner) {
	t.Helper()
	for n := 0; tu.apart.due(); n++ {
		if err := tu.ablate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n > 100 {
			t.Fatal("it does not come to an end")
		}
	}
}

// linear is a surface on which each level of a knob costs so much.
func linear(costs ...float64) plant.Surface {
	return func(levels []int, _ int) (cost float64) {
		for i, l := range levels {
			cost += costs[i] * float64(l)
		}
		return cost
	}
}

// All that goes back costs no more, together, than the minimum effect, however little
// each knob is worth.
func TestAblationIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := []int{5, 5, 5, 5, 5, 5}, []int{6, 6, 6, 6, 6, 6}
		surface := linear(-0.01, -0.01, -0.01, -0.01, -0.01, -0.01)
		tu, _ := promoted(t, surface, from, to)
		takeApart(t, tu)
		if lost := surface(tu.at, 0) - surface(to, 0); lost < 0.009 || lost > 0.015 {
			t.Errorf("the incumbents are %v: going back has cost %.3f, want a knob's 0.01", tu.at, lost)
		}
	})
}

// What went back has cost something, which counts as long as the same promotions are taken
// apart, also where another one is added to them.
func TestLostIsKept(t *testing.T) {
	first := ablation{}.with([]int{1, 1, 1, 1}, []int{2, 3, 4, 5})
	if first.lost != 0 || !slices.Equal(first.knobs, []int{0, 1, 2, 3}) {
		t.Fatalf("at first %+v", first)
	}
	first.next() // knob 0 went back
	first.lost = -0.01
	both := first.with([]int{1, 3, 4, 5}, []int{1, 5, 4, 5})
	if both.lost != -0.01 || !slices.Equal(both.knobs, []int{2, 1, 3}) || !slices.Equal(both.from, []int{1, 1, 1, 1}) {
		t.Errorf("with another %+v", both)
	}
	for both.due() {
		both.next()
	}
	if then := both.with([]int{1, 5, 4, 5}, []int{2, 6, 4, 5}); then.lost != 0 || !slices.Equal(then.from, []int{1, 5, 4, 5}) {
		t.Errorf("behind that %+v", then)
	}
}

// What goes back is not on probation for its promotion any more, but for having gone back,
// when the search rests, and the others of the promotion still are.
func TestWithdrawnIsOnProbation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tu, _ := promoted(t, linear(-0.1, 0.02, 0), []int{5, 5, 5}, []int{6, 7, 8})
		gain := tu.budget.gain
		takeApart(t, tu)
		if !slices.Equal(tu.at, []int{6, 5, 5}) {
			t.Fatalf("the incumbents are %v", tu.at)
		}
		var moves [][]int
		for _, p := range tu.trials {
			moves = append(moves, p.from, p.to)
		}
		if want := [][]int{{5, 5, 5}, {6, 5, 5}, {6, 7, 8}, {6, 5, 8}, {6, 5, 8}, {6, 5, 5}}; !slices.EqualFunc(moves, want, slices.Equal) {
			t.Errorf("on probation are %v, want %v", moves, want)
		}
		tu.budget.slices += probations[0]
		tu.trials[0].due = tu.budget.slices + 1
		if tu.dueTrial(true) != 1 || tu.dueTrial(false) != -1 {
			t.Errorf("a withdrawal is tested while the search goes on, or never: %d, %d", tu.dueTrial(false), tu.dueTrial(true))
		}
		if d := tu.budget.gain - gain; d < 0.035 || d > 0.045 {
			t.Errorf("the budget has %.3f more for each slice, want what the harmful knob had cost", d)
		}
		verdicts := make(map[perfcore.Verdict]int)
		for _, d := range tu.o.Decisions(1) {
			if d.Trigger != "ablation" || len(d.Moves) != 1 || len(d.Evidence.Diffs) == 0 && d.Verdict != perfcore.Aborted {
				t.Errorf("decision %v", d)
			}
			verdicts[d.Verdict]++
		}
		if verdicts[perfcore.Withdrawn] != 2 || len(verdicts) != 2 {
			t.Errorf("the verdicts are %v", verdicts)
		}
	})
}

// A change that has passed the last test of its probation is confirmed, with what the
// tests said, and is off probation.
func TestConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tu, _ := promoted(t, linear(-0.1), []int{5}, []int{6})
		for n := 0; len(tu.trials) > 0; n++ {
			if n > 2*int(probations[len(probations)-1]) {
				t.Fatal("it is still on probation")
			}
			if err := errors.Join(tu.watched(t.Context()), tu.retest(t.Context(), tu.dueTrial(true))); err != nil {
				t.Fatal(err)
			}
		}
		all := tu.o.Decisions(1)
		if len(all) != 1 || all[0].Verdict != perfcore.Confirmed || all[0].Trigger != "probation" {
			t.Fatalf("behind the promotion: %v", all)
		}
		want := []perfcore.Move{{Knob: "plant.knob0", From: plant.Value(5), To: plant.Value(6)}}
		if d := all[0]; !slices.Equal(d.Moves, want) || len(d.Evidence.Diffs) != len(probations) || slices.Min(d.Evidence.Diffs) < 0.09 {
			t.Errorf("decision %v", d)
		}
		if e := all[0].Evidence; e.Effect != 0 || e.Low != 0 || e.High != 0 || e.Ratio != 0 || e.SignFlip != 0 {
			t.Errorf("tests that were all passed are an estimate: %+v", e)
		}
		if !slices.Equal(tu.at, []int{6}) {
			t.Errorf("the incumbent is %v", tu.at)
		}
	})
}

// A burst and a calm slice are no match: nobody is blamed for what one costs more than
// the other.
func TestBlameNeedsAMatch(t *testing.T) {
	for _, tt := range []struct {
		tried, beside string // the bursts in the candidate's slice, and in the incumbent's beside it
		blamed        bool
	}{{"", "", true}, {"a burst", "a burst", true}, {"a burst", "", false}, {"", "a burst", false}} {
		synctest.Test(t, func(t *testing.T) {
			tu, p := promoted(t, linear(-0.1), []int{5}, []int{6})
			tu.cost.known = true
			tu.o.cfg.Collector = told{p, tt.beside}
			err := tu.blame(t.Context(), tu.at, seen{Sample: perfcore.Sample{Cost: tu.bare.value + 2, Work: 1, Burst: tt.tried}}, &bill{})
			if errors.Is(err, errBlamed) != tt.blamed || !tt.blamed && !errors.Is(err, errVoid) {
				t.Errorf("a burst %q beside %q: %v", tt.tried, tt.beside, err)
			}
		})
	}
}

// A told plant tells of a burst in each slice.
type told struct {
	*plant.Plant
	burst string
}

func (c told) Collect() perfcore.Sample {
	s := c.Plant.Collect()
	s.Burst = c.burst
	return s
}

// A knob that has moved since, or is somebody else's, is left alone.
func TestAblationLeavesOthersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tu, _ := promoted(t, linear(-0.1, 0.02, 0), []int{5, 5, 5}, []int{6, 7, 8})
		if err := tu.o.Resources.Pin(t.Context(), "plant.knob1", plant.Value(7)); err != nil {
			t.Fatal(err)
		}
		takeApart(t, tu)
		if !slices.Equal(tu.at, []int{6, 7, 5}) {
			t.Errorf("the incumbents are %v, and the second was pinned", tu.at)
		}
		for _, d := range tu.o.Decisions(1) {
			if d.Moves[0].Knob == "plant.knob1" {
				t.Errorf("decision %v, and it is pinned", d)
			}
		}
	})
}

// An ablation that is interrupted is begun again, but not for ever.
func TestAblationIsInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tu, p := promoted(t, linear(-0.1, 0), []int{5, 5}, []int{6, 6})
		collector := tu.o.cfg.Collector
		tu.o.cfg.Collector = void{p}
		for n := range maxTries {
			if !slices.Equal(tu.apart.knobs, []int{0, 1}) {
				t.Fatalf("behind %d tries %v are to be tried", n, tu.apart.knobs)
			}
			if err := tu.ablate(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(tu.apart.knobs, []int{1}) {
			t.Fatalf("behind all tries %v are to be tried", tu.apart.knobs)
		}
		tu.o.cfg.Collector = collector
		takeApart(t, tu)
		if !slices.Equal(tu.at, []int{6, 5}) {
			t.Errorf("the incumbents are %v", tu.at)
		}
	})
}

// A void is a plant whose slices say nothing.
type void struct{ *plant.Plant }

func (v void) Collect() perfcore.Sample {
	s := v.Plant.Collect()
	s.Void = "somebody else was busy"
	return s
}

// A hand is a plant of which somebody moves a knob in a slice.
type hand struct {
	*plant.Plant
	knob, slice int
}

func (h hand) Collect() perfcore.Sample {
	if h.Slice() == h.slice {
		h.Interfere(h.knob, 9)
	}
	return h.Plant.Collect()
}

// An ablation that ends because somebody moves another knob is made again.
func TestAblationBesideAHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tu, p := promoted(t, linear(-0.1, 0, 0), []int{5, 5, 5}, []int{6, 6, 5})
		tu.o.cfg.Collector = hand{p, 2, p.Slice() + 3}
		first := tu.apart.knobs[0]
		if err := tu.ablate(t.Context()); err != nil {
			t.Fatal(err)
		}
		all := tu.o.Decisions(0)
		if d := all[len(all)-1]; d.Trigger != "ablation" || d.Verdict != perfcore.Isolated || len(tu.apart.knobs) != 2 || tu.apart.knobs[0] != first {
			t.Fatalf("%v; of it are left %+v", d, tu.apart)
		}
		takeApart(t, tu)
		if !slices.Equal(tu.at, []int{6, 5, 5}) {
			t.Errorf("the incumbents are %v", tu.at)
		}
	})
}

// An ablation belongs to its regime.
func TestAblationOfARegime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tu, p := promoted(t, linear(-0.1, 0), []int{5, 5}, []int{6, 6})
		in := &there{Plant: p, regime: "second"}
		tu.o.cfg.Collector = in
		tu.enter(t.Context())
		if tu.apart.due() {
			t.Error("another regime's promotion is taken apart")
		}
		in.regime = ""
		tu.enter(t.Context())
		if !tu.apart.due() {
			t.Error("back in its regime, the promotion is not taken apart")
		}
	})
}
