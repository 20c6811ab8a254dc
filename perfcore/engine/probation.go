package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/outrider-project/outrider/perfcore"
)

// probations are how many slices behind its promotion a change is tested again, at the
// earliest. However late a test comes, the next is as much later as it is here.
var probations = [...]float64{10, 40, 160}

// A probation is a promotion, or a withdrawal, that will be tested again.
type probation struct {
	from, to []int
	due      float64 // slices, as the budget counts them, from which the next test may begin
	passed   int
	diffs    []float64 // what the tests that it passed said for it
	gain     float64
	// withdrawn: it is a withdrawal.
	withdrawn bool
}

// dueTrial returns the index of the first of t.trials whose test is due; -1 for none. That of
// a withdrawal is due at rest only: what went back did nothing, so that by chance it looks
// better in every other test, and each of these ends in a trial, which would hold a search up.
func (t *tuner) dueTrial(resting bool) int {
	return slices.IndexFunc(t.trials, func(p probation) bool { return p.due <= t.budget.slices && (resting || !p.withdrawn) })
}

// replaced returns the incumbents with what p has replaced. It reports false where there is
// nothing to test any more: a knob of p has moved since, or is not the engine's.
func (t *tuner) replaced(p *probation) ([]int, bool) {
	y := slices.Clone(t.at)
	for i := range y {
		if p.from[i] == p.to[i] {
			continue
		}
		if t.at[i] != p.to[i] || !t.free[i] {
			return nil, false
		}
		y[i] = p.from[i]
	}
	return y, !slices.Equal(y, t.at)
}

// retest runs one block of an old value against what replaced it, which t.trials has at
// an index; it does nothing for -1. When the old value looks better, it is tried like any
// other candidate: nothing goes back without evidence either.
func (t *tuner) retest(ctx context.Context, at int) error {
	if at < 0 || !t.budget.allows() {
		return nil
	}
	p := &t.trials[at]
	y, tests := t.replaced(p)
	if !tests {
		t.discharge(at)
		return nil
	}
	var bill bill
	one, err := t.block(ctx, y, t.washFor(y), &bill)
	t.budget.charge(bill.excess)
	var stopped *interruption
	var blamed *blame
	switch {
	case errors.As(err, &stopped), errors.Is(err, errVoid):
		t.tell(stopped)
		p.due = t.budget.slices + probations[0] // or nothing else would be done while slices say nothing
		return nil
	case errors.As(err, &blamed): // the old value is much worse: as promised
		one = blamed.block()
	case err != nil:
		return err
	case one.diff > 0:
		r, err := t.trial(ctx, y, t.isBetter())
		gain := p.gain
		r.prediction = fmt.Sprintf("it would cost %.1f %% more, as was measured when it was replaced", 100*gain)
		t.discharge(at)
		if t.conclude(ctx, "probation", y, r) == perfcore.Promoted {
			t.budget.gain -= gain + r.evidence.Effect
			t.trials, t.apart = nil, ablation{}
			t.begin(0)
			t.rest = firstRest
		}
		return err
	}
	p.diffs = append(p.diffs, -one.diff)
	if p.passed++; p.passed == len(probations) {
		t.confirm(p)
		t.discharge(at)
		return nil
	}
	p.due = t.budget.slices + probations[p.passed] - probations[p.passed-1]
	return nil
}

// discharge takes one of t.trials off probation.
func (t *tuner) discharge(at int) { t.trials = slices.Delete(slices.Clone(t.trials), at, at+1) }

// confirm records that a change has passed the last test of its probation.
func (t *tuner) confirm(p *probation) {
	e := perfcore.Evidence{Diffs: p.diffs, Slices: 4 * len(p.diffs)}
	weigh(&e, t.noise.deviation())
	d := perfcore.Decision{
		Trigger: "probation", Moves: t.o.Resources.moves(p.from, p.to), Verdict: perfcore.Confirmed,
		Reason: "in no test of its probation did what it replaced cost less", Evidence: e,
	}
	if p.gain > 0 { // what was withdrawn or recalled has promised nothing
		d.Prediction = fmt.Sprintf("it saves %.1f %%, as was measured when it was promoted", 100*p.gain)
	}
	t.o.decide(d)
}
