package perf

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/engine"
)

// A Why explains a decision.
type Why struct {
	Decision Decision `json:"decision"`
	// Trigger is why it was looked at, in a sentence; the decision's own where a target was
	// missed.
	Trigger string `json:"trigger"`
	// Effect says what it did to the cost, with the interval that holds the true
	// effect with 95 % confidence, and of a confirmed change what its tests said, which is no
	// estimate; empty when nothing was measured.
	Effect string `json:"effect"`
	// Guards say what would have ended the trial, and what came of that.
	Guards []string `json:"guards"`
	// Alternatives are other decisions about the same knobs, newest first.
	Alternatives []Alternative `json:"alternatives"`
	// Prediction says what was expected, and Probation what later tests of the same
	// change found.
	Prediction string        `json:"prediction"`
	Probation  []Alternative `json:"probation"`
	// Undo holds the commands that take it back; empty when nothing is in force.
	Undo []string `json:"undo"`
	// Gone says why the snapshot of what was before cannot be restored; empty when it can, or
	// none was needed.
	Gone string `json:"gone"`
}

// An Alternative is another decision, in short.
type Alternative struct {
	Seq     uint64 `json:"seq"`
	Verdict string `json:"verdict"`
	Moves   []Move `json:"moves"`
	Reason  string `json:"reason"`
}

// triggers say in a sentence what the engine says in a word.
var triggers = map[string]string{
	"search":      "the search for better values proposed it",
	"operator":    "an operator asked for another look",
	"audit":       "the search had come to rest, and looked again whether that is still right",
	"ablation":    "it was promoted together with others, and was tried without its own change",
	"probation":   "a value that had been replaced was tested again against the one that replaced it",
	"calibration": "the incumbent was compared with itself, to see that nothing is found where there is nothing",
	"memory":      "it was time to look whether memory is worth more elsewhere",
	"regime":      "the program was back in a regime in which other values had been in force",
	"inspection":  "somebody else moved a knob, or one could not be read",
	"restore":     "an operator, or the start of the program, asked for a snapshot",
}

// why explains the decision of that number.
func (p *Performance) why(seq uint64) (w Why, err error) {
	err = p.read(func(f *following) error {
		all := f.optimizer.Decisions(0)
		i := slices.IndexFunc(all, func(d perfcore.Decision) bool { return d.Seq == seq })
		if i < 0 {
			return &statusError{http.StatusNotFound, fmt.Errorf("decision %d is not among the last %d", seq, len(all))}
		}
		var kept []uint64
		for _, s := range f.ring.Snapshots() {
			kept = append(kept, s.Seq)
		}
		w = explain(all, i, f.optimizer.Resources.Knobs(), kept, p.cfg.Tolerance)
		return nil
	})
	return w, err
}

// maxAlternatives bounds the lists of an explanation.
const maxAlternatives = 8

