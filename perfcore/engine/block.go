package engine

import (
	"context"
	"errors"
	"math"
	"slices"
)

// A block is what one ABBA or BAAB block measured.
type block struct {
	diff float64 // the incumbent's cost less the candidate's
	work float64 // the candidate's logarithm of work less the incumbent's
	near float64 // what of diff is that the candidate misses targets by less
	lag  float64 // how much more of the other arm the first slice behind the switch still had than the second
}

// block runs one block of y against the incumbent. For y at the incumbents, the
// values are applied again at each switch, so that A/A does what A/B does. Where a knob
// would tell nothing by then, neither does the block.
func (b *bench) block(ctx context.Context, y []int, wash int, bill *bill) (block, error) {
	if why := b.whyNot(y); why != "" {
		return block{}, silence(why)
	}
	order := [4]int{0, 1, 1, 0}
	if b.rand.IntN(2) == 1 {
		order = [4]int{1, 0, 0, 1}
	}
	var samples [4]seen
	for i, arm := range order {
		x := [2][]int{b.at, y}[arm]
		again := slices.Equal(y, b.at) && arm != b.arm
		b.arm = arm
		for left := 1 + b.unsettled(x, wash, again); left > 0; left-- {
			var s seen
			var err error
			switch {
			case arm == 1:
				s, err = b.candidate(ctx, y, bill, again)
			case left > 1:
				s, err = b.run(ctx, again)
			default:
				s, err = b.incumbent(ctx, again)
			}
			if err != nil {
				return block{}, err
			}
			samples[i], again = s, false
		}
	}
	if why := b.whyNot(y); why != "" {
		return block{}, silence(why)
	}
	return measured(order, samples), nil
}

// blocks are those of one trial, by what they measured.
type blocks struct{ diff, bare, work, near, lag []float64 }

func (b *blocks) add(one block) {
	b.diff, b.bare = append(b.diff, one.diff), append(b.bare, one.diff-one.near)
	b.work, b.near, b.lag = append(b.work, one.work), append(b.near, one.near), append(b.lag, one.lag)
}

func measured(order [4]int, samples [4]seen) block {
	var result block
	for i, arm := range order {
		sign := 0.5 - float64(arm) // 0.5 for the incumbent, -0.5 for the candidate
		result.diff += sign * samples[i].Cost
		result.near += sign * samples[i].short
		result.work -= sign * math.Log(samples[i].Work)
	}
	// The middle pair is of one arm; the first of it lies behind the switch.
	result.lag = samples[1].Cost - samples[2].Cost
	if order[1] == 0 {
		result.lag = -result.lag
	}
	return result
}

// probe returns the difference of cost between two points, measured in
// neighbouring slices.
func (b *bench) probe(ctx context.Context, plus, minus []int, bill *bill) (float64, error) {
	var cost [2]float64
	for i, x := range [][]int{plus, minus} {
		s, err := b.candidate(ctx, x, bill, false)
		if errors.Is(err, errBlamed) {
			b.accuse(x)
		}
		if err != nil {
			return 0, err
		}
		cost[i] = s.Cost
	}
	return cost[0] - cost[1], nil
}
