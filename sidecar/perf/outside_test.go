package perf

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// What another process tells of is a gauge of the registry, and a quantity of slices, for a
// minute; then it is neither, until it is told of again.
func TestOutside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMill(t)
		p, stop := m.start(t, Config{Mode: Observe}, 0)
		tell := func(v float64) {
			t.Helper()
			if err := p.outside.tell(map[string]float64{"l2_lag_seconds": v}); err != nil {
				t.Fatal(err)
			}
		}
		told := func() string {
			said := "nothing"
			for _, s := range m.registry.Series() {
				if s.Metric.Name == outsideName {
					said = fmt.Sprint(s.Metric.Labels, s.Gauge.Value())
				}
			}
			q, err := p.measurements()
			if err != nil {
				t.Fatal(err)
			}
			if v, measured := q.Values["outside_l2_lag_seconds"]; measured {
				return fmt.Sprint(said, ", in the slice ", v)
			}
			return said
		}
		check := func(want string) {
			t.Helper()
			if got := told(); got != want {
				t.Errorf("told is %s, want %s", got, want)
			}
		}
		time.Sleep(5 * time.Second)
		check("nothing")
		tell(12)
		check("[quantity l2_lag_seconds] 12")
		time.Sleep(30 * time.Second)
		check("[quantity l2_lag_seconds] 12, in the slice 12")
		tell(7)
		time.Sleep(55 * time.Second)
		check("[quantity l2_lag_seconds] 7, in the slice 7")
		time.Sleep(15 * time.Second)
		check("nothing")
		tell(3)
		time.Sleep(10 * time.Second)
		check("[quantity l2_lag_seconds] 3, in the slice 3")
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// There are as many as may be at a time, and what has expired makes room.
func TestOutsideIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMill(t)
		o := newOutside(m.registry)
		before := len(m.registry.Series())
		many := make(map[string]float64)
		for i := range maxOutside {
			many[fmt.Sprintf("x%d", i)] = 1
		}
		more := map[string]float64{"x1": 2, "another": 1}
		if err := o.tell(many); err != nil {
			t.Fatal(err)
		}
		if err := o.tell(more); err == nil || o.values["x1"].value != 1 {
			t.Errorf("with one more x1 is %v, %v", o.values["x1"].value, err)
		}
		if n := len(m.registry.Series()) - before; n != maxOutside {
			t.Errorf("%d are told", n)
		}
		time.Sleep(outsideAge)
		if err := o.tell(more); err != nil {
			t.Error(err)
		}
		if n := len(m.registry.Series()) - before; n != len(more) {
			t.Errorf("when they have expired %d are told", n)
		}
	})
}
