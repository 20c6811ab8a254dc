package script

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/sigverify"
)

// flagNames are the flags by their names in Bitcoin Core's vectors.
var flagNames = map[string]Flags{
	"P2SH": P2SH, "DERSIG": DERSig, "NULLDUMMY": NullDummy,
	"CHECKLOCKTIMEVERIFY": CheckLockTimeVerify, "CHECKSEQUENCEVERIFY": CheckSequenceVerify,
	"WITNESS": Witness, "TAPROOT": Taproot,
	"STRICTENC": StrictEnc, "LOW_S": LowS, "SIGPUSHONLY": SigPushOnly, "MINIMALDATA": MinimalData,
	"DISCOURAGE_UPGRADABLE_NOPS": DiscourageUpgradableNops, "CLEANSTACK": CleanStack,
	"MINIMALIF": MinimalIf, "NULLFAIL": NullFail, "WITNESS_PUBKEYTYPE": WitnessPubkeyType,
	"CONST_SCRIPTCODE":                      ConstScriptCode,
	"DISCOURAGE_UPGRADABLE_WITNESS_PROGRAM": DiscourageUpgradableWitnessProgram,
	"DISCOURAGE_UPGRADABLE_TAPROOT_VERSION": DiscourageUpgradableTaprootVersion,
	"DISCOURAGE_OP_SUCCESS":                 DiscourageOpSuccess,
	"DISCOURAGE_UPGRADABLE_PUBKEYTYPE":      DiscourageUpgradablePubkeyType,
}

// consensus is the flags that a block of today is validated with.
const consensus = P2SH | DERSig | NullDummy | CheckLockTimeVerify | CheckSequenceVerify | Witness | Taproot

// parseFlags returns the flags that are named, separated by commas.
func parseFlags(tb testing.TB, names string) (f Flags) {
	tb.Helper()
	for name := range strings.SplitSeq(names, ",") {
		if name == "" || name == "NONE" {
			continue
		}
		flag, ok := flagNames[name]
		if !ok {
			tb.Fatalf("unknown flag %q", name)
		}
		f |= flag
	}
	return f
}

// btcdFlags are the flags by those of txscript that mean the same.
var btcdFlags = map[Flags]txscript.ScriptFlags{
	P2SH: txscript.ScriptBip16, DERSig: txscript.ScriptVerifyDERSignatures,
	NullDummy:           txscript.ScriptStrictMultiSig,
	CheckLockTimeVerify: txscript.ScriptVerifyCheckLockTimeVerify,
	CheckSequenceVerify: txscript.ScriptVerifyCheckSequenceVerify,
	Witness:             txscript.ScriptVerifyWitness, Taproot: txscript.ScriptVerifyTaproot,
	LowS: txscript.ScriptVerifyLowS, StrictEnc: txscript.ScriptVerifyStrictEncoding,
	SigPushOnly: txscript.ScriptVerifySigPushOnly, MinimalData: txscript.ScriptVerifyMinimalData,
	NullFail: txscript.ScriptVerifyNullFail, MinimalIf: txscript.ScriptVerifyMinimalIf,
	WitnessPubkeyType: txscript.ScriptVerifyWitnessPubKeyType,
}

// theirs returns the flags of txscript that mean the same as f.
func theirs(f Flags) (flags txscript.ScriptFlags) {
	for ours, flag := range btcdFlags {
		if f&ours != 0 {
			flags |= flag
		}
	}
	return flags
}

// engine runs an input in btcd's engine.
func engine(tx *Tx, input int, f Flags) error {
	prevouts := txscript.NewMultiPrevOutFetcher(nil)
	for i, in := range tx.Msg.TxIn {
		prevouts.AddPrevOut(in.PreviousOutPoint, &tx.Prevouts[i])
	}
	hashes := txscript.NewTxSigHashes(tx.Msg, prevouts)
	out := &tx.Prevouts[input]
	vm, err := txscript.NewEngine(out.PkScript, tx.Msg, input, theirs(f), nil, hashes, out.Value, prevouts)
	if err != nil {
		return err
	}
	return vm.Execute()
}

