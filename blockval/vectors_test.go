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

	"github.com/outrider-project/outrider/sigverify"
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

// consensusFlags are the names of the flags that blocks are validated with.
var consensusFlags = map[string]txscript.ScriptFlags{
	"NONE": 0, "": 0,
	"P2SH":                txscript.ScriptBip16,
	"WITNESS":             txscript.ScriptVerifyWitness,
	"TAPROOT":             txscript.ScriptVerifyTaproot,
	"DERSIG":              txscript.ScriptVerifyDERSignatures,
	"NULLDUMMY":           txscript.ScriptStrictMultiSig,
	"CHECKLOCKTIMEVERIFY": txscript.ScriptVerifyCheckLockTimeVerify,
	"CHECKSEQUENCEVERIFY": txscript.ScriptVerifyCheckSequenceVerify,
}

// parseFlags returns the consensus flags among names, which are separated by
// commas, and whether there are others.
func parseFlags(names string) (flags txscript.ScriptFlags, policy bool) {
	for name := range strings.SplitSeq(names, ",") {
		flag, ok := consensusFlags[name]
		flags |= flag
		policy = policy || !ok
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
func judgeScripts(tb testing.TB, v *Validator, s *spendTx, flags txscript.ScriptFlags) *RuleError {
	tb.Helper()
	c := &check{v: v, p: v.params, flags: flags, b: &Block{Msg: &wire.MsgBlock{
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
type vectorTally struct{ judged, policy, recognised, recognisedValid int }

func (n *vectorTally) agree(tb testing.TB, v *sigverify.Verifier, s *spendTx) {
	tb.Helper()
	for i := range s.tx.TxIn {
		recognised, valid := agree(tb, v, s, i)
		if recognised {
			n.recognised++
		}
		if valid {
			n.recognisedValid++
		}
	}
}

// TestScriptVectors runs Bitcoin Core's script_tests.json: the verdict must be
// the file's, and where the spend is recognised, the engine's.
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
				// They are not recognised, and others are in taproot-ref.
				macros++
				continue
			}
			for _, item := range items[:len(items)-1] {
				witness = append(witness, decodeHex(t, item.(string)))
			}
		}
		sigScript, pkScript := parseScript(t, vector[0].(string)), parseScript(t, vector[1].(string))
		s := creditedSpend(sigScript, pkScript, witness, value)
		tally.agree(t, v.verifier, s)
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
	if tally.judged < 600 || tally.recognised < 10 || tally.recognisedValid < 5 || macros != 5 {
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
	all := collectFlags
	for _, flag := range consensusFlags {
		all |= flag
	}
	for _, file := range []struct {
		name               string
		valid              bool
		judged, recognised int // at least
	}{{"tx_valid.json", true, 120, 30}, {"tx_invalid.json", false, 75, 5}} {
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
			tally.agree(t, v.verifier, s)
			flags, policy := parseFlags(names)
			if file.valid {
				// The file names the flags that the transaction breaks.
				flags, policy = all&^flags, false
				if flags&txscript.ScriptVerifyWitness == 0 || flags&txscript.ScriptBip16 == 0 {
					flags &^= txscript.ScriptVerifyWitness | txscript.ScriptVerifyTaproot
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
		if tally.judged < file.judged || tally.recognised < file.recognised {
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
		b.layouts = append(b.layouts, layout{bodyEnd: tx.SerializeSizeStripped() - 8})
	}
	c := &check{b: b}
	c.countInputs()
	return c.checkTxs()
}

// TestTaprootVectors runs the vectors that Bitcoin Core generated for BIP341 and
// BIP342, each with what must succeed and what must fail.
func TestTaprootVectors(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(txscriptData(t), "taproot-ref", "*"))
	if err != nil || len(paths) < 2700 {
		t.Fatalf("found %d vectors (%v), want 2,760", len(paths), err)
	}
	if testing.Short() {
		paths = paths[:200]
	}
	v := newValidator(t, "main", Options{})
	var tally vectorTally
	failures := 0
	for _, path := range paths {
		var vector struct {
			Tx               string
			Prevouts         []string
			Index            int
			Flags            string
			Success, Failure *struct {
				ScriptSig string
				Witness   []string
			}
		}
		// The files end in a comma.
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(strings.TrimRight(string(data), ",\n")), &vector); err != nil {
			t.Fatalf("decode %s: %v", path, err)
		}
		var prevouts []wire.TxOut
		for _, out := range vector.Prevouts {
			d := &decoder{buf: decodeHex(t, out)}
			value := int64(d.uint64())
			prevouts = append(prevouts, wire.TxOut{Value: value, PkScript: d.varBytes()})
			if d.err != nil || d.left() != 0 {
				t.Fatalf("%s: prevout %s: %v", path, out, d.err)
			}
		}
		flags, policy := parseFlags(vector.Flags)
		if policy {
			t.Fatalf("%s has flags that are no consensus: %s", path, vector.Flags)
		}
		for _, side := range []*struct {
			ScriptSig string
			Witness   []string
		}{vector.Success, vector.Failure} {
			if side == nil {
				continue
			}
			// Only this input is the vector's: the others are what they are.
			s := &spendTx{tx: decodeTx(t, vector.Tx), prevouts: prevouts}
			in := s.tx.TxIn[vector.Index]
			in.SignatureScript = decodeHex(t, side.ScriptSig)
			for _, item := range side.Witness {
				in.Witness = append(in.Witness, decodeHex(t, item))
			}
			recognised, valid := agree(t, v.verifier, s, vector.Index)
			if recognised {
				tally.recognised++
			}
			if !valid {
				valid = s.execute(vector.Index, flags) == nil
			}
			tally.judged++
			if want := side == vector.Success; valid != want {
				t.Errorf("%s: valid %v, want %v", filepath.Base(path), valid, want)
			}
			if side == vector.Failure {
				failures++
			}
		}
	}
	t.Logf("%+v, %d that fail", tally, failures)
	if tally.recognised < len(paths)/20 || failures < len(paths)/3 {
		t.Error("the files have other vectors than they had")
	}
}

// TestSigHashVectors runs those of Bitcoin Core's sighash.json whose hash is one
// that is computed here: it signs all inputs and outputs, with a script without
// OP_CODESEPARATOR.
func TestSigHashVectors(t *testing.T) {
	var vectors [][]any
	readJSON(t, filepath.Join(txscriptData(t), "sighash.json"), &vectors)
	tested := 0
	for _, vector := range vectors {
		if len(vector) == 1 {
			continue // a comment
		}
		s := &spendTx{tx: decodeTx(t, vector[0].(string))}
		script, input := decodeHex(t, vector[1].(string)), int(vector[2].(float64))
		hashType := uint32(int32(vector[3].(float64)))
		base := txscript.SigHashType(hashType & 0x1f)
		if hashType&uint32(txscript.SigHashAnyOneCanPay) != 0 || base == txscript.SigHashNone ||
			base == txscript.SigHashSingle || slices.Contains(script, txscript.OP_CODESEPARATOR) {
			continue
		}
		tested++
		got := chainhash.Hash((&legacyHasher{t: s}).all(input, script, hashType))
		if want := vector[4].(string); got.String() != want {
			t.Errorf("%v: %s, want %s", vector, got, want)
		}
	}
	t.Logf("%d tested", tested)
	if tested < 100 {
		t.Error("the file has other vectors than it had")
	}
}
