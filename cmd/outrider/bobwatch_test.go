package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// askBOB runs outrider bob with a configuration of these lines.
func askBOB(t *testing.T, lines []string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "outrider.yaml")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return outrider(t, append([]string{"bob", args[0], "--config", path}, args[1:]...)...)
}

// What is to be set is said, and what is wrong with what was.
func TestBOBConfiguration(t *testing.T) {
	for _, verb := range []string{"status", "fees", "doctor"} {
		status, stdout, stderr := askBOB(t, nil, verb)
		if status != statusUsage || stdout != "" || !strings.Contains(stderr, "set OUTRIDER_BOB_L2") {
			t.Errorf("bob %s without nodes: %d %s %s", verb, status, stdout, stderr)
		}
		if status, _, stderr := askBOB(t, nil, verb, "--help"); status != statusDone || !strings.Contains(stderr, "Exit status") || !strings.Contains(stderr, "OUTRIDER_BOB_RELAY_KIND") {
			t.Errorf("bob %s --help: %d %s", verb, status, stderr)
		}
		if status, _, stderr := askBOB(t, nil, verb, "--l2", "http://x"); status != statusUsage || !strings.Contains(stderr, "not defined") {
			t.Errorf("an address is a flag of bob %s: %d %s", verb, status, stderr)
		}
	}
	status, _, stderr := askBOB(t, []string{"bob-l2: gopher://host/secretkey"}, "status")
	if status != statusUsage || !strings.Contains(stderr, "bob-l2") || strings.Contains(stderr, "secretkey") {
		t.Errorf("a bad address: %d %s", status, stderr)
	}
}

// Nodes that do not answer are failures, and their addresses are told to nobody.
func TestBOBUnanswered(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "no service at "+r.URL.Path, http.StatusBadGateway)
	}))
	t.Cleanup(server.Close)
	lines := []string{
		"bob-l2: mine=" + server.URL + "/v1/secretkey",
		`bob-relay: "0x9fe7ef727da3d79e0308ff43f31ea1d077ee9f41"`, "bob-relay-kind: light",
	}
	status, stdout, stderr := askBOB(t, lines, "status", "--json")
	var st struct {
		Nodes []struct{ Name, Problem string }
		Relay struct {
			Kind     string
			Bitcoin  struct{ Reason string }
			Position struct {
				Known  bool
				Reason string
			}
		}
	}
	if err := json.Unmarshal([]byte(stdout), &st); err != nil || status != statusFailed {
		t.Fatalf("status %d: %v: %s %s", status, err, stdout, stderr)
	}
	if len(st.Nodes) != 1 || st.Nodes[0].Name != "mine" || st.Nodes[0].Problem == "" || st.Relay.Kind != "light" || st.Relay.Position.Known || st.Relay.Position.Reason == "" {
		t.Errorf("the status is %+v", st)
	}
	var all strings.Builder
	all.WriteString(stdout + stderr)
	for _, args := range [][]string{{"status"}, {"doctor"}, {"doctor", "--json"}, {"fees"}, {"fees", "--tx", "0x" + strings.Repeat("12", 32)}} {
		status, stdout, stderr := askBOB(t, lines, args...)
		if status != statusFailed || stdout+stderr == "" {
			t.Errorf("bob %v: %d %s %s", args, status, stdout, stderr)
		}
		all.WriteString(stdout + stderr)
	}
	if strings.Contains(all.String(), "secretkey") || strings.Contains(all.String(), strings.TrimPrefix(server.URL, "http://")) {
		t.Errorf("an address is told: %s", all.String())
	}
	raw := filepath.Join(t.TempDir(), "raw")
	if err := os.WriteFile(raw, []byte("0x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"either --tx or --raw":    {"fees", "--tx", "0x", "--raw", "x"},
		"in hexadecimal":          {"fees", "--raw", raw},
		"no such file":            {"fees", "--raw", raw + "x"},
		"it must be 1 to":         {"fees", "--headers", "0"},
		"no such file or direct":  {"doctor", "--op-node", raw + "x"},
		"is no hash of a transac": {"fees", "--tx", "12"},
	} {
		if status, _, stderr := askBOB(t, lines, args...); status == statusDone || !strings.Contains(stderr, want) {
			t.Errorf("bob %v: %d %s, want %q", args, status, stderr, want)
		}
	}
}
