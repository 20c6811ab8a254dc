package perfcore

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// A Scope says when a change of a knob takes effect.
type Scope uint8

// These are the scopes.
const (
	// Live changes take effect at once, for what begins after Apply returns.
	Live Scope = iota + 1
	// Restart changes take effect when the program starts again.
	Restart
)

// A Carry says how much of a value's effect outlasts the value, which decides
// how it may be tried.
type Carry uint8

// These are the carries. The zero value is none of them: such a knob is not experimented
// on, for what it is worth is in no measure of cost.
const (
	// Memoryless knobs have all their effect within Settle: limits, batches.
	Memoryless Carry = iota + 1
	// Warm knobs need a few slices until their effect is there, within Settle.
	Warm
	// Stateful knobs fill or empty what they size for minutes: caches, peers.
	// Taking turns with the old value says nothing about them.
	Stateful
)

// A Knob is a quantity of a component that may be tried at other values. What
// decides about consensus or security is no knob, whatever it costs.
type Knob struct {
	// Name is the component's and the quantity's: sigverify.workers.
	Name string
	// Help is one sentence for the operator.
	Help string
	// Unit is what a value counts, in the plural: goroutines, bytes.
	Unit string
	// Scope says when Apply takes effect.
	Scope Scope
	// Resource is what the knob trades in; 0 when none is named.
	Resource ResourceType
	// Carry and Settle say how long the value before still shows after Apply.
	Carry  Carry
	Settle time.Duration
	// Fills says that it sizes what has to fill before a value shows what it is worth, as a cache: a
	// search also tries values far away, for less than what is asked for again may save nothing.
	Fills bool
	// Hastens says that what the knob buys is time: of a block's verdict, of an answer. It is
	// tried only where time is in the cost, or where Resource misses a target of time, for
	// elsewhere the least of it would cost least.
	Hastens bool
	// Ladder holds the legal values, ascending. Its ends are hard bounds.
	Ladder []int64
	// Unordered says that values are names: that one lies between two others
	// means nothing.
	Unordered bool
	// Apply sets the quantity to a value of the ladder; when it fails, the
	// quantity is as it was. Read returns the value that is in force. Both are
	// safe for concurrent use.
	Apply func(ctx context.Context, value int64) error
	Read  func() int64
	// Unready, if set, returns why slices would not tell at this moment what a value of the
	// ladder costs; "" when they would. The knob is tried only between two values of which they
	// would. It is asked between slices, and by who tells what is tried: it must not block, and
	// is safe for concurrent use.
	Unready func(value int64) (why string)
	// Within is the time that either may take (DefaultWithin). The context of Apply ends
	// then; a knob that does not return all the same is left alone until it does.
	Within time.Duration
}

// Ladder returns a ladder of steps and values, in a slice of its own, ascending and each once: what is
// in force must be on the ladder of its knob, wherever an operator has put it.
func Ladder(steps []int64, values ...int64) []int64 {
	all := slices.Concat(steps, values)
	slices.Sort(all)
	return slices.Compact(all)
}

// DefaultWithin is the time that a knob has for Apply, and for Read, when it does not say.
const DefaultWithin = 10 * time.Second

// Check returns what is wrong with the knob; nil when nothing is. It does not
// call its functions.
func (k *Knob) Check() error {
	switch {
	case k.Name == "" || k.Help == "" || k.Unit == "":
		return fmt.Errorf("knob %q: name, help and unit are needed", k.Name)
	case k.Scope != Live && k.Scope != Restart:
		return fmt.Errorf("knob %s: there is no scope %d", k.Name, k.Scope)
	case k.Resource != 0 && !k.Resource.IsValid():
		return fmt.Errorf("knob %s: there is no %v", k.Name, k.Resource)
	case k.Carry > Stateful || k.Settle < 0:
		return fmt.Errorf("knob %s: carry %d over %v is none", k.Name, k.Carry, k.Settle)
	case k.Within < 0:
		return fmt.Errorf("knob %s: nothing can be done within %v", k.Name, k.Within)
	case k.Apply == nil || k.Read == nil:
		return fmt.Errorf("knob %s: Apply and Read are needed", k.Name)
	case len(k.Ladder) == 0:
		return fmt.Errorf("knob %s: its ladder is empty", k.Name)
	}
	for i, v := range k.Ladder[1:] {
		if v <= k.Ladder[i] {
			return fmt.Errorf("knob %s: its ladder %v does not ascend", k.Name, k.Ladder)
		}
	}
	return nil
}

// WhyNot returns why slices would not tell at this moment what value costs; "" when they would.
func (k *Knob) WhyNot(value int64) string {
	if k.Unready == nil {
		return ""
	}
	return k.Unready(value)
}

// Set applies value, which must be on the ladder, and reads it back if the knob
// is live. It fails when the knob then reads otherwise.
func (k *Knob) Set(ctx context.Context, value int64) error {
	if _, legal := slices.BinarySearch(k.Ladder, value); !legal {
		return fmt.Errorf("knob %s: %d is not one of %v", k.Name, value, k.Ladder)
	}
	if err := k.Apply(ctx, value); err != nil {
		return fmt.Errorf("knob %s: set to %d %s: %w", k.Name, value, k.Unit, err)
	}
	if got := k.Read(); k.Scope == Live && got != value {
		return fmt.Errorf("knob %s: set to %d %s, and reads %d", k.Name, value, k.Unit, got)
	}
	return nil
}
