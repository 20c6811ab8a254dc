package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outrider-project/outrider/sidecar"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
	"github.com/outrider-project/outrider/testvectors"
)

func TestBitvmMistakes(t *testing.T) {
	for _, tt := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"bitvm", "verify"}, statusUsage, "--file"},
		{[]string{"bitvm", "verify", "--file", "/nonexistent/proof"}, statusFailed, "/nonexistent/proof"},
		{[]string{"bitvm", "verify", "--file", "bitvm_test.go"}, statusFailed, "bitvm_test.go"},
		{[]string{"bitvm", "wots"}, statusUsage, "--file"},
		{[]string{"bitvm", "wots", "--file", "/nonexistent/vectors"}, statusFailed, "/nonexistent/vectors"},
		{[]string{"bitvm", "assertion", "--file", "x"}, statusUsage, "--vk"},
		{[]string{"bitvm", "assertion", "--vk", "x"}, statusUsage, "--file"},
		{[]string{"bitvm", "assertion", "--file", "/nonexistent/raw", "--vk", "x"}, statusFailed, "/nonexistent/raw"},
		{[]string{"bitvm", "assertion", "--file", "bitvm_test.go", "--vk", "x"}, statusFailed, "6288"},
		{[]string{"bitvm", "watch"}, statusUsage, "--file"},
		{[]string{"bitvm", "watch", "--file", "x", "--every", "1ms"}, statusUsage, "--every"},
		{[]string{"bitvm", "watch", "--file", "x", "--config", "/nonexistent/outrider.yaml"}, statusUsage, "/nonexistent/outrider.yaml"},
		{[]string{"bitvm", "lint"}, statusUsage, "--file"},
		{[]string{"bitvm", "lint", "--file", "x", "--builtin", "bitvm2"}, statusUsage, "either"},
		{[]string{"bitvm", "lint", "--builtin", "bitvm3"}, statusUsage, "bitvm2 and garbled are built in"},
		{[]string{"bitvm", "lint", "--builtin", "bitvm2", "--network", "mainnet"}, statusUsage, "--network"},
		{[]string{"bitvm", "lint", "--builtin", "bitvm2", "--react", "70000"}, statusUsage, "--react"},
		{[]string{"bitvm", "lint", "--builtin", "garbled", "--watchtowers", "0"}, statusUsage, "0 watchtowers"},
		{[]string{"bitvm", "lint", "--file", "bitvm_test.go"}, statusFailed, "bitvm_test.go"},
		{[]string{"bitvm"}, statusUsage, "verify"},
		{[]string{"bench", "bitvm", "--rounds", "0"}, statusUsage, "--rounds"},
		{[]string{"bench", "bitvm", "--claims", "0"}, statusUsage, "--claims"},
	} {
		status, stdout, stderr := outrider(t, tt.args...)
		if status != tt.status || !strings.Contains(stderr, tt.want) || stdout != "" {
			t.Errorf("%v: status %d, said %q, want %d and a word on %q", tt.args, status, stderr, tt.status, tt.want)
		}
	}
}

// Published proofs, and what is wrong with one of which something was changed.
func TestBitvmVerify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "proof.json")
	verify := func(data string, wantStatus int) (rep struct {
		Valid       bool
		InputsMatch bool `json:"inputs_match"`
		SealMatch   bool `json:"seal_match"`
		Problems    []string
	}) {
		t.Helper()
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		status, stdout, stderr := outrider(t, "bitvm", "verify", "--file", path, "--json")
		if err := json.Unmarshal([]byte(stdout), &rep); err != nil || status != wantStatus {
			t.Fatalf("status %d, want %d: %v: %s %s", status, wantStatus, err, stdout, stderr)
		}
		return rep
	}
	for _, name := range []string{"bitvm/groth16/risc0_v2_2.json", "bitvm/groth16/sp1_v4_0_0_rc_3.json"} {
		data := string(testvectors.Load(t, name, "that outrider bitvm verify takes published proofs"))
		if rep := verify(data, statusDone); !rep.Valid || !rep.InputsMatch || !rep.SealMatch || len(rep.Problems) != 0 {
			t.Errorf("%s: %+v", name, rep)
		}
		before, seal, _ := strings.Cut(data, `"seal": "0x`)
		rep := verify(before+`"seal": "0x00000000`+seal[8:], statusFailed)
		if !rep.Valid || !rep.InputsMatch || rep.SealMatch || len(rep.Problems) != 1 {
			t.Errorf("%s with another selector: %+v", name, rep)
		}
		before, inputs, _ := strings.Cut(data, `"public_inputs": [`)
		_, inputs, _ = strings.Cut(inputs, "0x")
		rep = verify(before+`"public_inputs": ["0x`+strings.Repeat("f", 64)+inputs[64:], statusFailed)
		if rep.Valid || rep.InputsMatch || !rep.SealMatch || len(rep.Problems) != 2 || !strings.Contains(rep.Problems[0], "public input 0") {
			t.Errorf("%s with an input above r: %+v", name, rep)
		}
		if status, stdout, _ := outrider(t, "bitvm", "verify", "--file", path); status != statusFailed || !strings.Contains(stdout, "valid false") {
			t.Errorf("status %d: %s", status, stdout)
		}
	}
}

