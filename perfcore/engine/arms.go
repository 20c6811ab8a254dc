package engine

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/outrider-project/outrider/perfcore"
)

// thompson proposes values of knobs that have no order, arms, by discounted
// Thompson sampling: it draws what each arm might cost from what is believed of
// it, measures the cheapest draw beside the incumbent, and proposes it when it
// then looks better. An arm of which little is known is drawn now and then, and
// one that is known to be bad hardly ever; what was measured long ago counts
// less.
type thompson struct {
	rand    *rand.Rand
	beliefs [][]belief // of each knob's levels
	turn    int        // the knob that was last
}

// A belief is what is thought of an arm's cost: the mean of pairs differences,
// added to the cost of the arm that they were measured against.
type belief struct{ cost, pairs float64 }

const (
	// armPairs are the pairs of slices that one proposal measures.
	armPairs = 2
	// armPrior is the deviation of arms' costs, and armNoise that of one pair's
	// difference.
	armPrior = 0.15
	armNoise = 0.07
	// armDiscount is the share of what was measured that counts at the next
	// proposal.
	armDiscount = 0.99
	// worthTrying is the fall of the cost, as far as is known, from which on an
	// arm is proposed.
	worthTrying = 0.01
)

func (e *thompson) Propose(_ context.Context, s Space, probe func(plus, minus []int) (float64, error)) ([]int, error) {
	if e.beliefs == nil {
		e.beliefs = make([][]belief, len(s.At))
		for i := range s.At {
			e.beliefs[i] = make([]belief, s.High[i]+1)
		}
	}
	for range s.At {
		e.turn = (e.turn + 1) % len(s.At)
		if len(s.Arms[e.turn]) > 1 || len(s.Arms[e.turn]) == 1 && s.Arms[e.turn][0] != s.At[e.turn] {
			break
		}
	}
	i := e.turn
	beliefs := e.grown(i, slices.Max(append([]int{s.At[i]}, s.Arms[i]...)))
	for l := range beliefs {
		beliefs[l].pairs *= armDiscount
	}
	arm := e.draw(beliefs, s.Arms[i], s.At[i])
	y := slices.Clone(s.At)
	if arm == s.At[i] {
		return y, nil
	}
	y[i] = arm
	incumbent := beliefs[s.At[i]].cost
	for range armPairs {
		diff, err := probe(y, s.At)
		if err != nil {
			return nil, err
		}
		b := &beliefs[arm]
		b.pairs++
		b.cost += (incumbent + diff - b.cost) / b.pairs
	}
	if mean, _ := beliefs[arm].posterior(incumbent); mean > incumbent-worthTrying {
		return slices.Clone(s.At), nil
	}
	return y, nil
}

// grown returns the beliefs of knob i, which reach to level at least.
func (e *thompson) grown(i, level int) []belief {
	for len(e.beliefs[i]) <= level {
		e.beliefs[i] = append(e.beliefs[i], belief{})
	}
	return e.beliefs[i]
}

// posterior returns mean and deviation of what the arm may cost, when the
// incumbent costs so much.
func (b belief) posterior(incumbent float64) (mean, deviation float64) {
	weight := b.pairs * armPrior * armPrior / (b.pairs*armPrior*armPrior + armNoise*armNoise)
	return incumbent + weight*(b.cost-incumbent), armPrior * math.Sqrt(1-weight)
}

// draw returns the arm whose cost is lowest in one draw of all but the
// incumbent.
func (e *thompson) draw(beliefs []belief, arms []int, at int) int {
	best, lowest := at, math.Inf(1)
	for _, l := range arms {
		if l == at {
			continue
		}
		mean, deviation := beliefs[l].posterior(beliefs[at].cost)
		if cost := mean + deviation*e.rand.NormFloat64(); cost < lowest {
			best, lowest = l, cost
		}
	}
	return best
}

func (e *thompson) Learn(perfcore.Verdict) {}

func (e *thompson) Forget() { e.beliefs = nil }
