package engine

import (
	"context"
	"errors"
	"math"
	"slices"
)

// errBlamed: a guard fired at a candidate, and the incumbent is fine.
var errBlamed = errors.New("it cost far more than the incumbent behind it, or did far less")

// maxExcess bounds what one slice is charged, and blamed for: e^5 slices of the incumbent.
const maxExcess = 5

// GuardNoise is how many deviations of a block's difference, of cost and of work, a
// guard lies away, if that is more than Config.Guard and less than a doubling: one that
// noise passes does not tell who is to blame.
const GuardNoise = 4

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

// A bill is what one experiment cost.
type bill struct {
	excess     float64 // over the incumbent, in slices
	exonerated int
	bursts     []float64 // by how much more each slice with a burst has cost than the incumbent's
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

// beyondGuard reports whether a slice costs more, or does less, than the guard
// lets it beside the incumbent's cost and logarithm of work, all of it without what is
// missing of the targets: that is no danger, and noisier. Bursts differ by as much as
// there is in one.
func (b *bench) beyondGuard(s seen, cost, work float64) bool {
	return s.bare()-cost > b.guard(&b.plain)+b.excused(s) || work-math.Log(s.Work) > b.guard(&b.effort)+b.excused(s)
}

// guard is by how much a slice may be worse, as a logarithm, where a block has such noise.
func (b *bench) guard(noise *spread) float64 {
	return max(math.Log1p(b.o.cfg.Guard), min(GuardNoise*noise.deviation(), math.Ln2))
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
