package perf

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/engine"
)

// A change that is in force says how it is taken back, and each says why it was looked at.
func TestWhyOfEachVerdict(t *testing.T) {
	knobs := []engine.KnobState{{Knob: perfcore.Knob{Name: "plant.a"}, Incumbent: 10}}
	for _, tt := range []struct {
		trigger string
		verdict perfcore.Verdict
		undone  bool
	}{
		{"search", perfcore.Promoted, true}, {"ablation", perfcore.Withdrawn, true}, {"memory", perfcore.Leased, true},
		{"search", perfcore.Rejected, false}, {"ablation", perfcore.Rejected, false}, {"regime", perfcore.Recalled, true},
		{"search", perfcore.Aborted, false}, {"audit", perfcore.Inconclusive, false},
		{"probation", perfcore.Confirmed, false},
		{"inspection", perfcore.Isolated, false},
		{perfcore.TargetMissed + "cpu.utilization 0.81 > 0.65", perfcore.Promoted, true},
	} {
		all := []perfcore.Decision{{
			Seq: 1, Trigger: tt.trigger, Verdict: tt.verdict, Moves: []perfcore.Move{{Knob: "plant.a", From: 20, To: 10}},
		}}
		w := explain(all, 0, knobs, nil, DefaultTolerance())
		var want []string
		if tt.undone {
			want = []string{"outrider perf pin plant.a 20"}
		}
		if !slices.Equal(w.Undo, want) {
			t.Errorf("%v by %s is undone by %q, want %q", tt.verdict, tt.trigger, w.Undo, want)
		}
		if w.Trigger == "" || w.Trigger == "the loop itself" {
			t.Errorf("%s is explained by %q", tt.trigger, w.Trigger)
		}
		if untried := tt.verdict == perfcore.Recalled; untried != (len(w.Guards) == 0) || w.Prediction == "" && tt.trigger != "memory" {
			t.Errorf("%v was guarded by %q, and predicted: %q", tt.verdict, w.Guards, w.Prediction)
		}
	}
}

// A restoration is undone by the snapshot of what was before while that is kept, then by its
// moves, as far as they are in force, and one at the start by the defaults.
func TestWhyOfARestoration(t *testing.T) {
	knobs := []engine.KnobState{{Knob: perfcore.Knob{Name: "plant.a"}, Incumbent: 10}, {Knob: perfcore.Knob{Name: "plant.b"}, Incumbent: 1}}
	moves := []perfcore.Move{{Knob: "plant.a", From: 20, To: 10}, {Knob: "plant.b", From: 2, To: 3}}
	for _, tt := range []struct {
		name   string
		before uint64
		kept   []uint64
		undo   string
		gone   string
	}{
		{"kept", 57, []uint64{56, 57}, "outrider perf snap restore 57", ""},
		{"gone", 57, []uint64{58, 59}, "outrider perf pin plant.a 20", "snapshot 57, "},
		{"at the start", 0, []uint64{1}, "outrider perf defaults", "when the sidecar started"},
	} {
		w := explain([]perfcore.Decision{{Seq: 1, Trigger: "restore", Verdict: perfcore.Restored, Moves: moves, Before: tt.before}}, 0, knobs, tt.kept, DefaultTolerance())
		if !slices.Equal(w.Undo, []string{tt.undo}) || !strings.Contains(w.Gone, tt.gone) || (w.Gone == "") != (tt.gone == "") {
			t.Errorf("%s: it is undone by %q; gone: %q", tt.name, w.Undo, w.Gone)
		}
		if len(w.Guards) > 0 || !strings.Contains(w.Prediction, "no trial") {
			t.Errorf("%s: it was guarded by %q, and predicted: %q", tt.name, w.Guards, w.Prediction)
		}
		var out strings.Builder
		if err := w.WriteTable(&out); err != nil || !strings.Contains(out.String(), tt.undo) || !strings.Contains(out.String(), tt.gone) {
			t.Errorf("%s: %s, %v", tt.name, out.String(), err)
		}
	}
}

