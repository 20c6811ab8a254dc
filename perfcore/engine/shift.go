package engine

// A shift detector is Page and Hinkley's test, both ways, on the distance of
// the incumbent's cost from its own slow average: it tells that the world has
// changed, and not that it is noisy. Where the noise is more than usualNoise,
// distances count by so much less.
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
	usualNoise     = 0.06
)

// watch takes the cost of one slice, where a block's difference has the
// deviation noise, and reports whether the world has changed. If so, it begins
// afresh.
func (s *shift) watch(cost, noise float64) bool {
	s.n++
	s.level += max(1/s.n, shiftRate) * (cost - s.level)
	if s.n < shiftFirst {
		return false
	}
	d := (cost - s.level) / max(noise/usualNoise, 1)
	s.up = max(s.up+d-shiftSlack, 0)
	s.down = max(s.down-d-shiftSlack, 0)
	if s.up <= shiftThreshold && s.down <= shiftThreshold {
		return false
	}
	*s = shift{}
	return true
}
