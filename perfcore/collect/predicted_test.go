package collect_test

import (
	"math"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore/anomaly"
	"github.com/outrider-project/outrider/perfcore/collect"
	"github.com/outrider-project/outrider/perfcore/regime"
)

// Requests that come every day at the same hour are foreseen by the fourth, in
// the hour itself, and the regime is there before the load has been seen.
func TestPredicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate = "rpc_requests_per_second"
		load := func(hour int) float64 {
			if hour%24 >= 18 {
				return 300
			}
			return 20
		}
		p, err := collect.NewPredicted(rate, time.Hour, 24)
		if err != nil {
			t.Fatal(err)
		}
		classifier, err := regime.New(regime.Config{})
		if err != nil {
			t.Fatal(err)
		}
		d := &dial{values: make(map[string]float64)}
		c, err := collect.New(collect.Config{Sources: []collect.Source{d, p}, Objective: objective(), Classifier: classifier})
		if err != nil {
			t.Fatal(err)
		}
		for hour := range 24 * 6 {
			for minute := range 60 {
				d.values[rate] = load(hour)
				if hour == 5*24+18 && minute < 10 {
					d.values[rate] = 20
					if minute == 5 && classifier.Regime() != regime.RPCBurst {
						t.Errorf("before the load comes the regime is %s", classifier.Regime())
					}
				}
				c.Begin()
				time.Sleep(time.Minute)
				c.Collect()
				s := c.Slice()
				predicted, ok := s.Value(rate + "_predicted")
				switch {
				case ok && hour < 48:
					t.Fatalf("a prediction in hour %d", hour)
				case hour > 24*4 && minute == 58:
					if !ok || math.Abs(predicted-load(hour)) > 0.35*load(hour)+10 {
						t.Errorf("hour %d: predicted %v, %v; want %v", hour, predicted, ok, load(hour))
					}
				}
			}
		}
		s := c.Slice()
		if skill, ok := s.Value(rate + "_forecast_skill"); !ok || skill < 0.3 {
			t.Errorf("skill %v, %v", skill, ok)
		}
	})
	for _, bad := range []func() (*collect.Predicted, error){
		func() (*collect.Predicted, error) { return collect.NewPredicted("", time.Hour, 24) },
		func() (*collect.Predicted, error) { return collect.NewPredicted("x", 0, 24) },
		func() (*collect.Predicted, error) { return collect.NewPredicted("x", time.Hour, 1) },
	} {
		if _, err := bad(); err == nil {
			t.Error("a prediction of nothing was taken")
		}
	}
}

// An anomaly is told once, and the slices say what they would without a watch while it lasts.
func TestWatches(t *testing.T) {
	detector, err := anomaly.New(0.1)
	if err != nil {
		t.Fatal(err)
	}
	var alerts []collect.Alert
	d := &dial{values: map[string]float64{"signatures_per_second": 1000, "process_cpu_cores": 1, "block_p90": 1}}
	o := objective()
	o.MinWork = 0
	c, err := collect.New(collect.Config{
		Sources: []collect.Source{d}, Objective: o,
		Watches: map[string]*anomaly.Detector{"block_p90": detector, "nobody_measures": detector},
		Alerted: func(a collect.Alert) { alerts = append(alerts, a) },
	})
	if err != nil {
		t.Fatal(err)
	}
	plain, err := collect.New(collect.Config{Sources: []collect.Source{d}, Objective: o})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		d.values["block_p90"] = 1
		if i >= 50 && i < 60 {
			d.values["block_p90"] = 9
		}
		c.Begin()
		plain.Begin()
		if s, want := c.Collect(), plain.Collect(); want.Void != "" || !reflect.DeepEqual(s, want) {
			t.Fatalf("slice %d is %+v with a watch, and %+v without one", i, s, want)
		}
	}
	if len(alerts) != 2 || alerts[0].Event != anomaly.Raised || alerts[1].Event != anomaly.Cleared ||
		alerts[0].Quantity != "block_p90" || alerts[0].Value != 9 || alerts[0].Median != 1 {
		t.Errorf("alerts %+v", alerts)
	}
}
