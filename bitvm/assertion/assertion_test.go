package assertion

import (
	"bytes"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/consensys/gnark-crypto/ecc/bn254"
	"github.com/consensys/gnark-crypto/ecc/bn254/fp"
	"github.com/consensys/gnark-crypto/ecc/bn254/fr"

	"github.com/outrider-project/outrider/bitvm/groth16"
	"github.com/outrider-project/outrider/testvectors"
)

// A fixture is the proof of BitVM's own tests.
type fixture struct {
	vk    *groth16.VerifyingKey
	key   *Key
	proof *groth16.Proof
	input fr.Element
	raw   *Raw // the honest assertion
}

func loadFixture(t testing.TB) *fixture {
	t.Helper()
	const what = "that BitVM's own proof can be asserted and not disproved"
	f := new(fixture)
	var err error
	if f.vk, err = groth16.DecodeArkworksKey(testvectors.Load(t, "bitvm/groth16_arkworks_vk.bin", what)); err != nil {
		t.Fatal(err)
	}
	if f.proof, err = groth16.DecodeArkworksProof(testvectors.Load(t, "bitvm/groth16_arkworks_proof.bin", what)); err != nil {
		t.Fatal(err)
	}
	inputs, err := groth16.DecodeArkworksInputs(testvectors.Load(t, "bitvm/groth16_arkworks_public_input.bin", what))
	if err != nil {
		t.Fatal(err)
	}
	f.input = inputs[0]
	if f.key, err = Prepare(f.vk); err != nil {
		t.Fatal(err)
	}
	if f.raw, err = f.key.Assert(f.proof, f.input); err != nil {
		t.Fatal(err)
	}
	return f
}

// committedC returns c of an assertion.
func committedC(t testing.TB, raw *Raw) (c bn254.E6) {
	t.Helper()
	c, ok := raw.c()
	if !ok {
		t.Fatal("c is not below p")
	}
	return c
}

