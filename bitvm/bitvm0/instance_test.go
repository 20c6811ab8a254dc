package bitvm0

import (
	"crypto/sha256"
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

var (
	proverSeed, verifierSeed = sha256.Sum256([]byte("prover")), sha256.Sum256([]byte("verifier"))
	proverKey, verifierKey   = keyOf(proverSeed), keyOf(verifierSeed)
)

func keyOf(seed [32]byte) *btcec.PrivateKey {
	key, _ := btcec.PrivKeyFromBytes(seed[:])
	return key
}

func xOnly(key *btcec.PrivateKey) [32]byte { return [32]byte(schnorr.SerializePubKey(key.PubKey())) }

// A dispute is an instance over an adder of four bits, and a transaction that spends it.
type dispute struct {
	t        testing.TB
	circuit  *Circuit
	sum      word
	instance *Instance
	pkScript []byte
	tx       *wire.MsgTx
}

func newDispute(t testing.TB, timeout uint16) *dispute {
	t.Helper()
	d := &dispute{t: t, tx: wire.NewMsgTx(2)}
	d.circuit, d.sum = newAdder(4)
	var err error
	d.instance, err = NewInstance(Terms{
		Circuit: d.circuit, Commitments: Commit(proverSeed, d.circuit.Wires()), Challenges: Challenges(verifierSeed, len(d.circuit.Gates)),
		Prover: xOnly(proverKey), Verifier: xOnly(verifierKey), Timeout: timeout,
	})
	if err != nil {
		t.Fatal(err)
	}
	d.pkScript = d.instance.PkScript()
	in := wire.NewTxIn(&wire.OutPoint{Hash: chainhash.Hash{1}}, nil, nil)
	in.Sequence = uint32(timeout)
	d.tx.AddTxIn(in)
	d.tx.AddTxOut(wire.NewTxOut(1000, []byte{txscript.OP_1}))
	return d
}

func must(leaf Leaf, err error) Leaf {
	if err != nil {
		panic(err)
	}
	return leaf
}

func (d *dispute) sign(leaf Leaf, key *btcec.PrivateKey) []byte {
	d.t.Helper()
	fetcher := txscript.NewCannedPrevOutputFetcher(d.pkScript, 2000)
	sig, err := txscript.RawTxInTapscriptSignature(d.tx, txscript.NewTxSigHashes(d.tx, fetcher), 0, 2000, d.pkScript,
		txscript.NewBaseTapLeaf(leaf.Script), txscript.SigHashDefault, key)
	if err != nil {
		d.t.Fatal(err)
	}
	return sig
}

// run spends the output with a witness in btcd's engine, by the rules of consensus.
func (d *dispute) run(items [][]byte) error {
	d.tx.TxIn[0].Witness = items
	fetcher := txscript.NewCannedPrevOutputFetcher(d.pkScript, 2000)
	vm, err := txscript.NewEngine(d.pkScript, d.tx, 0, consensus, nil, txscript.NewTxSigHashes(d.tx, fetcher), 2000, fetcher)
	if err != nil {
		return err
	}
	return vm.Execute()
}

// open is the prover's answer to the challenge of a gate, by the bits that it claims.
func (d *dispute) open(gate int, bits []bool) [][]byte {
	leaf := must(d.instance.Gate(gate))
	opening := func(w Wire) Opening { return Opening{bits[w], Open(proverSeed, w, bits[w])} }
	g := d.circuit.Gates[gate]
	return GateWitness(d.sign(leaf, proverKey), opening(g.A), opening(g.B), opening(d.circuit.Out(gate)), Challenge(verifierSeed, gate), leaf)
}

func (d *dispute) evaluate() []bool {
	return d.circuit.Evaluate(append(bitsOf(0b1011, 4), bitsOf(0b0110, 4)...))
}

// An honest prover opens every gate.
func TestHonestProver(t *testing.T) {
	d := newDispute(t, 144)
	bits := d.evaluate()
	if got := d.sum.value(bits); got != 0b0001 {
		t.Fatalf("11 + 6 is %d mod 16", got)
	}
	for gate := range d.circuit.Gates {
		if err := d.run(d.open(gate, bits)); err != nil {
			t.Errorf("gate %d: %v", gate, err)
		}
	}
}

// A prover that claims another sum has a gate that it cannot open, and if it opens it by
// another bit than before, it has equivocated, and the verifier takes the money.
func TestLiar(t *testing.T) {
	d := newDispute(t, 144)
	bits := d.evaluate()
	lie := d.sum[2]
	bits[lie] = !bits[lie]
	gate, ok := d.circuit.Fault(bits)
	if !ok || d.circuit.Out(gate) != lie {
		t.Fatalf("gate %d is named (%v)", gate, ok)
	}
	if err := d.run(d.open(gate, bits)); !txscript.IsErrorCode(err, txscript.ErrNumEqualVerify) {
		t.Errorf("the wrong gate is opened: %v", err)
	}
	seen := Observe(Commit(proverSeed, d.circuit.Wires()))
	show := func(bits []bool) {
		g := d.circuit.Gates[gate]
		for _, w := range []Wire{g.A, g.B, d.circuit.Out(gate)} {
			if bit, err := seen.Add(w, Open(proverSeed, w, bits[w])); err != nil || bit != bits[w] {
				t.Fatal(bit, err)
			}
		}
	}
	show(bits)
	if w, _, ok := seen.Equivocation(); ok {
		t.Fatalf("wire %d is opened twice", w)
	}
	other := append([]bool(nil), bits...)
	other[lie] = !other[lie]
	if err := d.run(d.open(gate, other)); err != nil {
		t.Errorf("the gate with other bits: %v", err)
	}
	show(other)
	w, pair, ok := seen.Equivocation()
	if !ok || w != lie {
		t.Fatalf("wire %d (%v), want %d", w, ok, lie)
	}
	leaf := must(d.instance.Equivocation(w))
	if err := d.run(EquivocationWitness(d.sign(leaf, verifierKey), pair, leaf)); err != nil {
		t.Errorf("equivocation: %v", err)
	}
	for name, items := range map[string][][]byte{
		"by the prover":  EquivocationWitness(d.sign(leaf, proverKey), pair, leaf),
		"of one bit":     EquivocationWitness(d.sign(leaf, verifierKey), [2]Preimage{pair[0], pair[0]}, leaf),
		"turned around":  EquivocationWitness(d.sign(leaf, verifierKey), [2]Preimage{pair[1], pair[0]}, leaf),
		"of another one": EquivocationWitness(d.sign(must(d.instance.Equivocation(0)), verifierKey), pair, must(d.instance.Equivocation(0))),
	} {
		if d.run(items) == nil {
			t.Errorf("equivocation %s is taken", name)
		}
	}
}

// Of a gate's witness nothing may be another: no bit of any item but of the signature's
// and the control block's, which other tests of scripts look at.
func TestGateWitnessBits(t *testing.T) {
	d := newDispute(t, 144)
	items := d.open(3, d.evaluate())
	if err := d.run(items); err != nil {
		t.Fatal(err)
	}
	for item := 1; item < len(items)-1; item++ {
		original := items[item]
		for bit := 0; bit < 8*len(original); bit += 3 {
			items[item] = append([]byte(nil), original...)
			items[item][bit/8] ^= 1 << (bit % 8)
			if d.run(items) == nil {
				t.Errorf("item %d with bit %d changed is taken", item, bit)
			}
		}
		items[item] = original
	}
	leaf := must(d.instance.Gate(3))
	items[0] = d.sign(leaf, verifierKey)
	if d.run(items) == nil {
		t.Error("the verifier opens a gate")
	}
	if d.run(append([][]byte{nil}, d.open(3, d.evaluate())...)) == nil {
		t.Error("an item more is taken")
	}
}

// Every timeout that can be is one, and a block less is not.
func TestTimeout(t *testing.T) {
	for _, timeout := range []uint16{1, 16, 17, 127, 128, 255, 256, 2016, 32767, 32768, 65535} {
		d := newDispute(t, timeout)
		leaf := must(d.instance.Timeout())
		if err := d.run(TimeoutWitness(d.sign(leaf, verifierKey), leaf)); err != nil {
			t.Errorf("after %d blocks: %v", timeout, err)
		}
		if d.run(TimeoutWitness(d.sign(leaf, proverKey), leaf)) == nil {
			t.Errorf("after %d blocks: the prover takes the money", timeout)
		}
		d.tx.TxIn[0].Sequence--
		if err := d.run(TimeoutWitness(d.sign(leaf, verifierKey), leaf)); !txscript.IsErrorCode(err, txscript.ErrUnsatisfiedLockTime) {
			t.Errorf("after a block less than %d: %v", timeout, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	c, _ := newAdder(2)
	good := Terms{
		Circuit: c, Commitments: Commit(proverSeed, c.Wires()), Challenges: Challenges(verifierSeed, len(c.Gates)),
		Prover: xOnly(proverKey), Verifier: xOnly(verifierKey), Timeout: 1,
	}
	if _, err := NewInstance(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Terms){
		"no circuit":         func(t *Terms) { t.Circuit = new(Circuit) },
		"a commitment less":  func(t *Terms) { t.Commitments = t.Commitments[1:] },
		"a challenge less":   func(t *Terms) { t.Challenges = t.Challenges[1:] },
		"no time to respond": func(t *Terms) { t.Timeout = 0 },
	} {
		terms := good
		change(&terms)
		if _, err := NewInstance(terms); !errors.Is(err, ErrCircuit) {
			t.Errorf("%s: %v", name, err)
		}
	}
	seen := Observe(good.Commitments)
	for _, w := range []Wire{-1, 1, Wire(c.Wires())} {
		if _, err := seen.Add(w, Open(proverSeed, 0, true)); !errors.Is(err, ErrOpening) {
			t.Errorf("wire %d: %v", w, err)
		}
	}
}
