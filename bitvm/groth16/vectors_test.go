package groth16

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/consensys/gnark-crypto/ecc/bn254/fr"

	"github.com/outrider-project/outrider/testvectors"
)

// A fixture is the proof of BitVM's own tests.
type fixture struct {
	vk     *VerifyingKey
	key    *Key
	proof  *Proof
	inputs []fr.Element
}

func loadFixture(t testing.TB) *fixture {
	t.Helper()
	const what = "that BitVM's own proof is verified"
	f := new(fixture)
	var err error
	if f.vk, err = DecodeArkworksKey(testvectors.Load(t, "bitvm/groth16_arkworks_vk.bin", what)); err != nil {
		t.Fatal(err)
	}
	if f.proof, err = DecodeArkworksProof(testvectors.Load(t, "bitvm/groth16_arkworks_proof.bin", what)); err != nil {
		t.Fatal(err)
	}
	if f.inputs, err = DecodeArkworksInputs(testvectors.Load(t, "bitvm/groth16_arkworks_public_input.bin", what)); err != nil {
		t.Fatal(err)
	}
	if f.key, err = Prepare(f.vk); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFixture(t *testing.T) {
	f := loadFixture(t)
	if err := f.key.Verify(f.proof, f.inputs); err != nil {
		t.Error(err)
	}
	one := fr.One()
	wrong := slices.Clone(f.inputs)
	wrong[0].Add(&wrong[0], &one)
	if err := f.key.Verify(f.proof, wrong); !errors.Is(err, ErrEquation) {
		t.Errorf("another input: %v", err)
	}
	if err := f.key.Verify(f.proof, nil); !errors.Is(err, ErrInputs) {
		t.Errorf("no input: %v", err)
	}
}

// Each byte of a proof is turned: nothing but the proof itself is valid, in any of its
// encodings.
func TestEachByteCounts(t *testing.T) {
	f := loadFixture(t)
	for _, e := range encodings() {
		raw := e.encode(f.proof)
		if p, err := e.decode(raw); err != nil || !p.Equal(f.proof) {
			t.Fatalf("%s: %v", e.name, err)
		}
		step := 1
		if testing.Short() {
			step = 7
		}
		for i := 0; i < len(raw); i += step {
			for _, bit := range []byte{1, 0x40, 0x80} {
				mutated := slices.Clone(raw)
				mutated[i] ^= bit
				p, err := e.decode(mutated)
				if err == nil {
					err = f.key.Verify(p, f.inputs)
				} else if !errors.Is(err, ErrEncoding) {
					t.Errorf("%s: byte %d: %v, want it to wrap ErrEncoding", e.name, i, err)
				}
				if err == nil {
					t.Errorf("%s with bit %#x of byte %d turned is valid", e.name, bit, i)
				}
			}
		}
		if _, err := e.decode(raw[:len(raw)-1]); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s, a byte short: %v", e.name, err)
		}
		if _, err := e.decode(append(slices.Clone(raw), 0)); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s, a byte longer: %v", e.name, err)
		}
	}
}

func loadStatement(t testing.TB, name string) []byte {
	t.Helper()
	return testvectors.Load(t, name, "that published proofs of RISC Zero and SP1 are verified")
}

var statements = []string{
	"bitvm/groth16/risc0_v2_0.json", "bitvm/groth16/risc0_v2_2.json", "bitvm/groth16/sp1_v4_0_0_rc_3.json",
}

