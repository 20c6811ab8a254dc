package blockval

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval/script"
)

// txscriptData returns the directory of the vectors that txscript ships. Most
// come from Bitcoin Core.
func txscriptData(tb testing.TB) string {
	tb.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/btcsuite/btcd/txscript/v2").Output()
	if err != nil {
		tb.Fatalf("find the module txscript: %v", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "data")
}

func readJSON(tb testing.TB, path string, into any) {
	tb.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		tb.Fatalf("decode %s: %v", path, err)
	}
}

// parseFlags returns the consensus flags among names, which are separated by
// commas, and whether there are others.
func parseFlags(names string) (flags script.Flags, policy bool) {
	for name := range strings.SplitSeq(names, ",") {
		known := name == "NONE" || name == ""
		for bit := script.Flags(1); bit <= script.Consensus; bit <<= 1 {
			if one := (bit & script.Consensus).Names(); len(one) > 0 && one[0] == name {
				flags |= bit
				known = true
			}
		}
		policy = policy || !known
	}
	return flags, policy
}

// parseScript parses the form of scripts in Bitcoin Core's vectors: numbers,
// quoted texts, names of operations and raw bytes.
func parseScript(tb testing.TB, text string) []byte {
	tb.Helper()
	var script []byte
	for token := range strings.FieldsSeq(text) {
		if n, err := strconv.ParseInt(token, 10, 64); err == nil {
			push, err := txscript.NewScriptBuilder().AddInt64(n).Script()
			if err != nil {
				tb.Fatal(err)
			}
			script = append(script, push...)
			continue
		}
		if raw, ok := strings.CutPrefix(token, "0x"); ok {
			b, err := hex.DecodeString(raw)
			if err != nil {
				tb.Fatalf("script %q: %v", text, err)
			}
			script = append(script, b...)
			continue
		}
		if len(token) >= 2 && token[0] == '\'' {
			script = appendPush(script, []byte(token[1:len(token)-1]))
			continue
		}
		op, ok := txscript.OpcodeByName["OP_"+token]
		if !ok {
			if op, ok = txscript.OpcodeByName[token]; !ok {
				tb.Fatalf("script %q: what is %q?", text, token)
			}
		}
		script = append(script, op)
	}
	return script
}

func decodeHex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// decodeTx decodes a transaction by Parse.
func decodeTx(tb testing.TB, s string) *wire.MsgTx {
	tb.Helper()
	b, err := parseTx(tb, s)
	if err != nil {
		tb.Fatal(err)
	}
	return b.Msg.Transactions[0]
}