// All 363 segments of the fixture pass, and are those that another computation makes.
func TestFixture(t *testing.T) {
	f := loadFixture(t)
	if v := f.key.Evaluate(f.raw); v.Disproved || v.Segments != Hashes {
		t.Errorf("%+v", v)
	}
	c := committedC(t, f.raw)
	want := oracleHashes(f.vk, f.proof, f.input, &c)
	if len(want) != Hashes {
		t.Fatalf("the oracle makes %d hashes", len(want))
	}
	for i := range want {
		if f.raw.Hashes[i] != want[i] {
			t.Fatalf("hash %d: %x, the oracle says %x", i, f.raw.Hashes[i], want[i])
		}
	}
	decoded, err := Decode(f.raw.Encode())
	if err != nil || *decoded != *f.raw || len(f.raw.Encode()) != 6288 {
		t.Errorf("decoded: %v", err)
	}
	for _, size := range []int{0, RawSize - 1, RawSize + 1} {
		if _, err := Decode(make([]byte, size)); !errors.Is(err, ErrSize) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	var all []byte
	for i := range Commitments {
		all = append(all, f.raw.Message(i)...)
	}
	if !bytes.Equal(all, f.raw.Encode()) {
		t.Error("the messages are not the encoding's parts")
	}
}

// leafOf returns the leaf that a change of commitment i leads to, from an input to raw's.
func leafOf(i int, input fr.Element, raw *Raw) int {
	switch {
	case i == 0:
		changed, ok := scalar(&raw.Input)
		if !ok {
			return 2
		}
		// The first part that multiplies with bits that changed.
		was, is := input.Bits(), changed.Bits()
		limb := 0
		for was[limb] == is[limb] {
			limb++
		}
		return 2 + limb
	case i <= 2:
		return 0
	case i <= 4:
		return 1
	case i <= 10:
		return 8
	case i <= Elements:
		return 10
	}
	return i - 1 - Elements
}

// Whatever commitment is changed, and however, the leaf is the first part that has it, as
// input or output. That leaf can be spent: its inputs are those committed to, all outputs
// before are right, and its own is not what the oracle says, or its input is none.
func TestEachCommitment(t *testing.T) {
	f := loadFixture(t)
	c := committedC(t, f.raw)
	honest := oracleHashes(f.vk, f.proof, f.input, &c)
	changes := []func([]byte){
		func(b []byte) { b[len(b)-1] ^= 0x10 }, // the number's lowest bit
		func(b []byte) { b[0] ^= 1 },
		func(b []byte) { clear(b) },
		func(b []byte) { copy(b, bytes.Repeat([]byte{0xff}, len(b))) }, // not below p or r
	}
	for i := range Commitments {
		for kind, change := range changes {
			if i > Elements && kind != i%len(changes) {
				continue // one for each hash
			}
			raw := *f.raw
			change(raw.Message(i))
			v := f.key.Evaluate(&raw)
			want := leafOf(i, f.input, &raw)
			if !v.Disproved || v.Leaf != want || v.Segments != want {
				t.Errorf("commitment %d: %+v, want leaf %d", i, v, want)
				continue
			}
			switch claimed, expected := swapped(v.Claimed[:]), swapped(v.Expected[:]); {
			case i > Elements:
				if v.Reason != HashMismatch || [hashSize]byte(claimed) != raw.Hashes[want] || [hashSize]byte(expected) != honest[want] {
					t.Errorf("commitment %d: %+v", i, v)
				}
			case v.Reason == HashMismatch:
				if [hashSize]byte(claimed) != honest[want] || v.Claimed == v.Expected {
					t.Errorf("commitment %d: %+v", i, v)
				}
			case v.Reason != InvalidInput:
				t.Errorf("commitment %d: %+v", i, v)
			}
			if i%20 == 0 && f.key.Evaluate(&raw) != v {
				t.Errorf("commitment %d: another verdict the second time", i)
			}
		}
	}
}

// Reasons and kinds, for inputs that are none.
func TestInvalidInputs(t *testing.T) {
	f := loadFixture(t)
	ones := func(b *[wordSize]byte) { copy(b[:], bytes.Repeat([]byte{0xff}, wordSize)) }
	for _, tt := range []struct {
		what   string
		change func(*Raw)
		leaf   int
		kind   Kind
		reason Reason
	}{
		{"A off the curve", func(r *Raw) { r.Elements[1][31] ^= 0x10 }, 0, PrecomputeP, InvalidInput},
		{"A with y = 0", func(r *Raw) { r.Elements[0] = [wordSize]byte{} }, 0, PrecomputeP, InvalidInput},
		{"C at infinity", func(r *Raw) { r.Elements[2], r.Elements[3] = [wordSize]byte{}, [wordSize]byte{} }, 1, PrecomputeP, InvalidInput},
		{"the input above r", func(r *Raw) { ones(&r.Input) }, 2, MSM, InvalidInput},
		{"another input", func(r *Raw) { r.Input[31] ^= 0x10 }, 2, MSM, HashMismatch},
		{"an input without high bits", func(r *Raw) { r.Input[2] = 0 }, 5, MSM, HashMismatch},
		{"c above p", func(r *Raw) { ones(&r.Elements[7]) }, 8, HashC, InvalidInput},
		{"another c", func(r *Raw) { r.Elements[7][31] ^= 0x10 }, 8, HashC, HashMismatch},
		{"B off the curve", func(r *Raw) { r.Elements[12][31] ^= 0x10 }, 10, InitT4, InvalidInput},
		{"B at infinity", func(r *Raw) { clear(r.Elements[10:]) }, 10, InitT4, InvalidInput},
		{"B above p", func(r *Raw) { ones(&r.Elements[13]) }, 10, InitT4, InvalidInput},
		{"a step's hash", func(r *Raw) { r.Hashes[12][0] ^= 1 }, 12, PointOpsStep1, HashMismatch},
		{"two hashes", func(r *Raw) { r.Hashes[300][0] ^= 1; r.Hashes[15][0] ^= 1 }, 15, Multiply, HashMismatch},
	} {
		raw := *f.raw
		tt.change(&raw)
		v := f.key.Evaluate(&raw)
		if !v.Disproved || v.Leaf != tt.leaf || v.Kind != tt.kind || v.Reason != tt.reason {
			t.Errorf("%s: %+v, want leaf %d, %s, %s", tt.what, v, tt.leaf, tt.kind, tt.reason)
		}
	}
}

// Who commits to what follows from an invalid proof is disproved by the last leaf.
func TestFinalCheck(t *testing.T) {
	f := loadFixture(t)
	c := committedC(t, f.raw)
	other := c
	other.Double(&other)
	_, _, g1, g2 := bn254.Generators()
	outsideJac := bn254.GeneratePointNotInG2(bn254.E2{A0: c.B0.A0})
	var outside bn254.G2Affine
	outside.FromJacobian(&outsideJac)
	one := fr.One()
	var input fr.Element
	input.Add(&f.input, &one)
	for _, tt := range []struct {
		what  string
		proof groth16.Proof
		input fr.Element
		c     *bn254.E6
	}{
		{"another c", *f.proof, f.input, &other},
		{"c = 0", *f.proof, f.input, new(bn254.E6)},
		{"another input", *f.proof, input, &c},
		{"another A", groth16.Proof{A: g1, B: f.proof.B, C: f.proof.C}, f.input, &c},
		{"another C", groth16.Proof{A: f.proof.A, B: f.proof.B, C: g1}, f.input, &c},
		{"another B", groth16.Proof{A: f.proof.A, B: g2, C: f.proof.C}, f.input, &c},
		{"B outside of G2", groth16.Proof{A: f.proof.A, B: outside, C: f.proof.C}, f.input, &c},
	} {
		raw, filled := f.key.fill(&tt.proof, tt.input, tt.c)
		v := f.key.Evaluate(raw)
		if v != filled || !v.Disproved || v.Leaf != Leaves-1 || v.Segments != Hashes || v.Kind != FinalVerify || v.Reason != FinalCheck {
			t.Errorf("%s: %+v, when it was made %+v", tt.what, v, filled)
		}
		if f.key.commit(&tt.proof, tt.input, tt.c) != nil {
			t.Errorf("%s: it is an honest prover's", tt.what)
		}
	}
}

// Each half of the last check decides alone.
func TestProven(t *testing.T) {
	f := loadFixture(t)
	honest := evaluator{key: f.key, raw: f.raw}
	honest.run()
	if !honest.proven() {
		t.Fatal("the honest chain proves nothing")
	}
	otherF, otherT := honest, honest
	otherF.f.B2.A1.Double(&otherF.f.B2.A1)
	otherT.t4.Neg(&otherT.t4)
	if otherF.proven() || otherT.proven() {
		t.Errorf("another f: %v, another T: %v", otherF.proven(), otherT.proven())
	}
}

// A proof can be asserted if, and only if, it is valid.
func TestAssert(t *testing.T) {
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	s := groth16.NewSimulator(1, 12)
	key, err := Prepare(s.Key)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := groth16.Prepare(s.Key)
	if err != nil {
		t.Fatal(err)
	}
	for range rounds {
		item := s.Item()
		if err := verifier.Verify(item.Proof, item.Inputs); err != nil {
			t.Fatal(err)
		}
		raw, err := key.Assert(item.Proof, item.Inputs[0])
		if err != nil {
			t.Fatal(err)
		}
		if v := key.Evaluate(raw); v.Disproved {
			t.Errorf("%+v", v)
		}
		c := committedC(t, raw)
		if want := oracleHashes(s.Key, item.Proof, item.Inputs[0], &c); !slices.Equal(want, raw.Hashes[:]) {
			t.Error("the oracle makes other hashes")
		}
		spoilt := *item.Proof
		spoilt.C.Neg(&spoilt.C)
		if _, err := key.Assert(&spoilt, item.Inputs[0]); !errors.Is(err, ErrProof) || verifier.Verify(&spoilt, item.Inputs) == nil {
			t.Errorf("a spoilt proof: %v", err)
		}
	}
}

func TestPrepare(t *testing.T) {
	for _, inputs := range []int{0, 2} {
		if _, err := Prepare(groth16.NewSimulator(inputs, 1).Key); !errors.Is(err, ErrInputs) {
			t.Errorf("%d inputs: %v", inputs, err)
		}
	}
	vk := groth16.NewSimulator(1, 1).Key
	vk.Gamma.SetInfinity()
	if _, err := Prepare(vk); !errors.Is(err, groth16.ErrKey) {
		t.Error(err)
	}
}

// The chain has the length of BitVM's, which its counts of signatures fix.
func TestSteps(t *testing.T) {
	double := 0
	all := steps()
	for _, s := range all {
		if s.double {
			double++
		}
	}
	if double != 64 || len(all) != moves || len(digits()) != 65 {
		t.Errorf("%d steps, %d of them double, %d digits", len(all), double, len(digits()))
	}
	lines, others := 0, 0
	for _, o := range ops() {
		switch o.kind {
		case byLines:
			lines++
		case iterated:
		default:
			others++
		}
	}
	// Before the loop there are 11 parts, and at its end the powers of c.
	if lines != moves || lines+others != changes || 11+3*lines+others+3 != Hashes {
		t.Errorf("f changes %d times by lines, and %d times besides", lines, others)
	}
}

// T is moved as points are added, in any group, and stops before infinity.
func TestMotions(t *testing.T) {
	_, _, _, g2 := bn254.Generators()
	outsideJac := bn254.GeneratePointNotInG2(bn254.E2{A0: fp.NewElement(3)})
	var outside bn254.G2Affine
	outside.FromJacobian(&outsideJac)
	all := steps()
	for _, q := range []bn254.G2Affine{g2, outside} {
		got := motions(nil, all, &q)
		if len(got) != moves {
			t.Fatalf("%d motions", len(got))
		}
		at := q
		for i, s := range all {
			other := at
			if !s.double {
				other = s.add.of(&q)
			}
			line := chord(&at, &other, &bn254.G1Affine{X: fp.One(), Y: fp.One()})
			at.Add(&at, &other)
			if m := got[i]; m.t != at || !m.slope.Equal(&line.C1.B0) || !m.bias.Equal(&line.C1.B1) {
				t.Fatalf("step %d: %+v", i, m)
			}
		}
	}

	// What a multiple of a point in G2 never meets in the loop.
	for _, tt := range []struct {
		what  string
		steps []step
		moves int
	}{
		{"the same point is added", []step{{add: plain}, {double: true}}, 2},
		{"the opposite point is added", []step{{add: minus}, {double: true}}, 0},
	} {
		if got := motions(nil, tt.steps, &g2); len(got) != tt.moves {
			t.Errorf("%s: %d motions", tt.what, len(got))
		}
	}
	var twice bn254.G2Affine
	twice.Double(&g2)
	if got := motions(nil, []step{{add: plain}}, &g2); got[0].t != twice {
		t.Error("a point added to itself is not its double")
	}
	order2 := bn254.G2Affine{X: g2.X} // as though there were a point of order 2
	if got := motions(nil, []step{{double: true}}, &order2); len(got) != 0 {
		t.Error("a point of order 2 is doubled")
	}
}

// A verdict does not depend on what was evaluated before with the same memory.
func TestEvaluateAgain(t *testing.T) {
	f := loadFixture(t)
	c := committedC(t, f.raw)
	_, _, g1, g2 := bn254.Generators()
	other, _ := f.key.fill(&groth16.Proof{A: g1, B: g2, C: f.proof.C}, f.input, &c)
	want := f.key.Evaluate(other)
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for range 3 {
				if v := f.key.Evaluate(f.raw); v.Disproved {
					t.Errorf("%+v", v)
				}
				if v := f.key.Evaluate(other); v != want {
					t.Errorf("%+v", v)
				}
			}
		})
	}
	workers.Wait()
}

