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

func TestShortfall(t *testing.T) {
	all := perfcore.Targets{Utilization: 0.5, Throughput: 100, Latency: time.Second, Quantile: 0.9}
	met := perfcore.Usage{Utilization: 0.5, Throughput: 100, Latency: time.Second}
	change := func(change func(*perfcore.Usage)) perfcore.Usage {
		u := met
		change(&u)
		return u
	}
	most := math.Log(100)
	for _, tt := range []struct {
		name    string
		targets perfcore.Targets
		usage   perfcore.Usage
		want    float64
	}{
		{"all met, and no more", all, met, 0},
		{"all met by far", all, perfcore.Usage{Throughput: 1e9}, 0},
		{"too much in use", all, change(func(u *perfcore.Usage) { u.Utilization = 0.55 }), math.Log(1.1)},
		{"too little done", all, change(func(u *perfcore.Usage) { u.Throughput = 50 }), math.Log(2)},
		{"too slow", all, change(func(u *perfcore.Usage) { u.Latency = 3 * time.Second }), math.Log(3)},
		{"two missed", all, change(func(u *perfcore.Usage) { u.Utilization, u.Throughput = 1, 20 }), math.Log(2) + math.Log(5)},
		{"a little", all, change(func(u *perfcore.Usage) { u.Utilization = 0.501 }), math.Log(0.501 / 0.5)},
		{"nothing done", all, change(func(u *perfcore.Usage) { u.Throughput = 0 }), most},
		{"not measured", all, perfcore.Unmeasured(), 0},
		{"measured in part", all, change(func(u *perfcore.Usage) { u.Throughput, u.Latency = perfcore.NotMeasured, 2*time.Second }), math.Ln2},
		{"no time at all", all, change(func(u *perfcore.Usage) { u.Latency = 0 }), 0},
		{"for ever", all, change(func(u *perfcore.Usage) { u.Latency = math.MaxInt64 }), most},
		{"infinite use", all, change(func(u *perfcore.Usage) { u.Utilization = math.Inf(1) }), most},
		{"no numbers", all, perfcore.Usage{Utilization: math.NaN(), Throughput: math.NaN(), Latency: time.Second}, 0},
		{"the least target", perfcore.Targets{Utilization: math.SmallestNonzeroFloat64}, perfcore.Usage{Utilization: 1}, most},
		{"the least rate", perfcore.Targets{Throughput: 1e18}, perfcore.Usage{Throughput: math.SmallestNonzeroFloat64}, most},
		{"no targets", perfcore.Targets{}, perfcore.Usage{Utilization: 1, Latency: time.Hour}, 0},
		{"one target", perfcore.Targets{Latency: time.Second, Quantile: 0.9}, perfcore.Usage{Utilization: 1, Latency: 2 * time.Second}, math.Log(2)},
	} {
		got := tt.targets.Shortfall(tt.usage)
		if !(math.Abs(got-tt.want) < 1e-12) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
		if missed := tt.targets.Missed(tt.usage); (missed != "") != (got > 0) {
			t.Errorf("%s: a shortfall of %v, and missed is %q", tt.name, got, missed)
		}
	}
}

// What is measured of a resource is measured field by field.
func TestMeasured(t *testing.T) {
	all := perfcore.Targets{Utilization: 0.5, Throughput: 100, Latency: time.Second, Quantile: 0.9}
	for _, tt := range []struct {
		targets perfcore.Targets
		usage   perfcore.Usage
		want    bool
	}{
		{all, perfcore.Usage{}, true},
		{perfcore.Targets{}, perfcore.Unmeasured(), true},
		{all, perfcore.Usage{Utilization: perfcore.NotMeasured}, false},
		{all, perfcore.Usage{Throughput: math.NaN()}, false},
		{all, perfcore.Usage{Latency: perfcore.NotMeasured}, false},
		{perfcore.Targets{Utilization: 0.5}, perfcore.Usage{Throughput: perfcore.NotMeasured, Latency: perfcore.NotMeasured}, true},
	} {
		if got := tt.targets.Measured(tt.usage); got != tt.want {
			t.Errorf("%+v, and what was measured is %+v: %v", tt.targets, tt.usage, got)
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
		" cost -13.9 % [-18.1, -9.5], likelihood ratio 31, sign-flip p=0.250, 2 blocks, noise 4.0 %, work +1.0 %\n" +
		" undo: pin a.b 1; pin c.d 8"
	if got := d.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	d.Trigger, d.Evidence.Targets = perfcore.TargetMissed+"cpu.utilization 0.81 > 0.65", 0.2
	for _, part := range []string{"(target-missed cpu.utilization 0.81 > 0.65): it", "work +1.0 %, of the cost -18.1 % by targets\n"} {
		if got := d.String(); !strings.Contains(got, part) {
			t.Errorf("got %s\nwant %q in it", got, part)
		}
	}
	c := perfcore.Decision{Seq: 6, Verdict: perfcore.Confirmed, Reason: "passed", Evidence: perfcore.Evidence{Diffs: []float64{0.05, 0.1}}}
	if got := c.String(); !strings.HasPrefix(got, "#6 confirmed: passed\n what it replaced cost +5.1, +10.5 % more in its tests") || strings.Contains(got, "[") || d.Passed() != "" {
		t.Errorf("got %s, and of another decision %q", got, d.Passed())
	}
	for before, want := range map[uint64]string{57: " undo, while it is kept: snap restore 57", 0: " undo: defaults"} {
		d := perfcore.Decision{Seq: 5, Verdict: perfcore.Restored, Reason: "snapshot 3", Moves: d.Moves, Before: before}
		if got := d.String(); !strings.HasSuffix(got, "\n"+want) {
			t.Errorf("got %s\nwant %q at its end", got, want)
		}
	}
	names := make(map[string]bool)
	for v := perfcore.Promoted; v <= perfcore.Drifted; v++ {
		names[v.String()] = true
	}
	if len(names) != 15 || names[""] || perfcore.Verdict(0).String() != "verdict(0)" {
		t.Errorf("the verdicts are called %v", names)
	}
}
