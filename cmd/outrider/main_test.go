package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/outrider-project/outrider/testvectors"
)

// forTests are the variables that this project's tests look at.
var forTests = []string{"OUTRIDER_VECTORS", "OUTRIDER_FIXTURES", "OUTRIDER_SEED", "OUTRIDER_LIBZMQ"}

// bareEnviron returns the environment without settings of Outrider's, and with a
// home and a btcd's directory that are empty: a node on this machine that is not
// the test's is never found.
func bareEnviron(t *testing.T) []string {
	t.Helper()
	environ := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return strings.HasPrefix(name, "OUTRIDER_") && !slices.Contains(forTests, name)
	})
	return append(environ, "HOME="+t.TempDir(), "OUTRIDER_BTCD_DIR="+t.TempDir())
}

// outrider runs a command line in this process, in bareEnviron, and returns its
// exit status and what it printed.
func outrider(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	bare := bareEnviron(t)
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "OUTRIDER_") && !slices.ContainsFunc(bare, func(b string) bool { return strings.HasPrefix(b, name+"=") }) {
			t.Setenv(name, "") // so that it is restored
			os.Unsetenv(name)
		}
	}
	for _, kv := range bare[len(bare)-2:] {
		name, value, _ := strings.Cut(kv, "=")
		t.Setenv(name, value)
	}
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
		{[]string{"run", "--node-kind", "btcd", "--node-address", "localhost:1"}, "node-certificate: no certificate at "},
		{[]string{"run", "--datadir", "/dev/null"}, "datadir: /dev/null is not a directory"},
		{[]string{"bench"}, "block"},
		{[]string{"bench", "relay", "--rounds", "0"}, "--rounds: must be from 1 to 1000"},
		{[]string{"bench", "relay", "--rounds", "1001"}, "--rounds: must be from 1 to 1000"},
		{[]string{"bench", "relay", "now"}, "now"},
		{[]string{"bench", "perf", "--rounds", "2"}, "--rounds: must be from 3 to 100"},
		{[]string{"bench", "perf", "--quick", "--rounds", "0"}, "--rounds: must be from 1 to 100"},
		{[]string{"bench", "perf", "--turns", "0"}, "--turns: must be from 1 to 100"},
		{[]string{"bench", "perf", "--dir", "/dev/null"}, "--dir: "},
		{[]string{"bench", "perf", "quick"}, "there are no other arguments"},
		{[]string{"bench", "block", "--block", "x", "--spent", "y"}, "--height"},
		{[]string{"bench", "block", "--height", "1"}, "--block"},
		{[]string{"bench", "block", "--height", "1", "--block", "x"}, "--spent"},
		{[]string{"bench", "block", "--height", "-7", "--cores", "-1", "--rounds", "0"}, "--rounds"},
		{[]string{"bench", "flock"}, "block, follow, bitcoind"},
		{[]string{"bench", "block", "--height", "1", "--cores", "0"}, "outrider bench block: --cores: must be from 1"},
		{[]string{"bench", "block", "--height", "1", "--network", "regtest"}, "--network: is for --block"},
		{[]string{"bench", "block", "--network", "regtest"}, "a generated block is of regtest"},
		{[]string{"bench", "block", "--signet-challenge", "51", "--height", "1", "--block", "x", "--spent", "y"}, "--signet-challenge: is for --network signet"},
		{[]string{"bench", "block", "--signet-challenge", "OP_TRUE"}, "must be a script in hexadecimal digits"},
		{[]string{"bench", "block", "--config", "x"}, "--height"},
		{[]string{"bench", "block", "--height", "1", "--seed", "1"}, "--seed and --transactions: are for a generated block"},
		{[]string{"bench", "block", "--transactions", "4865"}, "--transactions: must be from 1 to 4864"},
		{[]string{"bench", "block", "--transactions", "0", "--warm", "1.1"}, "--warm: must be from 0 to 1"},
		{[]string{"bench", "block", "--warm", "NaN"}, "--warm: must be"},
		{[]string{"bench", "follow", "--rounds", "0"}, "outrider bench follow: --rounds"},
		{[]string{"bench", "follow", "--rounds", "31", "--transactions", "0"}, "--transactions"},
		{[]string{"bench", "bitcoind", "--bitcoind", ""}, "BITCOIND"},
		{[]string{"bench", "bitcoind", "--bitcoind", "/nonexistent/bitcoind"}, "outrider bench bitcoind: --bitcoind: "},
		{[]string{"bench", "bitcoind", "--bitcoind", "", "--blocks", "0"}, "--blocks: must be"},
		{[]string{"bench", "utxo", "--rounds", "0"}, "--rounds: must be"},
		{[]string{"bench", "utxo", "--rounds", "10", "--coins", "239999"}, "--coins: must be from 240000"},
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

// Every mistake is listed, also where the configuration has some too.
func TestBenchBlockListsEveryMistake(t *testing.T) {
	status, stdout, stderr := outrider(t, "bench", "block", "--height", "-7", "--cores", "0", "--rounds", "0", "--network", "mainent", "--block", "x")
	for _, want := range []string{"--height", "--cores", "--rounds", "--network", "mainent", "regtest", "--spent"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("%s is not in the message:\n%s", want, stderr)
		}
	}
	if status != statusUsage || stdout != "" {
		t.Errorf("status %d, stdout %q", status, stdout)
	}
	if _, _, stderr := outrider(t, "bench", "block", "--height", "1", "--cores", "0"); !strings.Contains(stderr, "--cores") || !strings.Contains(stderr, "btcd.conf") {
		t.Errorf("the missing node and the mistake are not both in the message:\n%s", stderr)
	}
}

