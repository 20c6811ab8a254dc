package perf

import (
	"math"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/collect"
)

// These are the quantities that say how far work that can wait is in what a slice cost.
const (
	elasticPieces = "elastic_pieces_per_second"
	elasticMoved  = "elastic_moved_ratio"
)

// These are the metrics of work that can wait.
const (
	elasticTimer = "outrider_elastic_piece_seconds"
	elasticPart  = "outrider_elastic_ratio"
)

// mostMoved is how far the part that work which can wait gets may be, behind a slice, from
// where it was before: as far as one fall takes it at most, and as four rises, those of ten
// seconds, do. While the mempool wants more than there is, the part goes up and down for
// ever, and farther than this in no more than a fifth of the slices.
const mostMoved = 0.20

// elasticLimits say when what a slice cost is not the doing of its work: evidence that is
// judged again and coins that are hashed afresh are none of it, and take processors; and
// with the part, the share of the mempool in it is another.
func elasticLimits() []collect.Limit {
	return []collect.Limit{
		{Quantity: elasticPieces, Why: "evidence was judged again, or coins were hashed afresh, which takes processors and is no work"},
		{Quantity: elasticMoved, Above: mostMoved + 1e-9, Why: "the part of its time that the mempool gets has changed by more than is usual"},
	}
}

// elastic is the source of elasticLimits' quantities. What nobody records is absent.
type elastic struct {
	pieces *pooled
	parts  []*perfcore.Gauge // of which there is one at most
	from   float64
}

// newElastic returns the source over what is among series.
func newElastic(series []perfcore.Series) *elastic {
	e := &elastic{pieces: newPooled(series, elasticTimer)}
	for _, s := range series {
		if s.Gauge != nil && s.Metric.Name == elasticPart {
			e.parts = append(e.parts, s.Gauge)
		}
	}
	return e
}

func (e *elastic) part() (sum float64) {
	for _, g := range e.parts {
		sum += g.Value()
	}
	return sum
}

// Begin implements collect.Source.
func (e *elastic) Begin() {
	e.pieces.begin()
	e.from = e.part()
}

// End implements collect.Source.
func (e *elastic) End(s *collect.Slice) {
	if len(e.pieces.timers) > 0 {
		s.SetRate(elasticPieces, 0, float64(e.pieces.end().Count))
	}
	if len(e.parts) > 0 {
		s.Set(elasticMoved, math.Abs(e.part()-e.from))
	}
}

// Missing implements collect.Source.
func (*elastic) Missing() []string { return nil }