// explain explains one of all decisions, with the knobs as they are now, and the numbers of
// the snapshots that are kept.
func explain(all []perfcore.Decision, i int, knobs []engine.KnobState, kept []uint64, of Tolerance) Why {
	d := all[i]
	w := Why{
		Decision: newDecision(d), Trigger: triggers[d.Trigger], Guards: []string{}, Alternatives: []Alternative{}, Probation: []Alternative{}, Undo: []string{},
	}
	if strings.HasPrefix(d.Trigger, perfcore.TargetMissed) {
		w.Trigger = d.Trigger
	}
	if w.Trigger == "" {
		w.Trigger = "the loop itself"
	}
	if w.Effect = d.Passed(); w.Effect == "" && len(d.Evidence.Diffs) > 0 {
		e := d.Evidence
		w.Effect = fmt.Sprintf("cost %+.1f %% [%+.1f, %+.1f]; likelihood ratio %.3g, sign-flip p=%.3f, %d blocks of four slices, noise %.1f %%",
			perfcore.Percent(-e.Effect), perfcore.Percent(-e.High), perfcore.Percent(-e.Low), e.Ratio, e.SignFlip, len(e.Diffs), 100*e.Noise)
		if e.Targets != 0 {
			w.Effect += fmt.Sprintf("; %+.1f %% by what targets miss, and %+.1f %% on top of that by the cost of a unit of work", perfcore.Percent(-e.Targets), perfcore.Percent(e.Targets-e.Effect))
		}
	}
	switch {
	case d.Trigger == "memory":
		w.Guards, w.Prediction = leaseGuards, d.Prediction
	case d.Verdict == perfcore.Recalled, d.Verdict == perfcore.Restored:
		w.Prediction = "none: it was no trial. What is in force is tested by later ones, as anything else is"
	case len(d.Moves) > 0:
		w.Guards = guardsOf(d, of)
		if w.Prediction = d.Prediction; w.Prediction == "" {
			w.Prediction = "none: only the trial says what it is worth"
		}
	}
	for j, other := range slices.Backward(all) {
		if j == i || !sameKnobs(d.Moves, other.Moves) {
			continue
		}
		short := Alternative{Seq: other.Seq, Verdict: other.Verdict.String(), Moves: newDecision(other).Moves, Reason: other.Reason}
		switch {
		case other.Trigger == "probation" && j > i && len(w.Probation) < maxAlternatives:
			w.Probation = append(w.Probation, short)
		case other.Trigger != "probation" && len(w.Alternatives) < maxAlternatives:
			w.Alternatives = append(w.Alternatives, short)
		}
	}
	w.Undo, w.Gone = undoOf(d, knobs, kept)
	return w
}

// leaseGuards say what stands guard over memory that moves.
var leaseGuards = []string{
	"a tenth of what is shared moves at a time, and only for 2 % of what is saved and three times its error",
	"who gives memory back does so first; another lease is raised when the accounted bytes say that it has",
	"a lease does not go back before three times the time in which its part settles",
}

// guardsOf says what stood guard over a trial, with such a tolerance.
func guardsOf(d perfcore.Decision, of Tolerance) []string {
	guards := of.guards()
	if e := d.Evidence; len(e.Diffs) > 0 && d.Verdict != perfcore.Confirmed {
		guards = append(guards, fmt.Sprintf("work done %+.1f %%; %d slices, of which %d stopped the trial until the incumbent proved as bad", perfcore.Percent(e.Work), e.Slices, e.Exonerated))
	}
	if d.Verdict == perfcore.Aborted {
		guards = append(guards, "one of them ended it: "+d.Reason)
	}
	return guards
}

// undoOf returns the commands that take a change back, as far as it is in force, and why
// the snapshot of what was before it is not among them.
func undoOf(d perfcore.Decision, knobs []engine.KnobState, kept []uint64) (undo []string, gone string) {
	undo = []string{}
	switch {
	case slices.Contains(kept, d.Before):
		return append(undo, fmt.Sprintf("outrider perf snap restore %d", d.Before)), ""
	case !d.Verdict.InForce():
		return undo, ""
	case d.Before != 0:
		gone = fmt.Sprintf("snapshot %d, of what was in force before, is not kept any more", d.Before)
	case d.Verdict == perfcore.Restored:
		return append(undo, "outrider perf defaults"), "it was restored when the sidecar started, and what was in force before is in no snapshot"
	}
	for _, m := range d.Moves {
		for _, k := range knobs {
			if k.Name == m.Knob && k.Incumbent == m.To {
				undo = append(undo, fmt.Sprintf("outrider perf pin %s %d", m.Knob, m.From))
			}
		}
	}
	return undo, gone
}

// sameKnobs reports whether two changes have a knob in common.
func sameKnobs(a, b []perfcore.Move) bool {
	return slices.ContainsFunc(a, func(m perfcore.Move) bool {
		return slices.ContainsFunc(b, func(n perfcore.Move) bool { return m.Knob == n.Knob })
	})
}
