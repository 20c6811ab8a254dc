package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// The benchmark prints a report, for programs and for people.
func TestBenchRelay(t *testing.T) {
	status, stdout, stderr := outrider(t, "bench", "relay", "--rounds", "1", "--quick", "--json")
	var rep struct {
		Quick bool
		Rows  []struct{ Name string }
	}
	if err := json.Unmarshal([]byte(stdout), &rep); err != nil || status != statusDone || !rep.Quick || len(rep.Rows) < 5 || rep.Rows[0].Name != "headers/verify" {
		t.Errorf("status %d, %v, report %+v, said %s", status, err, rep, stderr)
	}
	status, stdout, stderr = outrider(t, "bench", "relay", "--rounds", "1", "--quick")
	if status != statusDone || !strings.Contains(stdout, "relay/gas-per-header") {
		t.Errorf("status %d, printed %s\nsaid %s", status, stdout, stderr)
	}
	if status, _, stderr := outrider(t, "bench", "relay", "--help"); status != statusDone || !strings.Contains(stderr, "relay contract") {
		t.Errorf("status %d, said %s", status, stderr)
	}
}
