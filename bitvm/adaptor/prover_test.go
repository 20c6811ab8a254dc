package adaptor

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
)

// consensus are the rules of every block today, and none of policy.
const consensus = txscript.ScriptBip16 | txscript.ScriptVerifyDERSignatures | txscript.ScriptVerifyCheckLockTimeVerify |
	txscript.ScriptVerifyCheckSequenceVerify | txscript.ScriptVerifyWitness | txscript.ScriptVerifyTaproot

// draw returns 32 bytes that are as good as random, and the same in every run.
func draw(what string, numbers ...int) [32]byte {
	b := []byte(what)
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return sha256.Sum256(b)
}

// verifyBtcec is btcd's verification of BIP340.
func verifyBtcec(_ context.Context, checks []Check, valid []bool) error {
	for i := range checks {
		key, err := schnorr.ParsePubKey(checks[i].Key[:])
		if err != nil {
			continue
		}
		sig, err := schnorr.ParseSignature(checks[i].Sig[:])
		valid[i] = err == nil && sig.Verify(checks[i].Digest[:], key)
	}
	return nil
}

// A prover has the secret key and the secrets of the labels of one claim, and the
// transaction with which it makes that.
type prover struct {
	secret   [32]byte
	key      *Key
	script   []byte
	control  []byte
	tx       *wire.MsgTx // input 1 is the claim
	prevouts []wire.TxOut
	digests  [][32]byte
}

const claimInput = 1

func newProver(t testing.TB, seed string, digits int) *prover {
	t.Helper()
	p := &prover{secret: draw(seed + " key")}
	private, public := btcec.PrivKeyFromBytes(p.secret[:])
	var err error
	if p.key, err = ParseKey([32]byte(schnorr.SerializePubKey(public))); err != nil {
		t.Fatal(err)
	}
	p.script = Script(p.key.X(), digits)
	// Another leaf beside it, so that the control block has a path.
	tree := txscript.AssembleTaprootScriptTree(txscript.NewBaseTapLeaf(p.script), txscript.NewBaseTapLeaf([]byte{txscript.OP_RETURN}))
	root := tree.RootNode.TapHash()
	control := tree.LeafMerkleProofs[0].ToControlBlock(private.PubKey())
	if p.control, err = control.ToBytes(); err != nil {
		t.Fatal(err)
	}
	output := txscript.ComputeTaprootOutputKey(private.PubKey(), root[:])
	p.prevouts = []wire.TxOut{
		{Value: 5000, PkScript: append([]byte{txscript.OP_0, txscript.OP_DATA_20}, make([]byte, 20)...)},
		{Value: 7000, PkScript: append([]byte{txscript.OP_1, txscript.OP_DATA_32}, schnorr.SerializePubKey(output)...)},
	}
	p.tx = wire.NewMsgTx(2)
	p.tx.AddTxIn(wire.NewTxIn(&wire.OutPoint{Hash: chainhash.Hash{1}}, nil, nil))
	p.tx.AddTxIn(wire.NewTxIn(&wire.OutPoint{Hash: chainhash.Hash{2}, Index: 3}, nil, nil))
	p.tx.AddTxOut(wire.NewTxOut(11000, []byte{txscript.OP_1}))
	p.digests, err = Digests(p.tx, claimInput, p.prevouts, p.script, make([]txscript.SigHashType, digits), nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// label returns a label of a digit, and its secret.
func (p *prover) label(t testing.TB, digit, value int) (Label, [32]byte) {
	t.Helper()
	key := p.key.X()
	secret := draw(string(key[:]), digit, value)
	point, ok := PointOf(secret)
	if !ok {
		t.Fatal("a secret is none")
	}
	pre, err := Presign(p.secret, point, p.digests[digit], draw("aux", digit, value))
	if err != nil {
		t.Fatal(err)
	}
	return Label{point, pre}, secret
}

// labels returns all labels of all digits, so many for each.
func (p *prover) labels(t testing.TB, width int) (labels [][]Label) {
	t.Helper()
	for i := range p.digests {
		digit := make([]Label, width)
		for v := range digit {
			digit[v], _ = p.label(t, i, v)
		}
		labels = append(labels, digit)
	}
	return labels
}

// sign makes the signatures of a message, and returns the secrets that they reveal.
func (p *prover) sign(t testing.TB, message []byte) (signatures []Signature, secrets [][32]byte) {
	t.Helper()
	for i, v := range message {
		l, secret := p.label(t, i, int(v))
		sig, err := l.Pre.Adapt(secret)
		if err != nil {
			t.Fatal(err)
		}
		signatures, secrets = append(signatures, sig), append(secrets, secret)
	}
	return signatures, secrets
}

// native is the verdict of this package on a witness.
func (p *prover) native(items [][]byte) error {
	s, err := p.decode(items)
	if err != nil {
		return err
	}
	return s.Verify(context.Background(), verifyBtcec)
}

func (p *prover) decode(items [][]byte) (*Spend, error) {
	tx := p.tx.Copy()
	tx.TxIn[claimInput].Witness = items
	return Decode(tx, claimInput, p.prevouts)
}

// engine is the verdict of btcd's engine on a witness, by the rules of consensus.
func (p *prover) engine(items [][]byte) error {
	tx := p.tx.Copy()
	tx.TxIn[claimInput].Witness = items
	outputs := make(map[wire.OutPoint]*wire.TxOut)
	for i := range p.prevouts {
		outputs[tx.TxIn[i].PreviousOutPoint] = &p.prevouts[i]
	}
	fetcher := txscript.NewMultiPrevOutFetcher(outputs)
	out := &p.prevouts[claimInput]
	vm, err := txscript.NewEngine(out.PkScript, tx, claimInput, consensus, nil, txscript.NewTxSigHashes(tx, fetcher), out.Value, fetcher)
	if err != nil {
		return err
	}
	return vm.Execute()
}

// agree compares the two verdicts, and returns whether the witness is valid.
func (p *prover) agree(t testing.TB, items [][]byte) bool {
	t.Helper()
	err, want := p.native(items), p.engine(items)
	if (err == nil) != (want == nil) {
		t.Errorf("witness %x: %v, btcd's engine says %v", items, err, want)
	}
	return err == nil
}

// order is that of the group.
var order = func() (n [32]byte) {
	secp256k1.Params().N.FillBytes(n[:])
	return n
}()
