package perf

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/engine"
	"github.com/outrider-project/outrider/perfcore/snapshot"
)

// A Line is one line of a trace, as "outrider perf watch --json" writes it: an event, or
// the knobs that there are.
type Line struct {
	Kind EventKind       `json:"kind"`
	Data json.RawMessage `json:"data"`
}

// Listed is the kind of a line whose data is all knobs, before the slices that say which
// values were in force. It is no event.
const Listed EventKind = "knobs"

// A Trace is what was measured of a sidecar in some time, in order.
type Trace struct {
	// Knobs are those that there were, and Slices what was measured, without the slices
	// of regimes in which nothing is tried.
	Knobs  []Knob
	Slices []Measured
	// Decisions counts what was decided then, Others all other lines.
	Decisions, Others int
	// Aimed counts those of Decisions that were tried because a target was missed.
	Aimed int
}

// These bound a trace, so that no slice of a file asks for more memory than its line has bytes, about.
const (
	// maxSlices is a month of slices.
	maxSlices = 1 << 18
	// maxLadder is how many values a knob has at most, and maxSettle how long it settles.
	maxLadder = 1 << 12
	maxSettle = 7 * 24 * time.Hour
	// maxReason is how many bytes a slice has for each of its regime, why it says nothing, and
	// what burst was in it.
	maxReason = 1 << 10
)

// ReadTrace reads a trace, a JSON object a line. Lines of kinds that it does not know are
// counted. An error names the line that is none.
func ReadTrace(r io.Reader) (*Trace, error) {
	t := new(Trace)
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		if len(lines.Bytes()) == 0 {
			continue
		}
		if err := t.add(lines.Bytes()); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	switch err := lines.Err(); {
	case err != nil:
		return nil, fmt.Errorf("read the trace: %w", err)
	case len(t.Knobs) == 0:
		return nil, errors.New("the trace has no line of knobs: record it with outrider perf watch --json")
	case len(t.Slices) == 0:
		return nil, errors.New("the trace has no slice in which something could have been tried")
	}
	return t, nil
}

// add takes one line.
func (t *Trace) add(line []byte) error {
	var l Line
	if err := json.Unmarshal(line, &l); err != nil {
		return fmt.Errorf("it is no event: %w", err)
	}
	switch l.Kind {
	case Listed:
		return t.list(l.Data)
	case Sliced:
		var m Measured
		if err := json.Unmarshal(l.Data, &m); err != nil {
			return fmt.Errorf("it is no slice: %w", err)
		}
		if err := m.check(); err != nil {
			return err
		}
		if slices.Contains(quiet, m.Regime) {
			return nil
		}
		if len(t.Slices) == maxSlices {
			return fmt.Errorf("there are more than %d slices", maxSlices)
		}
		t.Slices = append(t.Slices, m)
	case Decided:
		var d struct{ Trigger string }
		if err := json.Unmarshal(l.Data, &d); err != nil {
			return fmt.Errorf("it is no decision: %w", err)
		}
		if t.Decisions++; strings.HasPrefix(d.Trigger, perfcore.TargetMissed) {
			t.Aimed++
		}
	default:
		t.Others++
	}
	return nil
}

// list takes the knobs. Several recordings of one sidecar may follow one another.
func (t *Trace) list(data []byte) error {
	var knobs []Knob
	if err := json.Unmarshal(data, &knobs); err != nil {
		return fmt.Errorf("it is no list of knobs: %w", err)
	}
	if len(knobs) == 0 || len(knobs) > snapshot.MaxKnobs {
		return fmt.Errorf("%d knobs are none, or too many", len(knobs))
	}
	for i := range knobs {
		if err := knobs[i].check(); err != nil {
			return err
		}
	}
	same := func(a, b Knob) bool { return a.Name == b.Name && slices.Equal(a.Ladder, b.Ladder) }
	if t.Knobs != nil && !slices.EqualFunc(t.Knobs, knobs, same) {
		return errors.New("the knobs are others than those before: a trace is of one sidecar with one configuration")
	}
	if t.Knobs == nil {
		t.Knobs = knobs
	}
	for i, k := range knobs { // an older recording does not tell
		t.Knobs[i].Hastens = t.Knobs[i].Hastens || k.Hastens
		t.Knobs[i].Fills = t.Knobs[i].Fills || k.Fills
	}
	return nil
}

// check returns what is wrong with a slice of a trace.
func (m *Measured) check() error {
	switch longest := max(len(m.Regime), len(m.Void), len(m.Burst)); {
	case len(m.Knobs) > snapshot.MaxKnobs:
		return fmt.Errorf("a slice has the values of %d knobs, and may have %d", len(m.Knobs), snapshot.MaxKnobs)
	case longest > maxReason:
		return fmt.Errorf("a slice has a regime or a reason of %d bytes, and may have %d", longest, maxReason)
	}
	for name := range m.Knobs {
		if len(name) > snapshot.MaxName {
			return fmt.Errorf("a slice has the value of a knob whose name has %d bytes, and may have %d", len(name), snapshot.MaxName)
		}
	}
	return nil
}

// check returns what is wrong with a knob of a trace.
func (k *Knob) check() error {
	if len(k.Name) == 0 || len(k.Name) > snapshot.MaxName {
		return fmt.Errorf("a knob's name has %d bytes", len(k.Name))
	}
	if len(k.Ladder) == 0 || len(k.Ladder) > maxLadder {
		return fmt.Errorf("knob %s has %d values", k.Name, len(k.Ladder))
	}
	for i, v := range k.Ladder[1:] {
		if v <= k.Ladder[i] {
			return fmt.Errorf("the values of knob %s do not ascend", k.Name)
		}
	}
	if !(k.Settle >= 0 && k.Settle <= maxSettle.Seconds()) {
		return fmt.Errorf("knob %s settles in %v s", k.Name, k.Settle)
	}
	return nil
}

// carries are how the API calls what a knob's value carries over.
var carries = map[perfcore.Carry]string{perfcore.Memoryless: "memoryless", perfcore.Warm: "warm", perfcore.Stateful: "stateful"}

// tried reports whether the engine would try values of the knob, and else why not.
func (k *Knob) tried() (bool, string) {
	switch {
	case k.Owner != engine.Engine.String():
		return false, "it is the " + k.Owner + "'s: " + k.Why
	case !engine.Registrable(k.Name):
		return false, "it is not one that may be optimized"
	case k.Carry != carries[perfcore.Memoryless] && k.Carry != carries[perfcore.Warm]:
		return false, "experiments say nothing about it"
	}
	return true, ""
}
