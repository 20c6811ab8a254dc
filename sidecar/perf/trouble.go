package perf

import (
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// flapsWithin is the time in which changes of the regime are counted.
const flapsWithin = 30 * time.Minute

// A flapping counts changes of the regime lately. One goroutine uses it.
type flapping struct {
	before int // switches, when it was asked last, or began
	at     []time.Time
}

// count takes how often the regime has changed in all, and returns how often
// it has within flapsWithin.
func (f *flapping) count(switches int, now time.Time) int {
	for ; f.before < switches; f.before++ {
		f.at = append(f.at, now)
	}
	for len(f.at) > 0 && now.Sub(f.at[0]) >= flapsWithin {
		f.at = f.at[1:]
	}
	return len(f.at)
}

const (
	// turnsAmong is among how many of a knob's changes turns are counted, and
	// turnsWithin how old these may be.
	turnsAmong  = 20
	turnsWithin = 24 * time.Hour
)

// turns returns how often the knob that turned most has changed its direction, in its
// last changes for good: by evidence, for want of it, or by a lease that moved. What a regime or a
// snapshot brings back is no change of mind. Decisions are in their order.
func turns(decisions []perfcore.Decision, now time.Time) (most int) {
	up := make(map[string][]bool) // by knob: whether each change was upwards
	for _, d := range decisions {
		forGood := d.Verdict == perfcore.Promoted || d.Verdict == perfcore.Withdrawn || d.Verdict == perfcore.Leased
		if !forGood || now.Sub(d.At) >= turnsWithin {
			continue
		}
		for _, m := range d.Moves {
			up[m.Knob] = append(up[m.Knob], m.To > m.From)
		}
	}
	for _, changes := range up {
		changes = changes[max(len(changes)-turnsAmong, 0):]
		n := 0
		for i := 1; i < len(changes); i++ {
			if changes[i] != changes[i-1] {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}
