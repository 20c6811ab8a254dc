package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outrider-project/outrider/sidecar/node/nodetest"
)

// A block of a signet is held against the challenge that the command names, which
// is the default signet's if it names none.
func TestBenchBlockOfASignet(t *testing.T) {
	dir := t.TempDir()
	block, spent := filepath.Join(dir, "block"), filepath.Join(dir, "spent.json")
	for path, content := range map[string][]byte{block: nodetest.SignetBlock(), spent: []byte("[]")} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	judge := []string{"bench", "block", "--network", "signet", "--height", "1", "--block", block, "--spent", spent, "--rounds", "1", "--cores", "1", "--json"}
	for _, tt := range []struct {
		flags  []string
		status int
		want   string
	}{
		{[]string{"--signet-challenge", "51"}, statusDone, `"valid": true`},
		{[]string{"--signet-challenge", "00"}, statusFailed, `"rule": "bad-signet-blksig"`},
		{nil, statusFailed, `"rule": "bad-signet-blksig"`},
	} {
		status, stdout, stderr := outrider(t, append(judge, tt.flags...)...)
		if status != tt.status || !strings.Contains(stdout, tt.want) {
			t.Errorf("%v: status %d, stdout\n%s\nstderr %s", tt.flags, status, stdout, stderr)
		}
	}
}
