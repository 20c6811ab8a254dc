package perfcore

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// A Verdict is what was decided about a change of knobs.
type Verdict uint8

// These are the verdicts.
const (
	// Promoted: the evidence says better, and the change is in force.
	Promoted Verdict = iota + 1
	// Rejected: there was no such evidence, and the change was undone.
	Rejected
	// Aborted: a guard or an alarm ended the trial within a slice, and the
	// change was undone.
	Aborted
	// Inconclusive: too many slices said nothing, or the trial was
	// interrupted; the change was undone, and nobody is to blame.
	Inconclusive
	// Isolated: somebody else moved the knob, or it fails; it is left alone
	// from now on.
	Isolated
	// Calibrated: the incumbent was compared with itself, and nothing was
	// found; experiments are on.
	Calibrated
	// Miscalibrated: the incumbent was found better or worse than itself;
	// experiments are off.
	Miscalibrated
	// Shifted: the cost of the incumbent has changed by itself, or the targets have,
	// so what was known is out of date.
	Shifted
	// Restored: the state of a snapshot is in force again.
	Restored
	// Recalled: the program is back in a regime, and the values that were in force when
	// it was left, promoted in it or not, are so again.
	Recalled
	// Leased: memory has moved to where it saves more by what was measured of its
	// use, or was given back; or only some of what was to move has.
	Leased
	// Advised: this would be done if knobs might be moved. Nothing was.
	Advised
	// Withdrawn: a knob that was promoted together with others is back at its value
	// before, for without its change it costs no more.
	Withdrawn
	// Confirmed: a change on probation has passed the last of its tests, in which what it
	// replaced was tried again.
	Confirmed
	// Drifted: somebody else moved a knob that an operator owns. It stays the operator's,
	// and where it is.
	Drifted
)

// InForce reports whether the moves of a decision were in force behind it, and not before.
func (v Verdict) InForce() bool {
	switch v {
	case Promoted, Restored, Recalled, Leased, Withdrawn:
		return true
	}
	return false
}

var verdictNames = [...]string{
	Promoted: "promoted", Rejected: "rejected", Aborted: "aborted", Inconclusive: "inconclusive",
	Isolated: "isolated", Calibrated: "calibrated", Miscalibrated: "miscalibrated", Shifted: "shifted",
	Restored: "restored", Recalled: "recalled", Leased: "leased", Advised: "advised",
	Withdrawn: "withdrawn", Confirmed: "confirmed", Drifted: "drifted",
}

// String returns the verdict in lower case.
func (v Verdict) String() string {
	if v >= Promoted && int(v) < len(verdictNames) {
		return verdictNames[v]
	}
	return fmt.Sprintf("verdict(%d)", uint8(v))
}

// A Move takes one knob from one value of its ladder to another.
type Move struct {
	Knob     string
	From, To int64
}

// Evidence is what a trial measured. Costs are natural logarithms, so a
// difference of 0.05 is five per cent, and positive ones are in the
// candidate's favour. What a slice misses of the targets is part of its cost.
//
// That of a Confirmed decision has Diffs and Slices only. It holds the tests of a probation, all
// of which the change has passed, so that their mean estimates nothing.
type Evidence struct {
	// Diffs holds one difference a block: the incumbent's mean cost less the
	// candidate's.
	Diffs []float64
	// Effect is their mean, and Low and High bound the true effect with 95 %
	// confidence at whichever block the trial stopped.
	Effect, Low, High float64
	// Ratio is the likelihood of the differences under a mixture of effects
	// to that under none. Ratios above 10 come by chance once in ten trials
	// at most, both directions counted, however often one looks.
	Ratio float64
	// SignFlip is the exact probability of a mean at least as large if the
	// candidate were the incumbent, by flipping the blocks' signs.
	SignFlip float64
	// Noise is the standard deviation of one block's difference.
	Noise float64
	// Work is the mean change of the logarithm of work done; less than 0 when
	// the candidate did less.
	Work float64
	// Targets is how much of the effect is that the candidate misses the targets by
	// less; less than 0 when it misses them by more.
	Targets float64
	// CarryOver is how far the first slice behind a switch still stood from
	// the second, as a share of the effect if there is one: 0 is none.
	CarryOver float64
	// Slices is how many slices the trial took, Exonerated how often the
	// incumbent turned out to be as bad as the candidate that a guard stopped.
	Slices, Exonerated int
}

