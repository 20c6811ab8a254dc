package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outrider-project/outrider/testvectors"
)

// outrider runs a command line in this process, without a configuration to
// find, and returns its exit status and what it printed.
func outrider(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	var out, errs bytes.Buffer
	status = run(t.Context(), args, &out, &errs)
	return status, out.String(), errs.String()
}

func TestCommandLineMistakes(t *testing.T) {
	tests := []struct {
		args []string
		want string // in what is said
	}{
		{nil, "outrider run"},
		{[]string{"fly"}, "fly"},
		{[]string{"run", "--nonsense"}, "nonsense"},
		{[]string{"run", "here"}, "here"},
		{[]string{"run"}, "btcd.conf"},
		{[]string{"run", "--http", "nowhere", "--poll", "often"}, "poll"},
		{[]string{"run", "--config", "/nonexistent/outrider.yaml"}, "outrider.yaml"},
		{[]string{"bench"}, "block"},
		{[]string{"bench", "block"}, "--height"},
		{[]string{"bench", "block", "--height", "1"}, "--block"},
		{[]string{"bench", "block", "--height", "1", "--block", "x"}, "--spent"},
		{[]string{"bench", "block", "--height", "-7", "--cores", "-1", "--rounds", "0"}, "--rounds"},
		{[]string{"bench", "follow", "--rounds", "0"}, "--rounds"},
		{[]string{"demo", "--interval", "-1s"}, "--interval"},
		{[]string{"version", "please"}, "please"},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			status, _, stderr := outrider(t, tt.args...)
			if status != 2 || !strings.Contains(stderr, tt.want) {
				t.Errorf("status %d, said %q, want a word on %q", status, stderr, tt.want)
			}
		})
	}
}

func TestHelpAndVersion(t *testing.T) {
	for _, args := range [][]string{{"help"}, {"--help"}, {"run", "--help"}, {"version"}, {"help", "settings"}} {
		if status, stdout, stderr := outrider(t, args...); status != 0 || stdout+stderr == "" {
			t.Errorf("%v: status %d", args, status)
		}
	}
}

func TestBenchBlock(t *testing.T) {
	if _, _, err := testvectors.Mainnet(170); err != nil {
		testvectors.LoadMainnet(t, 170, "outrider bench block on real blocks")
	}
	block, spent, err := testvectors.Mainnet(170)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"bench", "block", "--spent", spent, "--height", "170", "--rounds", "1", "--json", "--block"}
	status, stdout, stderr := outrider(t, append(args, block)...)
	var rep struct {
		Valid        bool
		Rule         string
		Transactions int
	}
	if err := json.Unmarshal([]byte(stdout), &rep); err != nil || status != 0 || !rep.Valid || rep.Transactions != 2 {
		t.Errorf("status %d, %+v (%v)\n%s", status, rep, err, stderr)
	}

	raw, err := testvectors.ReadBlock(block)
	if err != nil {
		t.Fatal(err)
	}
	raw[100] ^= 1
	spoilt := filepath.Join(t.TempDir(), "170.block")
	if err := os.WriteFile(spoilt, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	status, stdout, _ = outrider(t, append(args, spoilt)...)
	if err := json.Unmarshal([]byte(stdout), &rep); err != nil || status != 1 || rep.Valid || rep.Rule == "" {
		t.Errorf("a spoilt block: status %d, %+v (%v)", status, rep, err)
	}
}
