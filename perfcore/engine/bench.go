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

// errVoid: a slice says nothing, so neither does its block.
var errVoid = errors.New("a slice said nothing")

const (
	// maxWash is the most slices that are left out behind a switch.
	maxWash = 8
	// maxBursts is after how many slices in a row with a burst nothing is said.
	maxBursts = 8
	// oftenRate is the share of the newest slice in how often there are bursts.
	oftenRate = 0.01
	// refRate is the share of the newest slice in the incumbent's cost.
	refRate = 0.2
)

// A bench measures points against the incumbent. One goroutine uses it.
type bench struct {
	o      *PerformanceOptimizer
	rand   *rand.Rand
	budget budget
	caps   *caps
	regime string
	knowledge

	// hastens are the knobs that are tried only where time counts, and trades what each
	// knob trades in.
	hastens []bool
	trades  []perfcore.ResourceType
	// at are the incumbents, free which of them the engine may move, at epoch.
	at    []int
	free  []bool
	epoch int
	// targets are those that were set when aims was drawn from them. fresh: nothing was
	// tried in this regime, nor is anything known of it.
	targets map[perfcore.ResourceType]perfcore.Targets
	fresh   bool

	last  []int // levels in force; nil when unknown
	stays int   // slices that have run since they were applied
	calm  bool  // the slice before this one ended by itself, so there was no alarm
	rings bool  // an alarm has ended a slice, and none has ended by itself since
	arm   int   // of A/A that the last slice belonged to; -1 for neither
	shift shift
	// changed: the incumbent's cost has shifted by itself, and nothing has
	// been done about it yet.
	changed bool
	// retargeted: there are other targets than those under which anything was measured in
	// this regime, and nothing has been done about it yet; everywhere: others were set.
	retargeted bool
	everywhere bool
	// wash is how many slices of each knob are left out behind a switch, and
	// lags what its trials said of that.
	wash []int
	lags []lags
}

// knowledge is what slices have said in one regime.
type knowledge struct {
	aims   []aim   // that are in the cost
	cost   average // of the incumbent, between bursts
	bare   average // the incumbent's, without what is missing of the targets
	work   average // logarithm of the incumbent's
	burst  average // by how much more it costs in one
	often  float64 // the share of its slices that have one
	ran    float64 // slices in that
	noise  spread  // of a block's difference
	plain  spread  // of a block's difference without what is missing of the targets
	effort spread  // of a block's difference of work
	lag    spread  // of a block's carry-over
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
