package perf

import (
	"strings"
	"testing"
	"time"
)

// The status has its alerts in words, also while no node is followed.
func TestStatusHasAlerts(t *testing.T) {
	missing := Alert{Name: "node_missing", State: Firing, Help: "No node is followed.", Since: time.Unix(1, 0), Quantity: nodeMissing, Value: 1}
	for _, follows := range []bool{false, true} {
		s := Status{Mode: Observe, Following: follows, Alerts: []Alert{missing}}
		var out strings.Builder
		if err := s.WriteTable(&out); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), missing.String()) {
			t.Errorf("while a node is followed, %t, the status is\n%s", follows, out.String())
		}
	}
}
