package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outrider-project/outrider/sidecar"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
)

// anAlarm returns the directory with the evidence of a block that a node has
// connected and that breaks a rule.
func anAlarm(t *testing.T) string {
	t.Helper()
	btcd := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	btcd.Mine(110)
	btcd.AddTxs(3)
	btcd.MineOverpaid()
	cfg := sidecar.DefaultConfig()
	first := uint32(0)
	cfg.Datadir, cfg.HTTP, cfg.Start, cfg.Nice = t.TempDir(), "127.0.0.1:0", &first, 0
	cfg.Node = sidecar.NodeConfig{Address: btcd.Addr(), User: nodetest.User, Password: nodetest.Password, NoTLS: true}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var dir string
	s, err := sidecar.New(cfg, nil, func(r sidecar.Report) {
		if r.Outcome == sidecar.Differ {
			dir = r.Evidence
			cancel()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(ctx); err != nil || dir == "" {
		t.Fatalf("there is no evidence (%v)", err)
	}
	return dir
}

// The evidence of an alarm is judged again by either command that it names, and
// neither needs a node.
func TestEvidenceIsJudgedAgain(t *testing.T) {
	dir := anAlarm(t)
	status, stdout, stderr := outrider(t, "evidence", "--bundle", dir)
	if status != statusFailed || stderr != "" || !strings.Contains(stdout, "now:      invalid: bad-cb-amount: transaction 0") ||
		!strings.Contains(stdout, "The verdict is the recorded one.") {
		t.Errorf("status %d, stdout\n%s\nstderr %s", status, stdout, stderr)
	}
	status, stdout, _ = outrider(t, "evidence", "--json", "--bundle", dir)
	var r sidecar.Retrial
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || status != statusFailed || !r.Same || r.Valid || r.Height != 111 || r.Node != "valid" {
		t.Errorf("status %d, %+v (%v)", status, r, err)
	}
	file := func(kind string) string { return filepath.Join(dir, fmt.Sprintf("111.%s.zst", kind)) }
	status, stdout, stderr = outrider(t, "bench", "block", "--network", "regtest", "--height", "111",
		"--block", file("block"), "--spent", file("spent.json"), "--json")
	if status != statusFailed || !strings.Contains(stdout, `"rule": "bad-cb-amount"`) {
		t.Errorf("bench block: status %d, stdout\n%s\nstderr %s", status, stdout, stderr)
	}
}

func TestEvidenceThatIsNone(t *testing.T) {
	for _, tt := range []struct {
		args   []string
		status int
		want   string
	}{
		{nil, statusUsage, "--bundle"},
		{[]string{"--bundle", t.TempDir()}, statusUnjudged, "verdict.json"},
		{[]string{"--bundle", filepath.Join(t.TempDir(), "nowhere")}, statusUnjudged, "nowhere"},
		{[]string{"somewhere"}, statusUsage, "somewhere"},
		{[]string{"--help"}, statusDone, "3 when"},
	} {
		status, stdout, stderr := outrider(t, append([]string{"evidence"}, tt.args...)...)
		if status != tt.status || stdout != "" || !strings.Contains(stderr, tt.want) {
			t.Errorf("%v: status %d, stdout %q, stderr %q", tt.args, status, stdout, stderr)
		}
	}
}
