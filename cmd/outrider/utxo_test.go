package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/outrider-project/outrider/testvectors"
)

func TestUtxoMistakes(t *testing.T) {
	const txid = "4b83dbbe5375632cb0f455c4e3f903524ad4797e9f6ebe10e499b0226497418f"
	empty := t.TempDir()
	for _, tt := range []struct {
		args   []string
		status int
		want   string
	}{
		{nil, statusUsage, "load, get, stats, verify, compact, index build"},
		{[]string{"index"}, statusUsage, "index show"},
		{[]string{"load"}, statusUsage, "--snapshot"},
		{[]string{"load", "file"}, statusUsage, "file"},
		{[]string{"load", "--snapshot", "x", "--expect", "abc"}, statusUsage, "abc"},
		{[]string{"load", "--snapshot", "x", "--height", "-1"}, statusUsage, "height"},
		{[]string{"load", "--snapshot", "x", "--height", "2147483647"}, statusUsage, "--height"},
		{[]string{"load", "--snapshot", "x", "--network", "mainent"}, statusUsage, "testnet4"},
		{[]string{"load", "--snapshot", "/nonexistent/utxo.dat", "--datadir", empty}, statusFailed, "--snapshot: open /nonexistent/utxo.dat"},
		{[]string{"get"}, statusUsage, "TXID:VOUT"},
		{[]string{"get", "--datadir", empty, txid, "x:1"}, statusUsage, "x:1"},
		{[]string{"get", txid + ":0", "--datadir", empty}, statusFailed, "outrider utxo load --snapshot FILE --datadir " + empty},
		{[]string{"get", txid + ":0", "--nonsense"}, statusUsage, "nonsense"},
		{[]string{"stats", "--datadir", empty}, statusFailed, "there is no coin database"},
		{[]string{"stats", "please"}, statusUsage, "please"},
		{[]string{"verify", "--datadir", empty, "--check"}, statusFailed, "there is no coin database"},
		{[]string{"compact", "--datadir", empty}, statusFailed, "there is no coin database"},
		{[]string{"index", "build", "--datadir", empty}, statusFailed, "there is no coin database"},
		{[]string{"index", "drop", "--datadir", empty}, statusFailed, "there is no coin database"},
		{[]string{"index", "show", txid, "--datadir", empty}, statusFailed, "there is no coin database"},
		{[]string{"index", "show"}, statusUsage, "SCRIPTHASH"},
		{[]string{"index", "show", txid, "--script", "51"}, statusUsage, "SCRIPTHASH"},
		{[]string{"index", "show", "--script", "5"}, statusUsage, "--script"},
		{[]string{"load", "--help"}, statusDone, "1 when it failed"},
	} {
		status, stdout, stderr := outrider(t, append([]string{"utxo"}, tt.args...)...)
		if status != tt.status || stdout != "" || !strings.Contains(stderr, tt.want) {
			t.Errorf("%v: status %d, stdout %q, stderr %q; want %d and a word on %q", tt.args, status, stdout, stderr, tt.status, tt.want)
		}
	}
	if left, err := os.ReadDir(empty); err != nil || len(left) > 0 {
		t.Errorf("%v was made by commands that failed (%v)", left, err)
	}
}

const utxoUnchecked = "that outrider utxo load prints what a real bitcoind told of its coins"

// say runs a command line of "outrider utxo" that must end well, and decodes the
// one JSON object that it prints.
func say(t *testing.T, into any, args ...string) {
	t.Helper()
	status, stdout, stderr := outrider(t, append([]string{"utxo"}, args...)...)
	if status != statusDone {
		t.Fatalf("%v: status %d: %s", args, status, stderr)
	}
	d := json.NewDecoder(strings.NewReader(stdout))
	if err := d.Decode(into); err != nil || d.More() {
		t.Fatalf("%v printed %q (%v), want one object", args, stdout, err)
	}
}

