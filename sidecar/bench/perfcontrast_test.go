package bench

import (
	"math"
	"strings"
	"testing"
)

// regimesRun is a run that took so much memory in each regime.
func regimesRun(sync, tip float64) *PerfRun {
	part := func(memory float64) PerfFigures {
		return PerfFigures{CPU: 1e6, Memory: memory, Seconds: memory}
	}
	return &PerfRun{Figures: PerfFigures{CPU: 1e6, Memory: 1e3}, Parts: [3]PerfFigures{part(sync / 2), part(tip), part(sync * 3 / 2)}}
}

// The row contrast is the cost of both regimes, whichever has more of the processor time.
func TestContrast(t *testing.T) {
	aim, err := aimOf("contrast")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := aim.whole(regimesRun(1, 16)), 4.0; math.Abs(got-want) > 1e-9 {
		t.Errorf("1 and 16 are %v, want %v", got, want)
	}
	if less, more := aim.value(PerfFigures{CPU: 2, Memory: 3}), aim.value(PerfFigures{CPU: 4, Memory: 6}); math.Abs(more/less-4) > 1e-9 {
		t.Errorf("twice of both is %v times the cost", more/less)
	}
	rep := &PerfReport{
		Intervals: make(map[string][2]float64), Turns: 1, Learned: map[string][]*PerfRun{"contrast": {{}}},
		Runs: map[string][]*PerfRun{
			"before/contrast": {regimesRun(2, 32)}, "static/contrast": {regimesRun(1, 16)}, "perfcore/contrast": {regimesRun(1, 9)},
		},
	}
	rep.judge(aim)
	want := map[string]float64{"contrast": 62.5, "contrast/static": 50, "contrast/switching": 25, "contrast/sync": 0, "contrast/tip": 100 * 7. / 16}
	for _, row := range rep.Rows {
		if w, ok := want[row.Name]; !ok || math.Abs(row.Value-w) > 1e-9 || row.Anchor != "" {
			t.Errorf("row %+v, want %v", row, w)
		}
	}
	if len(rep.Rows) != len(want) || !strings.Contains(rep.Notes[0], "; reaches to be better than the best static setting by its median, reaches in each round. It is 25.0 % below") || strings.Contains(rep.Notes[0], "original") {
		t.Errorf("rows %+v, note %q", rep.Rows, rep.Notes[0])
	}
	rep.Runs["perfcore/contrast"] = []*PerfRun{regimesRun(1, 16.5)}
	rep.Rows, rep.Notes = nil, nil
	if rep.judge(aim); !strings.Contains(rep.Notes[0], "; MISSES to be better") {
		t.Errorf("note %q", rep.Notes[0])
	}
}

// What there is to win where the regime switches is judged by another turn than it is chosen by.
func TestRoom(t *testing.T) {
	aim, err := aimOf("contrast")
	if err != nil {
		t.Fatal(err)
	}
	rep := &PerfReport{Sweep: []PerfTried{
		{Workload: usualWork, Run: regimesRun(0.1, 0.1), Again: regimesRun(0.1, 0.1)},
		{Workload: contrastWork, Run: regimesRun(1, 4), Again: regimesRun(2, 4)},
		{Workload: contrastWork, Run: regimesRun(4, 1), Again: regimesRun(4, 1)},
		{Workload: contrastWork, Run: regimesRun(1.8, 1.8), Again: regimesRun(1.8, 1.8)},
	}}
	got := rep.room(aim)
	want := []float64{100 * (1 - math.Sqrt(2)/1.8), 100 * (1 - math.Sqrt(1.8)/1.8)}
	if len(got) != 2 || math.Abs(got[0]-want[0]) > 1e-9 || math.Abs(got[1]-want[1]) > 1e-9 {
		t.Errorf("room %v, want %v", got, want)
	}
	rep.Sweep[1] = PerfTried{Workload: contrastWork, Run: regimesRun(1, 1), Again: regimesRun(1, 1)}
	if got := rep.room(aim); math.Abs(got[0])+math.Abs(got[1]) > 1e-9 {
		t.Errorf("room %v where one setting is the best for both regimes", got)
	}
	rep.Sweep = rep.Sweep[:1]
	if got := rep.room(aim); got != nil {
		t.Errorf("room %v where nothing was tried", got)
	}
}
