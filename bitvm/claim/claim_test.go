package claim

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
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
	signed  *Stacks // the honest assertion's, none compact
}

// oneProver is what newProver made first: it takes a while, and nobody changes it.
var oneProver struct {
	sync.Mutex
	*prover
}

func newProver(t testing.TB) *prover {
	t.Helper()
	oneProver.Lock()
	defer oneProver.Unlock()
	if oneProver.prover == nil {
		oneProver.prover = makeProver(t)
	}
	return oneProver.prover
}

func makeProver(t testing.TB) *prover {
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
	p.signed = p.stacks(p.raw, none)
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
			if alone, err := Judge(t.Context(), p.key, c); err != nil || !reflect.DeepEqual(alone, got) {
				t.Errorf("%s, validated %v, alone: %+v, %v", name, validated, alone, err)
			}
		}
	}
	if _, err := Judge(t.Context(), p.key, &Claim{Load: (*Stacks)(nil).Load}); !errors.Is(err, errNoStacks) {
		t.Error(err)
	}
}

// with returns s with another witness for one commitment.
func (s *Stacks) with(i int, stack [][]byte) *Stacks {
	other := *s
	other[i] = stack
	return &other
}

// Whatever commitment is changed, signed as it then is, the claim is disprovable by the
// leaf that the assertion's evaluation names, and the proof is what it is.
func TestEachCommitment(t *testing.T) {
	p := newProver(t)
	v := New(Options{})
	defer v.Close()
	honest := p.stacks(p.raw, some)
	var changed []int
	for i := range assertion.Commitments {
		if !testing.Short() || i <= assertion.Elements || i%9 == 0 {
			changed = append(changed, i)
		}
	}
	var raws [assertion.Commitments]*assertion.Raw
	claims := func(yield func(*Claim) bool) {
		for _, i := range changed {
			raw := *p.raw
			raw.Message(i)[len(raw.Message(i))-1] ^= 0x10
			raws[i] = &raw
			sig := assertion.Scheme(i).Sign(p.secrets[i], raw.Message(i))
			stack := sig.Witness()
			if some(i) {
				stack = sig.CompactWitness()
			}
			c := p.claim(honest.with(i, stack))
			c.Validated = i%2 == 0
			if !yield(c) {
				return
			}
		}
	}
	n := 0
	for got, err := range v.All(t.Context(), claims) {
		i := changed[n]
		n++
		want := p.key.Evaluate(raws[i])
		if err != nil || got.Outcome != Disprovable || got.Leaf != want || !want.Disproved || *got.Raw != *raws[i] || got.Refusals != nil {
			t.Errorf("commitment %d: %+v, %v, want leaf %+v", i, got, err, want)
		}
		// What is behind the 15 words, and c, which are 5 to 10, is not the proof's.
		ofProof := i < 5 || i > 10 && i <= assertion.Elements
		if ofProof != (got.Proof != nil) {
			t.Errorf("commitment %d: proof: %v", i, got.Proof)
		}
		if i > assertion.Elements && want.Leaf != i-1-assertion.Elements {
			t.Errorf("commitment %d: leaf %d", i, want.Leaf)
		}
	}
	if n != len(changed) {
		t.Errorf("%d verdicts, of %d claims", n, len(changed))
	}
}

// Who commits to what follows from an invalid proof is disproved by the last leaf.
func TestInvalidProof(t *testing.T) {
	p := newProver(t)
	v := New(Options{})
	defer v.Close()
	s := groth16.NewSimulator(1, 3)
	item := s.Item()
	key, err := assertion.Prepare(s.Key)
	if err != nil {
		t.Fatal(err)
	}
	other, err := key.Assert(item.Proof, item.Inputs[0])
	if err != nil {
		t.Fatal(err)
	}
	c := p.claim(p.stacks(other, none)) // by another key than it is judged by
	got, err := v.Verify(t.Context(), c)
	if err != nil || got.Outcome != Disprovable || !errors.Is(got.Proof, groth16.ErrEquation) || got.Leaf != p.key.Evaluate(other) {
		t.Errorf("%+v, %v", got, err)
	}
	c.Key = s.Key
	if got, err := v.Verify(t.Context(), c); err != nil || got.Outcome != Valid {
		t.Errorf("%+v, %v", got, err)
	}
}