// TestUtxo loads the recorded snapshots, and compares what it prints with what the
// node told of the same coins.
func TestUtxo(t *testing.T) {
	for _, folder := range []string{"bitcoind/", "bitcoind/zoo/"} {
		t.Run(folder, func(t *testing.T) {
			want := map[string]any{"txoutset_hash": "", "base_hash": "", "base_height": 0.0, "coins_written": 0.0}
			rpc := testvectors.LoadFixture(t, folder+"rpc.jsonl.zst", utxoUnchecked)
			answerWith(t, rpc, "txoutset_hash", want)
			snapshot := write(t, testvectors.LoadFixture(t, folder+"utxo_snapshot.dat", utxoUnchecked))
			dir := t.TempDir()
			var got map[string]any
			say(t, &got, "load", "--snapshot", snapshot, "--datadir", dir, "--json")
			muhash := map[string]any{"muhash": "", "bestblock": want["base_hash"]}
			answerWith(t, rpc, "muhash", muhash)
			for name, value := range map[string]any{
				"coins": want["coins_written"], "base_hash": want["base_hash"], "base_height": want["base_height"],
				"hash_serialized_3": want["txoutset_hash"], "muhash": muhash["muhash"], "network": "regtest",
			} {
				if got[name] != value {
					t.Errorf("%s is %v, the node said %v", name, got[name], value)
				}
			}
			if s, ok := got["seconds"].(float64); !ok || s <= 0 || got["coins_per_second"].(float64) <= 0 {
				t.Errorf("it took %v s, %v coins a second", got["seconds"], got["coins_per_second"])
			}
			var stats map[string]any
			say(t, &stats, "compact", "--datadir", dir, "--json")
			var verified map[string]any
			say(t, &verified, "verify", "--check", "--datadir", dir, "--json", "--expect", want["txoutset_hash"].(string), "--expect-muhash", muhash["muhash"].(string))
			if verified["whole"] != true || verified["checked"] != true || verified["coins"] != want["coins_written"] {
				t.Errorf("verified %v", verified)
			}
			status, stdout, stderr := outrider(t, "utxo", "verify", "--datadir", dir, "--expect", muhash["muhash"].(string))
			if status != statusFailed || !strings.Contains(stdout, "WRONG hash_serialized_3 is") {
				t.Errorf("another hash was expected: status %d, %s%s", status, stdout, stderr)
			}
		})
	}
}

// answerWith sets the fields of want to those of the recorded answer that has all
// of them and a field with that name, and the values of those that are not zero.
func answerWith(t *testing.T, rpc []byte, name string, want map[string]any) {
	t.Helper()
lines:
	for line := range bytes.Lines(rpc) {
		var said struct {
			Response json.RawMessage `json:"response"`
			Raw      string          `json:"raw_response"`
		}
		if err := json.Unmarshal(line, &said); err != nil {
			t.Fatal(err)
		}
		if said.Raw != "" {
			said.Response = json.RawMessage(said.Raw)
		}
		var answer struct{ Result map[string]any }
		if json.Unmarshal(said.Response, &answer) != nil || answer.Result[name] == nil {
			continue
		}
		for field, value := range want {
			if value != "" && value != 0.0 && answer.Result[field] != value {
				continue lines
			}
		}
		for field := range want {
			if want[field] = answer.Result[field]; want[field] == nil {
				t.Fatalf("the recorded answer with %s has no %s", name, field)
			}
		}
		return
	}
	t.Fatalf("no recorded answer has %s as of %v", name, want)
}

