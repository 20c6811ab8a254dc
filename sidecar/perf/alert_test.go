package perf

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
)

// An alert follows the quantity with hysteresis: it needs time to rise and to
// clear, and a quantity between the two limits changes nothing.
func TestAlertStates(t *testing.T) {
	rule := Rule{Name: "hot", Quantity: "heat", Raise: 10, Clear: 5, For: 20 * time.Second, Keep: 30 * time.Second}
	none := math.NaN() // not measured
	for _, tt := range []struct {
		name   string
		values []float64 // every ten seconds
		want   string    // of the alerts told, by number of the value
	}{
		{"cool", []float64{1, 9, 1}, "[]"},
		{"a short peak", []float64{11, 11, 1, 11, 1}, "[]"},
		{"long enough", []float64{11, 11, 11, 11}, "[firing@2]"},
		{"cleared", []float64{11, 11, 11, 1, 1, 1, 1}, "[firing@2 cleared@6]"},
		{"hot again while clearing", []float64{11, 11, 11, 1, 1, 7, 1, 1, 1, 1}, "[firing@2 cleared@9]"},
		{"between the limits", []float64{11, 11, 11, 7, 7, 7, 7, 7, 7}, "[firing@2]"},
		{"not measured", []float64{11, none, none, 11, none, 1, none, none, 1, 1}, "[firing@3 cleared@8]"},
		{"infinite", []float64{math.Inf(1), 11, 11}, "[firing@2]"},
		{"twice", []float64{11, 11, 11, 1, 1, 1, 1, 11, 11, 11}, "[firing@2 cleared@6 firing@9]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			as := newAlerts([]Rule{rule})
			var told []string
			for i, v := range tt.values {
				now := time.Unix(int64(10*i), 0)
				for _, a := range as.observe(now, func(string) (float64, bool) { return v, !math.IsNaN(v) }) {
					told = append(told, fmt.Sprintf("%s@%d", a.State, i))
				}
			}
			if got := fmt.Sprint(told); got != tt.want {
				t.Errorf("told %s, want %s", got, tt.want)
			}
		})
	}
}

// A square wave around the limit, as fast as can be measured, is one alert.
func TestAlertsDoNotFlap(t *testing.T) {
	as := newAlerts([]Rule{{Name: "hot", Quantity: "heat", Raise: 10, Clear: 5, For: 20 * time.Second, Keep: 30 * time.Second}})
	told := 0
	for i := range 1000 {
		v := 10.1
		if i > 10 && i%2 == 0 {
			v = 4.9
		}
		told += len(as.observe(time.Unix(int64(10*i), 0), func(string) (float64, bool) { return v, true }))
	}
	if told != 1 {
		t.Errorf("told %d times", told)
	}
	if a := as.active(); len(a) != 1 || a[0].Times != 1 {
		t.Errorf("active: %+v", a)
	}
}

func TestRulesAreWhole(t *testing.T) {
	var names []string
	for _, r := range Rules() {
		if slices.Contains(names, r.Name) || !isQuantity(r.Name) || !isQuantity(r.Quantity) || r.Help == "" {
			t.Errorf("rule %+v", r)
		}
		if !(r.Clear < r.Raise) || r.For < 0 || r.Keep < 0 {
			t.Errorf("%s: raised at %v, cleared at %v", r.Name, r.Raise, r.Clear)
		}
		names = append(names, r.Name)
	}
}

// What fires comes first.
func TestActive(t *testing.T) {
	as := newAlerts([]Rule{
		{Name: "a", Quantity: "a", Raise: 1, For: time.Hour},
		{Name: "b", Quantity: "b", Raise: 1},
		{Name: "c", Quantity: "c", Raise: 1},
	})
	as.observe(time.Unix(1, 0), func(q string) (float64, bool) { return 1, q != "b" })
	as.observe(time.Unix(2, 0), func(q string) (float64, bool) { return 1, q == "b" })
	var got []string
	for _, a := range as.active() {
		got = append(got, a.Name+" "+string(a.State))
	}
	if want := []string{"c firing", "b firing", "a pending"}; !slices.Equal(got, want) {
		t.Errorf("active: %q, want %q", got, want)
	}
}
