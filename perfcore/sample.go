package perfcore

import "math"

// A Sample is what one slice of time measured, under one setting of the knobs.
type Sample struct {
	// Cost is the natural logarithm of the cost of one unit of work: a
	// difference of 0.05 is five per cent. It is per unit, so that slices of
	// different length or load compare, and it must not leave out work that
	// failed or timed out.
	Cost float64
	// Work is the units of work done for what was asked, larger than 0. A
	// cost that falls because work is refused, dropped or put off shows here.
	Work float64
	// Usage is what the resources were seen to do; those that are missing
	// were not measured. It counts in a void sample, too, so one has none where the
	// resources were disturbed.
	Usage map[ResourceType]Usage
	// Burst, unless "", is the work of the background that came due within the slice, and
	// would have under any values of the knobs that are tried. Such a slice is measured
	// again, so it must be seldom that there is one.
	Burst string
	// Void, unless "", is why the slice says nothing: too few operations, a
	// restart within it, processor time stolen by a neighbour.
	Void string
}

// Check returns why nothing may be concluded from the sample; "" when
// something may.
func (s Sample) Check() string {
	switch {
	case s.Void != "":
		return s.Void
	case math.IsNaN(s.Cost) || math.IsInf(s.Cost, 0):
		return "its cost is no number"
	case !(s.Work > 0) || math.IsInf(s.Work, 0):
		return "no work was done"
	}
	return ""
}
