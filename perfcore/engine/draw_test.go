package engine

import (
	"fmt"
	"iter"
	"math"
	"os"
	"strconv"
	"testing"
)

// A Draw is the random cases that a test looks at. Every change is tried on few, and
// always on the same; `make bulk-perf` sets how many there are in the night, and draws others.
//
// OUTRIDER_PERFCORE_TRIALS is how many trials of changes there are of a kind in each
// world, OUTRIDER_PERFCORE_PLANTS on how many plants whole optimizers run, and
// OUTRIDER_PERFCORE_SEED (0) which ones these are.
type Draw struct {
	Size   int
	seed   uint64
	proves bool // and does not only look whether a goal is refuted
}

const (
	Trials = "OUTRIDER_PERFCORE_TRIALS"
	Plants = "OUTRIDER_PERFCORE_PLANTS"
	seeds  = "OUTRIDER_PERFCORE_SEED"
)

// DrawOf returns as many cases as the environment's variable says, or a few.
func DrawOf(t *testing.T, variable string, few int) Draw {
	t.Helper()
	d := Draw{Size: few}
	if env := os.Getenv(variable); env != "" {
		var err error
		if d.Size, err = strconv.Atoi(env); err != nil {
			t.Fatal(err)
		}
		d.proves = true
	}
	if env := os.Getenv(seeds); env != "" {
		var err error
		if d.seed, err = strconv.ParseUint(env, 10, 32); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s=%d", seeds, d.seed)
	}
	return d
}

// Larger returns a draw of so many times as many cases in the night, for what is rarer.
func (d Draw) Larger(times int) Draw {
	if d.proves {
		d.Size *= times
	}
	return d
}

// Seeds are those of the cases, with their numbers: no two draws of the night have one in
// common.
func (d Draw) Seeds() iter.Seq2[int, uint64] {
	return func(yield func(int, uint64) bool) {
		for i := range d.Size {
			if !yield(i, d.seed<<32+uint64(i)) {
				return
			}
		}
	}
}

// AtMost holds the rate of what happened so many times in the draw against a goal. Of few
// cases no more than the goal's share may be so, which shows little: with a rate at the goal
// that is as likely as not. In the night the rate's bound must reach the goal: with a rate
// above it that would be so in one night of twenty at most.
func (d Draw) AtMost(t *testing.T, what string, times int, goal float64) {
	t.Helper()
	d.Within(t, what, times, 0, goal)
}

// Within is AtMost with a goal below, too, where that is not 0.
func (d Draw) Within(t *testing.T, what string, times int, least, most float64) {
	t.Helper()
	r := Rate{times, d.Size}
	t.Logf("%s: %v", what, r)
	if !d.reaches(r, least, most) {
		t.Errorf("%s: %v; want from %.4g to %.4g %%", what, r, 100*least, 100*most)
	}
}

// reaches says whether a rate in the draw reaches the goals. One of 0 or 1 is reached by the
// draw itself, for no bound would be there.
func (d Draw) reaches(r Rate, least, most float64) bool {
	low, high := r.share(), r.share()
	if d.proves && least < 1 {
		low = r.Lower()
	}
	if d.proves && most > 0 {
		high = r.Upper()
	}
	return least <= low && high <= most
}

// MeanAtMost is AtMost for a mean. Its bound is that of a normal distribution.
func (d Draw) MeanAtMost(t *testing.T, what string, x []float64, goal float64) {
	t.Helper()
	m, squares := mean(x), 0.0
	for _, v := range x {
		squares += (v - m) * (v - m)
	}
	n := float64(len(x))
	bound := m + deviations*math.Sqrt(squares/(n-1)/n)
	t.Logf("%s: %.3f %% (bound of %v %%: %.3f)", what, 100*m, 100*(1-doubt), 100*bound)
	if m > goal || d.proves && bound > goal {
		t.Errorf("%s: %.3f %% (bound of %v %%: %.3f); want at most %.4g %%", what, 100*m, 100*(1-doubt), 100*bound, 100*goal)
	}
}

// A Rate is how often something happened in cases that do not depend on each other.
type Rate struct{ Times, Cases int }

// doubt is the share of bounds that are wrong. So many standard deviations above its mean
// and further a normal distribution has as much.
const (
	doubt      = 0.05
	deviations = 1.645
)

