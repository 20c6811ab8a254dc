package engine

import (
	"cmp"
	"slices"

	"github.com/outrider-project/outrider/perfcore"
)

// narrowed returns s without the levels of knob i at which slices would not tell now what it
// costs, and without those behind them, where levels have an order. If they would not at its own,
// nothing else is left.
func (s Space) narrowed(i int, k *perfcore.Knob) Space {
	tells := func(level int) bool { return k.WhyNot(k.Ladder[level]) == "" }
	switch at := s.At[i]; {
	case k.Unready == nil:
	case !tells(at):
		s.Low[i], s.High[i] = at, at
		if s.Arms[i] != nil {
			s.Arms[i] = []int{at}
		}
	case s.Arms[i] != nil:
		s.Arms[i] = slices.DeleteFunc(s.Arms[i], func(level int) bool { return !tells(level) })
	default:
		low, high := at, at
		for low > s.Low[i] && tells(low-1) {
			low--
		}
		for high < s.High[i] && tells(high+1) {
			high++
		}
		s.Low[i], s.High[i] = low, high
	}
	return s
}

// whyNot returns why slices of y and of the incumbents would not tell now which cost less; ""
// when they would.
func (b *bench) whyNot(y []int) string {
	if slices.Equal(y, b.at) {
		return ""
	}
	for i, k := range b.o.Resources.Knobs() {
		if y[i] == b.at[i] {
			continue
		}
		if why := cmp.Or(k.WhyNot(k.Ladder[b.at[i]]), k.WhyNot(k.Ladder[y[i]])); why != "" {
			return k.Name + " cannot be tried: " + why
		}
	}
	return ""
}
