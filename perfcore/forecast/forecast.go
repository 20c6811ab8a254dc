// Package forecast predicts loads that have a season, as requests of users
// have a day, and knows when it cannot: every prediction is held against what
// came, beside persistence, which says that the next value is the last one. A
// forecaster that does not beat persistence is silent.
//
// It is not for blocks. Their gaps are exponential: how long the last one is
// ago says nothing about the next.
package forecast

import (
	"errors"
	"math"
)

// The smoothing of Holt and Winters' additive method with a damped trend
// (Gardner and McKenzie 1985). Innovations beyond clip mean absolute errors are
// cut, after Gelper, Fried and Croux 2010: one burst must not become part of
// every day.
const (
	levelRate  = 0.25
	trendRate  = 0.02
	seasonRate = 0.25
	damping    = 0.9
	clip       = 4
	errorRate  = 0.05
)

const (
	// seasonsFirst is how many seasons pass before anything is predicted: the
	// first gives the season's shape, two more the test against persistence.
	seasonsFirst = 3
	// skillSeasons is how many seasons the skill looks back.
	skillSeasons = 2
	// lostSeasons is for how many seasons it may lose to persistence before it
	// forgets all and begins again: a season that has changed its shape is
	// learnt anew faster than it is mended.
	lostSeasons = 3
	// trusted is the skill from which on predictions are given, and distrusted
	// the one below which they are not given any more.
	trusted    = 0.1
	distrusted = 0.02
)

// A Forecaster predicts a series of values that are not negative, one step
// ahead. One goroutine uses it.
type Forecaster struct {
	season []float64
	first  []float64 // the values of the first season
	n      int       // values so far
	level  float64
	trend  float64
	err    float64 // mean absolute innovation

	last      float64 // the last value
	predicted float64 // what was predicted for the next one
	pending   bool

	modelError, naiveError float64 // discounted sums of absolute errors
	lost                   int     // comparisons in a row with too little skill
	on                     bool
}

// New returns a forecaster for a season of so many values, 2 at least.
func New(season int) (*Forecaster, error) {
	if season < 2 || season > 1<<16 {
		return nil, errors.New("a season has between 2 and 65536 values")
	}
	return &Forecaster{season: make([]float64, season), last: math.NaN()}, nil
}

// Observe takes the next value. What is no finite number, as of a time in which
// nothing was measured, takes its place in the season and says nothing.
func (f *Forecaster) Observe(v float64) {
	period := len(f.season)
	if math.IsInf(v, 0) {
		v = math.NaN()
	}
	if f.pending && !math.IsNaN(v) && !math.IsNaN(f.last) {
		f.compare(math.Abs(v-f.predicted), math.Abs(v-f.last))
	}
	i := f.n % period
	f.n++
	if f.n <= period {
		f.first = append(f.first, v)
		if f.n == period {
			f.begin()
		}
		return
	}
	expected := f.level + damping*f.trend + f.season[i]
	innovation := v - expected
	if math.IsNaN(v) {
		innovation = 0
	} else {
		if f.err > 0 {
			innovation = min(max(innovation, -clip*f.err), clip*f.err)
		}
		f.err += errorRate * (math.Abs(innovation) - f.err)
		f.last = v
	}
	f.level += damping*f.trend + levelRate*innovation
	f.trend = damping*f.trend + trendRate*innovation
	f.season[i] += seasonRate * (1 - levelRate) * innovation
	f.predicted = max(f.level+damping*f.trend+f.season[f.n%period], 0)
	f.pending = true
}

// begin takes the first season's mean as the level, and what differs from it as
// the season.
func (f *Forecaster) begin() {
	var sum, n float64
	for _, v := range f.first {
		if !math.IsNaN(v) {
			sum += v
			n++
			f.last = v
		}
	}
	if n == 0 { // nothing was measured in all of it: the next season is the first
		f.n, f.first = 0, f.first[:0]
		return
	}
	f.level = sum / n
	var distance float64
	for i, v := range f.first {
		if !math.IsNaN(v) {
			f.season[i] = v - f.level
			distance += math.Abs(f.season[i])
		}
	}
	f.err = distance / n
	f.first = nil
}

// compare takes the absolute errors of one prediction, and decides whether the
// next ones are given.
func (f *Forecaster) compare(model, naive float64) {
	keep := 1 - 1/float64(skillSeasons*len(f.season))
	f.modelError = keep*f.modelError + model
	f.naiveError = keep*f.naiveError + naive
	if f.n < seasonsFirst*len(f.season) {
		return
	}
	s := f.Skill()
	if s >= distrusted {
		f.lost = 0
		f.on = f.on || s >= trusted
		return
	}
	f.on = false
	if f.lost++; f.lost >= lostSeasons*len(f.season) {
		*f = Forecaster{season: make([]float64, len(f.season)), last: f.last}
	}
}

// Skill returns by how much of persistence's error the forecaster's is smaller,
// lately: 1 is perfect, 0 is as good as persistence and less is worse. It is 0
// as long as nothing was compared.
func (f *Forecaster) Skill() float64 {
	if f.naiveError == 0 {
		return 0
	}
	return 1 - f.modelError/f.naiveError
}

// Predict returns the next value. It is not ok before three seasons have passed,
// and while the forecaster loses to persistence.
func (f *Forecaster) Predict() (v float64, ok bool) {
	if !f.on {
		return 0, false
	}
	return f.predicted, true
}
