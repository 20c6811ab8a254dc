package perfcore_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

func TestResourceTypeNames(t *testing.T) {
	seen := make(map[string]bool)
	for _, r := range []perfcore.ResourceType{
		perfcore.CPU, perfcore.Memory, perfcore.Disk, perfcore.Network, perfcore.Database, perfcore.Cache,
		perfcore.Custom(0), perfcore.Custom(7), perfcore.Custom(math.MaxUint32),
	} {
		if !r.IsValid() || seen[r.String()] {
			t.Errorf("%v is not valid, or another has its name", r)
		}
		seen[r.String()] = true
		if got, err := perfcore.ParseResourceType(r.String()); got != r || err != nil {
			t.Errorf("ParseResourceType(%q) = %v, %v", r.String(), got, err)
		}
	}
	for _, r := range []perfcore.ResourceType{0, perfcore.Cache + 1, 1<<32 - 1, 1 << 33, math.MaxUint64} {
		if r.IsValid() {
			t.Errorf("%v is valid", r)
		}
	}
	if id, ok := perfcore.Custom(7).CustomID(); id != 7 || !ok {
		t.Errorf("CustomID of custom(7) = %d, %v", id, ok)
	}
	if _, ok := perfcore.CPU.CustomID(); ok {
		t.Error("the processor is custom")
	}
}

func FuzzParseResourceType(f *testing.F) {
	for _, s := range []string{"cpu", "custom(7)", "custom(4294967296)", "custom(07)", "custom(1) ", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if r, err := perfcore.ParseResourceType(s); err == nil && r.String() != s {
			t.Errorf("ParseResourceType(%q) = %v", s, r)
		}
	})
}

func TestStatusTransitions(t *testing.T) {
	const n, o, d, f = perfcore.NotOptimized, perfcore.Optimizing, perfcore.Optimized, perfcore.Failed
	want := map[[2]perfcore.OptimizationStatus]bool{
		{n, o}: true, {n, d}: true, {n, f}: true,
		{o, n}: true, {o, d}: true, {o, f}: true,
		{d, n}: true, {d, o}: true, {d, f}: true,
		{f, n}: true, {f, o}: true,
	}
	for from := n; from <= f+1; from++ {
		for to := n; to <= f+1; to++ {
			if got := from.CanBecome(to); got != want[[2]perfcore.OptimizationStatus{from, to}] {
				t.Errorf("%v can become %v: %v", from, to, got)
			}
		}
	}
}

func TestTargets(t *testing.T) {
	all := perfcore.Targets{Utilization: 0.65, Throughput: 100, Latency: time.Second, Quantile: 0.9}
	for _, tt := range []struct {
		usage perfcore.Usage
		want  string // "" for none missed
	}{
		{perfcore.Usage{Utilization: 0.65, Throughput: 100, Latency: time.Second}, ""},
		{perfcore.Usage{Utilization: 0.66, Throughput: 100, Latency: time.Second}, "utilization"},
		{perfcore.Usage{Utilization: 0.65, Throughput: 99, Latency: time.Second}, "throughput"},
		{perfcore.Usage{Utilization: 0.65, Throughput: 100, Latency: time.Second + 1}, "latency"},
	} {
		if got := all.Missed(tt.usage); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("Missed(%+v) = %q, want %q", tt.usage, got, tt.want)
		}
		if got := (perfcore.Targets{}).Missed(tt.usage); got != "" {
			t.Errorf("no targets, and %+v misses %q", tt.usage, got)
		}
	}
	for _, tt := range []struct {
		targets perfcore.Targets
		right   bool
	}{
		{perfcore.Targets{}, true},
		{all, true},
		{perfcore.Targets{Utilization: 1.01}, false},
		{perfcore.Targets{Utilization: -1}, false},
		{perfcore.Targets{Utilization: math.NaN()}, false},
		{perfcore.Targets{Throughput: -1}, false},
		{perfcore.Targets{Throughput: math.Inf(1)}, false},
		{perfcore.Targets{Latency: -1, Quantile: 0.5}, false},
		{perfcore.Targets{Latency: 1}, false},
		{perfcore.Targets{Quantile: 0.5}, false},
		{perfcore.Targets{Latency: 1, Quantile: 1}, false},
	} {
		if err := tt.targets.Check(); (err == nil) != tt.right {
			t.Errorf("%+v: %v", tt.targets, err)
		}
	}
}

func TestSampleCheck(t *testing.T) {
	for _, tt := range []struct {
		sample perfcore.Sample
		right  bool
	}{
		{perfcore.Sample{Cost: -3, Work: 1}, true},
		{perfcore.Sample{Work: 1, Void: "restart"}, false},
		{perfcore.Sample{}, false},
		{perfcore.Sample{Work: math.Inf(1)}, false},
		{perfcore.Sample{Work: math.NaN()}, false},
		{perfcore.Sample{Cost: math.NaN(), Work: 1}, false},
		{perfcore.Sample{Cost: math.Inf(-1), Work: 1}, false},
	} {
		if got := tt.sample.Check(); (got == "") != tt.right {
			t.Errorf("%+v: %q", tt.sample, got)
		}
	}
}

func TestDecisionString(t *testing.T) {
	d := perfcore.Decision{
		Seq: 4, Trigger: "audit", Verdict: perfcore.Promoted, Reason: "it costs less",
		Moves: []perfcore.Move{{Knob: "a.b", From: 1, To: 2}, {Knob: "c.d", From: 8, To: 4}},
		Evidence: perfcore.Evidence{
			Diffs: []float64{0.1, 0.2}, Effect: 0.15, Low: 0.1, High: 0.2, Ratio: 31, SignFlip: 0.25, Noise: 0.04, Work: 0.01,
		},
	}
	const want = "#4 promoted a.b 1→2 c.d 8→4 (audit): it costs less\n" +
		" cost -15.0 % [-20.0, -10.0], likelihood ratio 31, sign-flip p=0.250, 2 blocks, noise 4.0 %, work +1.0 %\n" +
		" undo: pin a.b 1; pin c.d 8"
	if got := d.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	names := make(map[string]bool)
	for v := perfcore.Promoted; v <= perfcore.Confirmed; v++ {
		names[v.String()] = true
	}
	if len(names) != 14 || names[""] || perfcore.Verdict(0).String() != "verdict(0)" {
		t.Errorf("the verdicts are called %v", names)
	}
}
