package plant

import (
	"math"
	"math/rand/v2"
)

// A World disturbs what is measured, whatever the knobs do. All are parts of
// the cost's logarithm, so 0.05 is five per cent. Its zero value disturbs
// nothing.
type World struct {
	// SD is the standard deviation of the noise, and Phi how much of it the
	// next slice inherits: AR(1) noise. Phi 0 is independent noise.
	SD, Phi float64
	// Tails draws the noise from Student's t with three degrees of freedom,
	// scaled to the same SD.
	Tails bool
	// Drift is by how much the cost changes a slice, for ever.
	Drift float64
	// Step is by how much the cost changes in slice StepAt, for ever.
	Step   float64
	StepAt int
	// Season is the amplitude of a sine with a period of Period slices.
	Season, Period float64
	// Neighbour is by how much the cost rises in bursts of one to six slices
	// that begin with probability 1/50. SeenNeighbour makes the samples void.
	Neighbour     float64
	SeenNeighbour bool
	// Hiccup is by how much the cost rises in single slices, one in fifty by lot.
	Hiccup float64
	// Load is the standard deviation of the logarithm of the work asked for.
	Load float64
}

// Noisy returns the world of most comparisons: 5 % of noise of which the next
// slice inherits 0.6, and 2 % in the load.
func Noisy() World { return World{SD: 0.05, Phi: 0.6, Load: 0.02} }

// weather is a World as it goes by.
type weather struct {
	World
	rand  *rand.Rand
	phase float64
	noise float64
	t     int
	burst int // slices that the neighbour still takes
}

// A moment is one slice of weather.
type moment struct {
	cost, load float64
	void       string
}

func newWeather(w World, r *rand.Rand) *weather {
	now := &weather{World: w, rand: r, phase: 2 * math.Pi * r.Float64()}
	now.noise = w.SD * now.draw()
	return now
}

// draw returns noise of variance 1.
func (w *weather) draw() float64 {
	n := w.rand.NormFloat64()
	if !w.Tails {
		return n
	}
	var chi float64
	for range 3 {
		g := w.rand.NormFloat64()
		chi += g * g
	}
	return n / math.Sqrt(chi/3) / math.Sqrt(3) // the variance of t(3) is 3
}

func (w *weather) next() moment {
	w.noise = w.Phi*w.noise + math.Sqrt(1-w.Phi*w.Phi)*w.SD*w.draw()
	m := moment{
		cost: w.noise + w.Drift*float64(w.t),
		load: w.Load * w.rand.NormFloat64(),
	}
	if w.t >= w.StepAt {
		m.cost += w.Step
	}
	if w.Season != 0 {
		m.cost += w.Season * math.Sin(2*math.Pi*float64(w.t)/w.Period+w.phase)
	}
	if w.Neighbour != 0 {
		if w.burst == 0 && w.rand.IntN(50) == 0 {
			w.burst = 1 + w.rand.IntN(6)
		}
		if w.burst > 0 {
			w.burst--
			m.cost += w.Neighbour
			if w.SeenNeighbour {
				m.void = "a neighbour took the processor"
			}
		}
	}
	if w.Hiccup != 0 && w.rand.IntN(50) == 0 {
		m.cost += w.Hiccup
	}
	w.t++
	return m
}
