package bench

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/consensys/gnark-crypto/ecc"
	"github.com/consensys/gnark-crypto/ecc/bn254"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/vm"

	"github.com/outrider-project/outrider/bitvm/groth16"
)

// batchOfProofs is how many proofs groth16/batch64 verifies at once.
const batchOfProofs = 64

// fourPairings names the anchor of proofs.
const fourPairings = "gnark-crypto, 4 pairings"

// A proofBench is what proofs are verified with: a key of two inputs, as SP1's have, and
// proofs for it, of which those that are verified alone change each time.
type proofBench struct {
	vk    *groth16.VerifyingKey
	key   *groth16.Key
	items []groth16.Item
	gnark *gnarkKey
}

func newProofBench(inputs, proofs int) (*proofBench, error) {
	s := groth16.NewSimulator(inputs, 1)
	b := &proofBench{vk: s.Key}
	var err error
	if b.key, err = groth16.Prepare(s.Key); err != nil {
		return nil, err
	}
	if b.gnark, err = newGnarkKey(s.Key); err != nil {
		return nil, err
	}
	for range proofs {
		b.items = append(b.items, s.Item())
	}
	return b, nil
}

// each returns a task that verifies one proof after the other.
func (b *proofBench) each(name string, verify func(groth16.Item) bool) task {
	at := 0
	return func(context.Context) (int, error) {
		if !verify(b.items[at]) {
			return 0, fmt.Errorf("%s refuses valid proof %d", name, at)
		}
		at = (at + 1) % len(b.items)
		return 1, nil
	}
}

func (b *proofBench) ours(item groth16.Item) bool {
	return b.key.Verify(item.Proof, item.Inputs) == nil
}

// batch verifies all proofs at once.
func (b *proofBench) batch(context.Context) (int, error) {
	return len(b.items), errors.Join(b.key.VerifyBatch(b.items)...)
}

// sum returns what a proof's public inputs come to, without tables.
func (b *proofBench) sum(item groth16.Item) (p bn254.G1Affine) {
	p = b.vk.IC[0]
	for i := range item.Inputs {
		var t bn254.G1Affine
		t.ScalarMultiplication(&b.vk.IC[i+1], item.Inputs[i].BigInt(new(big.Int)))
		p.Add(&p, &t)
	}
	return p
}

// pairings is what a verifier does that prepares nothing, but its checks: the pairing
// check of gnark-crypto for four pairs.
func (b *proofBench) pairings(item groth16.Item) bool {
	var minusA bn254.G1Affine
	minusA.Neg(&item.Proof.A)
	ok, err := bn254.PairingCheck(
		[]bn254.G1Affine{minusA, b.vk.Alpha, b.sum(item), item.Proof.C},
		[]bn254.G2Affine{item.Proof.B, b.vk.Beta, b.vk.Gamma, b.vk.Delta})
	return ok && err == nil
}

// precompile is what a contract does on Ethereum: go-ethereum's pairing check of EIP-197,
// without its additions and multiplications for the public inputs.
func (b *proofBench) precompile(item groth16.Item) bool {
	sum := b.sum(item)
	return pairingPrecompile(pairingInput(b.vk, item.Proof, &sum))
}

// pairingInput returns the bytes of the four pairs of Groth16's equation.
func pairingInput(vk *groth16.VerifyingKey, p *groth16.Proof, sum *bn254.G1Affine) []byte {
	var minusA bn254.G1Affine
	minusA.Neg(&p.A)
	return slices.Concat(
		minusA.Marshal(), p.B.Marshal(), vk.Alpha.Marshal(), vk.Beta.Marshal(),
		sum.Marshal(), vk.Gamma.Marshal(), p.C.Marshal(), vk.Delta.Marshal())
}

// pairingPrecompile runs Ethereum's contract 8.
func pairingPrecompile(input []byte) bool {
	out, err := vm.PrecompiledContractsCancun[common.BytesToAddress([]byte{8})].Run(input)
	return err == nil && len(out) == 32 && out[31] == 1
}

// A gnarkKey is a key as gnark's own verifier prepares it.
type gnarkKey struct {
	vk                 *groth16.VerifyingKey
	alphaBeta          bn254.GT
	minusGamma, minusD bn254.G2Affine
}

func newGnarkKey(vk *groth16.VerifyingKey) (*gnarkKey, error) {
	k := &gnarkKey{vk: vk}
	var err error
	k.alphaBeta, err = bn254.Pair([]bn254.G1Affine{vk.Alpha}, []bn254.G2Affine{vk.Beta})
	k.minusGamma.Neg(&vk.Gamma)
	k.minusD.Neg(&vk.Delta)
	return k, err
}

// verify takes the steps of gnark's verifier (backend/groth16/bn254/verify.go), but on
// one thread: subgroups, a sum over the inputs, three pairings beside a fixed one.
func (k *gnarkKey) verify(item groth16.Item) bool {
	p := item.Proof
	if !p.A.IsInSubGroup() || !p.C.IsInSubGroup() || !p.B.IsInSubGroup() {
		return false
	}
	var sum bn254.G1Affine
	if _, err := sum.MultiExp(k.vk.IC[1:], item.Inputs, ecc.MultiExpConfig{NbTasks: 1}); err != nil {
		return false
	}
	sum.Add(&sum, &k.vk.IC[0])
	got, err := bn254.Pair([]bn254.G1Affine{p.C, p.A, sum}, []bn254.G2Affine{k.minusD, p.B, k.minusGamma})
	return err == nil && got.Equal(&k.alphaBeta)
}

func groth16Figures() ([]*bitvmFigure, error) {
	b, err := newProofBench(2, batchOfProofs)
	if err != nil {
		return nil, err
	}
	pairings := func() task { return b.each(fourPairings, b.pairings) }
	return []*bitvmFigure{
		{name: "groth16/1", ours: b.each("groth16", b.ours), anchor: fourPairings, theirs: pairings()},
		{name: "groth16/batch64", ours: b.batch, anchor: fourPairings, theirs: pairings()},
		{name: "anchor/gnark verifier", ours: b.each("gnark", b.gnark.verify)},
		{name: "anchor/geth precompile 8", ours: b.each("go-ethereum", b.precompile)},
	}, nil
}