func TestHelpTellsTheExitStatuses(t *testing.T) {
	for _, args := range [][]string{{"help"}, {"bench", "block", "--help"}} {
		if status, stdout, stderr := outrider(t, args...); status != statusDone || !strings.Contains(stdout+stderr, "3 when") {
			t.Errorf("%v: status %d, %s%s", args, status, stdout, stderr)
		}
	}
}

// benchmark is the report of "outrider bench block --json".
type benchmark struct {
	Valid        bool
	Rule         string
	Transactions int
	Rows         []any
}

// benchBlock170 runs "outrider bench block" on mainnet's block 170, in other
// files than its own where they are named.
func benchBlock170(t *testing.T, otherBlock, otherSpent string) (status int, rep benchmark, stderr string) {
	t.Helper()
	block, spent, err := testvectors.Mainnet(170)
	if err != nil {
		testvectors.LoadMainnet(t, 170, "outrider bench block on real blocks")
	}
	status, stdout, stderr := outrider(t, "bench", "block", "--height", "170", "--rounds", "1", "--json",
		"--block", cmp.Or(otherBlock, block), "--spent", cmp.Or(otherSpent, spent))
	if stdout != "" {
		if err := json.Unmarshal([]byte(stdout), &rep); err != nil {
			t.Fatalf("%v:\n%s", err, stdout)
		}
	} else if status == statusDone || status == statusFailed {
		t.Errorf("status %d without a report: %s", status, stderr)
	}
	return status, rep, stderr
}

// write puts content into a new file and returns its path.
func write(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBenchBlock(t *testing.T) {
	status, rep, stderr := benchBlock170(t, "", "")
	if status != statusDone || !rep.Valid || rep.Transactions != 2 || len(rep.Rows) == 0 {
		t.Errorf("status %d, %+v\n%s", status, rep, stderr)
	}
}

// Without a block and without a node, one is generated; the same seed makes the
// same one.
func TestBenchGeneratedBlock(t *testing.T) {
	args := []string{"bench", "block", "--seed", "9", "--transactions", "50", "--rounds", "1", "--cores", "1"}
	status, stdout, stderr := outrider(t, append(args, "--json", "--warm", "0.5")...)
	var rep struct {
		benchmark
		Seed uint64
		Rows []struct{ Name, Anchor string }
	}
	if err := json.Unmarshal([]byte(stdout), &rep); err != nil || status != statusDone || !rep.Valid || rep.Transactions != 50 || rep.Seed != 9 {
		t.Fatalf("status %d, %+v (%v)\n%s", status, rep, err, stderr)
	}
	for _, name := range []string{"block/total/1core", "block/total/warm50"} {
		if !slices.Contains(rep.Rows, struct{ Name, Anchor string }{name, "btcd"}) {
			t.Errorf("no row %s beside btcd: %v", name, rep.Rows)
		}
	}
	status, stdout, stderr = outrider(t, append(args, "--warm", "0")...)
	if status != statusDone || !strings.Contains(stdout, "generated from seed 9: valid") || strings.Contains(stdout, "warm") {
		t.Errorf("status %d\n%s%s", status, stdout, stderr)
	}
}

// The exit status tells an invalid block from one that could not be judged. What
// is wrong with the block itself comes before what is wrong with its coins.
func TestBenchBlockStatus(t *testing.T) {
	raw, _ := testvectors.LoadMainnet(t, 170, "the exit status of outrider bench block")
	raw[100] ^= 1
	spoilt := write(t, raw)
	_, others, err := testvectors.Mainnet(757739)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, block, spent string
		status             int
		rule, said         string
	}{
		{"spoilt block", spoilt, "", statusFailed, "bad-txnmrklroot", ""},
		{"no block", write(t, nil), "", statusFailed, "block-decode-failed", ""},
		{"no such file", "/nonexistent/170.block", "", statusUnjudged, "", "--block: open /nonexistent/170.block: no such file"},
		{"no such spent file", "", "/nonexistent/170.json", statusUnjudged, "", "--spent: open /nonexistent/170.json: no such file"},
		{"malformed spent file", "", write(t, []byte("[{}]")), statusUnjudged, "", "spent output 0"},
		{"another block's spent file", "", others, statusUnjudged, "", "the spent file has 91 coins, the block spends 1: is it of another block?"},
		{"an empty spent file", "", write(t, []byte("[]")), statusUnjudged, "", "the spent file has 0 coins, the block spends 1"},
		{"spoilt block, another's spent file", spoilt, others, statusFailed, "bad-txnmrklroot", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, rep, stderr := benchBlock170(t, tt.block, tt.spent)
			if status != tt.status || rep.Valid || rep.Rule != tt.rule || !strings.Contains(stderr, tt.said) {
				t.Errorf("status %d, rule %q, said %q; want %d, %q, %q", status, rep.Rule, stderr, tt.status, tt.rule, tt.said)
			}
			if tt.status == statusFailed && rep.Rows == nil {
				t.Error("the report's rows are null")
			}
			if strings.Contains(stderr, "test vector") {
				t.Errorf("a user's file is called a test vector: %s", stderr)
			}
		})
	}
}