// A proof that is committed to is read, and c shows that it is valid, if both are right.
func TestShows(t *testing.T) {
	f := loadFixture(t)
	item, err := f.raw.Proof()
	if err != nil || !item.Proof.Equal(f.proof) || !item.Inputs[0].Equal(&f.input) || f.key.Verifier().Verify(item.Proof, item.Inputs) != nil {
		t.Fatalf("%+v, %v", item, err)
	}
	if !f.key.Shows(f.raw) {
		t.Error("the honest c shows nothing")
	}
	withoutHashes := *f.raw
	clear(withoutHashes.Hashes[:])
	if !f.key.Shows(&withoutHashes) {
		t.Error("hashes matter")
	}
	for i := range 1 + Elements {
		raw := *f.raw
		raw.Message(i)[wordSize-1] ^= 0x10
		if f.key.Shows(&raw) {
			t.Errorf("shown with a wrong commitment %d", i)
		}
		raw = *f.raw
		copy(raw.Message(i), bytes.Repeat([]byte{0xff}, wordSize))
		isC := i >= 5 && i <= 10
		if _, err := raw.Proof(); f.key.Shows(&raw) || errors.Is(err, ErrProofForm) == isC {
			t.Errorf("commitment %d is not below p: %v", i, err)
		}
	}
	for _, at := range [][2]int{{0, 2}, {2, 4}, {10, 14}} {
		raw := *f.raw
		clear(raw.Elements[at[0]:at[1]])
		if _, err := raw.Proof(); !errors.Is(err, ErrProofForm) {
			t.Errorf("a point at infinity: %v", err)
		}
	}
}

