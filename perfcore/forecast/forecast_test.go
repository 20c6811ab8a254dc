package forecast

import (
	"math"
	"math/rand/v2"
	"testing"
)

// poisson returns a random count with mean m.
func poisson(r *rand.Rand, m float64) float64 {
	if m > 50 {
		return max(0, math.Round(m+math.Sqrt(m)*r.NormFloat64()))
	}
	n, p := 0.0, math.Exp(-m)
	for u := r.Float64(); u > p; n++ {
		u -= p
		p *= m / (n + 1)
		if p == 0 {
			break
		}
	}
	return n
}

const day = 24

// day's shape: quiet at night, busy in the afternoon.
func daily(t int) float64 { return 100 + 80*math.Sin(2*math.Pi*float64(t)/day) }

// A series is one kind of load, and how the forecaster must do on it.
type series struct {
	name string
	next func(r *rand.Rand) func(t int) float64
	// least and most bound the share of hours, after the first three days, in
	// which predictions are given, and skill the mean gain over persistence in
	// those hours.
	least, most float64
	skill       float64
}

var allSeries = []series{
	{"days", func(r *rand.Rand) func(int) float64 {
		return func(t int) float64 { return poisson(r, daily(t)) }
	}, 0.95, 1, 0.25},
	{"days that grow", func(r *rand.Rand) func(int) float64 {
		return func(t int) float64 { return poisson(r, (1+float64(t)/2000)*daily(t)) }
	}, 0.95, 1, 0.25},
	{"days with bursts", func(r *rand.Rand) func(int) float64 {
		return func(t int) float64 {
			if r.IntN(60) == 0 {
				return 2000
			}
			return poisson(r, daily(t))
		}
	}, 0.85, 1, 0.25},
	{"days with gaps", func(r *rand.Rand) func(int) float64 {
		return func(t int) float64 {
			if r.IntN(10) == 0 {
				return math.NaN()
			}
			return poisson(r, daily(t))
		}
	}, 0.9, 1, 0.2},
	{"random walk", func(r *rand.Rand) func(int) float64 {
		v := 1000.0
		return func(int) float64 {
			v = max(0, v+20*r.NormFloat64())
			return v
		}
	}, 0, 0.02, 0},
	{"constant", func(*rand.Rand) func(int) float64 { return func(int) float64 { return 7 } }, 0, 0, 0},
	{"nothing measured", func(*rand.Rand) func(int) float64 { return func(int) float64 { return math.NaN() } }, 0, 0, 0},
}

func TestForecaster(t *testing.T) {
	for _, s := range allSeries {
		t.Run(s.name, func(t *testing.T) {
			var given, hours, model, naive float64
			for seed := range uint64(20) {
				f, err := New(day)
				if err != nil {
					t.Fatal(err)
				}
				next, last := s.next(rand.New(rand.NewPCG(seed, 1))), math.NaN()
				for h := range 60 * day {
					p, ok := f.Predict()
					v := next(h)
					if h >= 4*day {
						hours++
						if ok {
							given++
						}
						if ok && !math.IsNaN(v) && !math.IsNaN(last) {
							model += math.Abs(v - p)
							naive += math.Abs(v - last)
						}
					} else if ok && h < 3*day-1 {
						t.Fatalf("seed %d: a prediction in hour %d", seed, h)
					}
					f.Observe(v)
					if !math.IsNaN(v) {
						last = v
					}
				}
			}
			share, skill := given/hours, 0.0
			if naive > 0 {
				skill = 1 - model/naive
			}
			t.Logf("given in %.3f of the hours, skill %.3f", share, skill)
			if share < s.least || share > s.most || share > 0.1 && skill < s.skill {
				t.Errorf("given in %.3f of the hours with skill %.3f; want %v to %v, %v", share, skill, s.least, s.most, s.skill)
			}
		})
	}
}

// A season that ends is noticed, within days, and so is one that returns.
func TestSwitchesItselfOff(t *testing.T) {
	var off, on int
	const runs = 20
	for seed := range uint64(runs) {
		r := rand.New(rand.NewPCG(seed, 2))
		f, err := New(day)
		if err != nil {
			t.Fatal(err)
		}
		v, state := 100.0, ""
		for h := range 60 * day {
			switch {
			case h < 20*day, h >= 40*day:
				v = poisson(r, daily(h))
			default:
				v = max(0, v+10*r.NormFloat64())
			}
			f.Observe(v)
			_, ok := f.Predict()
			if h == 20*day-1 && ok {
				state = "on"
			}
			if state == "on" && h > 20*day && h < 30*day && !ok {
				state = "off"
				off++
			}
			if state == "off" && h > 45*day && ok {
				state = "on again"
				on++
			}
		}
	}
	t.Logf("of %d, %d were off within ten days, %d on again", runs, off, on)
	if off < runs || on < runs {
		t.Errorf("of %d, %d were off within ten days of the season's end, and %d on again", runs, off, on)
	}
}

// Whether a block comes in the next minute cannot be told from the minutes
// before.
func TestBlocksAreNotPredicted(t *testing.T) {
	given, total := 0, 0
	var model, mean float64
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 3))
		f, err := New(144)
		if err != nil {
			t.Fatal(err)
		}
		for range 144 * 20 {
			gap := 600 * r.ExpFloat64()
			if p, ok := f.Predict(); ok {
				given++
				model += math.Abs(gap - p)
				mean += math.Abs(gap - 600)
			}
			total++
			f.Observe(gap)
		}
	}
	// Persistence is a bad guess too, so predictions may be given; they are no
	// better than to say ten minutes, always.
	t.Logf("given for %d of %d blocks", given, total)
	if given > 0 && model < 0.99*mean {
		t.Errorf("gaps of blocks are predicted with error %.1f, against %.1f of ten minutes always", model/float64(given), mean/float64(given))
	}
}

func TestNew(t *testing.T) {
	for _, n := range []int{-1, 0, 1, 1<<16 + 1} {
		if _, err := New(n); err == nil {
			t.Errorf("a season of %d was taken", n)
		}
	}
}

// No value makes it predict what is no load.
func TestWildValues(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	edges := []float64{0, 1, -1, math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, -math.MaxFloat64, 5e-324}
	for range 500 {
		f, err := New(2 + r.IntN(4))
		if err != nil {
			t.Fatal(err)
		}
		few := edges[r.IntN(len(edges)):]
		for i := range 60 {
			v := few[i%len(few)]
			if r.IntN(4) == 0 {
				v = r.NormFloat64()
			}
			f.Observe(v)
			if p, ok := f.Predict(); ok && !(p >= 0) {
				t.Fatalf("predicted %v", p)
			}
		}
	}
}
