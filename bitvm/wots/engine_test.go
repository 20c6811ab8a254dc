package wots

import (
	"bytes"
	"errors"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// consensus are the rules of every block today, and none of policy.
const consensus = txscript.ScriptBip16 | txscript.ScriptVerifyDERSignatures | txscript.ScriptVerifyCheckLockTimeVerify |
	txscript.ScriptVerifyCheckSequenceVerify | txscript.ScriptVerifyWitness | txscript.ScriptVerifyTaproot

// A leaf is a tapscript in an output of its own, which btcd's engine runs.
type leaf struct {
	script, control, pkScript []byte
}

// newLeaf makes an output whose only leaf is a script, and then OP_1, as BitVM's are.
func newLeaf(t testing.TB, script []byte) *leaf {
	t.Helper()
	script = append(script[:len(script):len(script)], txscript.OP_1)
	var one btcec.ModNScalar
	key := btcec.PrivKeyFromScalar(one.SetInt(1)).PubKey()
	tree := txscript.AssembleTaprootScriptTree(txscript.NewBaseTapLeaf(script))
	root := tree.RootNode.TapHash()
	control := tree.LeafMerkleProofs[0].ToControlBlock(key)
	raw, err := control.ToBytes()
	if err != nil {
		t.Fatal(err)
	}
	output := txscript.ComputeTaprootOutputKey(key, root[:])
	pkScript := append([]byte{txscript.OP_1, txscript.OP_DATA_32}, schnorr.SerializePubKey(output)...)
	return &leaf{script, raw, pkScript}
}

// run spends the output with a witness, by the rules of consensus.
func (l *leaf) run(items [][]byte) error {
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(wire.NewTxIn(&wire.OutPoint{Hash: chainhash.Hash{1}}, nil, append(items[:len(items):len(items)], l.script, l.control)))
	tx.AddTxOut(wire.NewTxOut(1000, []byte{txscript.OP_1}))
	fetcher := txscript.NewCannedPrevOutputFetcher(l.pkScript, 1000)
	vm, err := txscript.NewEngine(l.pkScript, tx, 0, consensus, nil, txscript.NewTxSigHashes(tx, fetcher), 1000, fetcher)
	if err != nil {
		return err
	}
	return vm.Execute()
}

// A pair of leaves, one for each form of witness, for a key.
type leaves struct {
	scheme      Scheme
	key         PublicKey
	list, brute *leaf
}

func newLeaves(t testing.TB, s Scheme, key PublicKey) *leaves {
	return &leaves{s, key, newLeaf(t, s.Script(key)), newLeaf(t, s.CompactScript(key))}
}

// native and compact are the verdicts of this package on a witness of each form.
func (l *leaves) native(items [][]byte) error {
	sig, err := l.scheme.DecodeWitness(items)
	if err != nil {
		return err
	}
	_, err = l.scheme.Verify(l.key, sig)
	return err
}

func (l *leaves) compact(items [][]byte) error {
	sig, err := l.scheme.DecodeCompactWitness(l.key, items)
	if err != nil {
		return err
	}
	_, err = l.scheme.Verify(l.key, sig)
	return err
}

// agree compares the verdicts on a witness of this package and of btcd's engine, and
// returns whether it is valid.
func (l *leaves) agree(t testing.TB, compact bool, items [][]byte) bool {
	t.Helper()
	native, script := l.native, l.list
	if compact {
		native, script = l.compact, l.brute
	}
	err, want := native(items), script.run(items)
	if !compact {
		l.agreeRead(t, items, err)
	} else if _, errs := VerifyCompact([]CompactItem{{l.scheme, l.key, nil}, {l.scheme, l.key, items}, {l.scheme, nil, items}}); (errs[1] == nil) != (err == nil) ||
		!errors.Is(errs[0], ErrForm) || !errors.Is(errs[2], ErrForm) {
		t.Errorf("compact witness %x among others: %v, alone: %v", items, errs, err)
	}
	if (err == nil) != (want == nil) {
		t.Errorf("compact %v, witness %x: %v, btcd's engine says %v", compact, items, err, want)
	}
	return err == nil
}

// agreeRead compares what is read without hashing with what is verified, with that error.
func (l *leaves) agreeRead(t testing.TB, items [][]byte, verified error) {
	t.Helper()
	message, err := l.scheme.ReadWitness(items)
	if verified == nil {
		sig, _ := l.scheme.DecodeWitness(items)
		if want, _ := l.scheme.Verify(l.key, sig); err != nil || !bytes.Equal(message, want) {
			t.Errorf("witness %x: read %x (%v), verified %x", items, message, err, want)
		}
		return
	}
	if wrong := errors.Is(verified, ErrForm) || errors.Is(verified, ErrChecksum); wrong != (err != nil) {
		t.Errorf("witness %x: read with %v, verified with %v", items, err, verified)
	}
}
