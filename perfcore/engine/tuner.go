package engine

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/outrider-project/outrider/perfcore"
)

const (
	// minPatience is after how many proposals in a row that came to nothing
	// the search rests at the earliest; each knob that the engine owns adds one to
	// morePatience, and each value of one without an order another. An audit
	// makes auditProposals.
	minPatience    = 4
	morePatience   = 2
	auditProposals = 4
	// firstRest and maxRest bound the rest between audits, in slices; each
	// audit that finds nothing doubles it.
	firstRest = 30
	maxRest   = 500
)

// A tuner is the strategy: what is tried, and when nothing is. It lives in
// Run's goroutine.
type tuner struct {
	*bench
	progress
	engine OptimizationEngine
	memory memory
	// asked: an operator wants the audit that is under way.
	asked bool
}

// progress is how far the search has come in one regime.
type progress struct {
	misses int
	begun  int // misses when the search, or the audit, began
	tries  int // proposals in a row that were interrupted
	rest   int // slices until the next audit
	trials []probation
	apart  ablation
	// unheard: since the search began no proposal has come to a verdict.
	unheard bool
	// missing: the noise is that of slices that missed targets.
	missing bool
}

func newTuner(o *PerformanceOptimizer) *tuner {
	t := &tuner{
		bench: &bench{
			o: o, rand: rand.New(rand.NewPCG(o.cfg.Seed, 3)), budget: budget{share: o.cfg.Budget}, regime: o.regime(),
		},
		progress: progress{rest: firstRest},
		engine:   o.cfg.Engine,
		memory:   make(memory),
	}
	o.Resources.settleIn(t.regime)
	for _, k := range o.Resources.Knobs() {
		t.hastens, t.trades = append(t.hastens, k.Hastens), append(t.trades, k.Resource)
	}
	t.targets = o.allTargets()
	t.refresh()
	t.retargeted, t.everywhere = false, false
	t.wash, t.lags = make([]int, len(t.at)), make([]lags, len(t.at))
	unordered := make([]bool, len(t.at))
	for i, k := range o.Resources.Knobs() {
		unordered[i] = k.Unordered
		t.wash[i] = max(1, int(math.Ceil(float64(k.Settle)/float64(o.cfg.Slice))))
	}
	t.caps = newCaps(t.at, unordered)
	return t
}

