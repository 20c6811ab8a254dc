package engine

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/outrider-project/outrider/perfcore"
)

// A Space is where the knobs stand and how far each may be moved, as levels of
// their ladders. A knob that may not be moved has Low and High at its level.
type Space struct {
	At, Low, High []int
	// Arms holds, for each knob whose values have no order, the levels that may
	// be tried; nil for the others.
	Arms [][]int
	// Fills says of which knobs a value shows what it is worth once something has filled, as a
	// cache has to; nil for none.
	Fills []bool
}

// clamp returns level within the bounds of knob i.
func (s Space) clamp(i, level int) int { return min(max(level, s.Low[i]), s.High[i]) }

// An OptimizationEngine proposes changes. It decides nothing: what it proposes
// is tried against the incumbent, and it is told what came of it. One goroutine
// calls it.
type OptimizationEngine interface {
	// Propose returns levels within s that may cost less than s.At, or s.At
	// itself when it knows none. It may ask probe for the difference of the
	// cost's logarithm, the first point's less the second's, measured in
	// neighbouring slices; errors of probe end the proposal and are returned.
	Propose(ctx context.Context, s Space, probe func(plus, minus []int) (float64, error)) ([]int, error)
	// Learn tells the verdict on the last proposal. Of one that was interrupted, so that
	// nothing is known of it, it tells only behind others: it is Inconclusive then.
	Learn(v perfcore.Verdict)
	// Forget tells that the world has changed.
	Forget()
}

// A predictor is an OptimizationEngine that can tell what it expects of a proposal.
type predictor interface {
	// predict returns by how much the logarithm of the cost is expected to fall from one
	// point to another, and by how many measurements; 0 where nothing is known.
	predict(from, to []int) (falls, by float64)
}

// predict says in a sentence what e expects of a move; "" when that is nothing.
func predict(e OptimizationEngine, from, to []int) string {
	p, ok := e.(predictor)
	if !ok {
		return ""
	}
	falls, by := p.predict(from, to)
	if by == 0 {
		return ""
	}
	return fmt.Sprintf("cost %+.1f %%, by the slopes that perturbations in %.3g pairs of slices had, as if they went on", perfcore.Percent(-falls), by)
}

// The hybrid engine perturbs all knobs at once (Spall's SPSA) in a few pairs of
// neighbouring slices, whose common noise cancels, and proposes one step
// against the gradient. When such steps fail it steps along single knobs, and leaps. Before
// all that it perturbs each knob alone, until a pair is measured that raises no guard, so
// that one behind which a cliff lies is found by name, and on which side.
type hybrid struct {
	rand   *rand.Rand
	radius float64   // levels that the largest component of a step moves
	slope  []float64 // sums of the pairs' slopes, per level
	pairs  []float64 // and their number
	misses int       // proposals in a row that were not promoted
	alone  []bool    // which knobs have been perturbed alone
	leaps  leaps
}

const (
	pairsPerProposal = 4
	firstRadius      = 3
	movedRadius      = 3.5 // behind a change of the world, when the optimum may be anywhere
	maxRadius        = 4
	// remembered is the share of what the pairs said that still holds after
	// the incumbent has moved.
	remembered = 0.25
	// lasting is the share that still holds at the next proposal.
	lasting = 0.8
)

// NewHybrid returns the engine that is used when Config names none, drawing
// from r: perturbations for knobs with an order, and Thompson sampling for
// those without. They take turns.
func NewHybrid(r *rand.Rand) OptimizationEngine {
	return &turns{ordered: &hybrid{rand: r, radius: firstRadius}, unordered: &thompson{rand: r}}
}

// turns lets two engines take turns, each with the knobs of its kind.
type turns struct {
	ordered, unordered OptimizationEngine
	last               OptimizationEngine // who made the last proposal
}

func (e *turns) Propose(ctx context.Context, s Space, probe func(plus, minus []int) (float64, error)) ([]int, error) {
	ranks, names := s, false
	ranks.Low, ranks.High, ranks.Arms = slices.Clone(s.Low), slices.Clone(s.High), nil
	for i, arms := range s.Arms {
		if arms != nil {
			ranks.Low[i], ranks.High[i] = s.At[i], s.At[i]
			names = names || len(arms) > 1
		}
	}
	e.last = e.next(names, !slices.Equal(ranks.Low, ranks.High))
	if e.last == e.unordered {
		return e.unordered.Propose(ctx, s, probe)
	}
	return e.ordered.Propose(ctx, ranks, probe)
}

// next returns whose turn it is, when there are unordered and ordered knobs to
// move.
func (e *turns) next(unordered, ordered bool) OptimizationEngine {
	if unordered && (!ordered || e.last != e.unordered) {
		return e.unordered
	}
	return e.ordered
}

func (e *turns) predict(from, to []int) (falls, by float64) {
	if p, ok := e.last.(predictor); ok {
		return p.predict(from, to)
	}
	return 0, 0
}

func (e *turns) Learn(v perfcore.Verdict) {
	if e.last != nil {
		e.last.Learn(v)
	}
}

