package script

import (
	"encoding/binary"
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

const coin = 100_000_000

// internalKey is the key of nobody's that Bitcoin Core's script tests use, NUMS_H.
const internalKey = "50929b74c1a04954b78b4b6035e97a5e078a5a0f28ec96d547bfee9ace803ac0"

// TestScriptVectors runs Bitcoin Core's script_tests.json, all of it: the reason
// must be the file's.
func TestScriptVectors(t *testing.T) {
	reasons := make(map[string]Error)
	for e, name := range errorNames {
		reasons[strings.TrimPrefix(name, "SCRIPT_ERR_")] = Error(e)
	}
	// The file leaves something out of these names.
	reasons["NULLFAIL"] = ErrSigNullFail

	var vectors [][]any
	readJSON(t, filepath.Join(txscriptData(t), "script_tests.json"), &vectors)
	j := newJudge(t)
	met := make(map[Error]int)
	for _, vector := range vectors {
		if len(vector) == 1 {
			continue // a comment
		}
		text := vector
		var witness wire.TxWitness
		var value int64
		var output string
		if items, ok := vector[0].([]any); ok {
			vector = vector[1:]
			value = int64(math.Round(items[len(items)-1].(float64) * coin))
			witness, output = vectorWitness(t, items[:len(items)-1])
		}
		pkScript := asm(t, strings.ReplaceAll(vector[1].(string), "#TAPROOTOUTPUT#", output))
		tx := creditedSpend(asm(t, vector[0].(string)), pkScript, witness, value)
		flags := parseFlags(t, vector[2].(string))
		if flags&CleanStack != 0 {
			flags |= P2SH | Witness
		}
		want, ok := reasons[vector[3].(string)]
		if !ok {
			t.Fatalf("unknown reason in %v", text)
		}
		got := j.run(t, tx, 0, flags)
		if got != want {
			t.Errorf("%v: %v, want %v", text, got, want)
		}
		met[want]++
		// Fewer flags only allow more.
		if got == OK {
			for flag := range maps.Values(flagNames) {
				less := flags &^ flag
				if less&P2SH == 0 {
					less &^= Witness
				}
				if less&Witness == 0 {
					less &^= CleanStack
				}
				if got := j.run(t, tx, 0, less); got != OK {
					t.Errorf("%v: %v without %x", text, got, flag)
				}
			}
		}
	}
	t.Logf("%d inputs, %d collected, %d valid, of which proved %d", j.inputs, j.collected, j.valid, j.proved)
	if met[OK] < 600 || len(met) < 40 || j.proved*100 < j.valid*90 {
		t.Errorf("the file has other vectors than it had, or they prove less: %d valid, %d reasons", met[OK], len(met))
	}
}

// vectorWitness returns the witness of a script test, and the output key in hex if
// script and control block are left to the reader.
func vectorWitness(tb testing.TB, items []any) (witness wire.TxWitness, output string) {
	tb.Helper()
	var leaf []byte
	for _, item := range items {
		text := item.(string)
		if body, ok := strings.CutPrefix(text, "#SCRIPT#"); ok {
			leaf = asm(tb, body)
			witness = append(witness, leaf)
			continue
		}
		if text == "#CONTROLBLOCK#" {
			key, parity := commit(tb, decodeHex(tb, internalKey), leaf)
			output = "0x" + key
			text = [...]string{"c0", "c1"}[parity] + internalKey
		}
		witness = append(witness, decodeHex(tb, text))
	}
	return witness, output
}

// allFlags are all that can be set at once.
func allFlags() (f Flags) {
	for flag := range maps.Values(flagNames) {
		f |= flag
	}
	return f
}

// TestTxVectors runs Bitcoin Core's tx_valid.json and tx_invalid.json.
func TestTxVectors(t *testing.T) {
	for _, file := range []struct {
		name   string
		valid  bool
		judged int // at least
	}{{"tx_valid.json", true, 110}, {"tx_invalid.json", false, 70}} {
		var vectors [][]any
		readJSON(t, filepath.Join(txscriptData(t), file.name), &vectors)
		j, judged := newJudge(t), 0
		for _, vector := range vectors {
			if len(vector) == 1 || vector[2] == "BADTX" {
				continue // a comment, or a transaction whose shape is wrong
			}
			msg := decodeTx(t, vector[1].(string))
			tx := &Tx{Msg: msg, Prevouts: vectorPrevouts(t, msg, vector[0].([]any))}
			flags := parseFlags(t, vector[2].(string))
			if file.valid {
				// The file names the flags that the transaction breaks.
				flags = allFlags() &^ flags
				if flags&P2SH == 0 {
					flags &^= Witness
				}
				if flags&Witness == 0 {
					flags &^= CleanStack
				}
			} else if flags&CleanStack != 0 {
				flags |= P2SH | Witness
			}
			judged++
			valid := true
			for i := range msg.TxIn {
				valid = j.run(t, tx, i, flags) == OK && valid
			}
			if valid != file.valid {
				t.Errorf("%s: %v: valid %v", file.name, vector, valid)
			}
		}
		t.Logf("%s: %d inputs, %d collected, %d valid, of which proved %d", file.name, j.inputs, j.collected, j.valid, j.proved)
		if judged < file.judged {
			t.Errorf("%s has other vectors than it had: %d", file.name, judged)
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
		out := wire.TxOut{PkScript: asm(tb, e[2].(string))}
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

// A taprootVector is one that Bitcoin Core generated for BIP341 and BIP342, with
// what must succeed and what must fail.
type taprootVector struct {
	Tx               string
	Prevouts         []string
	Index            int
	Flags            string
	Final            bool
	Success, Failure *taprootSide
}

type taprootSide struct {
	ScriptSig string
	Witness   []string
}

// taprootVectors returns the paths of the 2,760 vectors, or of some if short.
func taprootVectors(tb testing.TB) []string {
	tb.Helper()
	paths, err := filepath.Glob(filepath.Join(txscriptData(tb), "taproot-ref", "*"))
	if err != nil || len(paths) < 2700 {
		tb.Fatalf("found %d vectors (%v), want 2,760", len(paths), err)
	}
	if testing.Short() {
		paths = paths[:200]
	}
	return paths
}

func readTaprootVector(tb testing.TB, path string) (v taprootVector) {
	tb.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	// The files end in a comma.
	if err := json.Unmarshal([]byte(strings.TrimRight(string(data), ",\n")), &v); err != nil {
		tb.Fatalf("decode %s: %v", path, err)
	}
	return v
}

// tx returns the vector's transaction with a side's scripts.
func (v *taprootVector) tx(tb testing.TB, side *taprootSide) *Tx {
	tb.Helper()
	tx := &Tx{Msg: decodeTx(tb, v.Tx)}
	for _, out := range v.Prevouts {
		raw := decodeHex(tb, out)
		value := int64(binary.LittleEndian.Uint64(raw))
		script, err := wire.ReadVarBytes(strings.NewReader(string(raw[8:])), 0, 1<<20, "script")
		if err != nil {
			tb.Fatal(err)
		}
		tx.Prevouts = append(tx.Prevouts, wire.TxOut{Value: value, PkScript: script})
	}
	in := tx.Msg.TxIn[v.Index]
	in.SignatureScript = decodeHex(tb, side.ScriptSig)
	in.Witness = nil
	for _, item := range side.Witness {
		in.Witness = append(in.Witness, decodeHex(tb, item))
	}
	return tx
}

func TestTaprootVectors(t *testing.T) {
	j := newJudge(t)
	paths, failures := taprootVectors(t), 0
	for _, path := range paths {
		v := readTaprootVector(t, path)
		flags := parseFlags(t, v.Flags)
		for _, side := range []*taprootSide{v.Success, v.Failure} {
			if side == nil {
				continue
			}
			want := side == v.Success
			if !want {
				failures++
			}
			tx := v.tx(t, side)
			for _, f := range fewer(flags) {
				got := j.run(t, tx, v.Index, f)
				if (f == flags || want) && (got == OK) != want {
					t.Errorf("%s, flags %x: %v, want valid %v", filepath.Base(path), f, got, want)
				}
			}
		}
	}
	t.Logf("%d inputs, %d collected, %d valid, of which proved %d; %d that fail",
		j.inputs, j.collected, j.valid, j.proved, failures)
	if failures < len(paths)/3 || j.proved*100 < j.valid*90 {
		t.Error("the files have other vectors than they had, or they prove less")
	}
}

// fewer returns sets of flags, the first being f and the others less.
func fewer(f Flags) []Flags {
	sets := []Flags{f, f &^ Taproot, f &^ (Taproot | Witness), f & (P2SH | Witness | Taproot), 0}
	return slices.Compact(sets)
}

// TestSigHashVectors runs Bitcoin Core's sighash.json.
func TestSigHashVectors(t *testing.T) {
	var vectors [][]any
	readJSON(t, filepath.Join(txscriptData(t), "sighash.json"), &vectors)
	h := &sigHasher{w: newHashWriter()}
	tested := 0
	for _, vector := range vectors {
		if len(vector) == 1 {
			continue // a comment
		}
		tested++
		tx := &Tx{Msg: decodeTx(t, vector[0].(string))}
		hashType := uint32(int32(vector[3].(float64)))
		got := chainhash.Hash(h.legacy(tx, int(vector[2].(float64)), decodeHex(t, vector[1].(string)), hashType))
		if want := vector[4].(string); got.String() != want {
			t.Errorf("%v: %s, want %s", vector, got, want)
		}
	}
	if tested < 500 {
		t.Errorf("the file has other vectors than it had: %d", tested)
	}
}