// gettxout is asked of a real coin, and the index of its script.
func TestUtxoAsked(t *testing.T) {
	snapshot := write(t, testvectors.LoadFixture(t, "bitcoind/utxo_snapshot.dat", utxoUnchecked))
	dir := t.TempDir()
	status, stdout, stderr := outrider(t, "utxo", "load", "--snapshot", snapshot, "--datadir", dir)
	if status != statusDone || !strings.Contains(stdout, "173 coins of regtest as of block 115 ") || !strings.Contains(stderr, "100.0 %") {
		t.Fatalf("status %d: %s%s", status, stdout, stderr)
	}
	// The first coin of the file: its txid is behind the header, and a CompactSize.
	raw, err := os.ReadFile(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	txid := bytes.Clone(raw[51:83])
	for i, j := 0, len(txid)-1; i < j; i, j = i+1, j-1 {
		txid[i], txid[j] = txid[j], txid[i]
	}
	outpoint := func(vout byte) string { return hex.EncodeToString(txid) + ":" + string('0'+vout) }
	var found struct {
		Complete bool
		Coins    []struct {
			Found  bool
			Output *struct {
				Value  int64
				Script string
			}
		}
	}
	say(t, &found, "get", outpoint(raw[84]), "--datadir", dir, outpoint(9), "--json")
	if !found.Complete || len(found.Coins) != 2 || !found.Coins[0].Found || found.Coins[0].Output == nil || found.Coins[1].Found {
		t.Fatalf("got %+v", found)
	}
	script := found.Coins[0].Output.Script
	if status, _, stderr := outrider(t, "utxo", "index", "show", "--script", script, "--datadir", dir); status != statusFailed || !strings.Contains(stderr, "index build") {
		t.Errorf("without an index: status %d, %s", status, stderr)
	}
	var state struct{ Index bool }
	if say(t, &state, "index", "build", "--datadir", dir, "--json"); !state.Index {
		t.Error("the index is not there")
	}
	var shown struct {
		ScriptHash string `json:"script_hash"`
		Coins      []struct {
			TxID string
			Vout byte
		}
	}
	say(t, &shown, "index", "show", "--script", script, "--datadir", dir, "--json")
	if len(shown.Coins) == 0 {
		t.Fatal("no coin has the script of a coin")
	}
	there := false
	for _, c := range shown.Coins {
		there = there || c.TxID == hex.EncodeToString(txid) && c.Vout == raw[84]
	}
	again := shown
	say(t, &again, "index", "show", shown.ScriptHash, "--datadir", dir, "--json")
	if !there || len(again.Coins) != len(shown.Coins) {
		t.Errorf("shown %+v, by hash %+v", shown, again)
	}
	var stats struct {
		Index bool
		Coins int
	}
	if say(t, &stats, "stats", "--datadir", dir, "--json"); !stats.Index || stats.Coins != 173 {
		t.Errorf("%+v", stats)
	}
	if say(t, &state, "index", "drop", "--datadir", dir, "--json"); state.Index {
		t.Error("the index is there")
	}
	if say(t, &stats, "compact", "--datadir", dir, "--json"); stats.Index || stats.Coins != 173 {
		t.Errorf("%+v", stats)
	}
}

// The program itself reads a snapshot from its standard input, and finds the
// database locked while another has it open.
func TestUtxoProcess(t *testing.T) {
	snapshot := testvectors.LoadFixture(t, "bitcoind/utxo_snapshot.dat", utxoUnchecked)
	if testing.Short() {
		t.Skip("not checked with -short: that outrider utxo load reads standard input")
	}
	program, dir := buildOutrider(t), t.TempDir()
	load := func(stdin *os.File) (*exec.Cmd, *bytes.Buffer, *bytes.Buffer) {
		cmd := exec.Command(program, "utxo", "load", "--snapshot", "-", "--height", "115", "--datadir", dir, "--json")
		var stdout, stderr bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = stdin, &stdout, &stderr, bareEnviron(t)
		return cmd, &stdout, &stderr
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	first, stdout, stderr := load(r)
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(snapshot[:len(snapshot)-1]); err != nil {
		t.Fatal(err)
	}
	// It has the database open once its journal is there.
	for deadline := time.Now().Add(time.Minute); ; {
		if _, err := os.Stat(filepath.Join(dir, "regtest", "coins.load")); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it does not begin to load")
		}
		<-time.After(10 * time.Millisecond)
	}
	path := write(t, snapshot)
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	second, out, errs := load(file)
	if err := second.Run(); err == nil || out.Len() > 0 || !strings.Contains(errs.String(), "stop the sidecar") {
		t.Errorf("two load into one database: %v, %s%s", err, out, errs)
	}
	if _, err := w.Write(snapshot[len(snapshot)-1:]); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"txoutset_hash": ""}
	answerWith(t, testvectors.LoadFixture(t, "bitcoind/rpc.jsonl.zst", utxoUnchecked), "txoutset_hash", want)
	if err := first.Wait(); err != nil || !strings.Contains(stdout.String(), fmt.Sprintf(`"hash_serialized_3": %q`, want["txoutset_hash"])) {
		t.Errorf("%v: %s%s", err, stdout, stderr)
	}
}
