package bench

import (
	"strings"
	"testing"
	"time"
)

// A run that did not keep to the timetable is told of, also in the sweep: its blocks wait for each
// other, and its memory is of another time.
func TestLate(t *testing.T) {
	plan := perfPlan{Sync: 100, Tip: 40, SweepSync: 50, SweepTip: 20}
	w := &perfWorkload{name: usualWork, shape: perfShape{SyncGap: 20 * time.Millisecond}, plan: plan}
	whole, swept := 4*time.Second+40*tipGap, 2*time.Second+20*tipGap
	took := func(times float64, due time.Duration) *PerfRun {
		return &PerfRun{Figures: PerfFigures{Seconds: times * due.Seconds()}}
	}
	rep := &PerfReport{
		Runs: map[string][]*PerfRun{
			"before/cpu": {took(1, whole), took(1.04, whole)}, "perfcore/cpu": {took(1.2, whole), took(1.01, whole)},
			"static/contrast": {took(9, whole)},
		},
		Sweep: []PerfTried{
			{Workload: usualWork, Run: took(1, swept), Again: took(1.1, swept), Finals: []*PerfRun{took(1.3, whole)}},
			{Workload: contrastWork, Run: took(9, swept), Again: took(9, swept)},
		},
	}
	said := rep.late(w)
	for _, want := range []string{"of 5 runs 2 took", "their 6s, the longest 30.0 %", "of 2 in the sweep 1 took", "their 3s, the longest 10.0 %"} {
		if !strings.Contains(said, want) {
			t.Errorf("there is no %q in %q", want, said)
		}
	}
}
