package plant

import (
	"math"
	"math/rand/v2"
)

// A Surface returns the natural logarithm of the true cost of a unit of work
// with the knobs at levels, in slice t. It must not keep levels.
type Surface func(levels []int, t int) float64

// span is the distance between two levels as a share of the ladder.
func span(from, to float64) float64 { return (to - from) / (Levels - 1) }

// Bowl is a quadratic surface whose lowest cost is 0, at Bottom.
type Bowl struct {
	// Bottom is the best level of each knob; it may lie between two.
	Bottom []float64
	// Weight is the cost of each knob at the other end of the ladder.
	Weight []float64
	// Interaction multiplies the distances of each knob and the one before.
	Interaction float64
}

// RandomBowl returns a bowl of n knobs whose first two matter five times as
// much as the rest, with weak interactions and its bottom anywhere but at the
// ends.
func RandomBowl(r *rand.Rand, n int) Bowl {
	b := Bowl{Bottom: make([]float64, n), Weight: make([]float64, n), Interaction: 0.15}
	for i := range n {
		b.Bottom[i] = 1 + 8*r.Float64()
		b.Weight[i] = 0.25
		if i < 2 {
			b.Weight[i] = 1.2
		}
	}
	return b
}

// Surface returns the bowl as a surface.
func (b Bowl) Surface() Surface {
	return func(levels []int, _ int) float64 {
		var cost, before float64
		for i, l := range levels {
			d := span(b.Bottom[i], float64(l))
			cost += b.Weight[i]*d*d + b.Interaction*d*before
			before = d
		}
		return cost
	}
}

// Flat returns a surface on which no knob has an effect.
func Flat() Surface { return func([]int, int) float64 { return 0 } }

// Step returns a surface whose cost is effect unless the first knob is at
// level.
func Step(level int, effect float64) Surface {
	return func(levels []int, _ int) float64 {
		if levels[0] == level {
			return 0
		}
		return effect
	}
}

// Plateau returns a bowl that is flat up to radius levels from its bottom, in
// each knob.
func Plateau(b Bowl, radius float64) Surface {
	return func(levels []int, _ int) float64 {
		var cost float64
		for i, l := range levels {
			d := max(math.Abs(float64(l)-b.Bottom[i])-radius, 0) / (Levels - 1)
			cost += b.Weight[i] * d * d
		}
		return cost
	}
}

// Cliff returns s with height more cost where the first knob is at level or
// above: memory that runs out.
func Cliff(s Surface, level int, height float64) Surface {
	return func(levels []int, t int) float64 {
		cost := s(levels, t)
		if levels[0] >= level {
			cost += height
		}
		return cost
	}
}

// Ridge returns a surface of two knobs that must move together: off the
// diagonal the cost rises steeply, along it slowly to the best level.
func Ridge(best float64) Surface {
	return func(levels []int, _ int) float64 {
		across := span(float64(levels[0]), float64(levels[1]))
		along := span(best, float64(levels[0]+levels[1])/2)
		return 2*across*across + 0.8*along*along
	}
}

// Basins returns a surface of one knob with two basins: one at level 2, which
// costs shallow more than the other, at level 8.
func Basins(shallow float64) Surface {
	return func(levels []int, _ int) float64 {
		near, far := span(2, float64(levels[0])), span(8, float64(levels[0]))
		return min(shallow+1.5*near*near, 1.5*far*far)
	}
}

// Arms returns a surface of one knob whose levels cost what is listed, which
// need not follow any order.
func Arms(costs [Levels]float64) Surface {
	return func(levels []int, _ int) float64 { return costs[levels[0]] }
}

// Moved returns before until slice at, and after from then on.
func Moved(before, after Surface, at int) Surface {
	return func(levels []int, t int) float64 {
		if t < at {
			return before(levels, t)
		}
		return after(levels, t)
	}
}

// Oracle returns the cheapest levels of n knobs in slice t, and their cost. For
// up to four knobs it has looked at all; for more it descends by one and two
// knobs at a time from many starts, which finds the bottom of a bowl.
func Oracle(s Surface, n, t int) (levels []int, cost float64) {
	if n <= 4 {
		return exhaustive(s, n, t)
	}
	r := rand.New(rand.NewPCG(uint64(n), 3))
	cost = math.Inf(1)
	for range 4 {
		x := make([]int, n)
		for i := range x {
			x[i] = r.IntN(Levels)
		}
		if c := descend(s, x, t); c < cost {
			levels, cost = x, c
		}
	}
	return levels, cost
}

func exhaustive(s Surface, n, t int) (best []int, cost float64) {
	best, cost = make([]int, n), math.Inf(1)
	x := make([]int, n)
	for {
		if c := s(x, t); c < cost {
			cost = c
			copy(best, x)
		}
		i := 0
		for ; i < n; i++ {
			if x[i]++; x[i] < Levels {
				break
			}
			x[i] = 0
		}
		if i == n {
			return best, cost
		}
	}
}

// descend moves x to where no change of one or two neighbouring knobs is
// cheaper, and returns the cost there.
func descend(s Surface, x []int, t int) float64 {
	cost := s(x, t)
	for moved := true; moved; {
		moved = false
		for i := range x {
			j := (i + 1) % len(x)
			a, b := x[i], x[j]
			for k := range Levels * Levels {
				x[i], x[j] = k%Levels, k/Levels
				if c := s(x, t); c < cost-1e-12 {
					cost, a, b, moved = c, x[i], x[j], true
				}
			}
			x[i], x[j] = a, b
		}
	}
	return cost
}
