package collect

import (
	"errors"
	"time"

	"github.com/outrider-project/outrider/perfcore/forecast"
)

// Predicted is the source that says what a quantity's mean will be in the span
// of time that the next slice lies in: quantity x gives x_predicted, absent
// while the forecast is no better than persistence, and x_forecast_skill. It
// stands behind the sources that it reads.
type Predicted struct {
	quantity   string
	span       time.Duration
	forecaster *forecast.Forecaster

	span0  time.Time // when the span that runs began
	sum, n float64
}

// NewPredicted returns the source for a load whose season has so many spans of
// that length, 24 of an hour for users of one continent.
func NewPredicted(quantity string, span time.Duration, season int) (*Predicted, error) {
	if quantity == "" || span <= 0 {
		return nil, errors.New("a prediction needs a quantity and a span of time")
	}
	f, err := forecast.New(season)
	return &Predicted{quantity: quantity, span: span, forecaster: f}, err
}

// Missing implements Source.
func (*Predicted) Missing() []string { return nil }

// Begin implements Source.
func (p *Predicted) Begin() {
	if p.span0.IsZero() {
		p.span0 = time.Now()
	}
}

// End implements Source.
func (p *Predicted) End(s *Slice) {
	now := time.Now()
	for ; now.Sub(p.span0) >= p.span; p.span0 = p.span0.Add(p.span) {
		p.forecaster.Observe(p.sum / p.n) // not a number when nothing was measured
		p.sum, p.n = 0, 0
	}
	if v, measured := s.Value(p.quantity); measured {
		p.sum += v
		p.n++
	}
	s.Set(p.quantity+"_forecast_skill", p.forecaster.Skill())
	if v, ok := p.forecaster.Predict(); ok {
		s.Set(p.quantity+"_predicted", v)
	}
}
