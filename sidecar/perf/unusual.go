package perf

import "github.com/outrider-project/outrider/perfcore/collect"

// An unusual is the source, for trials, of how many watched quantities are out of the range
// in which they usually are, by what is observed. Trials have no detectors of their own, which
// would learn from the values that they try.
type unusual struct{ *following }

// Begin implements collect.Source.
func (unusual) Begin() {}

// End implements collect.Source.
func (u unusual) End(s *collect.Slice) {
	u.mu.Lock()
	defer u.mu.Unlock()
	s.Set(anomalies, u.quantities[anomalies])
}

// Missing implements collect.Source.
func (unusual) Missing() []string { return nil }