// KeyBytes is what a key takes, but for an eighth.
func TestKeyBytes(t *testing.T) {
	vk := groth16.NewSimulator(1, 1).Key
	keys := make([]*Key, 64)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i := range keys {
		var err error
		if keys[i], err = Prepare(vk); err != nil {
			t.Fatal(err)
		}
	}
	each := float64(heap()-before) / float64(len(keys))
	if each < 7*KeyBytes/8 || each > 9*KeyBytes/8 {
		t.Errorf("a key takes %.0f bytes, KeyBytes is %d", each, KeyBytes)
	}
	runtime.KeepAlive(keys)
}

// No bytes make an evaluation panic, and nothing but the honest assertion passes.
func FuzzEvaluate(f *testing.F) {
	s := groth16.NewSimulator(1, 20)
	key, err := Prepare(s.Key)
	if err != nil {
		f.Fatal(err)
	}
	item := s.Item()
	honest, err := key.Assert(item.Proof, item.Inputs[0])
	if err != nil {
		f.Fatal(err)
	}
	encoded := honest.Encode()
	f.Add(uint16(0), []byte{})
	f.Add(uint16(480), bytes.Repeat([]byte{1}, 16))
	f.Add(uint16(RawSize-1), []byte{0x80})
	f.Fuzz(func(t *testing.T, at uint16, turn []byte) {
		b := slices.Clone(encoded)
		for i, x := range turn {
			b[(int(at)+i)%RawSize] ^= x
		}
		raw, err := Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if v := key.Evaluate(raw); v.Disproved == bytes.Equal(b, encoded) || v.Leaf >= Leaves {
			t.Errorf("%+v", v)
		}
	})
}

func BenchmarkEvaluate(b *testing.B) {
	f := loadFixture(b)
	for b.Loop() {
		if v := f.key.Evaluate(f.raw); v.Disproved {
			b.Fatal(v)
		}
	}
}
