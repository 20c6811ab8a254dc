package engine

import (
	"context"
	"slices"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/snapshot"
)

// A memory keeps what was known in each regime when the program left it, beside
// the incumbents, which its ResourceManager keeps.
type memory map[string]recollection

// A recollection is what was known in one regime.
type recollection struct {
	knowledge
	progress
	gain  float64     // as in a budget
	by    map[int]int // as in a budget
	usage map[perfcore.ResourceType]perfcore.Usage
}

// withoutCosts is what is left where costs are of other targets, or of values that are forgotten: what resources do,
// and how often there are bursts.
func (r recollection) withoutCosts() recollection {
	return recollection{
		knowledge: knowledge{often: r.often, ran: r.ran}, progress: progress{rest: firstRest, unheard: true}, usage: r.usage,
	}
}

// switched reports whether the program is in another regime than the bench, or
// than the one whose incumbents were restored. A quiet regime is part of the one
// that it interrupts.
func (b *bench) switched() bool {
	return !b.o.quiet() && (b.o.regime() != b.regime || !b.o.Resources.isIn(b.regime))
}

// enter takes over what was in force in the regime that the program is in now,
// at once, and lets one block say soon whether it still holds. In a regime that
// is new the incumbents stay, and the search begins.
func (t *tuner) enter(ctx context.Context) {
	next := t.o.regime()
	if next == t.regime && t.o.Resources.isIn(next) || slices.Contains(t.o.cfg.Quiet, next) {
		return // it has changed in this moment
	}
	t.refresh()
	if len(t.memory) < snapshot.MaxRegimes || t.memory[t.regime].rest > 0 {
		t.memory[t.regime] = recollection{t.knowledge, t.progress, t.budget.gain, t.budget.by, t.o.measured()}
	}
	t.regime = next
	before, levels, known := t.o.Resources.travel(t.regime, t.o.timed)
	was, visited := t.memory[t.regime]
	t.o.resume(was.usage)
	if visited && !known { // what was promoted there was forgotten, and so is what it cost
		was = was.withoutCosts()
	}
	if !visited {
		was.rest, was.unheard = firstRest, !known
		if known { // by a snapshot
			was.misses, was.begun = t.most(), t.most()
		}
	}
	if was.noise.freedom == 0 { // also if it was left before the calibration ended
		was.noise, was.plain = t.noise.elsewhere(), t.plain.elsewhere()
		was.effort, was.lag = t.effort.elsewhere(), t.lag.elsewhere()
		was.missing = t.missing
	}
	if !known {
		t.o.settle(perfcore.NotOptimized)
	}
	t.knowledge, t.progress = was.knowledge, was.progress
	t.budget.gain, t.budget.by = was.gain, was.by
	t.shift, t.changed = shift{}, false
	t.fresh = len(was.usage) == 0 && len(t.o.allTargets()) > 0
	if !t.cost.known { // nothing is left that is of another cost under other targets
		t.aims = t.o.aims()
	}
	t.engine.Forget()
	t.caps.doubt(t.budget.slices)
	if !slices.Equal(before, levels) {
		t.recall(ctx, before, levels)
	}
}

// recall puts the incumbents in force that the regime had left, and tells. They need not have
// been promoted in it; the block that tests them is due at once.
func (t *tuner) recall(ctx context.Context, before, to []int) {
	t.o.restore(ctx)
	t.o.decide(perfcore.Decision{
		Trigger: "regime", Moves: t.o.Resources.moves(before, to), Verdict: perfcore.Recalled,
		Reason: "the regime is " + t.regime + " again, and these values were in force in it",
	})
	cost, bare, work := t.cost, t.bare, t.work
	t.refresh()
	t.cost, t.bare, t.work = cost, bare, work // refresh takes the incumbents for other ones
	t.trials = t.onProbation(before, to)
}

// onProbation returns what is on probation behind a recall, which comes first and is due at once.
// What is on probation for the same moves needs no second one, and goes on with what its tests
// have said: one that comes early does not count. That of a withdrawal is still due at rest only. Each
// knob is in one recall at most: what else it would be held against was in force in another regime before.
func (t *tuner) onProbation(before, to []int) []probation {
	moves := t.o.Resources.moves(before, to)
	same := func(p probation) bool { return slices.Equal(t.o.Resources.moves(p.from, p.to), moves) }
	at := slices.IndexFunc(t.trials, func(p probation) bool { return !p.recalled && same(p) })
	if at < 0 {
		at = slices.IndexFunc(t.trials, same)
	}
	first := probation{from: before, to: to, recalled: true}
	if at >= 0 {
		first = t.trials[at]
		first.counts = max(first.counts, first.due)
	}
	first.due = t.budget.slices
	all := []probation{first}
	for i, p := range t.trials {
		if p.recalled {
			p = p.part(func(knob int) bool { return before[knob] == to[knob] })
		}
		if i != at && !slices.Equal(p.from, p.to) {
			all = append(all, p)
		}
	}
	return all
}
