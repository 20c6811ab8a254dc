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
	counts   float64 // and from which it counts when it is passed
	passed   int
	tries    int       // trials in a row of what it replaced that came to no verdict
	diffs    []float64 // what the tests that it passed said for it
	gain     float64   // as was measured in its trial
	credit   float64   // what of the budget's gain stands for it
	// withdrawn: it is a withdrawal. recalled: it is what a regime had left.
	withdrawn, recalled bool
}

// putOff puts the next test off, for longer each time that a trial comes to no verdict, or
// nothing else would be done while slices say nothing.
func (p *probation) putOff(now float64) { p.due = now + probations[min(p.tries, len(probations)-1)] }

// renew begins the probation again: what its tests have said, and what was saved, was of
// another world.
func (p *probation) renew(now float64) {
	p.due, p.counts, p.passed, p.tries, p.diffs, p.credit = now+probations[0], 0, 0, 0, nil, 0
}

// dueTrial returns the index of the first of t.trials whose test is due; -1 for none. That of
// a withdrawal is due at rest only: what went back did nothing, so that by chance it looks
// better in every other test, and each of these ends in a trial, which would hold a search up.
func (t *tuner) dueTrial(resting bool) int {
	return slices.IndexFunc(t.trials, func(p probation) bool { return p.due <= t.budget.slices && (resting || !p.withdrawn) })
}

// replaced returns the incumbents with what p has replaced; nil where there is nothing to
// test any more, for a knob of p has moved since, or all of what was recalled.
func (t *tuner) replaced(p *probation) []int {
	y := slices.Clone(t.at)
	for i := range y {
		if p.from[i] == p.to[i] {
			continue
		}
		if t.at[i] == p.to[i] {
			y[i] = p.from[i]
		} else if !p.recalled {
			return nil
		}
	}
	if slices.Equal(y, t.at) {
		return nil
	}
	return y
}

// part returns p with the knobs of which keep is true; the others stay. What tests of the whole
// have said is not of a part.
func (p probation) part(keep func(knob int) bool) probation {
	from := slices.Clone(p.from)
	for i := range from {
		if !keep(i) {
			from[i] = p.to[i]
		}
	}
	if !slices.Equal(from, p.from) {
		p.from, p.passed, p.tries, p.diffs = from, 0, 0, nil
	}
	return p
}

// split splits what was recalled, which t.trials has at an index, into the knobs that can be
// tested now and the others, which are put off, so that none holds the others up; one that has
// moved since is in neither. Nobody has said that they go together. What was promoted stays whole,
// and waits until all of it can be tested: it was measured as a whole, and a test of a part says
// nothing about that.
func (t *tuner) split(at int) {
	p := t.trials[at]
	y := t.replaced(&p)
	if !p.recalled || y == nil {
		return
	}
	p = p.part(func(knob int) bool { return t.at[knob] == p.to[knob] })
	t.trials[at] = p
	testable := make([]bool, len(y))
	for i := range y {
		alone := slices.Clone(t.at)
		alone[i] = y[i]
		testable[i] = t.free[i] && t.whyNot(alone) == ""
	}
	now := p.part(func(knob int) bool { return testable[knob] })
	later := p.part(func(knob int) bool { return !testable[knob] })
	if slices.Equal(now.from, now.to) || slices.Equal(later.from, later.to) {
		return
	}
	later.putOff(t.budget.slices)
	t.trials[at] = now
	t.trials = slices.Insert(slices.Clone(t.trials), at+1, later)
}

// mayMove reports whether the engine may put the knobs where y has them.
func (t *tuner) mayMove(y []int) bool {
	for i := range y {
		if y[i] != t.at[i] && !t.free[i] {
			return false
		}
	}
	return true
}

// retest runs one block of an old value against what replaced it, which t.trials has at
// an index; it does nothing for -1, nor while an alarm stands. When the old value looks
// better, it is tried like any other candidate: nothing goes back without evidence either. A
// test that comes to no verdict is put off. Of what was recalled it tests the knobs that it can.
func (t *tuner) retest(ctx context.Context, at int) error {
	if at < 0 || t.rings || !t.budget.allows() {
		return nil
	}
	t.split(at)
	p := &t.trials[at]
	y := t.replaced(p)
	switch {
	case y == nil:
		t.discharge(at)
		return nil
	case !t.mayMove(y): // by now: it is pinned, say, or the target that it was promoted for is met
		p.putOff(t.budget.slices)
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
		p.putOff(t.budget.slices)
		return nil
	case errors.As(err, &blamed): // the old value is much worse: as promised
		one = blamed.block()
	case err != nil:
		return err
	case one.diff > 0:
		return t.retry(ctx, at, y)
	}
	if t.budget.slices < p.counts { // its regime is back, and it holds
		p.due = p.counts
		return nil
	}
	p.diffs = append(p.diffs, -one.diff)
	p.tries = 0
	if p.passed++; p.passed == len(probations) {
		t.confirm(p)
		t.discharge(at)
		return nil
	}
	p.due = t.budget.slices + probations[p.passed] - probations[p.passed-1]
	return nil
}

// retry tries y, which t.trials at an index has replaced, and which has looked better. What
// is not interrupted is off probation. Its error is the context's.
func (t *tuner) retry(ctx context.Context, at int, y []int) error {
	before := t.at
	r, err := t.trial(ctx, y, t.isBetter())
	was := t.trials[at]
	if was.gain != 0 { // what was recalled was not measured
		r.prediction = fmt.Sprintf("it would cost %.1f %% more, as was measured when it was replaced", perfcore.Percent(was.gain))
	}
	r = t.conclude(ctx, "probation", y, r)
	switch {
	case r.verdict == perfcore.Promoted:
		t.trials[len(t.trials)-1].credit = 0
		if t.budget.lose(was.credit + r.evidence.Effect); was.recalled { // it stood for all that was saved in its regime
			t.budget.loseAll()
		}
		t.trials = slices.DeleteFunc(slices.Clone(t.trials), func(other probation) bool { return t.replaced(&other) == nil })
		t.beginAnew()
		t.apart = t.apart.with(before, y)
	case r.interrupted:
		t.trials[at].tries++
		t.trials[at].putOff(t.budget.slices)
	default: // it is no better, or its guard has ended it
		t.discharge(at)
	}
	return err
}

// discharge takes one of t.trials off probation.
func (t *tuner) discharge(at int) { t.trials = slices.Delete(slices.Clone(t.trials), at, at+1) }

// confirm records that a change has passed the last test of its probation. What the tests said
// is no estimate of an effect: had one of them said otherwise it would not be among them.
func (t *tuner) confirm(p *probation) {
	d := perfcore.Decision{
		Trigger: "probation", Moves: t.o.Resources.moves(p.from, p.to), Verdict: perfcore.Confirmed,
		Reason: "in no test of its probation did what it replaced cost less", Evidence: perfcore.Evidence{Diffs: p.diffs, Slices: 4 * len(p.diffs)},
	}
	if p.gain > 0 { // what was withdrawn or recalled has promised nothing
		d.Prediction = fmt.Sprintf("it saves %.1f %%, as was measured when it was promoted", -perfcore.Percent(-p.gain))
	}
	t.o.decide(d)
}
