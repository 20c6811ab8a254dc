package engine

import (
	"context"
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/outrider-project/outrider/perfcore"
)

var (
	// errBlamed: a guard fired at a candidate, and the incumbent is fine.
	errBlamed = errors.New("it cost far more than the incumbent behind it, or did far less")
	// errVoid: a slice says nothing, so neither does its block.
	errVoid = errors.New("a slice said nothing")
)

const (
	// maxVoids ends a trial whose blocks come to nothing, and maxAway one that goes on behind
	// excursions.
	maxVoids = 4
	maxAway  = 4
	// maxWash is the most slices that are left out behind a switch.
	maxWash = 8
	// maxBursts is after how many slices in a row with a burst nothing is said.
	maxBursts = 8
	// fewBursts are too few slices of a candidate with a burst to tell what it makes of
	// them. It waits for more where a share of rareBursts of the slices has one, and what it
	// saves between them is not more than it could lose.
	fewBursts  = 2
	rareBursts = 0.02
	// oftenRate is the share of the newest slice in how often there are bursts.
	oftenRate = 0.01
	// refRate is the share of the newest slice in the incumbent's cost.
	refRate = 0.2
)

// A blame is errBlamed, and says by how much.
type blame struct {
	cost  float64 // more than the incumbent's beside it
	work  float64 // logarithm of work less
	alarm string  // that ended the slice; "" when it was the guard
}

func (b *blame) Error() string {
	if b.alarm != "" {
		return b.alarm + ", and with the incumbent back it is over"
	}
	return "the guard fired: " + errBlamed.Error()
}

func (*blame) Is(err error) bool { return err == errBlamed }

// block returns what is known of a block that ended with the blame: that one of the
// candidate's two slices was so bad. The others are taken to be alike.
func (b *blame) block() block { return block{diff: -b.cost / 2, work: -b.work / 2} }

// A bench measures points against the incumbent. One goroutine uses it.
type bench struct {
	o      *PerformanceOptimizer
	rand   *rand.Rand
	budget budget
	caps   *caps
	regime string

	// hastens are the knobs that are tried only where time counts, and trades what each
	// knob trades in.
	hastens []bool
	trades  []perfcore.ResourceType
	// at are the incumbents, free which of them the engine may move, at epoch.
	at    []int
	free  []bool
	epoch int
	aims  []aim
	// targets are those that were set when aims was drawn from them. fresh: nothing was
	// tried in this regime, nor is anything known of it.
	targets map[perfcore.ResourceType]perfcore.Targets
	fresh   bool

	last  []int   // levels in force; nil when unknown
	stays int     // slices that have run since they were applied
	calm  bool    // the slice before this one ended by itself, so there was no alarm
	rings bool    // an alarm has ended a slice, and none has ended by itself since
	arm   int     // of A/A that the last slice belonged to; -1 for neither
	cost  average // of the incumbent, between bursts
	bare  average // the incumbent's, without what is missing of the targets
	work  average // logarithm of the incumbent's
	burst average // by how much more it costs in one
	often float64 // the share of its slices that have one
	ran   float64 // slices in that
	shift shift
	// changed: the incumbent's cost has shifted by itself, and nothing has
	// been done about it yet.
	changed bool
	// retargeted: there are other targets than those under which anything was measured in
	// this regime, and nothing has been done about it yet; everywhere: others were set.
	retargeted bool
	everywhere bool
	noise      spread // of a block's difference
	plain      spread // of a block's difference without what is missing of the targets
	effort     spread // of a block's difference of work
	lag        spread // of a block's carry-over
	// wash is how many slices of each knob are left out behind a switch, and
	// lags what its trials said of that.
	wash []int
	lags []lags
}

// An average follows a value slowly.
type average struct {
	value float64
	known bool
}

func (a *average) add(v float64) {
	if !a.known {
		a.value, a.known = v, true
	}
	a.value += refRate * (v - a.value)
}

// lags sums the carry-over that trials of one knob saw.
type lags struct{ sum, n float64 }