// A Decision is one thing that the optimizer decided, and why. It is plain
// data; whoever receives one may keep it.
type Decision struct {
	// Seq counts the decisions of one run from 1.
	Seq uint64
	At  time.Time
	// Trigger is why it was looked at: search, audit, operator, ablation, probation,
	// calibration, inspection, regime, memory, restore; TargetMissed and what is missed, as in
	// "target-missed cpu.utilization 0.81 > 0.65"; "" where the loop itself had a reason.
	Trigger string
	Moves   []Move
	Verdict Verdict
	// Reason is one sentence for the operator.
	Reason   string
	Evidence Evidence
	// Prediction is what was expected of it, in a sentence; "" where only a trial
	// tells.
	Prediction string
	// Before is the snapshot of what was in force before one was restored; 0 for other
	// decisions.
	Before uint64
}

// TargetMissed begins the Trigger of what was tried because a target was missed.
const TargetMissed = "target-missed "

// Passed says in a sentence what the tests of its probation said of a Confirmed change; "" of
// other decisions.
func (d Decision) Passed() string {
	if d.Verdict != Confirmed {
		return ""
	}
	more := make([]string, len(d.Evidence.Diffs))
	for i, diff := range d.Evidence.Diffs {
		more[i] = fmt.Sprintf("%+.1f", Percent(diff))
	}
	return fmt.Sprintf("what it replaced cost %s %% more in its tests, all of which it has passed, so that this is no estimate", strings.Join(more, ", "))
}

// String explains the decision on a few lines: what moved, on which evidence,
// and how it is undone.
func (d Decision) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "#%d %v", d.Seq, d.Verdict)
	for _, m := range d.Moves {
		fmt.Fprintf(&b, " %s %d→%d", m.Knob, m.From, m.To)
	}
	if d.Trigger != "" {
		fmt.Fprintf(&b, " (%s)", d.Trigger)
	}
	fmt.Fprintf(&b, ": %s", d.Reason)
	if e := d.Evidence; d.Verdict == Confirmed {
		fmt.Fprintf(&b, "\n %s", d.Passed())
	} else if len(e.Diffs) > 0 {
		fmt.Fprintf(&b, "\n cost %+.1f %% [%+.1f, %+.1f], likelihood ratio %.3g, sign-flip p=%.3f, %d blocks, noise %.1f %%, work %+.1f %%",
			Percent(-e.Effect), Percent(-e.High), Percent(-e.Low), e.Ratio, e.SignFlip, len(e.Diffs), 100*e.Noise, Percent(e.Work))
		if e.Targets != 0 {
			fmt.Fprintf(&b, ", of the cost %+.1f %% by targets", Percent(-e.Targets))
		}
	}
	if d.Prediction != "" {
		fmt.Fprintf(&b, "\n predicted: %s", d.Prediction)
	}
	switch {
	case d.Before != 0:
		fmt.Fprintf(&b, "\n undo, while it is kept: snap restore %d", d.Before)
	case d.Verdict == Restored:
		b.WriteString("\n undo: defaults")
	case d.Verdict.InForce() && len(d.Moves) > 0:
		b.WriteString("\n undo:")
		for _, m := range d.Moves {
			fmt.Fprintf(&b, " pin %s %d;", m.Knob, m.From)
		}
	}
	return strings.TrimSuffix(b.String(), ";")
}

// Percent returns by how many per cent a quantity is more whose natural logarithm is more by d,
// as effects are.
func Percent(d float64) float64 { return 100 * math.Expm1(d) }
