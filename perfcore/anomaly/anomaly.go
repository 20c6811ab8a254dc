// Package anomaly tells when a quantity leaves the range that it usually has,
// by the median and the median of the distances from it, which a few wild
// values do not move; and tells it once, not at every value.
package anomaly

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

const (
	// window is how many values make the usual range, and fewest how many at
	// least.
	window = 128
	fewest = 32
	// raiseAt is how many deviations a value lies outside at least when
	// raiseOf of the last recent ones raise an alert, and clearAt below how
	// many all of the last recent ones must lie to clear it.
	raiseAt = 4.0
	clearAt = 2.5
	raiseOf = 3
	recent  = 5
	// relearn is after how many values of an alert its level is the usual one:
	// it has been told, and is no anomaly any more.
	relearn = window
	// measured is after how many values a full window is measured again.
	measured = 8
	// consistent makes the median distance a normal one's deviation.
	consistent = 1.4826
)

// An Event is what one value changed.
type Event uint8

// These are the events.
const (
	None Event = iota
	// Raised: the quantity has left its usual range.
	Raised
	// Cleared: it is back.
	Cleared
	// Relearnt: it has not come back, and where it is now is usual from here.
	Relearnt
)

// String returns the event in lower case.
func (e Event) String() string {
	switch e {
	case None:
		return "none"
	case Raised:
		return "raised"
	case Cleared:
		return "cleared"
	case Relearnt:
		return "relearnt"
	}
	return fmt.Sprintf("event(%d)", uint8(e))
}

// A Detector watches one quantity. One goroutine uses it.
type Detector struct {
	floor  float64
	usual  [window]float64
	n      int // values in usual
	next   int
	far    [recent]float64 // how many deviations the last values lay outside
	seen   int
	firing bool
	since  int // values since the alert
	after  [relearn]float64

	median, deviation float64
}

// New returns a detector that knows nothing. Distances below floor, in the
// quantity's unit and larger than 0, are never out of the ordinary: the
// measurement is no better, or nobody cares.
func New(floor float64) (*Detector, error) {
	if !(floor > 0) || math.IsInf(floor, 0) {
		return nil, errors.New("a detector needs a distance that does not matter")
	}
	return &Detector{floor: floor}, nil
}

// Observe takes one value and returns what it changed. What is no finite number
// is nothing.
func (d *Detector) Observe(v float64) Event {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return None
	}
	if d.n < fewest {
		d.learn(v)
		return None
	}
	far := math.Abs(v-d.median) / d.deviation
	d.far[d.seen%recent] = far
	d.seen++
	if d.firing {
		return d.wait(v)
	}
	if d.count(raiseAt) >= raiseOf {
		d.firing, d.since = true, 0
		return Raised
	}
	// What lies outside is not usual until it has been judged.
	if far < raiseAt {
		d.learn(v)
	}
	return None
}

// wait takes a value while the alert stands.
func (d *Detector) wait(v float64) Event {
	if d.count(clearAt) == 0 {
		d.firing = false
		return Cleared
	}
	d.after[d.since] = v
	if d.since++; d.since < relearn {
		return None
	}
	*d = Detector{floor: d.floor, usual: d.after, n: window}
	d.measure()
	return Relearnt
}

// count returns how many of the last values lay at least so many deviations
// outside.
func (d *Detector) count(deviations float64) int {
	n := 0
	for _, far := range d.far[:min(d.seen, recent)] {
		if far >= deviations {
			n++
		}
	}
	return n
}

// learn adds a value to the usual ones, in the place of the oldest.
func (d *Detector) learn(v float64) {
	d.usual[d.next%window] = v
	d.next++
	d.n = min(d.n+1, window)
	if d.n >= fewest && (d.n < window || d.next%measured == 0) {
		d.measure()
	}
}

// measure brings median and deviation up to date.
func (d *Detector) measure() {
	sorted := make([]float64, d.n)
	copy(sorted, d.usual[:d.n])
	slices.Sort(sorted)
	d.median = sorted[d.n/2]
	for i, v := range sorted {
		sorted[i] = math.Abs(v - d.median)
	}
	slices.Sort(sorted)
	d.deviation = max(consistent*sorted[d.n/2], d.floor/raiseAt)
}

// Firing reports whether the alert stands.
func (d *Detector) Firing() bool { return d.firing }

// Usual returns the median and the robust deviation of the usual values; zeros
// before enough are known.
func (d *Detector) Usual() (median, deviation float64) { return d.median, d.deviation }
