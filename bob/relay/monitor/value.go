package monitor

import "time"

// A Value is something that may not be known.
type Value[T any] struct {
	// Known says that V was read this time.
	Known bool `json:"known"`
	// V is what was read last, if Known is false; nil if it was never read, or in an L2
	// block that is no more.
	V *T `json:"value"`
	// At is when V was read, and Age how many seconds before the state that this is in.
	At  time.Time `json:"at,omitzero"`
	Age float64   `json:"age_seconds"`
	// Reason says why V was not read this time; "" if it was.
	Reason string `json:"reason,omitempty"`
}

// next returns the value that follows v when v was read again, or was not because of err.
func (v Value[T]) next(now time.Time, read *T, at time.Time, err error) Value[T] {
	if err == nil {
		v = Value[T]{Known: true, V: read, At: at}
	} else {
		v.Known, v.Reason = false, err.Error()
	}
	v.Age = 0
	if !v.At.IsZero() {
		v.Age = max(now.Sub(v.At).Seconds(), 0)
	}
	return v
}
