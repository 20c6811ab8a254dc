package engine

// A shift detector is Page and Hinkley's test, both ways, on the distance of
// the incumbent's cost from its own slow average: it tells that the world has
// changed, and not that it is noisy.
type shift struct {
	level    float64 // slow average
	up, down float64 // accumulated distance above and below it, from their ends
	started  bool
}

const (
	shiftRate      = 0.01 // of the slow average
	shiftSlack     = 0.03 // distances up to this are noise
	shiftThreshold = 1.0
)

// watch takes the cost of one slice and reports whether the world has changed.
// If so, it begins afresh at that cost.
func (s *shift) watch(cost float64) bool {
	if !s.started {
		s.reset(cost)
	}
	s.level += shiftRate * (cost - s.level)
	d := cost - s.level
	s.up = max(s.up+d-shiftSlack, 0)
	s.down = max(s.down-d-shiftSlack, 0)
	if s.up > shiftThreshold || s.down > shiftThreshold {
		s.reset(cost)
		return true
	}
	return false
}

// reset makes cost the level to compare with.
func (s *shift) reset(cost float64) { *s = shift{level: cost, started: true} }
