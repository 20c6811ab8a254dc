package perf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/engine"
)

const (
	// replaySlice is how long a slice of a replay takes.
	replaySlice = 200 * time.Microsecond
	// reach is how many slices away, an hour, another one may be that stands for
	// what other values would have cost.
	reach = 360
)

// limits says what a replay can not tell.
const limits = "a trace has only what was measured under the values that were in force then: where others would have been tried, " +
	"a slice near by with these stands for them, and without one the slice says nothing; so a trace that was recorded while nothing was tried " +
	"shows how noisy it is, and hardly more. Memory is not divided again: its curves are not in a trace. Nor are targets and what misses them: " +
	"what is replayed has none, and lowers the cost of a unit of work alone. Nor are settings: the budget, the least effect and the guard are those by default"

// A Replayed is what the optimizer would have decided in the time of a trace.
type Replayed struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Slices is how many there are. Own of those that the optimizer ran were measured
	// under the values that it had in force, Borrowed stand for slices near by, and Void
	// say nothing.
	Slices   int `json:"slices"`
	Own      int `json:"own"`
	Borrowed int `json:"borrowed"`
	Void     int `json:"void"`
	// Recorded is how much was decided in that time itself.
	Recorded int `json:"recorded_decisions"`
	// Aimed is how much of that was tried for a target that was missed, of which a replay
	// knows nothing.
	Aimed int `json:"recorded_for_targets"`
	// Decisions are explained as those of a running sidecar are; there is no undo.
	Decisions []Why `json:"decisions"`
	// Knobs are those that were turned, Left the others, and why.
	Knobs []ReplayedKnob `json:"knobs"`
	Left  []Left         `json:"left"`
	// Limits says what this can not tell.
	Limits string `json:"limits"`
}

// A ReplayedKnob is where a knob stood.
type ReplayedKnob struct {
	Knob string `json:"knob"`
	// Start is its value at the start of the trace, Recorded the one at its end, and End
	// the one that the optimizer would have had in force then.
	Start    int64 `json:"start"`
	Recorded int64 `json:"recorded"`
	End      int64 `json:"end"`
}

// Replay runs the optimizer over the trace, with lots drawn by seed. It takes about a
// second for half a day. An error says why nothing can be tried; ctx's is returned too.
func (t *Trace) Replay(ctx context.Context, seed uint64) (*Replayed, error) {
	r, err := newRecording(t)
	if err != nil {
		return nil, err
	}
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	r.end = cancel
	var all []perfcore.Decision
	o, err := engine.New(engine.Config{
		Knobs: r.knobs(), Collector: r, Slice: replaySlice, Seed: max(seed, 1), Timed: timed,
		Decided: func(d perfcore.Decision) {
			d.At = r.slice().At
			all = append(all, d)
		},
	})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(o.Run(running), ctx.Err()); err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	return r.result(all, o.Resources.Knobs()), nil
}

// A recording plays a trace: it is the collector of an optimizer, and has its knobs. The optimizer
// orders all that it does with either, though knobs are set and read on goroutines of their own.
type recording struct {
	trace *Trace
	tried []Knob
	left  []Left
	now   []int64 // values of tried that are in force
	start []int64
	// places are the slices by the values that were in force and the regime.
	places map[string][]int
	at     int    // of the slice that is played; -1 before the first
	end    func() // called behind the last slice
	ended  bool

	own, borrowed, void int
}

func newRecording(t *Trace) (*recording, error) {
	r := &recording{trace: t, left: []Left{}, places: make(map[string][]int), at: -1}
	for _, k := range t.Knobs {
		if ok, why := k.tried(); ok {
			r.tried = append(r.tried, k)
		} else {
			r.left = append(r.left, Left{k.Name, why})
		}
	}
	if len(r.tried) == 0 {
		return nil, errors.New("none of the trace's knobs is one that the optimizer tries")
	}
	for i, m := range t.Slices {
		values, ok := r.valuesOf(&m)
		if !ok {
			continue
		}
		if r.start == nil {
			r.start = values
		}
		key := keyOf(values, m.Regime)
		r.places[key] = append(r.places[key], i)
	}
	if r.start == nil {
		return nil, errors.New("no slice of the trace says which values were in force")
	}
	for i, k := range r.tried {
		if _, legal := slices.BinarySearch(k.Ladder, r.start[i]); !legal {
			return nil, fmt.Errorf("knob %s is at %d in the trace, which is not one of its values", k.Name, r.start[i])
		}
	}
	r.now = slices.Clone(r.start)
	return r, nil
}

// valuesOf returns the values that were in force in a slice, if they were the same from
// its begin to its end.
func (r *recording) valuesOf(m *Measured) ([]int64, bool) {
	values := make([]int64, len(r.tried))
	for i, k := range r.tried {
		v, ok := m.Knobs[k.Name]
		if !ok {
			return nil, false
		}
		values[i] = v
	}
	return values, true
}

func keyOf(values []int64, regime string) string { return fmt.Sprint(values, regime) }

// length returns how long slices are, in seconds. The first is shorter where a trace begins with
// the sidecar, and those that a block has ended are.
func (t *Trace) length() float64 {
	var lengths []float64
	for i := range t.Slices {
		if l := t.Slices[i].Length; l > 0 {
			lengths = append(lengths, l)
		}
	}
	if len(lengths) == 0 {
		return 10
	}
	slices.Sort(lengths)
	return lengths[len(lengths)/2]
}