// refresh takes over who owns which knob, where it stands, and what the targets are.
func (b *bench) refresh() {
	at, free, epoch := b.o.Resources.incumbents()
	for i, level := range b.budget.by {
		if at[i] != level || !free[i] && b.isolated(i) {
			b.budget.loseAll()
			break
		}
	}
	if !b.o.timed(b.o.regime()) {
		for i, hastens := range b.hastens {
			free[i] = free[i] && (!hastens || b.o.Hurried(b.trades[i]))
		}
	}
	other := b.aim()
	if other || !slices.Equal(at, b.at) {
		b.cost, b.bare, b.work = average{}, average{}, average{}
	}
	b.at, b.free, b.epoch = at, free, epoch
}

// isolated reports whether nobody owns a knob, so that nobody knows how long it has been where.
func (b *bench) isolated(i int) bool { return b.o.Resources.Knobs()[i].Owner == Nobody }

// aim takes over what the targets are, and reports whether these are other ones.
func (b *bench) aim() bool {
	aims, targets := b.o.aims(), b.o.allTargets()
	if sameAims(aims, b.aims) {
		return b.retargeted
	}
	set := !maps.Equal(targets, b.targets)
	b.aims, b.targets = aims, targets
	b.everywhere = b.everywhere || set
	b.retargeted = b.retargeted || set || !b.fresh
	return true
}

// A seen slice is a sample whose cost has what is missing of the targets in it.
type seen struct {
	perfcore.Sample
	short float64 // that
}

// bare returns the cost without what is missing.
func (s seen) bare() float64 { return s.Cost - s.short }

// one runs one slice at x.
func (b *bench) one(ctx context.Context, x []int, again bool) (s seen, err error) {
	s.Sample, err = b.o.slice(ctx, x, b.epoch, again)
	var rang *alarm
	b.rings = errors.As(err, &rang) || b.rings && err != nil
	if b.calm = err == nil; !b.calm {
		b.last = nil
		return s, err
	}
	b.applied(x, again)
	b.stays++
	b.budget.slice()
	if why := s.Check(); why != "" {
		return s, silence(why)
	}
	s.short = b.shortfall(s.Sample, slices.Equal(x, b.at))
	s.Cost += s.short
	return s, nil
}

// applied notes that the levels x are in force, and whether they were applied again.
func (b *bench) applied(x []int, again bool) {
	if again || !slices.Equal(x, b.last) {
		b.last, b.stays = slices.Clone(x), 0
	}
}

// restored notes that the incumbents are in force.
func (b *bench) restored() { b.applied(b.at, false) }

// unsettled returns how many of the wash slices behind a switch to x are still to be left
// out.
func (b *bench) unsettled(x []int, wash int, again bool) int {
	if again || !slices.Equal(x, b.last) {
		return wash
	}
	return max(wash-b.stays, 0)
}

// run runs one slice of the incumbent, and others in its place while there is a burst in
// it.
func (b *bench) run(ctx context.Context, again bool) (s seen, err error) {
	for range maxBursts {
		if s, err = b.own(ctx, again); err != nil {
			return s, err
		}
		if b.counted(s); s.Burst == "" {
			return s, nil
		}
		if b.cost.known {
			b.burst.add(s.Cost - b.cost.value)
		}
		again = false
	}
	return s, silence(s.Burst)
}

// counted counts a slice of the incumbent in how often there are bursts.
func (b *bench) counted(s seen) {
	burst := 0.0
	if s.Burst != "" {
		burst = 1
	}
	b.ran++
	b.often += max(1/b.ran, oftenRate) * (burst - b.often)
}

// incumbent is run, and remembers what it cost.
func (b *bench) incumbent(ctx context.Context, again bool) (seen, error) {
	s, err := b.run(ctx, again)
	if err != nil {
		return s, err
	}
	b.cost.add(s.Cost)
	b.bare.add(s.bare())
	b.work.add(math.Log(s.Work))
	b.changed = b.shift.watch(s.bare(), b.plain.deviation()) || b.changed
	return s, nil
}

