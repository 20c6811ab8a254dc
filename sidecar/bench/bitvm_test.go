package bench

import (
	"bytes"
	"math/big"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/consensys/gnark-crypto/ecc/bn254"
	"github.com/consensys/gnark-crypto/ecc/bn254/fp"

	"github.com/outrider-project/outrider/bitvm/groth16"
	"github.com/outrider-project/outrider/bitvm/wots"
)

// The report has every row, each with an anchor that was measured too.
func TestBitvmReport(t *testing.T) {
	rep, err := Bitvm(t.Context(), BitvmOptions{Rounds: 1, Claims: 12})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, row := range rep.Rows {
		names = append(names, row.Name)
		if row.Value <= 0 || row.Unit != "ms" || row.Anchor != "" && (row.AnchorValue <= 0 || row.Ratio <= 0) {
			t.Errorf("row %+v", row)
		}
	}
	want := "groth16/1 groth16/batch64 anchor/gnark verifier anchor/geth precompile 8 wots16 wots16/batch363 leaf adaptor108 adaptor108/extract watch/block10k claim/full claim/validated"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("rows %q, want %q", got, want)
	}
	for i, mode := range []string{"full", "validated"} {
		f := rep.Claims[i]
		if f.Mode != mode || f.Claims != 12 || f.Parallel != runtime.GOMAXPROCS(0) || f.Chunk < 1 || f.PerSecond <= 0 || f.CPUSeconds <= 0 {
			t.Errorf("claims %+v", f)
		}
		if _, told := peakMemory(); told && f.PeakRSS < 1<<20 {
			t.Errorf("claims %+v", f)
		}
	}
	var out bytes.Buffer
	if err := rep.WriteTable(&out); err != nil || !strings.Contains(out.String(), "batch64") || !strings.Contains(out.String(), "12 claims, validated") {
		t.Errorf("table (%v):\n%s", err, out.String())
	}
}

// Proofs, valid and spoilt in every way, have the verdict of go-ethereum's precompile and
// of gnark's steps.
func TestGroth16AsThePrecompile(t *testing.T) {
	cases := 1000
	if testing.Short() {
		cases = 100
	}
	b, err := newProofBench(1, cases)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(8, 8))
	var seed bn254.E2
	seed.A0.SetUint64(7)
	outsideJac := bn254.GeneratePointNotInG2(seed)
	var outside bn254.G2Affine
	outside.FromJacobian(&outsideJac)
	_, _, g1, g2 := bn254.Generators()
	valid := 0
	for i, item := range b.items {
		p := *item.Proof
		malformed := func([]byte) {}
		switch kind := r.IntN(14); kind {
		case 0:
			p.A.Neg(&p.A)
		case 1:
			p.B.Neg(&p.B)
		case 2:
			p.C.Add(&p.C, &g1)
		case 3:
			p.A.SetInfinity()
		case 4:
			p.B.SetInfinity()
		case 5:
			p.C.SetInfinity()
		case 6:
			p.B.Add(&p.B, &outside)
		case 7:
			p.B = outside
		case 8:
			item = groth16.Item{Proof: item.Proof, Inputs: b.items[(i+1)%cases].Inputs}
		case 9:
			p.A.Neg(&p.A)
			p.B.Neg(&p.B) // the same pairing: valid
		case 10:
			p.A, p.B = g1, g2
		case 11:
			malformed = func(raw []byte) { raw[64+r.IntN(192)] ^= 1 << r.IntN(8) }
		case 12: // C.x is not canonical
			malformed = func(raw []byte) {
				x := new(big.Int).SetBytes(raw[192:224])
				x.Add(x, fp.Modulus()).FillBytes(raw[192:224])
			}
		}
		raw := p.EncodeEIP197()
		malformed(raw)
		sum := b.sum(item)
		input := pairingInput(b.vk, &p, &sum)
		// What was done to bytes, was done to those of B and C: the precompile is given -A.
		copy(input[64:192], raw[64:192])
		copy(input[576:640], raw[192:])
		want := pairingPrecompile(input)
		decoded, err := groth16.DecodeEIP197Proof(raw)
		got := err == nil && b.key.Verify(decoded, item.Inputs) == nil
		if got != want {
			t.Fatalf("case %d: %v (%v), the precompile says %v: %x", i, got, err, want, raw)
		}
		if got {
			valid++
		}
		if err == nil && onCurves(decoded) && b.gnark.verify(groth16.Item{Proof: decoded, Inputs: item.Inputs}) != got {
			t.Errorf("case %d: %v, gnark's steps say the opposite", i, got)
		}
	}
	if valid < cases/20 || valid > cases/2 {
		t.Errorf("%d of %d are valid", valid, cases)
	}
}

// onCurves reports whether gnark's steps, which do not look at curves, can be asked.
func onCurves(p *groth16.Proof) bool {
	return p.A.IsOnCurve() && p.B.IsOnCurve() && p.C.IsOnCurve()
}

// A verifier that refuses what is valid is measured by nobody.
func TestBitvmStopsAtAWrongVerdict(t *testing.T) {
	b, err := newProofBench(1, 2)
	if err != nil {
		t.Fatal(err)
	}
	b.items[1].Proof.C.Neg(&b.items[1].Proof.C)
	if _, err := b.batch(t.Context()); err == nil {
		t.Error("the batch is taken")
	}
	w, err := newWotsBench(2)
	if err != nil {
		t.Fatal(err)
	}
	w.items[1].Signature.Values[3][0] ^= 1
	if _, err := w.together(t.Context()); err == nil {
		t.Error("a wrong signature is taken")
	}
	for _, run := range []task{w.alone, w.theirs} {
		w.at = 0
		if _, err := run(t.Context()); err == nil {
			t.Error("a wrong signature is taken")
		}
	}
	c, err := newClaimBench(1)
	if err != nil {
		t.Fatal(err)
	}
	stacks, err := c.claims[0].Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stacks[30][0] = make([]byte, wots.Hash)
	for _, run := range []task{c.judge(false), c.scalar} {
		if _, err := run(t.Context()); err == nil {
			t.Error("a claim with a wrong signature is taken")
		}
	}
	if _, err := c.many(t.Context(), false, 2); err == nil {
		t.Error("claims with a wrong signature are taken")
	}
	if _, err := c.judge(true)(t.Context()); err != nil {
		t.Error(err) // nobody looks at the signature
	}
	stacks[30] = stacks[31]
	if _, err := c.judge(true)(t.Context()); err == nil {
		t.Error("a claim with a wrong hash is taken")
	}
	for name, verify := range map[string]func(groth16.Item) bool{
		"ours": b.ours, "gnark's pairings": b.pairings, "gnark's verifier": b.gnark.verify, "go-ethereum's precompile": b.precompile,
	} {
		run := b.each(name, verify)
		if _, err := run(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := run(t.Context()); err == nil || !strings.Contains(err.Error(), "proof 1") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
