package perfcore

import (
	"fmt"
	"slices"
)

// An OptimizationStatus says how far the optimizer is with one resource.
type OptimizationStatus uint8

// These are the statuses. The zero value is where every resource begins.
const (
	// NotOptimized: nothing is known, or what was known is out of date.
	NotOptimized OptimizationStatus = iota
	// Optimizing: the search goes on.
	Optimizing
	// Optimized: nothing is searched for, and no target is missed.
	Optimized
	// Failed: the search has come to rest, or there is nothing to search, and a target is
	// missed, or a knob fails: it could not be set, set back or read, and has no owner since.
	Failed
)

// transitions holds, for each status, those that may follow it. A resource whose
// targets are met needs no search, and one that failed is not optimized before
// another.
var transitions = [...][]OptimizationStatus{
	NotOptimized: {Optimizing, Optimized, Failed},
	Optimizing:   {NotOptimized, Optimized, Failed},
	Optimized:    {NotOptimized, Optimizing, Failed},
	Failed:       {NotOptimized, Optimizing},
}

// CanBecome reports whether next may follow s. A status does not follow itself.
func (s OptimizationStatus) CanBecome(next OptimizationStatus) bool {
	return int(s) < len(transitions) && slices.Contains(transitions[s], next)
}

// String returns the status in words.
func (s OptimizationStatus) String() string {
	switch s {
	case NotOptimized:
		return "not optimized"
	case Optimizing:
		return "optimizing"
	case Optimized:
		return "optimized"
	case Failed:
		return "failed"
	}
	return fmt.Sprintf("status(%d)", uint8(s))
}