// What undoes a restoration is there when it is told, also when snapshots have come and gone.
func TestWhyOfAnOldRestoration(t *testing.T) {
	m := newMill(t)
	p, _ := m.start(t, Config{Mode: Observe, Slice: time.Hour}, 0)
	await(t, func() (bool, bool) { return true, p.status().Following })
	taken, err := p.snap()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.pin(t.Context(), "plant.speed", 2); err != nil {
		t.Fatal(err)
	}
	if _, err := p.restore(t.Context(), taken.Seq); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		w, err := p.why(1)
		if err != nil || len(w.Undo) != 1 {
			t.Fatalf("with %d snapshots more it is undone by %q, %v", i, w.Undo, err)
		}
		kept, err := p.snapshots()
		if err != nil {
			t.Fatal(err)
		}
		var seq uint64
		if _, err := fmt.Sscanf(w.Undo[0], "outrider perf snap restore %d", &seq); err == nil {
			if w.Gone != "" || !slices.ContainsFunc(kept.Snapshots, func(s Snapshot) bool { return s.Seq == seq }) {
				t.Errorf("snapshot %d is to undo it, of %+v; gone: %q", seq, kept.Snapshots, w.Gone)
			}
		} else if w.Undo[0] != "outrider perf pin plant.speed 2" || w.Gone == "" {
			t.Errorf("it is undone by %q; gone: %q", w.Undo, w.Gone)
		}
		if i == 9 && w.Gone == "" {
			t.Error("after nine snapshots more the one of before is not said to be gone")
		}
		if _, err := p.snap(); err != nil {
			t.Fatal(err)
		}
	}
}

// What was promoted for a target says which one was missed, and what it costs.
func TestWhyOfATarget(t *testing.T) {
	const trigger = perfcore.TargetMissed + "cpu.utilization 0.81 > 0.65"
	w := explain([]perfcore.Decision{{
		Seq: 1, Trigger: trigger, Verdict: perfcore.Promoted, Moves: []perfcore.Move{{Knob: "plant.a", From: 20, To: 10}},
		Evidence: perfcore.Evidence{Diffs: []float64{0.15, 0.15}, Effect: 0.15, Targets: 0.2},
	}}, 0, nil, nil, DefaultTolerance())
	if w.Trigger != trigger || !strings.HasSuffix(w.Effect, "; -18.1 % by what targets miss, and +5.1 % on top of that by the cost of a unit of work") {
		t.Errorf("it is explained by %q: %s", w.Trigger, w.Effect)
	}
	if w.Decision.Evidence.Targets != 0.2 {
		t.Errorf("the evidence is %+v", w.Decision.Evidence)
	}
}

// What was confirmed tells what each of its tests said, and claims no effect by them.
func TestWhyOfAConfirmation(t *testing.T) {
	w := explain([]perfcore.Decision{{
		Seq: 1, Trigger: "probation", Verdict: perfcore.Confirmed, Moves: []perfcore.Move{{Knob: "plant.a", From: 20, To: 10}},
		Evidence: perfcore.Evidence{Diffs: []float64{0.05, 0, 0.1}, Slices: 12},
	}}, 0, nil, nil, DefaultTolerance())
	if want := "what it replaced cost +5.1, +0.0, +10.5 % more in its tests, "; !strings.HasPrefix(w.Effect, want) {
		t.Errorf("effect %q, want %q", w.Effect, want)
	}
	if d := w.Decision; d.Evidence != nil || !slices.Equal(d.Tests, []float64{0.05, 0, 0.1}) {
		t.Errorf("decision %+v", d)
	}
	for _, g := range w.Guards {
		if strings.HasPrefix(g, "work done") {
			t.Errorf("nobody has measured: %s", g)
		}
	}
}
