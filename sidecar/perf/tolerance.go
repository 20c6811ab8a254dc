package perf

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/outrider-project/outrider/perfcore/engine"
)

// A Tolerance is what the optimizer asks of a change, and what its experiments may cost, as in engine.Config: shares,
// above 0 and below 1.
type Tolerance struct{ MinEffect, Guard, Budget float64 }

// DefaultTolerance returns the engine's own.
func DefaultTolerance() Tolerance {
	return Tolerance{engine.DefaultMinEffect, engine.DefaultGuard, engine.DefaultBudget}
}

// withDefaults returns it with the engine's in place of those that are 0.
func (t Tolerance) withDefaults() (Tolerance, error) {
	usual := DefaultTolerance()
	t = Tolerance{cmp.Or(t.MinEffect, usual.MinEffect), cmp.Or(t.Guard, usual.Guard), cmp.Or(t.Budget, usual.Budget)}
	for _, v := range []float64{t.MinEffect, t.Guard, t.Budget} {
		if !(v > 0 && v < 1) {
			return t, errors.New("minimum effect, guard and budget must lie between 0 and 1")
		}
	}
	if t.MinEffect >= t.Guard {
		return t, fmt.Errorf("the minimum effect, %v, must be less than the guard, %v", t.MinEffect, t.Guard)
	}
	return t, nil
}

// rule says when a change is kept, where slices have this length.
func (t Tolerance) rule(slice time.Duration) string {
	firstHour := t.Budget * (1 + engine.Advance*slice.Hours())
	return "blocks of four slices in random order, the candidate twice and the incumbent twice; " +
		fmt.Sprintf("kept when the cost of a unit of work falls by %.3g %% or more with a likelihood ratio above %d (%d where there are targets), ", 100*t.MinEffect, engine.MinRatio, engine.AimedRatio) +
		fmt.Sprintf("and undone within one slice of a guard; experiments may add %.3g %% to the cost in the long run, and up to %.1f %% in the first hour of a run; ", 100*t.Budget, 100*firstHour) +
		"of a target that is missed, each per cent that is missing counts as a per cent of cost"
}

// guards say what stands guard over a trial.
func (t Tolerance) guards() []string {
	return []string{
		fmt.Sprintf("a slice that costs %.3g %% more, or does %.3g %% less work, than the incumbent's of the same minutes ends the trial, unless the candidate was fine for a block before and it is the first: that counts against it; where that is noise, %d deviations of it do, a doubling at most",
			100*t.Guard, 100*t.Guard/(1+t.Guard), engine.GuardNoise),
		"memory that runs out, or that every task waits for, ends it within a second; where that comes and goes with the candidate, its value is left alone for a while",
	}
}
