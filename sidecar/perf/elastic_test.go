package perf

import (
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/collect"
)

// A slice in which work that can wait took processors, and is no work that is counted, says
// nothing, nor does one in which the mempool's part has changed much.
func TestElasticWorkVoids(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := new(perfcore.Registry)
		work := registry.Counter(perfcore.Metric{Name: "outrider_mempool_verified_total", Help: "Work."})
		evidence := registry.Timer(perfcore.Metric{Name: elasticTimer, Help: "Pieces.", Labels: []string{"work", "evidence"}})
		hashes := registry.Timer(perfcore.Metric{Name: elasticTimer, Help: "Pieces.", Labels: []string{"work", "muhash"}})
		part := registry.Gauge(perfcore.Metric{Name: elasticPart, Help: "Part."})
		part.Set(1)
		void := voids(t, registry)
		for _, tt := range []struct {
			what string
			do   func()
			void string
		}{
			{"the mempool's alone", func() {}, ""},
			{"evidence", func() { evidence.Observe(time.Millisecond) }, "evidence was judged again"},
			{"no more evidence", func() {}, ""},
			{"coins that are hashed", func() { hashes.Observe(time.Second) }, "coins were hashed"},
			{"a fall", func() { part.Set(0.8) }, ""},
			{"three falls", func() { part.Set(0.41) }, "the mempool"},
			{"four rises", func() { part.Set(0.61) }, ""},
			{"more", func() { part.Set(1) }, "the mempool"},
		} {
			got := void(func() {
				work.Add(10_000)
				tt.do()
			})
			if (got == "") != (tt.void == "") || !strings.Contains(got, tt.void) {
				t.Errorf("%s: %q, want %q", tt.what, got, tt.void)
			}
		}
	})
}

// Where the mempool wants more than there is, its part goes up and down for ever. Most
// slices say something all the same, and one in which others take the processors does not.
func TestElasticWobbleIsUsual(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := new(perfcore.Registry)
		work := registry.Counter(perfcore.Metric{Name: "outrider_mempool_verified_total", Help: "Work."})
		gauge := registry.Gauge(perfcore.Metric{Name: elasticPart, Help: "Part."})
		void := voids(t, registry)
		r := rand.New(rand.NewPCG(1, 1))
		part, waiting := 100.0, 0.0
		// A step of the sidecar's law on work that wants more.
		step := func(waited float64) {
			waiting += 0.3 * (waited - waiting)
			if part += 5; waiting > 1e-3 {
				part = 0.8 * (part - 5)
			}
			part = math.Round(min(max(part, 25), 100))
			gauge.Set(part / 100)
		}
		for _, reached := range []float64{30, 50, 75, 95} {
			const slices = 500
			voided := 0
			for range slices {
				if void(func() {
					work.Add(10_000)
					for range 4 {
						step(min(1e-3*part/reached*math.Exp(0.5*r.NormFloat64()), 20e-3))
					}
				}) != "" {
					voided++
				}
			}
			if voided > slices/4 {
				t.Errorf("around %v %% of its time %d of %d slices say nothing", reached, voided, slices)
			}
		}
		for part < 95 {
			step(0)
		}
		void(func() {})
		if void(func() {
			work.Add(10_000)
			for range 4 {
				step(10e-3)
			}
		}) == "" {
			t.Errorf("in a slice the part falls to %v %%, and it is like all others", part)
		}
	})
}

// voids returns a function that measures a slice in which do happens, and returns why it
// says nothing; "" when it says something. It is for a bubble.
func voids(t *testing.T, registry *perfcore.Registry) func(do func()) string {
	t.Helper()
	series := registry.Series()
	c, err := collect.New(collect.Config{
		Sources: []collect.Source{
			machine{}, newWorkload(series, func() (float64, bool) { return 0, true }, func() string { return "" }), newElastic(series),
		},
		Objective: objective(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return func(do func()) string {
		c.Begin()
		do()
		<-time.After(10 * time.Second)
		return c.Collect().Void
	}
}

// What is looked at is what the sidecar records.
func TestElasticMetricsExist(t *testing.T) {
	listed, err := os.ReadFile("../../docs/metrics.md") // from what the parts register
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{elasticTimer, elasticPart} {
		if !strings.Contains(string(listed), "`"+name+"`") {
			t.Errorf("%s is no metric of ours", name)
		}
	}
}
