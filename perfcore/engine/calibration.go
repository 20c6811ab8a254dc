package engine

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/outrider-project/outrider/perfcore"
)

const (
	// suspicious is the largest sign-flip probability, of both directions
	// together, at which A/A is said to find something.
	suspicious = 0.02
	// eloquent is how many slices in a row that say something end a rest that was for want
	// of them: as many as a block has.
	eloquent = 4
)

// A silence is errVoid, and says why.
type silence string

func (s silence) Error() string { return string(s) }

func (silence) Is(err error) bool { return err == errVoid }

// untilCalibrated calibrates, and rests, until the incumbent was found to be as good as
// itself. A rest is twice as long as the one before, unless something has ended that.
func (t *tuner) untilCalibrated(ctx context.Context) error {
	rest := firstRest
	for {
		t.o.await(calibrating)
		verdict, err := t.calibrate(ctx)
		if err != nil {
			return err
		}
		t.o.mayTry(verdict == perfcore.Calibrated)
		if verdict == perfcore.Calibrated {
			return nil
		}
		ended, err := t.rested(ctx, rest, verdict)
		if err != nil {
			return err
		}
		if rest = min(2*rest, maxRest); ended {
			rest = firstRest
		}
	}
}

// rested lets the incumbent run alone for n slices between a calibration with a verdict and the
// next one, and reports whether that has ended sooner: because the regime or the targets are
// others, because an operator has asked for an audit, or, where too few slices said something,
// because they do.
func (t *tuner) rested(ctx context.Context, n int, verdict perfcore.Verdict) (ended bool, err error) {
	spoke := 0
	for i := range n {
		t.o.await(unproven(verdict, n-i))
		if t.o.askedFor() {
			t.asked = true
			return true, nil
		}
		t.o.settle(perfcore.Optimized)
		said, err := t.heard(ctx)
		if err != nil {
			return false, err
		}
		if t.refresh(); t.switched() || t.retargeted {
			return true, nil
		}
		if spoke++; !said {
			spoke = 0
		}
		if verdict == perfcore.Inconclusive && spoke == eloquent {
			return true, nil
		}
	}
	return false, nil
}

// calibrate compares the incumbent with itself in blocks like those of a trial.
// That gives the noise, and the proof that the way of measuring finds nothing
// where there is nothing. Its verdict is Calibrated where that holds, Miscalibrated where
// it does not, and Inconclusive where too few slices say something.
func (t *tuner) calibrate(ctx context.Context) (perfcore.Verdict, error) {
	var bill bill
	var e perfcore.Evidence
	var all blocks
	voids, before := 0, t.budget.slices
	t.arm = -1
	for len(all.diff) < maxBlocks {
		if err := t.o.untilThawed(ctx); err != nil {
			return 0, err
		}
		if t.refresh(); t.retargeted {
			t.disregard()
			all, voids = blocks{}, 0
		}
		if t.switched() {
			t.enter(ctx)
			t.fresh = false
		}
		one, err := t.block(ctx, t.at, t.longestWash(), &bill)
		var stopped *interruption
		switch {
		case errors.As(err, &stopped), errors.Is(err, errVoid), errors.Is(err, errBlamed):
			t.tell(stopped)
			if voids++; voids > maxVoids*maxBlocks {
				t.o.decide(perfcore.Decision{
					Trigger: "calibration", Verdict: perfcore.Inconclusive,
					Reason: "too few slices said something to tell how noisy the cost is, so nothing is tried; of the last one: " + err.Error(),
				})
				return perfcore.Inconclusive, nil
			}
			continue
		case err != nil:
			return 0, err
		}
		all.add(one)
	}
	e.Diffs = all.diff
	t.noise, t.plain, t.effort, t.lag = spread{}, spread{}, spread{}, spread{}
	t.noise.addZero(all.diff)
	t.plain.addZero(all.bare)
	t.effort.addZero(all.work)
	t.lag.addZero(all.lag)
	t.missing = len(t.o.missed()) > 0
	weigh(&e, t.noise.deviation())
	e.Slices = int(t.budget.slices - before)
	d := perfcore.Decision{
		Trigger: "calibration", Verdict: perfcore.Calibrated, Evidence: e,
		Reason: fmt.Sprintf("the incumbent is as good as itself; a block's difference has a deviation of %.1f %%", 100*e.Noise),
	}
	negated := make([]float64, len(e.Diffs))
	for i, v := range e.Diffs {
		negated[i] = -v
	}
	if p := 2 * min(e.SignFlip, signFlip(negated)); p <= suspicious && math.Abs(e.Effect) >= t.o.cfg.MinEffect {
		d.Verdict = perfcore.Miscalibrated
		d.Reason = "the incumbent differs from itself, so something follows the order of the slices; experiments are off until it does not"
		t.o.cfg.Log.Error("the optimizer's calibration found a difference where there is none", "effect", e.Effect)
	}
	t.o.decide(d)
	return d.Verdict, nil
}

// longestWash returns how many slices are left out behind a switch of all knobs that
// the engine owns.
func (t *tuner) longestWash() int {
	wash := 1
	for i, free := range t.free {
		if free {
			wash = max(wash, t.wash[i])
		}
	}
	return wash
}