// judgeScripts runs the scripts of one transaction as a block's are.
func judgeScripts(tb testing.TB, v *Validator, s *spendTx, flags script.Flags) *RuleError {
	tb.Helper()
	c := &check{v: v, p: v.params, flags: flags, scratch: new(scratch), b: &Block{Msg: &wire.MsgBlock{
		Transactions: []*wire.MsgTx{wire.NewMsgTx(1), s.tx},
	}}}
	c.countInputs()
	for _, out := range s.prevouts {
		c.coins = append(c.coins, Coin{Value: out.Value, Script: out.PkScript})
	}
	rule, err := c.scripts(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return rule
}

// A vectorTally counts what a set of vectors was good for.
type vectorTally struct{ judged, policy int }

// TestScriptVectors runs Bitcoin Core's script_tests.json: the verdict must be
// the file's. Package script runs them besides with each flag, and by its two ways.
func TestScriptVectors(t *testing.T) {
	var vectors [][]any
	readJSON(t, filepath.Join(txscriptData(t), "script_tests.json"), &vectors)
	v := newValidator(t, "main", Options{Workers: 1})
	var tally vectorTally
	macros := 0
	for _, vector := range vectors {
		if len(vector) == 1 {
			continue // a comment
		}
		var witness wire.TxWitness
		var value int64
		if items, ok := vector[0].([]any); ok {
			vector = vector[1:]
			value = int64(math.Round(items[len(items)-1].(float64) * coin))
			if slices.ContainsFunc(items, func(item any) bool { s, _ := item.(string); return strings.HasPrefix(s, "#") }) {
				// Script and control block are left for the reader to make.
				// Package script does.
				macros++
				continue
			}
			for _, item := range items[:len(items)-1] {
				witness = append(witness, decodeHex(t, item.(string)))
			}
		}
		sigScript, pkScript := parseScript(t, vector[0].(string)), parseScript(t, vector[1].(string))
		s := creditedSpend(sigScript, pkScript, witness, value)
		flags, policy := parseFlags(vector[2].(string))
		// What is valid by stricter rules is valid by those of blocks.
		want := vector[3].(string)
		if policy && want != "OK" {
			tally.policy++
			continue
		}
		tally.judged++
		if rule := judgeScripts(t, v, s, flags); (rule == nil) != (want == "OK") {
			t.Errorf("%v: %v, want %s", vector, rule, want)
		}
	}
	t.Logf("%+v, %d with macros", tally, macros)
	if tally.judged < 600 || macros != 5 {
		t.Error("the file has other vectors than it had")
	}
}

// creditedSpend returns the transaction that Bitcoin Core's script tests run: it
// spends the only output of one that credits value to pkScript.
func creditedSpend(sigScript, pkScript []byte, witness wire.TxWitness, value int64) *spendTx {
	credit := wire.NewMsgTx(1)
	credit.AddTxIn(&wire.TxIn{
		PreviousOutPoint: wire.OutPoint{Index: wire.MaxPrevOutIndex},
		SignatureScript:  []byte{0, 0}, Sequence: wire.MaxTxInSequenceNum,
	})
	credit.AddTxOut(&wire.TxOut{Value: value, PkScript: pkScript})
	spend := wire.NewMsgTx(1)
	spend.AddTxIn(&wire.TxIn{
		PreviousOutPoint: wire.OutPoint{Hash: credit.TxHash()},
		SignatureScript:  sigScript, Witness: witness, Sequence: wire.MaxTxInSequenceNum,
	})
	spend.AddTxOut(&wire.TxOut{Value: value})
	return &spendTx{tx: spend, prevouts: []wire.TxOut{*credit.TxOut[0]}}
}

// TestTxVectors runs Bitcoin Core's tx_valid.json and tx_invalid.json likewise.
func TestTxVectors(t *testing.T) {
	v := newValidator(t, "main", Options{Workers: 1})
	for _, file := range []struct {
		name   string
		valid  bool
		judged int // at least
	}{{"tx_valid.json", true, 120}, {"tx_invalid.json", false, 75}} {
		var vectors [][]any
		readJSON(t, filepath.Join(txscriptData(t), file.name), &vectors)
		var tally vectorTally
		for _, vector := range vectors {
			if len(vector) == 1 {
				continue
			}
			s := &spendTx{tx: decodeTx(t, vector[1].(string))}
			names := vector[2].(string)
			if names == "BADTX" {
				tally.judged++
				if rule := judgeShape(s.tx); rule == nil {
					t.Errorf("%v breaks no rule", vector)
				}
				continue
			}
			s.prevouts = vectorPrevouts(t, s.tx, vector[0].([]any))
			flags, policy := parseFlags(names)
			if file.valid {
				// The file names the flags that the transaction breaks.
				flags, policy = script.Consensus&^flags, false
				if flags&script.Witness == 0 || flags&script.P2SH == 0 {
					flags &^= script.Witness | script.Taproot
				}
			}
			if policy {
				tally.policy++
				continue
			}
			tally.judged++
			if rule := judgeScripts(t, v, s, flags); (rule == nil) != file.valid {
				t.Errorf("%s: %v: %v", file.name, vector, rule)
			}
		}
		t.Logf("%s: %+v", file.name, tally)
		if tally.judged < file.judged {
			t.Errorf("%s has other vectors than it had", file.name)
		}
	}
}

// vectorPrevouts returns what tx spends, of a list of outputs by outpoint.
func vectorPrevouts(tb testing.TB, tx *wire.MsgTx, list []any) []wire.TxOut {
	tb.Helper()
	outs := make(map[wire.OutPoint]wire.TxOut)
	for _, entry := range list {
		e := entry.([]any)
		h, err := chainhash.NewHashFromStr(e[0].(string))
		if err != nil {
			tb.Fatal(err)
		}
		out := wire.TxOut{PkScript: parseScript(tb, e[2].(string))}
		if len(e) > 3 {
			out.Value = int64(e[3].(float64))
		}
		outs[wire.OutPoint{Hash: *h, Index: uint32(int64(e[1].(float64)))}] = out
	}
	prevouts := make([]wire.TxOut, len(tx.TxIn))
	for i, in := range tx.TxIn {
		out, ok := outs[in.PreviousOutPoint]
		if !ok {
			tb.Fatalf("no output %s", in.PreviousOutPoint)
		}
		prevouts[i] = out
	}
	return prevouts
}

// judgeShape checks a transaction as one of a block.
func judgeShape(tx *wire.MsgTx) *RuleError {
	txs := []*wire.MsgTx{tx}
	if !isCoinbase(tx) {
		coinbase := pay([]*wire.TxIn{{
			PreviousOutPoint: wire.OutPoint{Index: wire.MaxPrevOutIndex}, SignatureScript: []byte{1, 1},
		}}, 1)
		txs = []*wire.MsgTx{coinbase, tx}
	}
	b := &Block{Msg: &wire.MsgBlock{Transactions: txs}}
	for _, tx := range txs {
		b.largest = max(b.largest, tx.SerializeSizeStripped())
	}
	c := &check{b: b, scratch: new(scratch)}
	c.countInputs()
	return c.checkTxs()
}
