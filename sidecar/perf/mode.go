package perf

import "fmt"

// A Mode says what is done about performance.
type Mode string

// These are the modes.
const (
	// Off measures nothing, and serves nothing.
	Off Mode = "off"
	// Observe measures and reports, and moves no knob but at an operator's word.
	Observe Mode = "observe"
	// Optimize tries other values, and keeps what proves better.
	Optimize Mode = "optimize"
)

// ParseMode returns the mode that is called s.
func ParseMode(s string) (Mode, error) {
	switch m := Mode(s); m {
	case Off, Observe, Optimize:
		return m, nil
	}
	return "", fmt.Errorf("must be one of %s, %s, %s", Off, Observe, Optimize)
}
