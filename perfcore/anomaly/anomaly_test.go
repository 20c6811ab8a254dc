package anomaly

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func newDetector(t testing.TB) *Detector {
	t.Helper()
	d, err := New(0.01)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// settled returns a detector whose usual values have median 0 and deviation
// 1.4826 exactly.
func settled(t *testing.T) *Detector {
	d := newDetector(t)
	for i := range 2 * window {
		d.Observe([]float64{-1, -1, 0, 1, 1}[i%5])
	}
	if m, s := d.Usual(); m != 0 || math.Abs(s-1.4826) > 1e-9 {
		t.Fatalf("median %v, deviation %v", m, s)
	}
	return d
}

func TestEvents(t *testing.T) {
	const near, far, mid = 0.0, 4.1 * 1.4826, 3 * 1.4826
	for _, tt := range []struct {
		name   string
		values []float64
		want   []Event // behind the last values; all others are None
	}{
		{"one wild value", []float64{far, near, near, near, near, near}, nil},
		{"two of five", []float64{far, near, -far, near, near, near}, nil},
		{"three in a row", []float64{far, far, far}, []Event{Raised}},
		{"three of five, both ways", []float64{far, near, -far, near, far}, []Event{Raised}},
		{"no numbers", []float64{far, math.NaN(), far, math.Inf(1)}, nil},
		{"and back", []float64{far, far, far, near, near, near, near, near}, []Event{Raised, None, None, None, None, Cleared}},
		{"not quite back", []float64{far, far, far, near, near, near, near, mid, near, near, near, near}, []Event{Raised, None, None, None, None, None, None, None, None, None}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := settled(t)
			var got []Event
			for _, v := range tt.values {
				got = append(got, d.Observe(v))
			}
			want := append(make([]Event, len(got)-len(tt.want)), tt.want...)
			if !slices.Equal(got, want) {
				t.Errorf("events %v, want %v", got, want)
			}
		})
	}
}

// A square wave on the threshold raises one alert and clears none.
func TestNoFlapping(t *testing.T) {
	d := settled(t)
	var events []Event
	for i := range relearn - 1 {
		v := 4.05 * 1.4826
		if i%2 == 1 {
			v = 3.95 * 1.4826
		}
		if e := d.Observe(v); e != None {
			events = append(events, e)
		}
	}
	if !slices.Equal(events, []Event{Raised}) {
		t.Errorf("events %v, want one alert", events)
	}
}

// A step for ever is told once, and then is how things are.
func TestRelearn(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	d := newDetector(t)
	var events []Event
	for i := range 1000 {
		v := r.NormFloat64()
		if i >= 300 {
			v += 30
		}
		if e := d.Observe(v); e != None {
			events = append(events, e)
		}
	}
	if m, _ := d.Usual(); !slices.Equal(events, []Event{Raised, Relearnt}) || math.Abs(m-30) > 1 {
		t.Errorf("events %v, median %v", events, m)
	}
}

// Wild values do not hide others: with one in eight of them, a real change of
// eight deviations is still told, in five values or so.
func TestRobust(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 2))
		d := newDetector(t)
		draw := func() float64 {
			if r.IntN(8) == 0 {
				return 1000 * r.NormFloat64()
			}
			return r.NormFloat64()
		}
		for range 500 {
			d.Observe(draw())
		}
		for d.Firing() { // three wild ones together are an anomaly, and pass
			d.Observe(draw())
		}
		took := 0
		for ; !d.Firing() && took < 20; took++ {
			d.Observe(8 + r.NormFloat64())
		}
		if took > 5 {
			t.Errorf("seed %d: it took %d values", seed, took)
		}
	}
}

// Ordinary noise, of which each value inherits some, raises next to nothing.
func TestFalseAlarms(t *testing.T) {
	for _, tt := range []struct {
		name string
		phi  float64
		most float64 // alerts in 10,000 values
	}{
		{"independent", 0, 0.2},
		{"AR(1) 0.6", 0.6, 2},
	} {
		alerts, values := 0.0, 0.0
		for seed := range uint64(3) {
			r := rand.New(rand.NewPCG(seed, 3))
			d, v := newDetector(t), 0.0
			for range 20_000 {
				v = tt.phi*v + math.Sqrt(1-tt.phi*tt.phi)*r.NormFloat64()
				if d.Observe(v) == Raised {
					alerts++
				}
				values++
			}
		}
		t.Logf("%s: %.2f alerts in 10,000 values", tt.name, 1e4*alerts/values)
		if 1e4*alerts/values > tt.most {
			t.Errorf("%s: %.2f alerts in 10,000 values, want %v", tt.name, 1e4*alerts/values, tt.most)
		}
	}
}

// Two wild values in five are no anomaly, and never become usual either.
func TestWildValuesAreNotLearnt(t *testing.T) {
	d := settled(t)
	for i := range 3 * window {
		v := []float64{-1, 0, 1}[i%3]
		if i%5 < 2 {
			v = 40
		}
		if e := d.Observe(v); e != None {
			t.Fatalf("value %d: %v", i, e)
		}
	}
	if m, s := d.Usual(); math.Abs(m) > 1 || s > 1.5 {
		t.Errorf("median %v, deviation %v", m, s)
	}
}

// Below the floor nothing is out of the ordinary, and a quantity that never
// moved has a usual range too.
func TestFloor(t *testing.T) {
	d, err := New(2)
	if err != nil {
		t.Fatal(err)
	}
	for range window {
		d.Observe(5)
	}
	for range 10 {
		if e := d.Observe(6.9); e != None {
			t.Errorf("a distance of 1.9 is %v", e)
		}
	}
	var events []Event
	for range 3 {
		events = append(events, d.Observe(7.1))
	}
	if events[2] != Raised {
		t.Errorf("a distance of 2.1: %v", events)
	}
	for _, floor := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		if _, err := New(floor); err == nil {
			t.Errorf("a floor of %v was taken", floor)
		}
	}
}

func BenchmarkObserve(b *testing.B) {
	d := newDetector(b)
	r := rand.New(rand.NewPCG(1, 4))
	for b.Loop() {
		d.Observe(r.NormFloat64())
	}
}