// knobs returns the knobs as the engine's. Their times are those of a replay.
func (r *recording) knobs() []perfcore.Knob {
	length := r.trace.length()
	knobs := make([]perfcore.Knob, len(r.tried))
	for i, k := range r.tried {
		carry := perfcore.Memoryless
		if k.Carry == carries[perfcore.Warm] {
			carry = perfcore.Warm
		}
		knobs[i] = perfcore.Knob{
			Name: k.Name, Help: "As recorded.", Unit: "as recorded", Scope: perfcore.Live, Carry: carry, Unordered: k.Unordered, Hastens: k.Hastens, Fills: k.Fills,
			Settle: time.Duration(k.Settle / length * float64(replaySlice)), Ladder: k.Ladder,
			Apply: func(_ context.Context, v int64) error { r.now[i] = v; return nil },
			Read:  func() int64 { return r.now[i] },
		}
	}
	return knobs
}

// slice returns the slice that is played.
func (r *recording) slice() *Measured { return &r.trace.Slices[max(r.at, 0)] }

// Begin implements engine.MetricsCollector: the next slice is played.
func (r *recording) Begin() {
	if r.at+1 == len(r.trace.Slices) {
		r.ended = true
		r.end()
		return
	}
	r.at++
}

// Collect implements engine.MetricsCollector.
func (r *recording) Collect() perfcore.Sample {
	m := r.slice()
	if r.ended {
		return perfcore.Sample{Void: "the trace has ended"}
	}
	if recorded, ok := r.valuesOf(m); ok && slices.Equal(recorded, r.now) {
		r.own++
		return sampleOf(m)
	}
	near := r.near()
	if near < 0 {
		r.void++
		return perfcore.Sample{Void: "the trace has no slice near with these values"}
	}
	r.borrowed++
	return sampleOf(&r.trace.Slices[near])
}

// near returns the nearest slice that was measured under the values in force, in the
// regime of the one that is played; -1 when none is within reach.
func (r *recording) near() int {
	places := r.places[keyOf(r.now, r.slice().Regime)]
	i := sort.SearchInts(places, r.at)
	best := -1
	for _, j := range []int{i - 1, i} {
		if j < 0 || j >= len(places) || abs(places[j]-r.at) > reach {
			continue
		}
		if best < 0 || abs(places[j]-r.at) < abs(best-r.at) {
			best = places[j]
		}
	}
	return best
}

func abs(n int) int { return max(n, -n) }

// sampleOf returns what a slice says: the cost is what a unit of work took.
func sampleOf(m *Measured) perfcore.Sample {
	s := perfcore.Sample{Work: m.Work, Void: m.Void, Burst: m.Burst}
	if s.Void == "" && !(m.Effort > 0) {
		s.Void = "what its work took is not known"
	}
	if s.Void == "" {
		s.Cost = math.Log(m.Effort)
	}
	return s
}

// Alarm implements engine.MetricsCollector.
func (r *recording) Alarm() string { return "" }

// Regime implements engine.RegimeTeller.
func (r *recording) Regime() string { return r.slice().Regime }

// result returns what came of it.
func (r *recording) result(all []perfcore.Decision, knobs []engine.KnobState) *Replayed {
	last := len(r.trace.Slices) - 1
	out := &Replayed{
		From: r.trace.Slices[0].At, To: r.trace.Slices[last].At, Slices: last + 1,
		Own: r.own, Borrowed: r.borrowed, Void: r.void, Recorded: r.trace.Decisions, Aimed: r.trace.Aimed,
		Decisions: []Why{}, Left: r.left, Limits: limits,
	}
	for i := range all {
		why := explain(all, i, knobs, nil, DefaultTolerance())
		why.Undo = []string{}
		out.Decisions = append(out.Decisions, why)
	}
	for i, k := range knobs {
		one := ReplayedKnob{Knob: k.Name, Start: r.start[i], Recorded: r.start[i], End: k.Incumbent}
		for j := last; j >= 0; j-- {
			if values, ok := r.valuesOf(&r.trace.Slices[j]); ok {
				one.Recorded = values[i]
				break
			}
		}
		out.Knobs = append(out.Knobs, one)
	}
	return out
}

// WriteTable writes for people what would have been decided.
func (r *Replayed) WriteTable(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%d slices from %s to %s: %d as they were measured, %d by one near by, %d say nothing\n",
		r.Slices, r.From.Local().Format(time.DateTime), r.To.Local().Format(time.DateTime), r.Own, r.Borrowed, r.Void)
	if len(r.Decisions) == 0 {
		fmt.Fprintln(&b, "nothing would have been decided")
	}
	for i := range r.Decisions {
		y := &r.Decisions[i]
		fmt.Fprintln(&b, y.Decision.line())
		fmt.Fprintf(&b, "  %s\n", y.Trigger)
		if y.Effect != "" {
			fmt.Fprintf(&b, "  %s\n", y.Effect)
		}
	}
	fmt.Fprintf(&b, "then %d decisions were made\n", r.Recorded)
	if r.Aimed > 0 {
		fmt.Fprintf(&b, "%d of these were about a target that was missed: a replay has no targets, and decides otherwise\n", r.Aimed)
	}
	for _, k := range r.Knobs {
		fmt.Fprintf(&b, "%s\tfrom %d to %d; recorded %d\t\n", k.Knob, k.Start, k.End, k.Recorded)
	}
	for _, l := range r.Left {
		fmt.Fprintf(&b, "left alone\t%s: %s\t\n", l.Knob, l.Why)
	}
	fmt.Fprintf(&b, "note\t%s\t\n", r.Limits)
	return table(w, func(w io.Writer) { _, _ = io.WriteString(w, b.String()) }) // the flush tells
}
