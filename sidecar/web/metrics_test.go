package web

import (
	"math"
	"math/rand/v2"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/outrider-project/outrider/perfcore"
)

// scrape returns the families of /metrics as Prometheus reads them.
func scrape(t *testing.T, base string) map[string]*dto.MetricFamily {
	t.Helper()
	resp, body := get(t, base+"/metrics")
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", resp.Status, body)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return families
}

func TestMetrics(t *testing.T) {
	var registry perfcore.Registry
	base := start(t, Config{Source: newSource(following()), Registry: &registry})
	scrape(t, base) // with no series yet

	verdicts := func(outcome string) *perfcore.Counter {
		return registry.Counter(perfcore.Metric{
			Name: "outrider_verdicts_total", Help: "Verdicts.\nBy \\outcome.", Labels: []string{"outcome", outcome},
		})
	}
	verdicts("agree").Add(41)
	verdicts("differ").Add(1)
	registry.Gauge(perfcore.Metric{Name: "outrider_tip_height", Help: "Height."}).Set(812345)

	families := scrape(t, base)
	v := families["outrider_verdicts_total"]
	if v.GetType() != dto.MetricType_COUNTER || len(v.Metric) != 2 || v.GetHelp() != "Verdicts.\nBy \\outcome." {
		t.Fatalf("outrider_verdicts_total is %v", v)
	}
	for _, m := range v.Metric {
		want := map[string]float64{"agree": 41, "differ": 1}[m.Label[0].GetValue()]
		if m.Label[0].GetName() != "outcome" || m.Counter.GetValue() != want {
			t.Errorf("%v, want %v", m, want)
		}
	}
	if g := families["outrider_tip_height"]; g.GetType() != dto.MetricType_GAUGE || g.Metric[0].Gauge.GetValue() != 812345 {
		t.Errorf("outrider_tip_height is %v", g)
	}
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes", "process_open_fds"} {
		if families[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
}

// A timer is a histogram whose every bucket counts exactly the observations of
// at most its bound.
func TestTimerBuckets(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	var registry perfcore.Registry
	timer := registry.Timer(perfcore.Metric{Name: "outrider_block_verdict_seconds", Help: "Time."})
	var observed []time.Duration
	var sum time.Duration
	for range 2000 {
		// Around a power of two, most of them at most 2 ns away.
		d := time.Duration(1)<<r.IntN(39) + time.Duration(r.IntN(5)-2)
		if r.IntN(4) == 0 {
			d = time.Duration(r.Int64N(int64(d + 3)))
		}
		d = max(d, 0)
		observed, sum = append(observed, d), sum+d
		timer.Observe(d)
	}
	registry.Timer(perfcore.Metric{Name: "outrider_empty_seconds", Help: "Time."})

	families := scrape(t, start(t, Config{Source: newSource(following()), Registry: &registry}))
	family := families["outrider_block_verdict_seconds"]
	if family.GetType() != dto.MetricType_HISTOGRAM {
		t.Fatalf("the timer is exported as %v", family)
	}
	h := family.Metric[0].Histogram
	if h.GetSampleCount() != uint64(len(observed)) || math.Abs(h.GetSampleSum()-sum.Seconds()) > 1e-6 {
		t.Errorf("count %d, sum %v, want %d, %v", h.GetSampleCount(), h.GetSampleSum(), len(observed), sum.Seconds())
	}
	if n := len(h.Bucket); n != maxBound-minBound+2 {
		t.Errorf("%d buckets, want %d and +Inf", n, maxBound-minBound+1)
	}
	var before uint64
	bound := math.Inf(-1)
	for _, b := range h.Bucket {
		var want uint64
		for _, d := range observed {
			if float64(d)/1e9 <= b.GetUpperBound() {
				want++
			}
		}
		if b.GetCumulativeCount() != want {
			t.Errorf("le=%v counts %d, want %d", b.GetUpperBound(), b.GetCumulativeCount(), want)
		}
		if b.GetCumulativeCount() < before || b.GetUpperBound() <= bound {
			t.Errorf("le=%v does not ascend", b.GetUpperBound())
		}
		before, bound = b.GetCumulativeCount(), b.GetUpperBound()
	}
	if empty := families["outrider_empty_seconds"].GetMetric()[0].Histogram; empty.GetSampleCount() != 0 || len(empty.Bucket) != len(h.Bucket) {
		t.Errorf("a timer without observations is %v", empty)
	}
}

// A series that Prometheus cannot take is an error, never a scrape that
// silently lacks it.
func TestInvalidSeriesFailsTheScrape(t *testing.T) {
	var registry perfcore.Registry
	registry.Gauge(perfcore.Metric{Name: "outrider_x", Help: "X.", Labels: []string{"a", "\xff"}})
	base := start(t, Config{Source: newSource(following()), Registry: &registry})
	if resp, _ := get(t, base+"/metrics"); resp.StatusCode != http.StatusInternalServerError {
		t.Errorf("a label that is not UTF-8: %s, want 500", resp.Status)
	}
}

func TestFamilies(t *testing.T) {
	var r perfcore.Registry
	for _, outcome := range []string{"differ", "agree"} {
		for _, by := range []string{"b", "a"} {
			r.Counter(perfcore.Metric{Name: "outrider_verdicts_total", Help: "Verdicts.", Labels: []string{"outcome", outcome, "by", by}})
		}
	}
	r.Timer(perfcore.Metric{Name: "outrider_verdict_seconds", Help: "Time."})
	families, err := Families(&r)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]Family)
	for _, f := range families {
		got[f.Name] = f
	}
	for _, want := range []Family{
		{Name: "outrider_verdicts_total", Help: "Verdicts.", Kind: "counter", Labels: map[string][]string{"outcome": {"agree", "differ"}, "by": {"a", "b"}}},
		{Name: "outrider_verdict_seconds", Help: "Time.", Kind: "histogram", Labels: map[string][]string{}},
	} {
		if !reflect.DeepEqual(got[want.Name], want) {
			t.Errorf("%+v, want %+v", got[want.Name], want)
		}
	}
	if got["go_goroutines"].Kind != "gauge" {
		t.Errorf("the Go runtime's are missing: %+v", got["go_goroutines"])
	}
}
