package bitvm0

import (
	"fmt"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/txscript/v2"
)

// Terms are what a prover and a verifier agree on.
type Terms struct {
	Circuit *Circuit
	// Commitments are the prover's, to each wire, and Challenges the verifier's, one
	// for each gate.
	Commitments []Commitment
	Challenges  []Hash
	// Prover and Verifier are the keys that sign, x only (BIP340).
	Prover, Verifier [32]byte
	// Timeout is after how many blocks the verifier takes the money of a prover that
	// has not answered (BIP112), from 1 to 65,535.
	Timeout uint16
}

// An Instance is an output of taproot with all leaves. It is only read once it is made.
type Instance struct {
	terms Terms
	tree  *txscript.IndexedTapScriptTree
	key   *btcec.PublicKey
}

// unspendable is the key of which nobody knows the secret, H of BIP341.
var unspendable = [32]byte{
	0x50, 0x92, 0x9b, 0x74, 0xc1, 0xa0, 0x49, 0x54, 0xb7, 0x8b, 0x4b, 0x60, 0x35, 0xe9, 0x7a, 0x5e,
	0x07, 0x8a, 0x5a, 0x0f, 0x28, 0xec, 0x96, 0xd5, 0x47, 0xbf, 0xee, 0x9a, 0xce, 0x80, 0x3a, 0xc0,
}

// NewInstance makes an instance of terms, which nobody changes from then on: the leaves of
// the gates, of the wires, and of the timeout, in a balanced tree. The error wraps
// [ErrCircuit].
func NewInstance(t Terms) (*Instance, error) {
	if err := t.Circuit.Check(); err != nil {
		return nil, err
	}
	if len(t.Commitments) != t.Circuit.Wires() || len(t.Challenges) != len(t.Circuit.Gates) || t.Timeout == 0 {
		return nil, fmt.Errorf("%w: %d commitments and %d challenges for %d wires and %d gates, and a timeout of %d",
			ErrCircuit, len(t.Commitments), len(t.Challenges), t.Circuit.Wires(), len(t.Circuit.Gates), t.Timeout)
	}
	key, err := schnorr.ParsePubKey(unspendable[:])
	if err != nil {
		return nil, err
	}
	var leaves []txscript.TapLeaf
	for i := range t.Circuit.Gates {
		leaves = append(leaves, txscript.NewBaseTapLeaf(t.gateScript(i)))
	}
	for w := range t.Commitments {
		leaves = append(leaves, txscript.NewBaseTapLeaf(t.equivocationScript(Wire(w))))
	}
	leaves = append(leaves, txscript.NewBaseTapLeaf(t.timeoutScript()))
	return &Instance{t, txscript.AssembleTaprootScriptTree(leaves...), key}, nil
}

// PkScript returns the output's script.
func (in *Instance) PkScript() []byte {
	root := in.tree.RootNode.TapHash()
	output := txscript.ComputeTaprootOutputKey(in.key, root[:])
	return append([]byte{txscript.OP_1, txscript.OP_DATA_32}, schnorr.SerializePubKey(output)...)
}

// A Leaf is one way to spend an instance.
type Leaf struct {
	Script  []byte
	Control []byte // its control block
}

func (in *Instance) leaf(i int) (Leaf, error) {
	proof := &in.tree.LeafMerkleProofs[i]
	block := proof.ToControlBlock(in.key)
	control, err := block.ToBytes()
	return Leaf{proof.Script, control}, err
}

// Gate returns the leaf with which the prover opens a gate.
func (in *Instance) Gate(gate int) (Leaf, error) { return in.leaf(gate) }

// Equivocation returns the leaf for both preimages of a wire.
func (in *Instance) Equivocation(w Wire) (Leaf, error) {
	return in.leaf(len(in.terms.Circuit.Gates) + int(w))
}

// Timeout returns the leaf for a challenge that nobody answered.
func (in *Instance) Timeout() (Leaf, error) { return in.leaf(len(in.tree.LeafMerkleProofs) - 1) }