// candidate runs one slice at y under the guard, and others in its place while there is a
// burst in it. When the guard fires, the incumbent is back with the slice behind: if it is
// fine once nothing is left of the candidate, that is to blame, and if not, it was the
// world, and the reference is renewed. A slice without any work fires the guard too. An
// alarm is blamed on the candidate when it came with it and has gone with it. Where another
// regime comes before that is known, the interruption is no excursion: the candidate is not put
// in force again.
func (b *bench) candidate(ctx context.Context, y []int, bill *bill, again bool) (seen, error) {
	if !b.cost.known {
		if _, err := b.incumbent(ctx, false); err != nil {
			return seen{}, err
		}
	}
	burst := ""
	for range maxBursts {
		calm := b.calm
		s, err := b.one(ctx, y, again)
		var rang *alarm
		idle := errors.Is(err, errVoid) && s.Void == ""
		switch {
		case errors.As(err, &rang) && calm && !slices.Equal(y, b.at):
			return s, forGood(b.alarmed(ctx, y, rang, bill))
		case err != nil && !idle:
			return s, err
		case idle:
			bill.excess++ // the work is still to be done
			return s, forGood(b.blame(ctx, y, s, bill))
		}
		bill.excess += math.Expm1(min(s.Cost-b.cost.value-b.excused(s), maxExcess))
		switch {
		case b.beyondGuard(s, b.bare.value+b.excused(s), b.work.value):
			return s, forGood(b.blame(ctx, y, s, bill))
		case s.Burst == "":
			b.caps.visited(y)
			return s, nil
		case b.burst.known:
			bill.bursts = append(bill.bursts, s.Cost-b.cost.value-b.burst.value)
		}
		again, burst = false, s.Burst
	}
	return seen{}, silence(burst)
}

// rinse puts the incumbent in force, and runs it until y is behind it by a washout. What
// those slices say does not matter, and an alarm may take as long to go.
func (b *bench) rinse(ctx context.Context, y []int) error {
	for range b.washFor(y) {
		_, err := b.own(ctx, false)
		var rang *alarm
		switch {
		case errors.As(err, &rang):
			b.budget.slices++
			if err := b.o.sleep(ctx); err != nil {
				return err
			}
		case err != nil && !errors.Is(err, errVoid):
			return err
		}
	}
	return nil
}

// alarmed returns what came of an alarm in a slice of a candidate, where there was none in
// the slice before: a *blame when it has gone with the candidate, which is charged a slice, and
// an *alarm when it has not.
func (b *bench) alarmed(ctx context.Context, y []int, rang *alarm, bill *bill) error {
	if err := b.rinse(ctx, y); err != nil {
		return err
	}
	var still *alarm
	switch _, err := b.own(ctx, false); {
	case errors.As(err, &still):
		return &alarm{rang.interruption, true}
	case err != nil && !errors.Is(err, errVoid):
		return err
	}
	bill.excess++
	return &blame{cost: math.Ln2, alarm: rang.reason}
}

// blame runs the incumbent behind a slice of a candidate at which the guard fired, and
// judges by the first slice that is its match and has nothing left of the candidate in it.
// It returns a *blame, or errVoid when it was the world, or nobody can tell.
func (b *bench) blame(ctx context.Context, y []int, s seen, bill *bill) error {
	if err := b.rinse(ctx, y); err != nil {
		return err
	}
	beside, err := b.match(ctx, s)
	if err != nil {
		return err
	}
	switch {
	case !(s.Work > 0):
		return &blame{cost: maxExcess, work: maxExcess}
	case s.Burst == beside.Burst && b.beyondGuard(s, beside.bare(), math.Log(beside.Work)):
		return &blame{cost: min(s.Cost-beside.Cost, maxExcess), work: min(math.Log(beside.Work/s.Work), maxExcess)}
	}
	if beside.Burst == "" && s.Burst == "" {
		b.cost, b.bare = average{beside.Cost, true}, average{beside.bare(), true}
		b.work = average{math.Log(beside.Work), true}
	}
	bill.exonerated++
	return silence("the guard fired, and the incumbent was as bad")
}