// BitVM's vectors, and then each kind of part with a digit changed.
func TestBitvmWots(t *testing.T) {
	data := testvectors.Load(t, "bitvm/wots-test-vectors.json.zst", "that outrider bitvm wots takes BitVM's vectors")
	path := filepath.Join(t.TempDir(), "vectors.json")
	check := func(vectors any, wantStatus int) (rep struct {
		Vectors, Passed int
		Failures        []struct {
			Index    int
			Problems []string
		}
	}) {
		t.Helper()
		raw, err := json.Marshal(vectors)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		status, stdout, stderr := outrider(t, "bitvm", "wots", "--file", path, "--json")
		if err := json.Unmarshal([]byte(stdout), &rep); err != nil || status != wantStatus {
			t.Fatalf("status %d, want %d: %v: %s %s", status, wantStatus, err, stdout, stderr)
		}
		return rep
	}
	var vectors []map[string]any
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	if rep := check(vectors, statusDone); rep.Vectors != 21 || rep.Passed != 21 || len(rep.Failures) != 0 {
		t.Errorf("%+v", rep)
	}
	for _, part := range []string{"witness", "signature", "compact_witness", "compact_signature", "publicKey"} {
		list := vectors[4][part].([]any)
		kept := list[2]
		turned := []byte(kept.(string))
		turned[0] ^= 1 // one hexadecimal digit or another
		list[2] = string(turned)
		rep := check(vectors, statusFailed)
		if rep.Passed != 20 || len(rep.Failures) != 1 || rep.Failures[0].Index != 4 || len(rep.Failures[0].Problems) == 0 {
			t.Errorf("%s: %+v", part, rep)
		}
		list[2] = kept
	}
	delete(vectors[0], "secretKey")
	if rep := check(vectors[:1], statusDone); rep.Passed != 1 {
		t.Errorf("without a secret key: %+v", rep)
	}
	if status, stdout, _ := outrider(t, "bitvm", "wots", "--file", path); status != statusDone || !strings.Contains(stdout, "1 of 1 vectors passed") {
		t.Errorf("status %d: %s", status, stdout)
	}
}

// BitVM's own key, and an assertion that commits to nothing but zeros.
func TestBitvmAssertion(t *testing.T) {
	dir := t.TempDir()
	vk, raw := filepath.Join(dir, "vk"), filepath.Join(dir, "raw")
	key := testvectors.Load(t, "bitvm/groth16_arkworks_vk.bin", "that outrider bitvm assertion takes BitVM's own key")
	for path, data := range map[string][]byte{vk: key, raw: make([]byte, 6288)} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	status, stdout, stderr := outrider(t, "bitvm", "assertion", "--file", raw, "--vk", vk, "--json")
	var rep struct {
		Valid        bool
		Segments     int
		Leaf         *int
		Kind, Reason string
	}
	if err := json.Unmarshal([]byte(stdout), &rep); err != nil || status != statusFailed {
		t.Fatalf("status %d: %v: %s %s", status, err, stdout, stderr)
	}
	if rep.Valid || rep.Segments != 0 || rep.Leaf == nil || *rep.Leaf != 0 || rep.Kind != "PreMillerPrecomputeP" || rep.Reason != "invalid input" {
		t.Errorf("%s", stdout)
	}
	status, stdout, stderr = outrider(t, "bitvm", "assertion", "--file", raw, "--vk", vk, "--file", raw, "--json")
	var several struct {
		Assertions []struct {
			File string
			Leaf *int
		}
	}
	if err := json.Unmarshal([]byte(stdout), &several); err != nil || status != statusFailed || len(several.Assertions) != 2 ||
		several.Assertions[1].File != raw || several.Assertions[1].Leaf == nil {
		t.Errorf("status %d: %v: %s %s", status, err, stdout, stderr)
	}
}

