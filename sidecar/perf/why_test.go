package perf

import (
	"slices"
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
