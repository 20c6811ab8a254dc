package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A spend of an anchor, which needs no signature, has the exit status of its verdict; what
// is no spend has that of a mistake.
func TestBitvmDryRun(t *testing.T) {
	const (
		tx = "02000000" + "01" + "0100000000000000000000000000000000000000000000000000000000000000" + "00000000" + "00" + "ffffffff" +
			"01" + "5802000000000000" + "0651054e73aabb" + "00000000"
		prevouts = `"prevouts":[{"value":1000,"scriptPubKey":"51024e73"}]`
	)
	path := filepath.Join(t.TempDir(), "spend.json")
	for name, tt := range map[string]struct {
		file   string
		args   []string
		status int
		want   string // in what is printed, or said
	}{
		"passes":            {`{"tx":"` + tx + `",` + prevouts + `}`, nil, statusDone, "passes"},
		"as JSON":           {`{"tx":"` + tx + `",` + prevouts + `}`, []string{"--json"}, statusDone, `"passed": true`},
		"fails":             {`{"tx":"` + tx + `",` + strings.Replace(prevouts, "51024e73", "00", 1) + `}`, nil, statusFailed, "fails in scriptPubKey"},
		"pays too much":     {`{"tx":"` + tx + `",` + strings.Replace(prevouts, "1000", "1", 1) + `}`, nil, statusFailed, "bad-txns-in-belowout"},
		"no JSON":           {"no", nil, statusUsage, "want JSON"},
		"no prevouts":       {`{"tx":"` + tx + `"}`, nil, statusUsage, "give one for each"},
		"no time":           {`{"tx":"` + tx + `",` + prevouts + `}`, []string{"--timeout", "1ns"}, statusFailed, "--timeout"},
		"less than no time": {"", []string{"--timeout", "-1s"}, statusUsage, "--timeout"},
		"something else":    {"", []string{"more"}, statusUsage, "more"},
	} {
		if err := os.WriteFile(path, []byte(tt.file), 0o600); err != nil {
			t.Fatal(err)
		}
		status, stdout, stderr := outrider(t, append([]string{"bitvm", "dryrun", "--file", path}, tt.args...)...)
		if status != tt.status || !strings.Contains(stdout+stderr, tt.want) || (stderr == "") != strings.Contains(stdout, "pass") && tt.status == statusDone {
			t.Errorf("%s: status %d, want %d: %s%s", name, status, tt.status, stdout, stderr)
		}
		if tt.args != nil && tt.args[0] == "--json" {
			var rep struct {
				Passed bool
				Fee    int64
			}
			if err := json.Unmarshal([]byte(stdout), &rep); err != nil || !rep.Passed || rep.Fee != 400 {
				t.Errorf("%s: %v", stdout, err)
			}
		}
	}
	if status, _, stderr := outrider(t, "bitvm", "dryrun"); status != statusUsage || !strings.Contains(stderr, "--file") {
		t.Errorf("status %d: %s", status, stderr)
	}
	if status, _, stderr := outrider(t, "bitvm", "dryrun", "--file", filepath.Join(path, "none")); status != statusUsage || !strings.Contains(stderr, "none") {
		t.Errorf("status %d: %s", status, stderr)
	}
}