// The linter takes what is built in, and files that are begun from it.
func TestBitvmLint(t *testing.T) {
	type report struct {
		Graph    string
		Sound    bool
		Findings []struct{ Severity, Rule, Where, Text string }
	}
	lint := func(wantStatus int, args ...string) (rep report) {
		t.Helper()
		status, stdout, stderr := outrider(t, append([]string{"bitvm", "lint", "--json"}, args...)...)
		if err := json.Unmarshal([]byte(stdout), &rep); err != nil || status != wantStatus {
			t.Fatalf("status %d, want %d: %v: %s %s", status, wantStatus, err, stdout, stderr)
		}
		return rep
	}
	if rep := lint(statusDone, "--builtin", "bitvm2"); !rep.Sound || len(rep.Findings) == 0 || rep.Findings[0].Rule != "heavy" {
		t.Errorf("%+v", rep)
	}
	if rep := lint(statusFailed, "--builtin", "bitvm2", "--network", "signet"); rep.Sound || rep.Findings[0].Where != "kick_off_2" {
		t.Errorf("%+v", rep)
	}
	_, printed, _ := outrider(t, "bitvm", "lint", "--builtin", "garbled", "--watchtowers", "2", "--print")
	path := filepath.Join(t.TempDir(), "graph.json")
	for text, want := range map[string]int{printed: statusDone, strings.Replace(printed, `"main": 432`, `"main": 200`, 1): statusFailed} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if rep := lint(want, "--file", path); rep.Graph != "garbled" {
			t.Errorf("%+v", rep)
		}
	}
	status, table, _ := outrider(t, "bitvm", "lint", "--builtin", "bitvm2")
	if status != statusDone || !strings.Contains(table, "bitvm2 on network main is sound") {
		t.Errorf("status %d: %s", status, table)
	}
}

// A look at a node's chain tells what is known of a bridge, and whether it is urgent.
func TestBitvmWatch(t *testing.T) {
	btcd := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	btcd.Mine(3)
	dir := t.TempDir()
	path, config := filepath.Join(dir, "instance.json"), filepath.Join(dir, "outrider.yaml")
	lines := fmt.Sprintf("node-kind: btcd\nnode-address: %s\nnode-notls: true\nnode-user: %s\nnode-password: %q\n", btcd.Addr(), nodetest.User, nodetest.Password)
	if err := os.WriteFile(config, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	for network, want := range map[string]int{"regtest": statusDone, "main": statusFailed} {
		text := `{"version":1,"name":"none","network":"` + network + `","builtin":"bitvm2","start":1}`
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		status, stdout, stderr := outrider(t, "bitvm", "watch", "--once", "--json", "--file", path, "--config", config)
		if status != want {
			t.Errorf("%s: status %d, want %d: %s%s", network, status, want, stdout, stderr)
		}
		var rep struct {
			Instances []struct {
				Complete bool
				Tip      struct{ Height int }
			}
		}
		if want != statusDone {
			if !strings.Contains(stderr, "on network main, and the node is on regtest") {
				t.Error(stderr)
			}
		} else if err := json.Unmarshal([]byte(stdout), &rep); err != nil || len(rep.Instances) != 1 || !rep.Instances[0].Complete || rep.Instances[0].Tip.Height != 3 {
			t.Errorf("%v: %s", err, stdout)
		}
	}
	unlock, err := sidecar.LockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	status, stdout, stderr := outrider(t, "bitvm", "watch", "--file", path, "--config", config, "--state", dir)
	if status != statusFailed || stdout != "" || !strings.Contains(stderr, "in use by another") {
		t.Errorf("journals that another program writes: status %d, %s%s", status, stdout, stderr)
	}
}
