package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/sidecar/node/nodetest"
	"github.com/outrider-project/outrider/testvectors"
)

// recordedNode returns a bitcoind that says what a real one said, and the lines of a configuration
// with it.
func recordedNode(t *testing.T, o nodetest.BitcoindOptions) (*nodetest.BitcoindRecording, []string) {
	t.Helper()
	rec := nodetest.ReadBitcoindRecording(t, func(name string) []byte {
		return testvectors.LoadFixture(t, "bitcoind/"+name, "proofs from a real node's answers")
	})
	fake := nodetest.NewBitcoind(t, rec, o)
	return rec, []string{"node-kind: bitcoind", "node-address: " + fake.Addr(), "node-cookie: " + fake.CookieFile()}
}

// lastTransaction returns the block with the most transactions, and the last of these, which has
// witnesses.
func lastTransaction(t *testing.T, rec *nodetest.BitcoindRecording) (block chainhash.Hash, txid string) {
	t.Helper()
	most := 0
	for _, hash := range rec.Chain {
		if n := len(rec.Blocks[hash]); n > most {
			most, block = n, hash
		}
	}
	var answer struct {
		Tx []string `json:"tx"`
	}
	for _, c := range rec.Calls {
		if c.Request.Method == "getblock" && strings.Contains(string(c.Request.Params), block.String()) && json.Unmarshal(c.Response.Result, &answer) == nil {
			break
		}
	}
	if len(answer.Tx) < 2 {
		t.Fatalf("the recording does not tell of block %s", block)
	}
	return block, answer.Tx[len(answer.Tx)-1]
}

// A proof that the verb prints is one that it accepts, and no other that is made of it.
func TestBOBProof(t *testing.T) {
	rec, lines := recordedNode(t, nodetest.BitcoindOptions{NoTxIndex: true})
	block, txid := lastTransaction(t, rec)
	status, _, stderr := askBOB(t, lines, "proof", txid)
	if status != statusFailed || !strings.Contains(stderr, "--block HASH") {
		t.Errorf("without an index: %d %s", status, stderr)
	}
	status, stdout, stderr := askBOB(t, lines, "proof", txid, "--block", block.String(), "--witness", "--confirmations", "2", "--json")
	if status != statusDone {
		t.Fatalf("status %d: %s", status, stderr)
	}
	var proof map[string]any
	if err := json.Unmarshal([]byte(stdout), &proof); err != nil {
		t.Fatal(err)
	}
	if proof["txid"] != txid || proof["block_hash"] != block.String() || proof["needed"] != 2.0 || proof["relay_kind"] != "full-verify" || proof["wtxid"] == nil {
		t.Errorf("it is %s", stdout)
	}
	dir := t.TempDir()
	verify := func(text, network string, flags ...string) (int, string, string) {
		path := filepath.Join(dir, "proof.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return outrider(t, append([]string{"bob", "proof", "--verify", path, "--network", network}, flags...)...)
	}
	status, table, stderr := verify(stdout, "regtest")
	if status != statusDone || !strings.Contains(table, txid) || !strings.Contains(table, "not proven") {
		t.Fatalf("status %d: %s %s", status, table, stderr)
	}
	if status, printed, _ := verify(stdout, "regtest", "--json"); status != statusDone || !strings.Contains(printed, `"txid": "`+txid+`"`) {
		t.Errorf("as JSON: %d %s", status, printed)
	}
	if status, _, stderr := verify(stdout, "mainnet"); status != statusFailed || !strings.Contains(stderr, "of network") {
		t.Errorf("on another network: %d %s", status, stderr)
	}
	if status, _, stderr := verify(stdout, "nowhere"); status != statusUsage || !strings.Contains(stderr, "--network") {
		t.Errorf("on no network: %d %s", status, stderr)
	}
	forged := forgeries(t, stdout)
	for what, text := range forged {
		if status, printed, stderr := verify(text, "regtest"); status != statusFailed || printed != "" || stderr == "" {
			t.Errorf("%s: status %d: %s %s", what, status, printed, stderr)
		}
	}
	if len(forged) < 60 {
		t.Errorf("%d forgeries", len(forged))
	}
}

// notProven are parts of a report that are about the proof, and no part of it.
var notProven = []string{"height", "relay_kind", "confirmations", "needed", "notes"}

// forgeries returns a proof with each of its values changed: by a digit in the middle, at the end,
// cut, or as another number.
func forgeries(t *testing.T, text string) map[string]string {
	forged := map[string]string{"nothing": "", "no JSON": "{", "an empty one": "{}", "a number": "7"}
	var each func(path string, whole, in map[string]any)
	each = func(path string, whole, in map[string]any) {
		for _, name := range slices.Sorted(maps.Keys(in)) {
			if path == "" && slices.Contains(notProven, name) {
				continue
			}
			old := in[name]
			try := func(how string, v any) {
				in[name] = v
				raw, err := json.Marshal(whole)
				if err != nil {
					t.Fatal(err)
				}
				forged[path+name+" "+how], in[name] = string(raw), old
			}
			switch v := old.(type) {
			case map[string]any:
				each(path+name+".", whole, v)
			case float64:
				try("plus 1", v+1)
				try("minus 1", v-1)
			case string:
				try("empty", "")
				if name == "network" {
					break
				}
				for where, at := range map[string]int{"in the middle": (len(v) + 2) / 2, "at the end": len(v) - 1} {
					digit := byte('0')
					if v[at] == '0' {
						digit = '1'
					}
					try(where, v[:at]+string(digit)+v[at+1:])
				}
				try("cut", v[:len(v)-2])
				try("longer", v+"00")
			}
		}
	}
	var whole map[string]any
	if err := json.Unmarshal([]byte(text), &whole); err != nil {
		t.Fatal(err)
	}
	each("", whole, whole)
	return forged
}

// Mistakes are told before anybody is asked.
func TestBOBProofMistakes(t *testing.T) {
	txid := strings.Repeat("12", 32)
	for want, args := range map[string][]string{
		"one transaction":          {"bob", "proof"},
		"not 2":                    {"bob", "proof", txid, txid},
		"is no hash":               {"bob", "proof", "1234"},
		"either --verify":          {"bob", "proof", txid, "--verify", "x"},
		"invalid value":            {"bob", "proof", txid, "--confirmations", "256"},
		"must be full":             {"bob", "proof", txid, "--kind", "heavy"},
		"hexadecimal digits":       {"bob", "proof", txid, "--block", "12"},
		"configuration has mistak": {"bob", "proof", txid},
	} {
		if status, _, stderr := outrider(t, args...); status != statusUsage || !strings.Contains(stderr, want) {
			t.Errorf("%v: %d %s, want %q", args, status, stderr, want)
		}
	}
	if status, _, stderr := outrider(t, "bob", "proof", "--verify", filepath.Join(t.TempDir(), "none")); status != statusFailed || !strings.Contains(stderr, "no such file") {
		t.Errorf("a file that is not there: %d %s", status, stderr)
	}
	if status, _, stderr := outrider(t, "bob", "proof", "--help"); status != statusDone || !strings.Contains(stderr, "Exit status") {
		t.Errorf("help: %d %s", status, stderr)
	}
}