// A judge runs inputs both ways.
type judge struct {
	m *Machine
	v *sigverify.Verifier
	b Batch
	// inputs counts all, collected those that Collect took, proved those of them
	// whose checks hold, valid those that succeed.
	inputs, collected, proved, valid int
}

func newJudge(tb testing.TB) *judge {
	v := sigverify.New(sigverify.Options{Workers: 1, CacheBytes: -1})
	tb.Cleanup(v.Close)
	return &judge{m: NewMachine(), v: v}
}

// settle verifies what is in the batch, and returns the labels that failed.
func (j *judge) settle(tb testing.TB) (failed []int) {
	tb.Helper()
	for round := 0; len(j.b.Items) > 0; round++ {
		if round > 2*maxMultisigKeys {
			tb.Fatalf("a batch is not settled after %d rounds", round)
		}
		valid := make([]bool, len(j.b.Items))
		if err := j.v.Verify(tb.Context(), j.b.Items, valid); err != nil {
			tb.Fatal(err)
		}
		failed = j.b.Settle(valid, failed)
	}
	return failed
}

// execute runs an input exactly.
func (j *judge) execute(tb testing.TB, tx *Tx, input int, f Flags) Error {
	tb.Helper()
	reason, err := j.m.Execute(tb.Context(), tx, input, f, j.v)
	if err != nil {
		tb.Fatal(err)
	}
	return reason
}

// run runs an input exactly and returns the reason. What the collected checks
// prove must be true.
func (j *judge) run(tb testing.TB, tx *Tx, input int, f Flags) Error {
	tb.Helper()
	exact := j.execute(tb, tx, input, f)
	j.inputs++
	if exact == OK {
		j.valid++
	}
	if j.m.Collect(tx, input, f, &j.b, 7) != OK {
		if len(j.b.Items) != 0 || len(j.b.claims) != 0 || len(j.b.groups) != 0 {
			tb.Fatal("an input that was not collected left something in the batch")
		}
		return exact
	}
	j.collected++
	failed := j.settle(tb)
	if len(failed) > 1 || len(failed) == 1 && failed[0] != 7 {
		tb.Fatalf("failed: %v, want 7 at most", failed)
	}
	if len(failed) == 0 {
		j.proved++
		if exact != OK {
			tb.Errorf("all checks hold, but %v", exact)
		}
	}
	return exact
}

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

func decodeHex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func decodeTx(tb testing.TB, s string) *wire.MsgTx {
	tb.Helper()
	var tx wire.MsgTx
	if err := tx.Deserialize(hex.NewDecoder(strings.NewReader(s))); err != nil {
		tb.Fatal(err)
	}
	return &tx
}

// asm parses the form of scripts in Bitcoin Core's vectors: numbers, quoted texts,
// names of operations and raw bytes.
func asm(tb testing.TB, text string) []byte {
	tb.Helper()
	var script []byte
	for token := range strings.FieldsSeq(text) {
		if n, err := strconv.ParseInt(token, 10, 64); err == nil {
			switch {
			case n == 0:
				script = append(script, op0)
			case n == -1:
				script = append(script, op1Negate)
			case n >= 1 && n <= 16:
				script = append(script, op1+byte(n-1))
			default:
				script = appendPush(script, appendNum(nil, n))
			}
			continue
		}
		if raw, ok := strings.CutPrefix(token, "0x"); ok {
			script = append(script, decodeHex(tb, raw)...)
			continue
		}
		if len(token) >= 2 && token[0] == '\'' {
			script = appendPush(script, []byte(token[1:len(token)-1]))
			continue
		}
		op, ok := txscript.OpcodeByName["OP_"+strings.TrimPrefix(token, "OP_")]
		if !ok {
			tb.Fatalf("script %q: what is %q?", text, token)
		}
		script = append(script, op)
	}
	return script
}

// creditedSpend returns the transaction that Bitcoin Core's script tests run: it
// spends the only output of one that credits value to pkScript.
func creditedSpend(sigScript, pkScript []byte, witness wire.TxWitness, value int64) *Tx {
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
	return &Tx{Msg: spend, Prevouts: []wire.TxOut{*credit.TxOut[0]}}
}