// Upper returns Clopper's and Pearson's bound above: with this rate, so few times or fewer are
// as probable as doubt allows, and with any greater one less so.
func (r Rate) Upper() float64 {
	if r.Times >= r.Cases {
		return 1
	}
	low, high := 0.0, 1.0
	for range 60 {
		if p := (low + high) / 2; r.orFewer(p) > doubt {
			low = p
		} else {
			high = p
		}
	}
	return high
}

// Lower returns the bound below.
func (r Rate) Lower() float64 { return 1 - Rate{r.Cases - r.Times, r.Cases}.Upper() }

// orFewer returns how probable so few times or fewer are with a rate between 0 and 1.
func (r Rate) orFewer(p float64) float64 {
	n := float64(r.Cases)
	all, _ := math.Lgamma(n + 1)
	var sum float64
	for i := range r.Times + 1 {
		k := float64(i)
		happened, _ := math.Lgamma(k + 1)
		not, _ := math.Lgamma(n - k + 1)
		sum += math.Exp(all - happened - not + k*math.Log(p) + (n-k)*math.Log1p(-p))
	}
	return sum
}

func (r Rate) share() float64 { return float64(r.Times) / float64(r.Cases) }

func (r Rate) String() string {
	return fmt.Sprintf("%d of %d, %.3f %% (bounds of %v %%: %.3f, %.3f)",
		r.Times, r.Cases, 100*r.share(), 100*(1-doubt), 100*r.Lower(), 100*r.Upper())
}

// Four of 4000 are at a goal of 0.1 %, and do not show it; four of 10,000 do.
func TestDrawReachesGoals(t *testing.T) {
	for _, tt := range []struct {
		rate        Rate
		least, most float64
		few, proven bool
	}{
		{Rate{5, 4000}, 0, 0.001, false, false},
		{Rate{4, 4000}, 0, 0.001, true, false},
		{Rate{0, 2995}, 0, 0.001, true, true},
		{Rate{0, 2994}, 0, 0.001, true, false},
		{Rate{4, 10_000}, 0, 0.001, true, true},
		{Rate{5, 10_000}, 0, 0.001, true, false},
		{Rate{2, 100}, 0, 0.02, true, false},
		{Rate{0, 100}, 0, 0, true, true},
		{Rate{1, 100}, 0, 0, false, false},
		{Rate{660, 1000}, 0.65, 1, true, false},
		{Rate{680, 1000}, 0.65, 1, true, true},
		{Rate{640, 1000}, 0.65, 1, false, false},
		{Rate{1000, 1000}, 1, 1, true, true},
		{Rate{0, 0}, 0, 0.001, false, false},
	} {
		if got := (Draw{Size: tt.rate.Cases}).reaches(tt.rate, tt.least, tt.most); got != tt.few {
			t.Errorf("%v, from %v to %v: %v by a few cases, want %v", tt.rate, tt.least, tt.most, got, tt.few)
		}
		if got := (Draw{Size: tt.rate.Cases, proves: true}).reaches(tt.rate, tt.least, tt.most); got != tt.proven {
			t.Errorf("%v, from %v to %v: %v in the night, want %v", tt.rate, tt.least, tt.most, got, tt.proven)
		}
	}
}

// Some bounds have a closed form; and with four of 4000 a rate of 0.229 % is not excluded.
func TestBoundsOfRates(t *testing.T) {
	for _, tt := range []struct {
		rate      Rate
		want, off float64
	}{
		{Rate{0, 100}, 1 - math.Pow(doubt, 1.0/100), 1e-9},
		{Rate{0, 100_000}, 1 - math.Pow(doubt, 1.0/100_000), 1e-9},
		{Rate{1, 2}, math.Sqrt(1 - doubt), 1e-9},
		{Rate{99, 100}, math.Pow(1-doubt, 1.0/100), 1e-9},
		{Rate{100, 100}, 1, 0},
		{Rate{4, 4000}, 0.00229, 0.000005},
	} {
		if got := tt.rate.Upper(); math.Abs(got-tt.want) > tt.off {
			t.Errorf("%v: the bound above is %v, want %v", tt.rate, got, tt.want)
		}
		not := Rate{tt.rate.Cases - tt.rate.Times, tt.rate.Cases}
		if got := not.Lower(); math.Abs(got-1+tt.want) > tt.off {
			t.Errorf("%v: the bound below is %v, want %v", not, got, 1-tt.want)
		}
	}
}
