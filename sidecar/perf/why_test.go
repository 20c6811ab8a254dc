package perf

import (
	"slices"
	"strings"
	"testing"

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
		{"restore", perfcore.Restored, true}, {"probation", perfcore.Confirmed, false},
		{"inspection", perfcore.Isolated, false},
		{perfcore.TargetMissed + "cpu.utilization 0.81 > 0.65", perfcore.Promoted, true},
	} {
		all := []perfcore.Decision{{
			Seq: 1, Trigger: tt.trigger, Verdict: tt.verdict, Moves: []perfcore.Move{{Knob: "plant.a", From: 20, To: 10}},
		}}
		w := explain(all, 0, knobs)
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
	}
}

// What was promoted for a target says which one was missed, and what it costs.
func TestWhyOfATarget(t *testing.T) {
	const trigger = perfcore.TargetMissed + "cpu.utilization 0.81 > 0.65"
	w := explain([]perfcore.Decision{{
		Seq: 1, Trigger: trigger, Verdict: perfcore.Promoted, Moves: []perfcore.Move{{Knob: "plant.a", From: 20, To: 10}},
		Evidence: perfcore.Evidence{Diffs: []float64{0.15, 0.15}, Effect: 0.15, Targets: 0.2},
	}}, 0, nil)
	if w.Trigger != trigger || !strings.HasSuffix(w.Effect, "; -20.0 % of it by what targets miss, +5.0 % by the cost of a unit of work") {
		t.Errorf("it is explained by %q: %s", w.Trigger, w.Effect)
	}
	if w.Decision.Evidence.Targets != 0.2 {
		t.Errorf("the evidence is %+v", w.Decision.Evidence)
	}
}
