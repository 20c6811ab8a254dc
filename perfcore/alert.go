package perfcore

import (
	"fmt"
	"time"
)

// An Alert says when a gauge's value, or what a counter grows by in a second,
// calls for somebody. It is raised when that has been above Raise for as long as
// For, and cleared when it has been at Clear or below for as long as Keep. Between
// the two it stays as it is.
type Alert struct {
	// Name is unique in a program (of a-z, 0-9 and _).
	Name string
	// Help is a sentence for the operator: what it means, and what to do.
	Help string
	// Urgent says that it cannot wait until somebody looks.
	Urgent       bool
	Raise, Clear float64
	For, Keep    time.Duration
}

// mistake says what is wrong with a; "" when nothing is.
func (a Alert) mistake() string {
	switch {
	case a == Alert{}:
		return ""
	case !isName(a.Name):
		return fmt.Sprintf("%q is no name of an alert", a.Name)
	case a.Help == "":
		return "its alert says nothing to the operator"
	case !(a.Clear <= a.Raise):
		return fmt.Sprintf("its alert is raised at %v and cleared at %v", a.Raise, a.Clear)
	case a.For < 0 || a.Keep < 0:
		return "its alert takes less than no time"
	}
	return ""
}
