package engine

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/outrider-project/outrider/perfcore"
)

// An ablation takes a promotion that moved several knobs apart: what was verified is
// that all of them together cost less, and some may have come along that do nothing, or
// harm. Each is tried alone at its value before. Where that costs no more, by the
// minimum effect for all of them together, it goes back.
//
// The evidence for going back is less than for a promotion: what a knob does must be
// shown, and not that it does nothing. The zero value has nothing to take apart.
type ablation struct {
	from, to []int
	knobs    []int   // that are still to be tried, in their order
	tries    int     // of the first of them that came to nothing
	lost     float64 // what those that went back have cost, as far as was measured
}

// idle is the probability of costing more than is tolerated under which a knob goes back
// before the last block. It is smaller than futile: a knob that goes back takes what it
// was worth with it.
const idle = 0.1

// maxTries is how often an ablation of a knob is begun that is interrupted, and after how many
// proposals in a row of which nothing was measured there is a miss.
const maxTries = 3

// with adds the promotion of to, where the incumbents were from, to what is taken apart:
// each knob is tried at the value that it had before the first of several promotions in a
// row, and what those that went back in the meantime have cost stays counted. Knobs that
// moved least come first: the engine that proposed them knew least of them.
func (a ablation) with(from, to []int) ablation {
	if !a.due() {
		a = ablation{from: from}
	}
	from, a = a.from, ablation{from: a.from, to: to, lost: a.lost}
	moved := func(i int) int { return max(to[i]-from[i], from[i]-to[i]) }
	for i := range to {
		if moved(i) > 0 {
			a.knobs = append(a.knobs, i)
		}
	}
	if len(a.knobs) < 2 { // what moved alone was tried alone
		return ablation{}
	}
	slices.SortStableFunc(a.knobs, func(i, j int) int { return cmp.Compare(moved(i), moved(j)) })
	return a
}

// due reports whether there is something left to take apart.
func (a *ablation) due() bool { return len(a.knobs) > 0 }

// next goes on to the next knob.
func (a *ablation) next() { a.knobs, a.tries = a.knobs[1:], 0 }

// ablate tries the next knob of a promotion at its value before. Its error is the
// context's.
func (t *tuner) ablate(ctx context.Context) error {
	t.refresh()
	a := &t.apart
	i := a.knobs[0]
	y := slices.Clone(t.at)
	y[i] = a.from[i]
	if !t.free[i] || t.at[i] != a.to[i] || t.whyNot(y) != "" { // it has moved since, or would tell nothing
		a.next()
		return nil
	}
	r, err := t.trial(ctx, y, t.isIdle(a.lost))
	r = t.conclude(ctx, "ablation", y, r)
	switch {
	case r.verdict == perfcore.Withdrawn:
		a.lost += min(r.evidence.Effect, 0)
		t.withdraw(i, a.from[i], r.evidence.Effect)
	case r.interrupted:
		if a.tries++; a.tries < maxTries {
			return err
		}
	}
	a.next()
	return err
}

// withdraw takes knob i, which is back at a level with an effect, out of the promotions on
// probation that had moved it from there: what they promised is not of this knob any more.
func (t *tuner) withdraw(i, back int, effect float64) {
	var last *probation
	for j := range t.trials {
		if p := &t.trials[j]; p.from[i] != p.to[i] && p.to[i] != back {
			p.from, p.to = slices.Clone(p.from), slices.Clone(p.to)
			p.from[i], p.to[i] = back, back
			last = p
		}
	}
	if last != nil {
		last.credit += effect // without the knob it saves so much more
	}
}

// isIdle asks whether a knob may go back, where others that went back have cost lost
// already.
func (b *bench) isIdle(lost float64) question {
	return question{
		look:    func(diffs []float64, sd float64) outlook { return lookIdle(diffs, sd, b.o.cfg.MinEffect+lost) },
		verdict: perfcore.Withdrawn,
		yes:     "it was promoted together with others, and costs no more without",
		no:      "it is worth its place among those that it was promoted with",
	}
}

// lookIdle says what the differences of a trial without a change say: better when it
// costs less than tolerated more. Behind the last block their mean decides.
func lookIdle(diffs []float64, sd, tolerated float64) outlook {
	n := float64(len(diffs))
	effect := mean(diffs)
	if n < 2 {
		if effect < -hopeless*sd {
			return notBetter
		}
		return undecided
	}
	v, prior := sd*sd/n, mixture*mixture
	expected := effect * prior / (prior + v)
	uncertain := math.Sqrt(v * prior / (prior + v))
	switch worse := normal((-tolerated - expected) / uncertain); {
	case worse > 1-futile, n >= maxBlocks && effect <= -tolerated:
		return notBetter
	case worse < idle, n >= maxBlocks:
		return better
	}
	return undecided
}
