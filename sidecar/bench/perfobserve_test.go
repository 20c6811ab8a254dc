package bench

import "testing"

// An observation costs at most 0.4 of what client_golang's costs, and allocates nothing.
// The best of three measurements counts: others use the machine.
func TestObserve(t *testing.T) {
	if raceEnabled || testing.CoverMode() != "" {
		t.Skip("what an observation costs beside client_golang's was not checked: the code is instrumented")
	}
	const most, times = 0.4, 3
	var ratio float64
	for range times {
		row, allocations := measureObserve()
		if allocations != 0 {
			t.Fatalf("an observation makes %v allocations", allocations)
		}
		if ratio = row.Value / row.AnchorValue; ratio <= most {
			return
		}
	}
	t.Errorf("an observation costs %.2f of client_golang's, want at most %v", ratio, most)
}