func (e *turns) Forget() {
	e.ordered.Forget()
	e.unordered.Forget()
}

func (h *hybrid) Propose(_ context.Context, s Space, probe func(plus, minus []int) (float64, error)) ([]int, error) {
	n := len(s.At)
	if h.slope == nil {
		h.slope, h.pairs, h.alone = make([]float64, n), make([]float64, n), make([]bool, n)
		h.leaps.done = make([][2]int, n)
	}
	for knob, done := range h.alone {
		if done || s.Low[knob] == s.High[knob] {
			continue
		}
		if err := h.perturb(s, probe, func(i int) bool { return i == knob }); err != nil {
			return nil, err
		}
		h.alone[knob] = true
	}
	h.leaps.last = nil
	if turn := h.misses % 4; turn == 1 || turn == 2 {
		if y, ok := h.leaps.next(s, h.clear(s)); ok {
			return y, nil
		}
	}
	h.fade(lasting)
	for range pairsPerProposal {
		if err := h.perturb(s, probe, func(int) bool { return true }); err != nil {
			return nil, err
		}
	}
	if h.misses >= 2 && h.misses%2 == 0 && n > 1 {
		return h.single(s), nil
	}
	return h.descend(s), nil
}

// perturb measures one pair, which differs in the knobs that are chosen.
func (h *hybrid) perturb(s Space, probe func(plus, minus []int) (float64, error), chosen func(i int) bool) error {
	plus, minus := slices.Clone(s.At), slices.Clone(s.At)
	var differ bool
	for i := range s.At {
		if !chosen(i) {
			continue
		}
		sign := 2*h.rand.IntN(2) - 1
		plus[i], minus[i] = s.clamp(i, s.At[i]+sign), s.clamp(i, s.At[i]-sign)
		differ = differ || plus[i] != minus[i]
	}
	if !differ {
		return nil
	}
	diff, err := probe(plus, minus)
	if err != nil {
		return err
	}
	for i := range s.At {
		if d := float64(plus[i] - minus[i]); d != 0 {
			h.slope[i] += diff / d
			h.pairs[i]++
		}
	}
	return nil
}

// gradient returns the mean slope of knob i per level.
func (h *hybrid) gradient(i int) float64 {
	if h.pairs[i] == 0 {
		return 0
	}
	return h.slope[i] / h.pairs[i]
}

func (h *hybrid) predict(from, to []int) (falls, by float64) {
	for i := range to {
		if to[i] != from[i] {
			falls -= h.gradient(i) * float64(to[i]-from[i])
			by = max(by, h.pairs[i])
		}
	}
	return falls, by
}

// descend returns the point radius levels down the gradient. A knob that stands
// at its end already says nothing about how far the others go.
func (h *hybrid) descend(s Space) []int {
	var steepest float64
	for i := range s.At {
		if g := h.gradient(i); g > 0 && s.Low[i] < s.At[i] || g < 0 && s.At[i] < s.High[i] {
			steepest = max(steepest, math.Abs(g))
		}
	}
	y := slices.Clone(s.At)
	if steepest == 0 {
		return y
	}
	for i := range y {
		y[i] = s.clamp(i, y[i]-int(math.Round(h.gradient(i)/steepest*h.radius)))
	}
	return y
}

// clear returns how clear the slope of each knob is that may move.
func (h *hybrid) clear(s Space) []float64 {
	clear := make([]float64, len(s.At))
	for i := range clear {
		if s.Low[i] < s.High[i] {
			clear[i] = math.Abs(h.gradient(i)) * math.Sqrt(h.pairs[i])
		}
	}
	return clear
}

// single returns the point one or two levels down along one knob, drawn by how
// clear its slope is.
func (h *hybrid) single(s Space) []int {
	y := slices.Clone(s.At)
	clear := h.clear(s)
	var total float64
	for _, c := range clear {
		total += c
	}
	draw := h.rand.Float64() * total
	for i := range y {
		if draw -= clear[i]; draw < 0 {
			step := 1 + h.rand.IntN(2)
			if h.gradient(i) > 0 {
				step = -step
			}
			y[i] = s.clamp(i, y[i]+step)
			break
		}
	}
	return y
}

func (h *hybrid) Learn(v perfcore.Verdict) {
	leapt := v != perfcore.Inconclusive && h.leaps.judged()
	if v == perfcore.Promoted {
		h.misses = 0
		h.radius = min(h.radius*1.3, maxRadius)
		h.fade(remembered)
		h.leaps.forget()
		return
	}
	h.misses++
	if v != perfcore.Inconclusive && !leapt {
		h.radius = max(h.radius*0.6, 1)
	}
}

// fade keeps a share of what the pairs said.
func (h *hybrid) fade(share float64) {
	for i := range h.slope {
		h.slope[i] *= share
		h.pairs[i] *= share
	}
}

func (h *hybrid) Forget() {
	h.fade(0)
	h.misses = 0
	h.radius = movedRadius
	h.leaps.forget()
}
