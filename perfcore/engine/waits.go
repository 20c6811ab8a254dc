package engine

import (
	"fmt"

	"github.com/outrider-project/outrider/perfcore"
)

// allMet is why nothing is tried where nothing is missing.
const allMet = "all targets are met"

// Waits says why Run tries nothing at this moment, in a sentence each, though it is neither
// frozen nor in a quiet regime; none while it tries something, or does not run.
func (o *PerformanceOptimizer) Waits() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var whys []string
	if !o.running {
		return nil
	}
	if o.waits != "" {
		whys = append(whys, o.waits)
	}
	if o.spent > 1 {
		whys = append(whys, fmt.Sprintf("experiments have spent %.0f %% of what they may cost", 100*o.spent))
	}
	return whys
}

// await notes what the loop waits for; "" while it may try something.
func (o *PerformanceOptimizer) await(why string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waits = why
}

// resting says why nothing is tried in a rest that lasts so many slices more.
func (o *PerformanceOptimizer) resting(left int) string {
	if o.content() {
		return allMet
	}
	return fmt.Sprintf("the search is at rest until its next audit, in %d slices at most: only what was promoted is tested again", left)
}

// ringing is why nothing is tried behind an alarm.
const ringing = "an alarm has stopped what was tried, or what was in force: nothing is tried until a slice ends without one"

// calibrating is why nothing is tried while a calibration runs.
const calibrating = "a calibration comes first: it tells how noisy the cost is"

// unproven says why nothing is tried between a calibration with a verdict and the next one,
// so many slices later.
func unproven(v perfcore.Verdict, left int) string {
	why := "the last calibration was inconclusive, for too few slices said something"
	if v == perfcore.Miscalibrated {
		why = "the last calibration found the incumbent different from itself"
	}
	return fmt.Sprintf("%s; the next comes in %d slices at most", why, left)
}
