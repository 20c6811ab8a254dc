package bitvm

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/bitvm/assertion"
	"github.com/outrider-project/outrider/bitvm/claim"
	"github.com/outrider-project/outrider/bitvm/groth16"
	"github.com/outrider-project/outrider/bitvm/watch"
)

// A commitment is an output whose only leaf verifies a signature as BitVM's script does.
type commitment struct {
	pkScript, script, control []byte
	hash                      chainhash.Hash // of the leaf
}

// secret returns the secret key of a commitment of tests.
func secret(i int) []byte { return fmt.Appendf(nil, "secret %d", i) }

func newCommitment(t *testing.T, i int) *commitment {
	t.Helper()
	var one btcec.ModNScalar
	key := btcec.PrivKeyFromScalar(one.SetInt(1)).PubKey()
	scheme := assertion.Scheme(i)
	leaf := txscript.NewBaseTapLeaf(append(scheme.Script(scheme.PublicKey(secret(i))), txscript.OP_1))
	tree := txscript.AssembleTaprootScriptTree(leaf)
	proof := tree.LeafMerkleProofs[0].ToControlBlock(key)
	control, err := proof.ToBytes()
	if err != nil {
		t.Fatal(err)
	}
	root := tree.RootNode.TapHash()
	output := txscript.ComputeTaprootOutputKey(key, root[:])
	return &commitment{append([]byte{txscript.OP_1, txscript.OP_DATA_32}, schnorr.SerializePubKey(output)...), leaf.Script, control, leaf.TapHash()}
}