// match runs one slice of the incumbent, and others in its place while it has another burst
// than s, or only one of them has. Without any work, s needs no match.
func (b *bench) match(ctx context.Context, s seen) (beside seen, err error) {
	for range maxBursts {
		if beside, err = b.own(ctx, false); err != nil {
			return beside, err
		}
		if !(s.Work > 0) || s.Burst == beside.Burst {
			break
		}
	}
	return beside, nil
}

// excused is the logarithm of by how much more a slice may cost for the burst in it: as
// the incumbent's have on average, or twice as much while there was none; 0 without a burst.
func (b *bench) excused(s seen) float64 {
	switch {
	case s.Burst == "":
		return 0
	case b.burst.known:
		return max(b.burst.value, 0)
	}
	return math.Ln2
}

// maxExcess bounds what one slice is charged, and blamed for: e^5 slices of the incumbent.
const maxExcess = 5

// guardNoise is how many deviations of a block's difference, of cost and of work, a
// guard lies away, if that is more than Config.Guard and less than a doubling: one that
// noise passes does not tell who is to blame.
const guardNoise = 4

// beyondGuard reports whether a slice costs more, or does less, than the guard
// lets it beside the incumbent's cost and logarithm of work, all of it without what is
// missing of the targets: that is no danger, and noisier. Bursts differ by as much as
// there is in one.
func (b *bench) beyondGuard(s seen, cost, work float64) bool {
	return s.bare()-cost > b.guard(&b.plain)+b.excused(s) || work-math.Log(s.Work) > b.guard(&b.effort)+b.excused(s)
}

// guard is by how much a slice may be worse, as a logarithm, where a block has such noise.
func (b *bench) guard(noise *spread) float64 {
	return max(math.Log1p(b.o.cfg.Guard), min(guardNoise*noise.deviation(), math.Ln2))
}

// A bill is what one experiment cost.
type bill struct {
	excess     float64 // over the incumbent, in slices
	exonerated int
	bursts     []float64 // by how much more each slice with a burst has cost than the incumbent's
}

// accuse limits the knob that is to blame for a guard at y.
func (b *bench) accuse(y []int) {
	rises := make([]float64, len(y))
	if p, ok := b.o.cfg.Engine.(predictor); ok {
		for i := range y {
			alone := slices.Clone(b.at)
			alone[i] = y[i]
			falls, _ := p.predict(b.at, alone)
			rises[i] = -falls
		}
	}
	b.caps.blame(b.at, y, b.budget.slices, rises, b.rand.IntN)
}

// probe returns the difference of cost between two points, measured in
// neighbouring slices.
func (b *bench) probe(ctx context.Context, plus, minus []int, bill *bill) (float64, error) {
	var cost [2]float64
	for i, x := range [][]int{plus, minus} {
		s, err := b.candidate(ctx, x, bill, false)
		if errors.Is(err, errBlamed) {
			b.accuse(x)
		}
		if err != nil {
			return 0, err
		}
		cost[i] = s.Cost
	}
	return cost[0] - cost[1], nil
}

// A block is what one ABBA or BAAB block measured.
type block struct {
	diff float64 // the incumbent's cost less the candidate's
	work float64 // the candidate's logarithm of work less the incumbent's
	near float64 // what of diff is that the candidate misses targets by less
	lag  float64 // how much more of the other arm the first slice behind the switch still had than the second
}