// Each commitment that is not signed as it must be is named, with the reason. In a block
// that was validated only the form can be wrong, and what is compact.
func TestRefused(t *testing.T) {
	p := newProver(t)
	v := New(Options{})
	defer v.Close()
	honest := p.stacks(p.raw, some)
	wrongValue := func(i int) [][]byte {
		stack := slices.Clone(honest[i])
		stack[0] = slices.Clone(stack[0])
		stack[0][0] ^= 1
		return stack
	}
	wrongDigit := func(i int) [][]byte {
		stack := slices.Clone(honest[i])
		if stack[1] = nil; len(honest[i][1]) == 0 {
			stack[1] = []byte{1}
		}
		return stack
	}
	for _, tt := range []struct {
		what        string
		at          int // list-pick unless some(at)
		stack       [][]byte
		want, wantV error // and of a claim that is validated
	}{
		{"a value", 3, wrongValue(3), wots.ErrChain, nil},
		{"a compact value", 100, wrongValue(100), wots.ErrChain, wots.ErrChain},
		{"a digit", 377, wrongDigit(377), wots.ErrChecksum, wots.ErrChecksum},
		{"another's signature", 300, honest[303], wots.ErrChain, nil},
		{"a missing item", 0, honest[0][1:], wots.ErrForm, wots.ErrForm},
		{"nothing", 14, nil, wots.ErrForm, wots.ErrForm},
		{"an item of the size of a block", 15, append(slices.Clone(honest[15][:69]), make([]byte, 3_980_000)), wots.ErrForm, wots.ErrForm},
		{"a short value", 18, append([][]byte{{1}}, honest[18][1:]...), wots.ErrForm, wots.ErrForm},
		{"a signature of 16 bytes for 32", 2, honest[20], wots.ErrForm, wots.ErrForm},
	} {
		for _, validated := range []bool{false, true} {
			c := p.claim(honest.with(tt.at, tt.stack))
			c.Validated = validated
			want := tt.want
			if validated {
				want = tt.wantV
			}
			got, err := v.Verify(t.Context(), c)
			switch {
			case err != nil:
				t.Errorf("%s: %v", tt.what, err)
			case want == nil:
				if got.Outcome == Refused {
					t.Errorf("%s, validated %v: %+v", tt.what, validated, got)
				}
			case got.Outcome != Refused || len(got.Refusals) != 1 || got.Refusals[0].Commitment != tt.at || !errors.Is(got.Refusals[0], want) || got.Raw != nil:
				t.Errorf("%s, validated %v: %+v, want %v", tt.what, validated, got, want)
			}
		}
	}

	s := *honest
	s[377], s[3], s[4] = nil, wrongValue(3), wrongValue(4)
	got, err := v.Verify(t.Context(), p.claim(&s))
	if err != nil || len(got.Refusals) != 3 || got.Refusals[0].Commitment != 3 || got.Refusals[1].Commitment != 4 || got.Refusals[2].Commitment != 377 {
		t.Errorf("%+v, %v", got, err)
	}
	without := p.claim(honest)
	without.Keys, without.Validated = nil, true
	if got, err := v.Verify(t.Context(), without); err != nil || got.Outcome != Refused || got.Refusals[0].Commitment != 1 {
		t.Errorf("compact witnesses without keys: %+v, %v", got, err)
	}
	without.Load = p.signed.Load
	if got, err := v.Verify(t.Context(), without); err != nil || got.Outcome != Valid {
		t.Errorf("validated, without keys: %+v, %v", got, err)
	}
}

// Claims by the same key that are judged together have the verdicts that they have alone.
func TestTogether(t *testing.T) {
	p := newProver(t)
	honest := p.signed
	wrongHash := *p.raw
	wrongHash.Hashes[200][5] ^= 4
	wrongInput := *p.raw
	wrongInput.Input[31] ^= 0x10
	noPoint := *p.raw
	noPoint.Elements[0] = [32]byte{}
	d := newDocket(p.key, 6)
	stacks := []*Stacks{
		honest, p.stacks(&wrongHash, none), honest.with(40, nil), p.stacks(&wrongInput, all), nil, p.stacks(&noPoint, some),
	}
	for i, s := range stacks {
		d.stacks[i] = s
		if d.claims[i] = p.claim(s); s == nil {
			d.errs[i] = errNoStacks
		}
	}
	new(judge).decide(d)
	v := New(Options{Chunk: 1})
	defer v.Close()
	for i, s := range stacks {
		if s == nil {
			if d.verdicts[i].Outcome != 0 || !errors.Is(d.errs[i], errNoStacks) {
				t.Errorf("claim %d: %+v, %v", i, d.verdicts[i], d.errs[i])
			}
			continue
		}
		want, err := v.Verify(t.Context(), d.claims[i])
		if err != nil || !reflect.DeepEqual(want, d.verdicts[i]) || d.errs[i] != nil {
			t.Errorf("claim %d: %+v, %v, alone %+v, %v", i, d.verdicts[i], d.errs[i], want, err)
		}
	}
	if outcomes := []Outcome{d.verdicts[0].Outcome, d.verdicts[1].Outcome, d.verdicts[2].Outcome, d.verdicts[3].Outcome, d.verdicts[5].Outcome}; !slices.Equal(outcomes, []Outcome{Valid, Disprovable, Refused, Disprovable, Disprovable}) {
		t.Errorf("outcomes %v", outcomes)
	}
}

