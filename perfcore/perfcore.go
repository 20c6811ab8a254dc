// Package perfcore is what every other package reports to: metrics as
// descriptors, and nil-safe handles that record them. It is a leaf; it imports
// the standard library only and knows no block, peer or coin. Names come from
// the package that reports.
//
// A package asks the [Recorder] for its handles once, in its constructor, and
// keeps them. The hot path holds a handle, never a name, and a nil handle
// records nothing, so "no metrics" costs a branch.
package perfcore

import "strings"

// A Metric describes one time series completely: everything that exports,
// draws or documents it reads it from here.
type Metric struct {
	// Name is the Prometheus name with its unit as suffix
	// (outrider_block_verdict_seconds, outrider_feed_resyncs_total).
	Name string
	// Help is one sentence for the operator.
	Help string
	// Labels are constant: name, value, name, value… Their values must come
	// from a fixed set in the code, never from a peer, a user or an error.
	Labels []string
	// Panel is the title of the panel that draws the metric, together with the
	// metrics of its part that name the same and have the same unit. Without one
	// the metric has a panel of its own.
	Panel string
	// Alert says when the metric calls for somebody; the zero Alert never does.
	// Of several series with the same alert, the sum decides.
	Alert Alert
}

// Unit returns the unit that the name's suffix says: seconds, bytes or ratio (a
// share, mostly from 0 to 1); "" for a number of what the name says.
func (m Metric) Unit() string {
	name := strings.TrimSuffix(m.Name, "_total")
	for _, unit := range []string{"seconds", "bytes", "ratio"} {
		if strings.HasSuffix(name, "_"+unit) {
			return unit
		}
	}
	return ""
}

// A Recorder hands out instruments. Asking twice for the same name and labels
// returns the same instrument. Implementations are safe for concurrent use.
type Recorder interface {
	// Counter returns a count that only grows; its name ends in _total.
	Counter(Metric) *Counter
	// Gauge returns a value that goes up and down.
	Gauge(Metric) *Gauge
	// Timer returns a distribution of durations; its name ends in _seconds.
	Timer(Metric) *Timer
}

// Discard is a Recorder whose instruments record nothing.
var Discard Recorder = discard{}

type discard struct{}

func (discard) Counter(Metric) *Counter { return nil }
func (discard) Gauge(Metric) *Gauge     { return nil }
func (discard) Timer(Metric) *Timer     { return nil }
