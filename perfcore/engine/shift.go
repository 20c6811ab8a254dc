package engine

// A shift detector is Page and Hinkley's test, both ways, on the distance of
// the incumbent's cost from its own slow average: it tells that the world has
// changed, and not that it is noisy.
type shift struct {
	level    float64 // slow average
	n        float64 // slices in it
	up, down float64 // accumulated distance above and below it, from their ends
}

const (
	shiftRate      = 0.01 // of the slow average
	shiftSlack     = 0.04 // distances up to this are noise, or a season
	shiftThreshold = 1.0
	shiftFirst     = 10 // slices that make the first average
)

// watch takes the cost of one slice and reports whether the world has changed.
// If so, it begins afresh.
func (s *shift) watch(cost float64) bool {
	s.n++
	s.level += max(1/s.n, shiftRate) * (cost - s.level)
	if s.n < shiftFirst {
		return false
	}
	d := cost - s.level
	s.up = max(s.up+d-shiftSlack, 0)
	s.down = max(s.down-d-shiftSlack, 0)
	if s.up <= shiftThreshold && s.down <= shiftThreshold {
		return false
	}
	*s = shift{}
	return true
}