// What cannot be is told as such.
func TestContradiction(t *testing.T) {
	p := newProver(t)
	otherC := *p.raw
	otherC.Elements[7][31] ^= 0x10
	valid := assertion.Verdict{Segments: assertion.Hashes}
	leaf := func(kind assertion.Kind, reason assertion.Reason) assertion.Verdict {
		return assertion.Verdict{Disproved: true, Kind: kind, Reason: reason}
	}
	for _, tt := range []struct {
		what  string
		raw   *assertion.Raw
		proof error
		leaf  assertion.Verdict
		want  bool
	}{
		{"all is well", p.raw, nil, valid, false},
		{"no leaf for an invalid proof", p.raw, groth16.ErrEquation, valid, true},
		{"a leaf for an invalid proof", p.raw, groth16.ErrPoint, leaf(assertion.PrecomputeP, assertion.InvalidInput), false},
		{"a wrong hash", p.raw, nil, leaf(assertion.Squaring, assertion.HashMismatch), false},
		{"c above p", p.raw, nil, leaf(assertion.HashC, assertion.InvalidInput), false},
		{"points of a valid proof that are none", p.raw, nil, leaf(assertion.PrecomputeP, assertion.InvalidInput), true},
		{"B of a valid proof that is none", p.raw, nil, leaf(assertion.InitT4, assertion.InvalidInput), true},
		{"the input of a valid proof that is none", p.raw, nil, leaf(assertion.MSM, assertion.InvalidInput), true},
		{"the end of a valid chain", p.raw, nil, leaf(assertion.FinalVerify, assertion.FinalCheck), true},
		{"the end of a chain with a wrong c", &otherC, nil, leaf(assertion.FinalVerify, assertion.FinalCheck), false},
	} {
		err := contradiction(p.key, tt.raw, tt.proof, &tt.leaf)
		if errors.Is(err, ErrContradiction) != tt.want || (err != nil) != tt.want {
			t.Errorf("%s: %v", tt.what, err)
		}
	}
}

// What an input hands to its leaf.
func TestArguments(t *testing.T) {
	item, script, annex := []byte{7}, []byte{0x51}, []byte{0x50, 1}
	control := make([]byte, 33+2*32)
	for _, tt := range []struct {
		what    string
		witness [][]byte
		want    int // -1: refused
	}{
		{"two arguments", [][]byte{item, item, script, control}, 2},
		{"none", [][]byte{script, control}, 0},
		{"an annex", [][]byte{item, script, control, annex}, 1},
		{"a key path", [][]byte{make([]byte, 64)}, -1},
		{"a key path with an annex", [][]byte{make([]byte, 64), annex}, -1},
		{"nothing", nil, -1},
		{"a control block of another size", [][]byte{item, script, control[1:]}, -1},
		{"an empty control block", [][]byte{item, script, nil}, -1},
		{"a control block above the deepest", [][]byte{item, script, make([]byte, 33+129*32)}, -1},
	} {
		got, err := Arguments(tt.witness)
		if (err != nil) != (tt.want < 0) || err == nil && len(got) != tt.want || err != nil && !errors.Is(err, ErrWitness) {
			t.Errorf("%s: %x, %v", tt.what, got, err)
		}
	}
}

// The inputs of transactions are judged as their arguments are.
func TestInputs(t *testing.T) {
	p := newProver(t)
	type witness [][]byte // as wire.TxWitness is
	var all []witness
	for _, stack := range p.signed {
		all = append(all, append(slices.Clone(stack), []byte{0x51}, make([]byte, 33)))
	}
	s, err := Inputs(all)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := Judge(t.Context(), p.key, p.claim(s)); err != nil || v.Outcome != Valid {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := Inputs(all[1:]); !errors.Is(err, ErrWitness) {
		t.Error(err)
	}
	all[77] = all[77][:1]
	if _, err := Inputs(all); !errors.Is(err, ErrWitness) || !strings.Contains(err.Error(), "commitment 77") {
		t.Error(err)
	}
}