// A real assertion, whose 378 signatures the scripts of BitVM verify by the rules of
// consensus, goes from the blocks with it to the judgement, the leaf and the deadline; what
// is to be done is told within a second of its last block, with a journal on disk.
func TestWholeAssertion(t *testing.T) {
	simulator := groth16.NewSimulator(1, 5)
	keyFile := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(keyFile, simulator.Key.EncodeEIP197(), 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := assertion.Prepare(simulator.Key)
	if err != nil {
		t.Fatal(err)
	}
	item := simulator.Item()
	honest, err := key.Assert(item.Proof, item.Inputs[0])
	if err != nil {
		t.Fatal(err)
	}
	wrong := *honest
	wrong.Hashes[217][3] ^= 1
	var commitments [assertion.Commitments]*commitment
	for i := range commitments {
		commitments[i] = newCommitment(t, i)
	}
	verifier := claim.New(claim.Options{})
	defer verifier.Close()
	for _, tt := range []struct {
		name string
		raw  *assertion.Raw
		want watch.Finding
	}{{"honest", honest, watch.Valid}, {"one hash wrong", &wrong, watch.Disprovable}} {
		t.Run(tt.name, func(t *testing.T) {
			b := newWatching(t)
			in := b.bridge.Instance(1)
			rows := map[string][]*commitment{"E1": commitments[:300], "E2": commitments[300:]}
			for name, row := range rows {
				in.Scripts[name], in.Leaves[name] = nil, map[string][]string{"0": nil}
				for _, c := range row {
					in.Scripts[name] = append(in.Scripts[name], hex.EncodeToString(c.pkScript))
					in.Leaves[name]["0"] = append(in.Leaves[name]["0"], hex.EncodeToString(c.hash[:]))
				}
			}
			text, err := json.Marshal(in)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(b.cfg.Instances[0], text, 0o600); err != nil {
				t.Fatal(err)
			}
			b.cfg.Key, b.cfg.Claims = keyFile, verifier.Verify
			events := make(chan watch.Event, 1000)
			if b.Watch, err = New(b.cfg, b.source, nil, nil, func(e watch.Event) { events <- e }); err != nil {
				t.Fatal(err)
			}
			stop := b.run(t, t.TempDir())
			// until returns the first event of a kind and its transaction.
			until := func(kind watch.Kind, tx string) watch.Event {
				t.Helper()
				for {
					select {
					case e := <-events:
						if e.Kind == kind && e.Transaction == tx {
							return e
						}
					case <-time.After(time.Minute):
						t.Fatalf("%s was not told to be %s: %+v", tx, kind, b.Status())
					}
				}
			}
			var secrets [assertion.Commitments][]byte
			for i := range secrets {
				secrets[i] = secret(i)
			}
			signed := tt.raw.Sign(&secrets)
			moved := make(map[chainhash.Hash]chainhash.Hash)
			build := func(name string, script int) *wire.MsgTx {
				tx := b.bridge.TxBy(name, script)
				id := tx.TxHash()
				for _, in := range tx.TxIn {
					if to, ok := moved[in.PreviousOutPoint.Hash]; ok {
						in.PreviousOutPoint.Hash = to
					}
				}
				switch name {
				case "assert_initial": // behind D
					for i, c := range commitments {
						tx.TxOut[1+i].PkScript = c.pkScript
					}
				case "assert_commit_1":
					commit(t, tx, commitments[:300], func(i int) wire.TxWitness { return signed[i].Witness() })
				case "assert_commit_2":
					commit(t, tx, commitments[300:], func(i int) wire.TxWitness { return signed[300+i].Witness() })
				}
				moved[id] = tx.TxHash()
				return tx
			}
			var arrived time.Time
			for _, name := range slices.Concat(kickedOff, asserted) {
				heard := b.source.mine(build(name, 0))
				arrived = time.Now()
				b.Hear(heard)
				if name != "assert_commit_2" { // the judgement comes right behind
					until(watch.Seen, name)
					continue
				}
				e := until(watch.Judged, "")
				if took := time.Since(arrived); took >= time.Second {
					t.Errorf("it was told %v behind the block", took)
				}
				if e.Judgement.Finding != tt.want || e.Urgent != (tt.want != watch.Valid) {
					t.Errorf("it is judged %+v", e.Judgement)
				}
			}
			final := b.Status().Instances[0]
			for _, tx := range final.Transactions {
				if tx.Name == "disprove" && (tx.State != watch.Open || tx.CalledFor != (tt.want == watch.Disprovable) || tx.Deadline != final.Tip.Height+2 || tx.Rival != "take_2") {
					t.Errorf("%+v", tx)
				}
			}
			input := item.Inputs[0].Bytes()
			say := "its proof is valid for the public input " + hex.EncodeToString(input[:])
			if tt.want == watch.Disprovable {
				say = "the proof is invalid at leaf 217 ("
			}
			if text := fmt.Sprint(final.Next); !strings.Contains(text, say) || len(final.Unknown) > 0 {
				t.Errorf("%s, want %q; %+v", text, say, final.Unknown)
			}
			if tt.want == watch.Disprovable {
				b.Hear(b.source.mine(build("disprove", 217)))
				until(watch.Seen, "disprove")
			}
			_ = stop() // the context's
		})
	}
}

// commit gives a transaction's inputs the witnesses of their commitments, which consensus
// must accept.
func commit(t *testing.T, tx *wire.MsgTx, to []*commitment, witness func(i int) wire.TxWitness) {
	t.Helper()
	prevouts := make(map[wire.OutPoint]*wire.TxOut)
	for i, c := range to {
		prevouts[tx.TxIn[i].PreviousOutPoint] = wire.NewTxOut(1000, c.pkScript)
		tx.TxIn[i].Witness = append(witness(i), c.script, c.control)
	}
	fetcher := txscript.NewMultiPrevOutFetcher(prevouts)
	hashes := txscript.NewTxSigHashes(tx, fetcher)
	const flags = txscript.ScriptBip16 | txscript.ScriptVerifyWitness | txscript.ScriptVerifyTaproot
	for i, c := range to {
		vm, err := txscript.NewEngine(c.pkScript, tx, i, flags, nil, hashes, 1000, fetcher)
		if err == nil {
			err = vm.Execute()
		}
		if err != nil {
			t.Fatalf("commitment %d: %v", i, err)
		}
	}
}
