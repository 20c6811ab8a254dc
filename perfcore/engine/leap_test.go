package engine

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/plant"
)

// A cache is worth nothing until what is asked for again fits into it: between what it costs and
// what it saves no slope leads, and the search finds it all the same, from both sides.
func TestLeapsOverAPlateau(t *testing.T) {
	for name, tt := range map[string]struct {
		start int
		cost  func(level int) float64
		want  func(level int) bool
	}{
		"up":   {1, func(l int) float64 { return 0.02*float64(l) - 0.5*float64(min(l/3, 1)) }, func(l int) bool { return l == 3 }},
		"down": {9, func(l int) float64 { return 0.02*float64(10-l) - 0.5*float64(min((10-l)/3, 1)) }, func(l int) bool { return l == 7 }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := plant.New(plant.Config{
					Start: []int{5, tt.start, 5}, World: plant.World{SD: 0.03}, Seed: 1,
					Surface: func(levels []int, _ int) float64 { return tt.cost(levels[1]) },
				})
				knobs := p.Knobs()
				knobs[1].Fills = true
				o, err := New(Config{Knobs: knobs, Collector: p, Slice: 10 * time.Second, Seed: 2})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 6*time.Hour)
				defer cancel()
				if err := o.Run(ctx); err != nil {
					t.Fatal(err)
				}
				at, _, _ := o.Resources.incumbents()
				if !tt.want(at[1]) {
					t.Errorf("the incumbents are %v, from %d", at, tt.start)
				}
			})
		})
	}
}

// Each knob leaps twice each way, to its end and three levels, until the incumbent moves: that of which
// slopes say least comes first, of equals the longest leap, and none is as short as a step.
func TestLeaps(t *testing.T) {
	h := &hybrid{rand: rand.New(rand.NewPCG(1, 2)), radius: firstRadius}
	s := Space{At: []int{4, 1, 5, 2}, Low: []int{0, 0, 5, 2}, High: []int{9, 2, 9, 2}, Arms: make([][]int, 4), Fills: []bool{true, true, true, true}}
	slopes := func(_, _ []int) (float64, error) { return 0, nil }
	propose := func() []int {
		t.Helper()
		y, err := h.Propose(t.Context(), s, slopes)
		if err != nil {
			t.Fatal(err)
		}
		return y
	}
	propose()
	h.slope, h.pairs = []float64{0.1, 0, 0.3, 0}, []float64{4, 4, 4, 4}
	leaps := func() (all [][]int) {
		for range 9 {
			h.misses = 1
			before := slices.Clone(h.pairs)
			y := propose()
			if !slices.Equal(before, h.pairs) {
				break // it measured slopes, and was no leap
			}
			h.Learn(perfcore.Rejected)
			all = append(all, y)
		}
		return all
	}
	want := [][]int{{9, 1, 5, 2}, {0, 1, 5, 2}, {1, 1, 5, 2}, {7, 1, 5, 2}, {4, 1, 9, 2}, {4, 1, 8, 2}}
	for _, again := range []func(){func() {}, func() { h.misses = 1; h.Learn(perfcore.Promoted) }, func() { h.Forget() }} {
		again()
		h.slope, h.pairs = []float64{0.1, 0, 0.3, 0}, []float64{4, 4, 4, 4}
		if got := leaps(); !slices.EqualFunc(got, want, slices.Equal) {
			t.Errorf("it leaps to %v, want %v", got, want)
		}
		if h.radius < 1 {
			t.Errorf("the radius is %v", h.radius)
		}
	}
	// Of four proposals that come to nothing one behind the other, the second and the third leap.
	h.Forget()
	var leapt []bool
	for misses := range 8 {
		h.misses = misses
		before := slices.Clone(h.pairs)
		propose()
		leapt = append(leapt, slices.Equal(before, h.pairs))
	}
	if want := []bool{false, true, true, false, false, true, true, false}; !slices.Equal(leapt, want) {
		t.Errorf("of proposals behind each other leap %v, want %v", leapt, want)
	}
	// What came to no verdict is tried again, and the steps are as long as they were.
	h.Forget()
	h.slope, h.pairs = []float64{0.1, 0, 0.3, 0}, []float64{4, 4, 4, 4}
	h.misses = 1
	radius := h.radius
	y := propose()
	h.Learn(perfcore.Inconclusive)
	h.misses = 1
	if again := propose(); !slices.Equal(again, y) {
		t.Errorf("%v came to no verdict, and %v is tried", y, again)
	}
	if h.Learn(perfcore.Rejected); h.radius != radius {
		t.Errorf("a leap has changed the radius from %v to %v", radius, h.radius)
	}
}

// Where what a regime had left is not what is best, what replaces it goes together by chance, and is
// taken apart: what harms goes back.
func TestWhatReplacesARecallIsTakenApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := plant.New(plant.Config{Start: []int{5, 5}, Surface: linear(0.2, -0.05), Seed: 1})
		in := &there{Plant: p, regime: "first"}
		o, err := New(Config{Knobs: p.Knobs(), Collector: in, Slice: time.Second, Seed: 2})
		if err != nil {
			t.Fatal(err)
		}
		tu := newTuner(o)
		calm(tu)
		in.regime = "second"
		tu.enter(t.Context())
		if tu.refresh(); !o.Resources.promote([]int{3, 3}, tu.epoch) {
			t.Fatal("nothing was promoted")
		}
		o.restore(t.Context())
		in.regime = "first"
		tu.enter(t.Context())
		tu.refresh()
		if err := tu.retest(t.Context(), tu.dueTrial(false)); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(tu.at, []int{3, 3}) {
			t.Fatalf("the incumbents are %v", tu.at)
		}
		takeApart(t, tu)
		if !slices.Equal(tu.at, []int{3, 5}) {
			t.Errorf("taken apart, the incumbents are %v, want the second knob back", tu.at)
		}
	})
}
