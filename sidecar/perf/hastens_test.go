package perf

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/engine"
)

// hurriedTrace returns a trace in one regime, in which both knobs were tried all the time, and
// cost least at their least. list is the line of the knobs.
func hurriedTrace(t *testing.T, list, regime string) string {
	r := rand.New(rand.NewPCG(7, 7))
	var b strings.Builder
	b.WriteString(list)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	speed, haste := int64(3), int64(2)
	for i := range 1500 {
		if i%3 == 2 {
			speed, haste = 1+r.Int64N(3), 1+r.Int64N(2)
		}
		b.WriteString(traceLine(t, Sliced, Measured{
			At: at.Add(time.Duration(i) * 10 * time.Second), Length: 10, Regime: regime, Work: 1000,
			Effort: float64(speed) * float64(haste) * math.Exp(0.02*r.NormFloat64()),
			Knobs:  map[string]int64{"plant.speed": speed, "plant.haste": haste},
		}))
	}
	return b.String()
}

// What buys time is tried in a replay where the sidecar tries it: while behind, and not at the
// tip. In a trace of before that was told of it is tried like any other knob.
func TestReplayOfAKnobThatHastens(t *testing.T) {
	haste := Knob{Name: "plant.haste", Owner: "engine", Ladder: []int64{1, 2}, Carry: "memoryless", Hastens: true}
	list := traceLine(t, Listed, []Knob{speed(), haste})
	old := strings.ReplaceAll(strings.ReplaceAll(list, `,"hastens":true`, ""), `,"hastens":false`, "")
	if strings.Contains(old, "hastens") {
		t.Fatalf("the old line is %s", old)
	}
	for _, tt := range []struct {
		name, list, regime string
		tried              bool
	}{
		{"tip", list, "tip idle", false},
		{"catch-up", list, "catch-up", true},
		{"old", old, "tip idle", true},
		{"old and new", old + list, "tip idle", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := replay(t, hurriedTrace(t, tt.list, tt.regime))
			moved := func(knob string) bool {
				return slices.ContainsFunc(out.Decisions, func(y Why) bool {
					return slices.ContainsFunc(y.Decision.Moves, func(m Move) bool { return m.Knob == knob })
				})
			}
			if !moved("plant.speed") {
				t.Errorf("nothing is tried: %+v", out)
			}
			if moved("plant.haste") != tt.tried || (out.Knobs[1].End == 1) != tt.tried {
				t.Errorf("what buys time is tried: %t; it ends at %d", moved("plant.haste"), out.Knobs[1].End)
			}
		})
	}
}

// The API tells which knobs buy time.
func TestKnobsTellWhatHastens(t *testing.T) {
	k := newKnob(engine.KnobState{Knob: perfcore.Knob{Hastens: true, Read: func() int64 { return 1 }}}, 1)
	if b, err := json.Marshal(k); err != nil || !strings.Contains(string(b), `"hastens":true`) {
		t.Errorf("it is told as %s, %v", b, err)
	}
}
