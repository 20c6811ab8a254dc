package engine

import (
	"math"
	"slices"
)

// leaps are the far values that a search has tried of single knobs that size what has to fill. What a cache saves begins
// where what is asked for again fits into it: below, its cost is flat, or rises, and no slope leads there.
type leaps struct {
	done [][2]int // of each knob, down and up: how many of reaches
	last *int     // which of done the last proposal is of; nil if it is no leap
}

// reaches are how many levels the leaps of a knob one way go, one after the other: to its end, where a
// cache holds all that it could, and the guard soon tells if that is too dear, and then less far.
// leastLeap is as far as slopes and steps along single knobs do not reach.
var reaches = [...]int{math.MaxInt32, 3}

const leastLeap = 2

// next returns where the next leap goes: of those that are left, that of the knob whose slope, by
// how clear it is, says least, and the longest. It reports whether one is left.
func (l *leaps) next(s Space, clear []float64) (y []int, ok bool) {
	l.last = nil
	flattest, longest := math.Inf(1), 0
	for i, at := range s.At {
		if i >= len(s.Fills) || !s.Fills[i] {
			continue
		}
		for way, sign := range [2]int{-1, 1} {
			target, ok := l.target(s, i, way, sign)
			distance := sign * (target - at)
			if !ok || clear[i] > flattest || clear[i] == flattest && distance <= longest {
				continue
			}
			flattest, longest = clear[i], distance
			l.last = &l.done[i][way]
			y = slices.Clone(s.At)
			y[i] = target
		}
	}
	return y, l.last != nil
}

// target returns where knob i leaps next that way, and whether it does.
func (l *leaps) target(s Space, i, way, sign int) (target int, ok bool) {
	before := s.At[i]
	for n, reach := range reaches {
		target = s.clamp(i, s.At[i]+sign*reach)
		if n >= l.done[i][way] && target != before && sign*(target-s.At[i]) >= leastLeap {
			return target, true
		}
		before = target
	}
	return 0, false
}

// judged notes that what was proposed last has come to a verdict, and reports whether that was a leap.
func (l *leaps) judged() bool {
	if l.last == nil {
		return false
	}
	*l.last++
	return true
}

// forget says that the incumbent has moved, or the world.
func (l *leaps) forget() {
	clear(l.done)
	l.last = nil
}
