package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outrider-project/outrider/testvectors"
)

func TestBobMistakes(t *testing.T) {
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("p"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"headers"}, statusUsage, "--file"},
		{[]string{"headers", "--file", "x"}, statusUsage, "--from"},
		{[]string{"headers", "--file", "x", "--from", "4294967296"}, statusUsage, "--from"},
		{[]string{"headers", "--file", "x", "--from", "0", "--network", "bob"}, statusUsage, "--network"},
		{[]string{"headers", "--file", "/nonexistent/headers", "--from", "0"}, statusFailed, "/nonexistent/headers"},
		{[]string{"relay", "replay"}, statusUsage, "--file"},
		{[]string{"relay", "replay", "--file", "x", "--kind", "heavy"}, statusUsage, "--kind"},
		{[]string{"relay", "replay", "--file", "/nonexistent/headers", "--kind", "full"}, statusFailed, "/nonexistent/headers"},
		{[]string{"relay", "plan", "--bob-relay", "0x1"}, statusUsage, `bob-relay: "0x1": must be 0x and 40 hexadecimal digits`},
		{[]string{"relay", "plan", "--bob-relay-kind", "heavy"}, statusUsage, `bob-relay-kind: "heavy": must be full, full-verify or light`},
		{[]string{"relay", "plan", "--send"}, statusUsage, "-send"},
		{[]string{"relay", "submit", "--bob-max-fee", "0gwei"}, statusUsage, `bob-max-fee: "0gwei": must be more than 0`},
		{[]string{"relay", "submit", "--bob-daily-spend", "much"}, statusUsage, `bob-daily-spend: "much": must be a number of wei`},
		{[]string{"relay", "submit", "--bob-passphrase-fd", "1"}, statusUsage, `bob-passphrase-fd: "1": must be a whole number from 3`},
		{[]string{"relay", "submit", "--follow", "--node-kind", "btcd", "--node-address", "127.0.0.1:1", "--node-notls", "--node-user", "u", "--node-password-file", password}, statusUsage, "--follow: only with --send"},
		{[]string{"relay", "submit", "--send", "--node-kind", "btcd", "--node-address", "127.0.0.1:1", "--node-notls", "--node-user", "u", "--node-password-file", password}, statusUsage, "bob-max-fee: name"},
	} {
		status, stdout, stderr := outrider(t, append([]string{"bob"}, tt.args...)...)
		if status != tt.status || !strings.Contains(stderr, tt.want) || stdout != "" {
			t.Errorf("%v: status %d, said %q, want %d and a word on %q", tt.args, status, stderr, tt.status, tt.want)
		}
	}
}

// The first headers of mainnet, and then one of them with a bit turned.
func TestBobHeaders(t *testing.T) {
	raw := testvectors.Load(t, "headers/mainnet_0_10236.bin.zst", "that outrider bob headers takes mainnet's headers")
	path := filepath.Join(t.TempDir(), "headers")
	check := func(data []byte, wantStatus int) (rep struct {
		Valid       bool
		Headers     int
		TipHash     string `json:"tip_hash"`
		Chainwork   string
		Error, Rule string
		ErrorHeight *uint32 `json:"error_height"`
	}) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		status, stdout, stderr := outrider(t, "bob", "headers", "--file", path, "--from", "0", "--json")
		if err := json.Unmarshal([]byte(stdout), &rep); err != nil || status != wantStatus {
			t.Fatalf("status %d, want %d: %v: %s %s", status, wantStatus, err, stdout, stderr)
		}
		return rep
	}
	rep := check(raw, statusDone)
	if !rep.Valid || rep.Headers != 10237 || rep.TipHash != "000000004f74d42205b9d7ae1cb5c1591e723894a71358fce73b7e0919628161" ||
		rep.Chainwork != "000000000000000000000000000000000000000000000000000027fd27fd27fd" {
		t.Errorf("%+v", rep)
	}
	raw[7000*80+40] ^= 1
	if rep = check(raw, statusFailed); rep.Valid || rep.ErrorHeight == nil || *rep.ErrorHeight != 7000 || rep.Headers != 7000 || rep.Rule != "high-hash" {
		t.Errorf("a header with a bit turned: %+v", rep)
	}
	if status, stdout, _ := outrider(t, "bob", "headers", "--file", path, "--from", "0"); status != statusFailed || !strings.Contains(stdout, "NOT VALID") {
		t.Errorf("status %d: %s", status, stdout)
	}
}

func TestBobRelayReplay(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		kind, vector string
		calls        int
		last         string
	}{
		{"full", "headers", 6, "Unexpected retarget on external call"},
		{"full", "headersWithRetarget", 5, ""},
		{"light", "headersWithRetarget", 4, ""},
	} {
		path := filepath.Join(dir, tt.vector)
		data := testvectors.Load(t, "relay/"+tt.vector+".json", "that outrider bob relay replay takes headers of a relay's tests")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		status, stdout, stderr := outrider(t, "bob", "relay", "replay", "--kind", tt.kind, "--file", path, "--json")
		var rep struct {
			Kind  string
			Calls []struct {
				OK          bool
				Revert      string
				Full, Light map[string]any
			}
		}
		if err := json.Unmarshal([]byte(stdout), &rep); err != nil || status != statusDone {
			t.Fatalf("status %d: %v: %s %s", status, err, stdout, stderr)
		}
		last := rep.Calls[len(rep.Calls)-1]
		if rep.Kind != tt.kind || len(rep.Calls) != tt.calls || last.Revert != tt.last || last.OK == (tt.last != "") {
			t.Errorf("%s of %s: %d calls, %+v", tt.kind, tt.vector, len(rep.Calls), last)
		}
		if state := map[string]map[string]any{"full": last.Full, "light": last.Light}[tt.kind]; len(state) == 0 {
			t.Errorf("%s of %s: no state after the last call", tt.kind, tt.vector)
		}
		if _, stdout, _ := outrider(t, "bob", "relay", "replay", "--kind", tt.kind, "--file", path); !strings.Contains(stdout, "constructor") {
			t.Errorf("for people: %s", stdout)
		}
	}
}