// Published proofs are valid, and what they claim leads to their public inputs and to
// the selectors of their seals.
func TestStatements(t *testing.T) {
	for _, name := range statements {
		s, err := ParseStatement(loadStatement(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Verify(); err != nil || s.Derived == nil || !s.InputsMatch() || !s.Sealed || s.SealProblem != "" {
			t.Errorf("%s: %v, derived %v, match %v, sealed %v, %q", name, err, s.Derived, s.InputsMatch(), s.Sealed, s.SealProblem)
		}
	}
}

// What is changed in a statement is found where it is.
func TestMutatedStatements(t *testing.T) {
	turn := func(s string) string { // the last digit
		last := "0"
		if strings.HasSuffix(s, "0") {
			last = "1"
		}
		return s[:len(s)-1] + last
	}
	type found struct{ valid, inputs, seal bool }
	claim := func(field string) func(map[string]any) {
		return func(m map[string]any) {
			c := m["claim"].(map[string]any)
			c[field] = turn(c[field].(string))
		}
	}
	for _, tt := range []struct {
		what   string
		mutate func(map[string]any)
		want   found
		only   string // the system that has this
	}{
		{"nothing", func(map[string]any) {}, found{true, true, true}, ""},
		{"a public input", func(m map[string]any) {
			in := m["public_inputs"].([]any)
			in[1] = turn(in[1].(string))
		}, found{false, false, true}, ""},
		{"no public inputs", func(m map[string]any) { delete(m, "public_inputs") }, found{true, true, true}, ""},
		{"no claim", func(m map[string]any) { delete(m, "claim") }, found{true, true, true}, ""},
		{"no seal", func(m map[string]any) { delete(m["proof"].(map[string]any), "seal") }, found{true, true, true}, ""},
		{"a seal only", func(m map[string]any) {
			p := m["proof"].(map[string]any)
			delete(p, "a")
			delete(p, "b")
			delete(p, "c")
		}, found{true, true, true}, ""},
		{"the seal's selector", func(m map[string]any) {
			p := m["proof"].(map[string]any)
			p["seal"] = "0xffffffff" + p["seal"].(string)[10:]
		}, found{true, true, false}, ""},
		{"the seal's last byte", func(m map[string]any) {
			p := m["proof"].(map[string]any)
			p["seal"] = turn(p["seal"].(string))
		}, found{true, true, false}, ""},
		{"a and c", func(m map[string]any) {
			p := m["proof"].(map[string]any)
			p["a"], p["c"] = p["c"], p["a"]
		}, found{false, true, false}, ""},
		{"delta", func(m map[string]any) {
			k := m["verifying_key"].(map[string]any)
			k["delta_g2"] = k["gamma_g2"]
		}, found{false, true, false}, ""},
		{"a point off the curve", func(m map[string]any) {
			a := m["proof"].(map[string]any)["a"].([]any)
			a[0] = turn(a[0].(string))
		}, found{false, true, false}, ""},
		{"a point of the seal off the curve", func(m map[string]any) {
			p := m["proof"].(map[string]any)
			p["seal"] = turn(p["seal"].(string))
		}, found{true, true, false}, ""},
		{"a point of the key off the curve", func(m map[string]any) {
			ic := m["verifying_key"].(map[string]any)["ic"].([]any)[0].([]any)
			ic[1] = turn(ic[1].(string))
		}, found{false, true, false}, ""},
		{"an input above r", func(m map[string]any) {
			m["public_inputs"].([]any)[0] = "0x" + strings.Repeat("f", 64)
		}, found{false, false, true}, ""},
		{"the journal", claim("journal"), found{true, false, true}, "risc0"},
		{"the image", claim("image_id"), found{true, false, true}, "risc0"},
		{"the control root", claim("control_root"), found{true, false, false}, "risc0"},
		{"the control id", claim("bn254_control_id"), found{true, false, false}, "risc0"},
		{"the exit code", func(m map[string]any) {
			m["claim"].(map[string]any)["exit_code"].(map[string]any)["user"] = 1
		}, found{true, false, true}, "risc0"},
		{"the program", claim("program_vkey_hash"), found{true, false, true}, "sp1"},
		{"the public values", claim("public_values"), found{true, false, true}, "sp1"},
		{"the other hash", func(m map[string]any) {
			m["claim"].(map[string]any)["public_values_hash"] = "blake3"
		}, found{true, false, true}, "sp1"},
	} {
		for _, name := range statements {
			if !strings.Contains(name, tt.only) {
				continue
			}
			var m map[string]any
			if err := json.Unmarshal(loadStatement(t, name), &m); err != nil {
				t.Fatal(err)
			}
			tt.mutate(m)
			raw, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			s, err := ParseStatement(raw)
			if err != nil {
				t.Errorf("%s, %s: %v", name, tt.what, err)
				continue
			}
			if got := (found{s.Verify() == nil, s.InputsMatch(), s.SealProblem == ""}); got != tt.want {
				t.Errorf("%s, %s: %+v (%s), want %+v", name, tt.what, got, s.SealProblem, tt.want)
			}
		}
	}
}

// A claim's digest, the parameters' and the key's are those that were published.
func TestRISC0Digests(t *testing.T) {
	for _, name := range statements[:2] {
		raw := loadStatement(t, name)
		s, err := ParseStatement(raw)
		if err != nil {
			t.Fatal(err)
		}
		var m struct {
			Claim struct {
				Root      jsonWord `json:"control_root"`
				ID        jsonWord `json:"bn254_control_id"`
				Digest    jsonWord `json:"verifier_parameters_digest"`
				KeyDigest jsonWord `json:"verifying_key_digest"`
				Post      jsonWord `json:"post_state_digest"`
				Output    jsonWord `json:"output_digest"`
				Journal   jsonHex
			}
		}
		if err := json.Unmarshal(raw, &m); err != nil {
			t.Fatal(err)
		}
		params := RISC0Parameters{m.Claim.Root.array(), m.Claim.ID.array()}
		post := RISC0State{}
		if params.Digest(s.Key) != m.Claim.Digest.array() || s.Key.RISC0Digest() != m.Claim.KeyDigest.array() ||
			post.Digest() != m.Claim.Post.array() || RISC0Output(m.Claim.Journal, [32]byte{}) != m.Claim.Output.array() {
			t.Errorf("%s: a digest differs", name)
		}
	}
}

// The keys of SP1 are those whose hashes its contracts publish.
func TestSP1Keys(t *testing.T) {
	var keys []*VerifyingKey
	for _, k := range SP1Keys() {
		raw, err := hex.DecodeString(k.encoded)
		if err != nil {
			t.Fatal(err)
		}
		if got := sha256.Sum256(raw); k.Version != "v2.0.0" && got != k.VerifierHash {
			t.Errorf("%s: hash %x, want %x", k.Version, got, k.VerifierHash)
		}
		vk, err := k.VerifyingKey()
		if err != nil {
			t.Fatalf("%s: %v", k.Version, err)
		}
		inputs := 2
		if k.HasVKRoot {
			inputs = 5
		}
		if p, err := Prepare(vk); err != nil || p.Inputs() != inputs {
			t.Errorf("%s: %v", k.Version, err)
		}
		for _, other := range keys {
			if other.Equal(vk) {
				t.Errorf("%s has the key of another version", k.Version)
			}
		}
		keys = append(keys, vk)
		if found, ok := FindSP1Key([4]byte(k.VerifierHash[:])); !ok || found.Version != k.Version {
			t.Errorf("%s is not found by its selector", k.Version)
		}
	}
	if !keys[1].Alpha.Equal(&keys[2].Alpha) {
		t.Error("v3 and v4 do not share alpha")
	}
	if _, ok := FindSP1Key([4]byte{}); ok {
		t.Error("a key for selector 0")
	}
	s, err := ParseStatement(loadStatement(t, statements[2]))
	if err != nil {
		t.Fatal(err)
	}
	if !s.Key.Equal(keys[2]) {
		t.Error("the key of v4.0.0-rc.3 is another than the published one")
	}
}

// Seals of v6 with what their contract refuses.
func TestSP1SealOfSix(t *testing.T) {
	key := SP1Keys()[4]
	vk, err := key.VerifyingKey()
	if err != nil {
		t.Fatal(err)
	}
	sim := NewSimulator(5, 6)
	program, digest := [32]byte{31: 7}, SP1SHA256.Digest([]byte("values"))
	seal := &SP1Seal{Selector: [4]byte(key.VerifierHash[:]), VKRoot: key.VKRoot, Nonce: [32]byte{31: 9}, Extended: true}
	inputs, err := seal.Inputs(program, digest)
	if err != nil || len(inputs) != 5 {
		t.Fatal(len(inputs), err)
	}
	seal.Proof = sim.Prove(inputs)
	raw := slices.Concat(seal.Selector[:], seal.ExitCode[:], seal.VKRoot[:], seal.Nonce[:], seal.Proof.EncodeEIP197())
	got, err := DecodeSP1Seal(raw)
	if err != nil {
		t.Fatal(err)
	}
	if got.Selector != seal.Selector || got.VKRoot != seal.VKRoot || got.Nonce != seal.Nonce || !got.Extended || !got.Proof.Equal(seal.Proof) {
		t.Errorf("%+v", got)
	}
	if why := key.problem(vk, got); why != "" {
		t.Error(why)
	}
	failed, rooted, old := *got, *got, *got
	failed.ExitCode[31] = 1
	rooted.VKRoot[31] ^= 1
	old.Extended = false
	for _, bad := range []*SP1Seal{&failed, &rooted, &old} {
		if key.problem(vk, bad) == "" {
			t.Errorf("accepted: %+v", bad)
		}
	}
	if key.problem(sim.Key, got) == "" {
		t.Error("another key is accepted")
	}
	if _, err := seal.Inputs([32]byte{0: 0xff}, digest); !errors.Is(err, ErrEncoding) {
		t.Errorf("a program's hash above r: %v", err)
	}
	if a, b := SP1SHA256.Digest([]byte("x")), SP1BLAKE3.Digest([]byte("x")); a == b || a[0] > 0x1f || b[0] > 0x1f {
		t.Errorf("digests %x and %x", a, b)
	}
}

// BLAKE3's own vector for the empty message.
func TestSP1BLAKE3(t *testing.T) {
	want, err := hex.DecodeString("af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262")
	if err != nil {
		t.Fatal(err)
	}
	want[0] &= 0x1f
	if got := SP1BLAKE3.Digest(nil); !bytes.Equal(got[:], want) {
		t.Errorf("%x, want %x", got, want)
	}
}

// go-ethereum's cases of the pairing check, by the loop that verifies proofs.
func TestEIP197Pairings(t *testing.T) {
	var cases []struct{ Name, Input, Expected string }
	if err := json.Unmarshal(loadStatement(t, "bitvm/groth16/bn256Pairing.json"), &cases); err != nil || len(cases) != 14 {
		t.Fatal(len(cases), err)
	}
	for _, c := range cases {
		raw, err := hex.DecodeString(c.Input)
		if err != nil {
			t.Fatal(err)
		}
		var pairs []pair
		for b := range slices.Chunk(raw, sizeG1+sizeG2) {
			p, err := g1FromWords(b)
			if err != nil {
				t.Fatalf("%s: %v", c.Name, err)
			}
			q, err := g2FromWords(b[sizeG1:])
			if err != nil {
				t.Fatalf("%s: %v", c.Name, err)
			}
			pairs = append(pairs, pair{p, q})
		}
		f := miller(pairs, nil)
		g := miller(nil, nil)
		if got := isOne(&f, &g); got != strings.HasSuffix(c.Expected, "1") {
			t.Errorf("%s: %v, want %s", c.Name, got, c.Expected)
		}
	}
}
