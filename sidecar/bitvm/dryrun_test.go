package bitvm

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/bitvm/dryrun"
)

// signedLeaf is a spend of a leaf that wants a signature, as JSON; before is what the
// script does before it checks that.
func signedLeaf(t *testing.T, before ...byte) string {
	t.Helper()
	private, public := btcec.PrivKeyFromBytes([]byte{7})
	script := append(append(before, txscript.OP_DATA_32), schnorr.SerializePubKey(public)...)
	script = append(script, txscript.OP_CHECKSIG)
	leaf := txscript.NewBaseTapLeaf(script)
	tree := txscript.AssembleTaprootScriptTree(leaf)
	root := tree.RootNode.TapHash()
	block := tree.LeafMerkleProofs[0].ToControlBlock(public)
	control, err := block.ToBytes()
	if err != nil {
		t.Fatal(err)
	}
	pkScript := append([]byte{txscript.OP_1, txscript.OP_DATA_32}, schnorr.SerializePubKey(txscript.ComputeTaprootOutputKey(public, root[:]))...)
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(wire.NewTxIn(&wire.OutPoint{Hash: chainhash.Hash{1}}, nil, nil))
	tx.AddTxOut(wire.NewTxOut(9000, pkScript))
	fetcher := txscript.NewCannedPrevOutputFetcher(pkScript, 10_000)
	sig, err := txscript.RawTxInTapscriptSignature(tx, txscript.NewTxSigHashes(tx, fetcher), 0, 10_000, pkScript, leaf, txscript.SigHashDefault, private)
	if err != nil {
		t.Fatal(err)
	}
	tx.TxIn[0].Witness = [][]byte{sig, script, control}
	var raw bytes.Buffer
	if err := tx.Serialize(&raw); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`{"tx":"%x","prevouts":[{"value":10000,"scriptPubKey":"%s"}]}`, raw.Bytes(), hex.EncodeToString(pkScript))
}

// Both engines have their say on a spend from a file or from standard input.
func TestDryRun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "spend.json")
	for name, tt := range map[string]struct {
		spend         string
		passed        bool
		second, table string
	}{
		"right":         {signedLeaf(t), true, "SCRIPT_ERR_OK", "passes"},
		"another value": {strings.Replace(signedLeaf(t), `"value":10000`, `"value":10001`, 1), false, "SCRIPT_ERR_SCHNORR_SIG", "fails in tapscript at opcode 1, OP_CHECKSIG"},
		"fails before":  {signedLeaf(t, txscript.OP_NOP, txscript.OP_0, txscript.OP_VERIFY), false, "SCRIPT_ERR_VERIFY", "opcode 2, OP_VERIFY"},
		"pays nothing":  {strings.Replace(signedLeaf(t), `"value":10000`, `"value":8999`, 1), false, "SCRIPT_ERR_SCHNORR_SIG", "no block can have it: bad-txns-in-belowout"},
	} {
		if err := os.WriteFile(path, []byte(tt.spend), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, from := range []string{path, "-"} {
			rep, err := DryRun(t.Context(), from, strings.NewReader(tt.spend))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			var table strings.Builder
			if err := rep.WriteTable(&table); err != nil {
				t.Fatal(err)
			}
			if rep.Good() != tt.passed || rep.Inputs[0].Disagree || rep.Inputs[0].Second != tt.second || !strings.Contains(table.String(), tt.table) {
				t.Errorf("%s: %+v\n%s", name, rep.Inputs[0], table.String())
			}
			raw, err := json.Marshal(rep)
			if err != nil || !strings.Contains(string(raw), fmt.Sprintf(`{"passed":%v,`, tt.passed)) {
				t.Errorf("%s: %s (%v)", name, raw, err)
			}
		}
	}
	for _, bad := range []string{"", "{}", "dryrun"} {
		if _, err := DryRun(t.Context(), "-", strings.NewReader(bad)); !errors.Is(err, ErrSpend) || !errors.Is(err, dryrun.ErrInput) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := DryRun(t.Context(), filepath.Join(path, "none"), nil); !errors.Is(err, ErrSpend) {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := DryRun(ended, path, nil); !errors.Is(err, context.Canceled) || errors.Is(err, ErrSpend) {
		t.Error(err)
	}
}

// A leaf as large as a block takes one passes in both engines.
func TestDryRunOfABigLeaf(t *testing.T) {
	drop := append(append([]byte{txscript.OP_PUSHDATA2, 0x08, 0x02}, make([]byte, 520)...), txscript.OP_DROP)
	before := bytes.Repeat(drop, 3_900_000/len(drop))
	before = append(before, bytes.Repeat([]byte{txscript.OP_NOP}, 3_980_000-len(before))...)
	rep, err := DryRun(t.Context(), "-", strings.NewReader(signedLeaf(t, before...)))
	if err != nil {
		t.Fatal(err)
	}
	if in := rep.Inputs[0]; !in.Passed || in.Second != "SCRIPT_ERR_OK" || in.Opcodes < 80_000 || rep.Relayed || rep.Weight < 3_980_000 {
		t.Errorf("%+v: %+v", rep.Report, in)
	}
}

// All that there is to say is in the table.
func TestDryRunTable(t *testing.T) {
	opcode, fee := 3, int64(12)
	rep := &DryRunReport{&dryrun.Report{
		TxID: "ab", Fee: &fee, FeeRate: 0.5, Weight: 96, VSize: 24,
		Inputs: []dryrun.InputReport{
			{Kind: "witness_v1_taproot", Failure: &dryrun.Failure{Script: "tapscript", Opcode: &opcode, Name: "OP_ADD", Reason: "why"}},
			{Input: 1, Failure: &dryrun.Failure{Script: "witness", Reason: "how"}},
			{Input: 2, Second: "SCRIPT_ERR_EVAL_FALSE", Disagree: true},
		},
		Problems: []string{"problem"}, Warnings: []dryrun.Warning{{Reason: "tx-size", Words: "words"}}, Waits: []string{"wait"},
	}}
	var table strings.Builder
	if err := rep.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ab fails: weight 96", "fee 12 satoshis, 0.50", "at opcode 3, OP_ADD: why", "fails in witness: how", "DISAGREE: Outrider's says SCRIPT_ERR_EVAL_FALSE",
		"no block can have it: problem", "not relayed: tx-size: words", "waits: wait"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("no %q in\n%s", want, table.String())
		}
	}
}