// gateScript takes, from the top of the stack: the challenge; the bit and the preimage of
// the gate's output, of B and of A; and the prover's signature.
func (t *Terms) gateScript(gate int) []byte {
	g := t.Circuit.Gates[gate]
	b := hashed(nil, t.Challenges[gate])
	b = append(opened(b, t.Commitments[t.Circuit.Out(gate)]), txscript.OP_TOALTSTACK)
	b = append(opened(b, t.Commitments[g.B]), txscript.OP_TOALTSTACK)
	b = append(opened(b, t.Commitments[g.A]), txscript.OP_FROMALTSTACK, txscript.OP_BOOLAND, txscript.OP_NOT)
	b = append(b, txscript.OP_FROMALTSTACK, txscript.OP_NUMEQUALVERIFY)
	return signed(b, t.Prover)
}

// equivocationScript takes what opens a wire as 0, on top, and as 1, and the verifier's
// signature.
func (t *Terms) equivocationScript(w Wire) []byte {
	b := hashed(nil, t.Commitments[w][0])
	b = hashed(b, t.Commitments[w][1])
	return signed(b, t.Verifier)
}

// timeoutScript takes the verifier's signature, once the output is old enough.
func (t *Terms) timeoutScript() []byte {
	var b []byte
	if t.Timeout <= 16 {
		b = []byte{txscript.OP_1 - 1 + byte(t.Timeout)}
	} else {
		var number []byte
		for n := t.Timeout; n > 0; n >>= 8 {
			number = append(number, byte(n))
		}
		if number[len(number)-1]&0x80 != 0 {
			number = append(number, 0) // else it were negative
		}
		b = append([]byte{byte(len(number))}, number...)
	}
	return signed(append(b, txscript.OP_CHECKSEQUENCEVERIFY, txscript.OP_DROP), t.Verifier)
}

// hashed appends that the top of the stack has a hash.
func hashed(b []byte, h Hash) []byte {
	b = append(b, txscript.OP_HASH160, txscript.OP_DATA_20)
	return append(append(b, h[:]...), txscript.OP_EQUALVERIFY)
}

// opened appends that the top of the stack is a bit and what opens it, of which the bit is
// left. OP_IF takes nothing but 0 and 1 in tapscript.
func opened(b []byte, c Commitment) []byte {
	b = append(hashed(append(b, txscript.OP_IF), c[1]), txscript.OP_1, txscript.OP_ELSE)
	return append(hashed(b, c[0]), txscript.OP_0, txscript.OP_ENDIF)
}

// signed appends that there is a signature by a key, and nothing else.
func signed(b []byte, key [32]byte) []byte {
	b = append(b, txscript.OP_DATA_32)
	return append(append(b, key[:]...), txscript.OP_CHECKSIG)
}

// An Opening is a bit and what opens it.
type Opening struct {
	Bit      bool
	Preimage Preimage
}

// GateWitness returns the witness for a gate's leaf: the openings of A, B and the output.
func GateWitness(signature []byte, a, b, out Opening, challenge Preimage, leaf Leaf) [][]byte {
	items := [][]byte{signature}
	for _, o := range []Opening{a, b, out} {
		bit := []byte(nil)
		if o.Bit {
			bit = []byte{1}
		}
		items = append(items, o.Preimage[:], bit)
	}
	return append(items, challenge[:], leaf.Script, leaf.Control)
}

// EquivocationWitness returns the witness for a wire's leaf.
func EquivocationWitness(signature []byte, pair [2]Preimage, leaf Leaf) [][]byte {
	return [][]byte{signature, pair[1][:], pair[0][:], leaf.Script, leaf.Control}
}

// TimeoutWitness returns the witness for the timeout's leaf. The input's sequence is the
// timeout at least.
func TimeoutWitness(signature []byte, leaf Leaf) [][]byte {
	return [][]byte{signature, leaf.Script, leaf.Control}
}