// run searches and rests until ctx ends.
func (t *tuner) run(ctx context.Context) error {
	if err := t.untilCalibrated(ctx); err != nil {
		return err
	}
	t.rest = firstRest
	switch {
	case !t.o.hasResumed():
		t.beginAnew()
	case t.asked:
		t.begin(t.most() - auditProposals)
	default: // what was verified comes first; the search has a rest before it goes on
		t.begin(t.most())
	}
	for {
		// Frozen, it does not even go to what was verified in another regime.
		err := t.o.untilThawed(ctx)
		if err != nil {
			return err
		}
		t.o.await("")
		t.refresh()
		switch {
		case t.retargeted:
			t.retarget()
		case t.changed:
			t.startOver("the incumbent's cost has changed by itself; what was known is tested again")
		}
		due := t.dueTrial(false)
		switch {
		case t.switched():
			t.enter(ctx)
		case t.fresh:
			err = t.look(ctx)
		case t.rings:
			t.o.await(ringing)
			err = t.idle(ctx, 1)
		case due >= 0 && t.budget.allows():
			err = t.retest(ctx, due)
		case t.misses >= t.most(), t.o.content() && !t.asked, !t.canMove():
			err = t.park(ctx)
		case !t.budget.allows():
			err = t.idle(ctx, 1)
		case t.misses > 0 && t.apart.due():
			err = t.ablate(ctx)
		default:
			err = t.search(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// begin begins an audit, or a search, with so many misses.
func (t *tuner) begin(misses int) { t.misses, t.begun, t.tries = misses, misses, 0 }

// beginAnew begins a search of which nothing is known yet.
func (t *tuner) beginAnew() {
	t.begin(0)
	t.unheard, t.rest = true, firstRest
}

// unmeasured counts a proposal of which nothing was measured. It is no miss, unless it is one
// too many in a row.
func (t *tuner) unmeasured() (missed bool) {
	if t.tries++; t.tries < maxTries {
		return false
	}
	t.tries = 0
	t.misses++
	return true
}

// judged notes that a proposal has come to a verdict.
func (t *tuner) judged() { t.tries, t.unheard = 0, false }

// inVain reports whether the search has come to rest without a verdict on anything.
func (t *tuner) inVain() bool { return t.unheard && t.misses > t.begun }

// refresh is the bench's. Where a slice saves nothing, as far as is known, nothing of what it
// saves later stands for what is on probation.
func (t *tuner) refresh() {
	t.bench.refresh()
	if t.budget.gain > 0 {
		return
	}
	for i := range t.trials {
		t.trials[i].credit = 0
	}
}

// look runs a slice in a regime of which nothing is known, so that it is known what is
// missed there before anything is tried. Its error is the context's.
func (t *tuner) look(ctx context.Context) error {
	err := t.watched(ctx)
	t.refresh()
	t.fresh = false
	return err
}

// most returns after how many misses in a row the search rests.
func (t *tuner) most() int {
	most := morePatience
	for i, k := range t.o.Resources.Knobs() {
		if !t.free[i] {
			continue
		}
		if most++; k.Unordered {
			most += len(k.Ladder)
		}
	}
	return max(minPatience, most)
}

// canMove reports whether the engine owns a knob with more than one level, of which slices
// would tell something.
func (t *tuner) canMove() bool {
	t.refresh()
	for i, k := range t.o.Resources.Knobs() {
		if t.free[i] && len(k.Ladder) > 1 && k.WhyNot(k.Ladder[t.at[i]]) == "" {
			return true
		}
	}
	return false
}

// space returns where the knobs stand and how far they may move.
func (t *tuner) space() Space {
	s := Space{At: slices.Clone(t.at), Low: slices.Clone(t.at), High: slices.Clone(t.at), Arms: make([][]int, len(t.at)), Fills: make([]bool, len(t.at))}
	for i, k := range t.o.Resources.Knobs() {
		s.Fills[i] = k.Fills
		if !t.free[i] {
			continue
		}
		low, high := t.caps.bounds(i, len(k.Ladder), t.budget.slices)
		s.Low[i], s.High[i] = min(low, t.at[i]), max(high, t.at[i])
		s.Arms[i] = t.caps.allowed(i, len(k.Ladder), t.budget.slices)
		s = s.narrowed(i, &k.Knob)
	}
	return s
}

// search asks the engine for one proposal and tries it.
func (t *tuner) search(ctx context.Context) error {
	t.refresh()
	t.o.settle(perfcore.Optimizing)
	missed := t.o.missed()
	if len(missed) > 0 && !t.missing { // what is missed is mostly noisier than the cost
		t.noise, t.lag = t.noise.doubted(), t.lag.doubted()
	}
	t.missing = len(missed) > 0
	trigger := "search"
	switch {
	case t.asked:
		trigger = "operator"
	case len(missed) > 0:
		trigger = perfcore.TargetMissed + sentence(missed)
	case t.rest > firstRest:
		trigger = "audit"
	}
	s := t.space()
	if t.misses < t.begun+aimedProposals {
		s = t.aimed(s, missed)
	}
	var bill bill
	y, err := t.engine.Propose(ctx, s, func(plus, minus []int) (float64, error) {
		return t.probe(ctx, plus, minus, &bill)
	})
	t.budget.charge(bill.excess)
	if err != nil {
		return t.proposalFailed(ctx, trigger, err)
	}
	for i := range y {
		y[i] = s.clamp(i, y[i])
	}
	if slices.Equal(y, t.at) {
		t.judged()
		t.misses++
		return nil
	}
	before := t.at
	prediction := predict(t.engine, before, y)
	r, err := t.trial(ctx, y, t.isBetter())
	r.prediction = prediction
	r = t.conclude(ctx, trigger, y, r)
	if r.interrupted && !r.suspect {
		if t.unmeasured() {
			t.engine.Learn(perfcore.Inconclusive)
		}
		return err
	}
	t.engine.Learn(r.verdict)
	if r.verdict == perfcore.Promoted {
		t.beginAnew()
		t.apart = t.apart.with(before, y)
	} else {
		t.misses++
	}
	t.judged()
	return err
}

// proposalFailed deals with a perturbation that could not be measured. Its
// error is the context's.
func (t *tuner) proposalFailed(ctx context.Context, trigger string, err error) error {
	verdict := perfcore.Aborted
	var stopped *interruption
	switch {
	case errors.Is(err, errBlamed): // a limit is news, and there are only so many
		t.judged()
	case errors.As(err, &stopped):
		if verdict = stopped.verdict; suspect(err) {
			t.misses++
		} else {
			t.unmeasured()
		}
	case errors.Is(err, errVoid):
		t.unmeasured()
		return ctx.Err()
	default:
		return err
	}
	t.o.decide(perfcore.Decision{Trigger: trigger, Verdict: verdict, Reason: "a perturbation was stopped: " + err.Error()})
	return ctx.Err()
}

// conclude makes y the incumbents if the verdict says so, else undoes it, and records
// the decision. It returns the result in the end.
func (t *tuner) conclude(ctx context.Context, trigger string, y []int, r result) result {
	accepted := r.verdict == perfcore.Promoted || r.verdict == perfcore.Withdrawn
	if accepted && !t.o.Resources.promote(y, t.epoch) {
		r.verdict, r.reason, r.interrupted, accepted = perfcore.Inconclusive, errOwner.Error(), true, false
	}
	if !accepted {
		t.o.restore(ctx)
		t.restored()
	}
	t.o.decide(perfcore.Decision{
		Trigger: trigger, Moves: t.o.Resources.moves(t.at, y),
		Verdict: r.verdict, Reason: r.reason, Evidence: r.evidence, Prediction: r.prediction,
	})
	if !accepted {
		return r
	}
	gain := r.evidence.Effect
	t.trials = append(t.trials, probation{
		from: t.at, to: y, due: t.budget.slices + probations[0], gain: gain, credit: gain, withdrawn: r.verdict == perfcore.Withdrawn,
	})
	t.budget.earn(gain, t.at, y)
	t.at = y
	t.cost.value -= gain
	t.bare.value -= gain - r.evidence.Targets
	t.shift = shift{}
	return r
}

// idle runs the incumbent for n slices.
func (t *tuner) idle(ctx context.Context, n int) error {
	for range n {
		if err := t.watched(ctx); err != nil {
			return err
		}
	}
	return nil
}

// watched runs one slice of the incumbent. Its error is the context's.
func (t *tuner) watched(ctx context.Context) error {
	_, err := t.heard(ctx)
	return err
}

// heard runs one slice of the incumbent, and reports whether it said something. Its error is
// the context's.
func (t *tuner) heard(ctx context.Context) (said bool, err error) {
	t.refresh()
	_, err = t.incumbent(ctx, false)
	var stopped *interruption
	switch {
	case errors.Is(err, errVoid):
		return false, nil
	case errors.As(err, &stopped):
		t.tell(stopped)
		if t.refresh(); t.retargeted || t.switched() {
			return false, nil
		}
		return false, t.pause(ctx)
	}
	return err == nil, err
}

// tell records that knobs were isolated after a slice that no other decision tells of.
func (t *tuner) tell(stopped *interruption) {
	if stopped != nil && stopped.verdict == perfcore.Isolated {
		t.o.decide(perfcore.Decision{Trigger: inspection, Verdict: perfcore.Isolated, Reason: stopped.reason})
	}
}

// retarget begins the search again under other targets. Nothing that was measured under
// those before counts any more, for it is of another cost. If others were set, that holds in
// other regimes, too.
func (t *tuner) retarget() {
	t.trials = nil
	t.startOver("the targets have changed, or one is measured for the first time; what was known is of another cost")
	if t.everywhere {
		t.budget.forfeit()
	}
	t.disregard()
	t.noise, t.lag, t.missing = t.noise.elsewhere(), t.lag.elsewhere(), false
}

// disregard drops the costs of slices under other targets.
func (t *tuner) disregard() {
	everywhere := t.everywhere
	t.retargeted, t.everywhere = false, false
	t.cost, t.bare, t.work, t.burst, t.shift = average{}, average{}, average{}, average{}, shift{}
	if !everywhere {
		return
	}
	for regime, was := range t.memory {
		t.memory[regime] = was.withoutCosts()
	}
}

// startOver begins the search again, for the world has changed: what was
// measured in the old one says little about the new. What is on probation is tested again from
// the first test on, also when that was a false alarm.
func (t *tuner) startOver(why string) {
	t.o.decide(perfcore.Decision{Verdict: perfcore.Shifted, Reason: why})
	t.changed = false
	t.cost, t.bare, t.work = average{}, average{}, average{}
	t.budget.loseAll()
	t.caps.doubt(t.budget.slices)
	t.engine.Forget()
	t.apart = ablation{}
	for i := range t.trials {
		t.trials[i].renew(t.budget.slices)
	}
	t.beginAnew()
	t.o.settle(perfcore.NotOptimized)
}

// pause keeps a standing alarm from turning the loop: it waits for the time of
// one slice.
func (t *tuner) pause(ctx context.Context) error {
	t.budget.slices++
	return t.o.sleep(ctx)
}

// park lets the incumbent run alone until the next audit, which it prepares, or while all
// targets are met, until the next search. It tests what is on probation, and ends early when
// the world changes.
func (t *tuner) park(ctx context.Context) error {
	t.asked = false
	content := t.o.content()
	t.o.mayTry(!t.inVain())
	for n := 0; t.o.content() || n < t.rest && !content; n++ {
		t.o.await(t.o.resting(t.rest - n))
		t.o.settle(perfcore.Optimized) // targets are met and missed meanwhile
		if t.o.askedFor() {
			t.asked = true
			t.begin(t.most() - auditProposals)
			return nil
		}
		if err := t.watched(ctx); err != nil {
			return err
		}
		if t.switched() || t.retargeted {
			return nil
		}
		if err := t.retest(ctx, t.dueTrial(true)); err != nil {
			return err
		}
		if t.changed || t.retargeted {
			return nil
		}
		if !content && t.misses < t.most() && t.canMove() && !t.o.content() {
			return nil
		}
	}
	if content { // a target is missed that was met: this is no audit
		t.beginAnew()
		return nil
	}
	if !t.inVain() {
		t.rest = min(2*t.rest, maxRest)
	}
	t.begin(t.most() - auditProposals)
	return nil
}
