package claim

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/outrider-project/outrider/bitvm/assertion"
	"github.com/outrider-project/outrider/bitvm/groth16"
	"github.com/outrider-project/outrider/bitvm/wots"
	"github.com/outrider-project/outrider/testvectors"
)

// A prover signs assertions of BitVM's own proof.
type prover struct {
	vk      *groth16.VerifyingKey
	key     *assertion.Key
	item    groth16.Item
	raw     *assertion.Raw // the honest assertion
	secrets [assertion.Commitments][]byte
	keys    assertion.Keys
}

func newProver(t testing.TB) *prover {
	t.Helper()
	const what = "that whole claims of BitVM's own proof are judged right"
	p := new(prover)
	var err error
	if p.vk, err = groth16.DecodeArkworksKey(testvectors.Load(t, "bitvm/groth16_arkworks_vk.bin", what)); err != nil {
		t.Fatal(err)
	}
	proof, err := groth16.DecodeArkworksProof(testvectors.Load(t, "bitvm/groth16_arkworks_proof.bin", what))
	if err != nil {
		t.Fatal(err)
	}
	inputs, err := groth16.DecodeArkworksInputs(testvectors.Load(t, "bitvm/groth16_arkworks_public_input.bin", what))
	if err != nil {
		t.Fatal(err)
	}
	p.item = groth16.Item{Proof: proof, Inputs: inputs}
	if p.key, err = assertion.Prepare(p.vk); err != nil {
		t.Fatal(err)
	}
	if p.raw, err = p.key.Assert(proof, inputs[0]); err != nil {
		t.Fatal(err)
	}
	for i := range p.secrets {
		p.secrets[i] = fmt.Appendf(nil, "secret of commitment %d", i)
		p.keys[i] = assertion.Scheme(i).PublicKey(p.secrets[i])
	}
	return p
}

// stacks returns the witnesses of an assertion, those of compact commitments in that form.
func (p *prover) stacks(raw *assertion.Raw, compact func(i int) bool) *Stacks {
	s := new(Stacks)
	for i, sig := range raw.Sign(&p.secrets) {
		s[i] = sig.Witness()
		if compact(i) {
			s[i] = sig.CompactWitness()
		}
	}
	return s
}

func none(int) bool { return false }
func all(int) bool  { return true }
func some(i int) bool {
	return i%3 == 1
}

func (p *prover) claim(s *Stacks) *Claim { return &Claim{Key: p.vk, Keys: &p.keys, Load: s.Load} }

// An honest claim is valid in both modes, whatever the form of its witnesses.
func TestHonest(t *testing.T) {
	p := newProver(t)
	v := New(Options{})
	defer v.Close()
	for name, compact := range map[string]func(int) bool{"list-pick": none, "compact": all, "both forms": some} {
		for _, validated := range []bool{false, true} {
			c := p.claim(p.stacks(p.raw, compact))
			c.Validated = validated
			got, err := v.Verify(t.Context(), c)
			if err != nil || got.Outcome != Valid || *got.Raw != *p.raw || got.Proof != nil || got.Leaf.Disproved ||
				got.Leaf.Segments != assertion.Hashes || got.Refusals != nil {
				t.Errorf("%s, validated %v: %+v, %v", name, validated, got, err)
			}
		}
	}
}

// Each commitment that is not signed as it must be is named, and what is in a block that
// was validated is not hashed.
func TestRefused(t *testing.T) {
	p := newProver(t)
	v := New(Options{})
	defer v.Close()
	s := p.stacks(p.raw, some)
	s[3] = slices.Clone(s[3])
	s[3][10] = append([]byte(nil), s[3][10]...)
	s[3][10][0] ^= 1 // a value
	s[300] = slices.Clone(s[300])[1:]
	got, err := v.Verify(t.Context(), p.claim(s))
	if err != nil || got.Outcome != Refused || len(got.Refusals) != 2 || got.Refusals[0].Commitment != 3 || !errors.Is(got.Refusals[0], wots.ErrChain) ||
		got.Refusals[1].Commitment != 300 || !errors.Is(got.Refusals[1], wots.ErrForm) || got.Raw != nil {
		t.Errorf("%+v, %v", got, err)
	}
}
