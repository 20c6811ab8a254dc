package engine

import (
	"context"
	"errors"
	"math"

	"github.com/outrider-project/outrider/perfcore"
)

const (
	// maxVoids ends a trial whose blocks come to nothing, and maxAway one that goes on behind
	// excursions.
	maxVoids = 4
	maxAway  = 4
	// fewBursts are too few slices of a candidate with a burst to tell what it makes of
	// them. It waits for more where a share of rareBursts of the slices has one, and what it
	// saves between them is not more than it could lose.
	fewBursts  = 2
	rareBursts = 0.02
)

// A result is what a trial came to.
type result struct {
	verdict    perfcore.Verdict
	reason     string
	evidence   perfcore.Evidence
	prediction string // as in perfcore.Decision
	// interrupted: it ended from outside, so that it says nothing of the candidate. suspect: by an
	// alarm that came with the candidate, so that nobody knows.
	interrupted, suspect bool
}

// A question is what a trial asks of the differences between the incumbent and a
// candidate, and the answers.
type question struct {
	look    func(diffs []float64, sd float64) outlook
	verdict perfcore.Verdict // when it is better
	yes, no string           // reasons
}

// isBetter asks whether a candidate is worth its promotion.
func (b *bench) isBetter() question {
	least := float64(MinRatio)
	if len(b.aims) > 0 {
		least = AimedRatio
	}
	q := question{
		look:    func(diffs []float64, sd float64) outlook { return look(diffs, sd, b.o.cfg.MinEffect, least) },
		verdict: perfcore.Promoted,
		yes:     "it costs less",
		no:      "there is no evidence that it is better by the minimum effect",
	}
	if len(b.aims) > 0 {
		q.yes = "it costs less, what is missing of the targets included"
	}
	return q
}

// trial tries y until the evidence answers the question, and charges the budget. Its
// error is the context's.
func (b *bench) trial(ctx context.Context, y []int, q question) (result, error) {
	var bill bill
	before := b.budget.slices
	r, err := b.compare(ctx, y, q, &bill)
	b.budget.charge(bill.excess)
	r.evidence.Slices, r.evidence.Exonerated = int(b.budget.slices-before), bill.exonerated
	return r, err
}

func (b *bench) compare(ctx context.Context, y []int, q question, bill *bill) (result, error) {
	var e perfcore.Evidence
	var all blocks
	wash, voids, aways, pardoned := b.washFor(y), 0, 0, false
	for {
		one, err := b.block(ctx, y, wash, bill)
		var away *excursion
		if errors.As(err, &away) && b.returns(ctx) {
			if aways++; aways < maxAway {
				continue
			}
			err = &interruption{perfcore.Inconclusive, "it was interrupted too often; the last time: " + away.reason}
		}
		var stopped *interruption
		var blamed *blame
		switch {
		case errors.As(err, &blamed) && blamed.alarm == "" && len(all.diff) > 0 && !pardoned:
			// It was fine before: once may be the world. It counts as the incumbent's bad
			// slices do, for what is left out on one side only makes that side better.
			pardoned, one = true, blamed.block()
		case errors.Is(err, errBlamed):
			b.accuse(y)
			return result{verdict: perfcore.Aborted, reason: err.Error(), evidence: e}, nil
		case errors.Is(err, errVoid):
			if voids++; voids >= maxVoids {
				return cutShort(perfcore.Inconclusive, "too many slices said nothing; of the last one: "+err.Error(), e), nil
			}
			continue
		case errors.As(err, &stopped):
			r := cutShort(stopped.verdict, stopped.reason, e)
			r.suspect = suspect(err)
			return r, nil
		case err != nil:
			return cutShort(perfcore.Inconclusive, "the optimizer ended", e), err
		case b.changed:
			return cutShort(perfcore.Inconclusive, "the world changed meanwhile", e), nil
		}
		all.add(one)
		e.Diffs = all.diff
		sd := b.noise.within(all.diff)
		weigh(&e, sd)
		e.Work, e.Targets = mean(all.work), mean(all.near)
		if e.Effect != 0 {
			e.CarryOver = mean(all.lag) / e.Effect
		}
		saw := q.look(all.diff, sd)
		if saw == undecided || saw == better && len(all.diff) < maxBlocks && (b.mayDoLess(all.work) || b.awaitsBursts(bill.bursts, e.Effect)) {
			continue
		}
		b.noise.add(all.diff)
		b.plain.add(all.bare)
		b.effort.add(all.work)
		b.carriedOver(y, e.Effect, all.lag)
		switch {
		case saw == notBetter:
			return result{verdict: perfcore.Rejected, reason: q.no, evidence: e}, nil
		case b.doesLess(&e, all.work):
			return result{verdict: perfcore.Rejected, reason: "it costs less, but it does less work", evidence: e}, nil
		case b.dearerInBursts(bill.bursts, e.Effect):
			return result{verdict: perfcore.Rejected, reason: "it costs less between bursts of the background, and so much more in them", evidence: e}, nil
		}
		return result{verdict: q.verdict, reason: q.yes, evidence: e}, nil
	}
}

// mayDoLess reports whether the work of a trial's blocks is on the whole less than
// may be lost, and yet no further from that than its own noise.
func (b *bench) mayDoLess(work []float64) bool {
	lost := -mean(work) - b.o.cfg.MinEffect
	return lost > 0 && lost < 2*uncertainty(work)
}

// doesLess reports whether a candidate that costs less does so by less work: more than
// may be lost is missing, by more than noise, or so much that nothing is saved without it.
func (b *bench) doesLess(e *perfcore.Evidence, work []float64) bool {
	lost := -e.Work - b.o.cfg.MinEffect
	return lost > 0 && (lost > uncertainty(work) || e.Effect+e.Work < b.o.cfg.MinEffect)
}

// dearerInBursts reports whether a candidate that costs less by effect between bursts
// loses that in them, by what its slices with one have cost more than the incumbent's, in
// their share of all that is spent.
func (b *bench) dearerInBursts(more []float64, effect float64) bool {
	return len(more) >= fewBursts && b.losesInBursts(mean(more), effect)
}

// awaitsBursts reports whether a candidate that costs less by effect between bursts had too few to
// tell, and could lose all of that in them without the guard's firing.
func (b *bench) awaitsBursts(more []float64, effect float64) bool {
	return b.often > rareBursts && len(more) < fewBursts && b.losesInBursts(b.guard(&b.plain), effect)
}

// losesInBursts reports whether what costs less by effect between bursts, and so much more in them
// than the incumbent does, costs more in all.
func (b *bench) losesInBursts(more, effect float64) bool {
	return more*b.often*math.Exp(b.burst.value) > effect*(1-b.often)
}

// uncertainty returns the standard deviation of the mean of x, which has two values at
// least, by their own noise.
func uncertainty(x []float64) float64 {
	var own spread
	own.add(x)
	return math.Sqrt(own.sum / own.freedom / float64(len(x)))
}