// block runs one block of y against the incumbent. For y at the incumbents, the
// values are applied again at each switch, so that A/A does what A/B does. Where a knob
// would tell nothing by then, neither does the block.
func (b *bench) block(ctx context.Context, y []int, wash int, bill *bill) (block, error) {
	if why := b.whyNot(y); why != "" {
		return block{}, silence(why)
	}
	order := [4]int{0, 1, 1, 0}
	if b.rand.IntN(2) == 1 {
		order = [4]int{1, 0, 0, 1}
	}
	var samples [4]seen
	for i, arm := range order {
		x := [2][]int{b.at, y}[arm]
		again := slices.Equal(y, b.at) && arm != b.arm
		b.arm = arm
		for left := 1 + b.unsettled(x, wash, again); left > 0; left-- {
			var s seen
			var err error
			switch {
			case arm == 1:
				s, err = b.candidate(ctx, y, bill, again)
			case left > 1:
				s, err = b.run(ctx, again)
			default:
				s, err = b.incumbent(ctx, again)
			}
			if err != nil {
				return block{}, err
			}
			samples[i], again = s, false
		}
	}
	if why := b.whyNot(y); why != "" {
		return block{}, silence(why)
	}
	return measured(order, samples), nil
}

func measured(order [4]int, samples [4]seen) block {
	var result block
	for i, arm := range order {
		sign := 0.5 - float64(arm) // 0.5 for the incumbent, -0.5 for the candidate
		result.diff += sign * samples[i].Cost
		result.near += sign * samples[i].short
		result.work -= sign * math.Log(samples[i].Work)
	}
	// The middle pair is of one arm; the first of it lies behind the switch.
	result.lag = samples[1].Cost - samples[2].Cost
	if order[1] == 0 {
		result.lag = -result.lag
	}
	return result
}

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
	least := float64(minRatio)
	if len(b.aims) > 0 {
		least = aimedRatio
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
	var work, near, lag []float64
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
		case errors.As(err, &blamed) && blamed.alarm == "" && len(e.Diffs) > 0 && !pardoned:
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
		e.Diffs, work, near, lag = append(e.Diffs, one.diff), append(work, one.work), append(near, one.near), append(lag, one.lag)
		sd := b.noise.within(e.Diffs)
		weigh(&e, sd)
		e.Work, e.Targets = mean(work), mean(near)
		if e.Effect != 0 {
			e.CarryOver = mean(lag) / e.Effect
		}
		saw := q.look(e.Diffs, sd)
		if saw == undecided || saw == better && len(work) < maxBlocks && (b.mayDoLess(work) || b.awaitsBursts(bill.bursts, e.Effect)) {
			continue
		}
		b.noise.add(e.Diffs)
		b.plain.add(without(e.Diffs, near))
		b.effort.add(work)
		b.carriedOver(y, e.Effect, lag)
		switch {
		case saw == notBetter:
			return result{verdict: perfcore.Rejected, reason: q.no, evidence: e}, nil
		case b.doesLess(&e, work):
			return result{verdict: perfcore.Rejected, reason: "it costs less, but it does less work", evidence: e}, nil
		case b.dearerInBursts(bill.bursts, e.Effect):
			return result{verdict: perfcore.Rejected, reason: "it costs less between bursts of the background, and so much more in them", evidence: e}, nil
		}
		return result{verdict: q.verdict, reason: q.yes, evidence: e}, nil
	}
}

// without returns the differences less what of each is that targets are missed by less.
func without(diffs, near []float64) []float64 {
	bare := make([]float64, len(diffs))
	for i := range diffs {
		bare[i] = diffs[i] - near[i]
	}
	return bare
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

// washFor returns how many slices behind a switch to y are left out.
func (b *bench) washFor(y []int) int {
	wash := 1
	for i := range y {
		if y[i] != b.at[i] {
			wash = max(wash, b.wash[i])
		}
	}
	return wash
}

// carriedOver adds what a trial said of carry-over to its knobs, and leaves out
// twice as many slices from now on behind switches of one that shows it.
func (b *bench) carriedOver(y []int, effect float64, lag []float64) {
	sd := b.lag.deviation()
	b.lag.add(lag)
	for i := range y {
		if y[i] == b.at[i] {
			continue
		}
		for _, l := range lag {
			b.lags[i].sum += math.Copysign(1, effect) * l
			b.lags[i].n++
		}
		if l := b.lags[i]; l.sum > 3*sd*math.Sqrt(l.n) {
			b.wash[i] = max(b.wash[i], min(2*b.wash[i], maxWash))
			b.lags[i] = lags{}
		}
	}
}
