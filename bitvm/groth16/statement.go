package groth16

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/consensys/gnark-crypto/ecc/bn254/fr"
)

// maxStatement bounds a file that [ParseStatement] takes, in bytes.
const maxStatement = 16 << 20

// A Statement is a proof with its key and its public inputs, and what these were derived
// from, as a JSON object: "system", which is risc0, sp1 or something else,
// "verifying_key" with alpha_g1, beta_g2, gamma_g2, delta_g2 and ic, "proof" with a, b
// and c, "seal", or both, "public_inputs", and for risc0 and sp1 "claim". Numbers are
// 0x-prefixed words of 32 bytes, big-endian; an element of the quadratic extension is a
// list of its real part and its imaginary part. Fields that are not known are ignored.
type Statement struct {
	System string
	// Key, Proof and Inputs are nil where they are not encoded as they must be:
	// then [Statement.Verify] says so.
	Key    *VerifyingKey
	Proof  *Proof
	Inputs []fr.Element
	// Derived are the inputs that the claim leads to; nil if there is no claim, or none
	// that this package knows.
	Derived []fr.Element
	// SealProblem says how the seal does not belong to the rest; "" if it does, or if
	// there is none, which Sealed tells.
	SealProblem string
	Sealed      bool

	malformed error // of key, proof or inputs; wraps ErrEncoding
}

type (
	jsonWord []byte // 32 bytes
	jsonHex  []byte
	jsonG1   [2]jsonWord
	jsonG2   [2][2]jsonWord
)

// UnmarshalText takes 0x and 64 digits.
func (w *jsonWord) UnmarshalText(text []byte) error {
	var b jsonHex
	if err := b.UnmarshalText(text); err != nil {
		return err
	}
	if len(b) != sizeWord {
		return encodingError("a number of %d bytes", len(b))
	}
	*w = jsonWord(b)
	return nil
}

// UnmarshalText takes 0x and digits.
func (h *jsonHex) UnmarshalText(text []byte) error {
	digits, ok := strings.CutPrefix(string(text), "0x")
	if !ok {
		return encodingError("a number without 0x")
	}
	b, err := hex.DecodeString(digits)
	*h = b
	return err
}

func (p *jsonG1) words() []byte { return bytes.Join([][]byte{p[0], p[1]}, nil) }

// words returns the words in the order of EIP-197.
func (p *jsonG2) words() []byte {
	return bytes.Join([][]byte{p[0][1], p[0][0], p[1][1], p[1][0]}, nil)
}

type jsonStatement struct {
	System string `json:"system"`
	Key    *struct {
		Alpha jsonG1   `json:"alpha_g1"`
		Beta  jsonG2   `json:"beta_g2"`
		Gamma jsonG2   `json:"gamma_g2"`
		Delta jsonG2   `json:"delta_g2"`
		IC    []jsonG1 `json:"ic"`
	} `json:"verifying_key"`
	Proof struct {
		A    *jsonG1 `json:"a"`
		B    *jsonG2 `json:"b"`
		C    *jsonG1 `json:"c"`
		Seal jsonHex `json:"seal"`
	} `json:"proof"`
	Inputs []jsonWord      `json:"public_inputs"`
	Claim  json.RawMessage `json:"claim"`
}

// ParseStatement reads a statement. An error means that the file has not the form of one,
// or that its claim leads to no public inputs. What of key, proof, seal and public inputs
// is malformed in itself is found, as what is wrong with them, by the methods.
func ParseStatement(data []byte) (*Statement, error) {
	if len(data) > maxStatement {
		return nil, fmt.Errorf("groth16: more than %d bytes", maxStatement)
	}
	var j jsonStatement
	if err := json.Unmarshal(data, &j); err != nil {
		return nil, fmt.Errorf("groth16: %w", err)
	}
	if j.Key == nil {
		return nil, errors.New("groth16: there is no verifying_key")
	}
	s := &Statement{System: j.System, Sealed: len(j.Proof.Seal) > 0}
	words := bytes.Join([][]byte{j.Key.Alpha.words(), j.Key.Beta.words(), j.Key.Gamma.words(), j.Key.Delta.words()}, nil)
	for i := range j.Key.IC {
		words = append(words, j.Key.IC[i].words()...)
	}
	var err error
	s.Key, err = DecodeEIP197Key(words)
	s.complain("verifying_key", err)
	a, b, c := j.Proof.A, j.Proof.B, j.Proof.C
	switch given := a != nil && b != nil && c != nil; {
	case given:
		s.Proof, err = DecodeEIP197Proof(bytes.Join([][]byte{a.words(), b.words(), c.words()}, nil))
		s.complain("proof", err)
	case a != nil || b != nil || c != nil || !s.Sealed:
		return nil, errors.New("groth16: proof has neither a, b and c nor a seal")
	}
	seal := s.openSeal(j.Proof.Seal, a == nil)
	if j.Inputs != nil {
		s.Inputs, err = DecodeInputs(bytes.Join(bytesOf(j.Inputs), nil))
		s.complain("public_inputs", err)
	}
	if len(j.Claim) > 0 && !bytes.Equal(j.Claim, []byte("null")) {
		if err := s.derive(j.Claim, seal); err != nil {
			return nil, fmt.Errorf("claim: %w", err)
		}
	}
	if j.Inputs == nil {
		s.Inputs = s.Derived
	}
	return s, nil
}

// complain keeps what is malformed.
func (s *Statement) complain(what string, err error) {
	if err != nil {
		s.malformed = errors.Join(s.malformed, fmt.Errorf("%s: %w", what, err))
	}
}

// openSeal decodes the seal, if there is one, and compares it with the proof, or takes
// the proof from it if it stands alone. It returns nil if there is none that can be read.
func (s *Statement) openSeal(raw []byte, alone bool) (seal *SP1Seal) {
	if !s.Sealed {
		return nil
	}
	var err error
	if s.System == "sp1" {
		seal, err = DecodeSP1Seal(raw)
	} else {
		seal = new(SP1Seal)
		seal.Selector, seal.Proof, err = DecodeRISC0Seal(raw)
	}
	switch {
	case err != nil:
		s.SealProblem = err.Error()
		if alone {
			s.complain("proof", err)
		}
		return nil
	case alone:
		s.Proof = seal.Proof
	case s.Proof == nil || !s.Proof.Equal(seal.Proof):
		s.SealProblem = "the seal is another proof than a, b and c"
	}
	return seal
}

// derive derives public inputs and the seal's selector from a claim.
func (s *Statement) derive(raw json.RawMessage, seal *SP1Seal) error {
	var want [4]byte
	var err error
	switch s.System {
	case "risc0":
		want, err = s.deriveRISC0(raw)
	case "sp1":
		want, err = s.deriveSP1(raw, seal)
	default:
		return nil
	}
	switch {
	case seal == nil || s.SealProblem != "":
	case s.Key == nil:
		s.SealProblem = "there is no key that a selector could belong to"
	case seal.Selector != want:
		s.SealProblem = fmt.Sprintf("the seal's selector is %x, and should be %x", seal.Selector, want)
	}
	return err
}

func (s *Statement) deriveRISC0(raw json.RawMessage) (selector [4]byte, err error) {
	var j struct {
		Assumptions jsonWord `json:"assumptions_digest"`
		ControlID   jsonWord `json:"bn254_control_id"`
		ControlRoot jsonWord `json:"control_root"`
		Exit        struct {
			System, User uint32
		} `json:"exit_code"`
		Image   jsonWord `json:"image_id"`
		Input   jsonWord `json:"input_digest"`
		Journal jsonHex  `json:"journal"`
		Post    struct {
			Root jsonWord `json:"merkle_root"`
			PC   uint32   `json:"pc"`
		} `json:"post_state"`
	}
	if err := json.Unmarshal(raw, &j); err != nil {
		return selector, err
	}
	for _, w := range []jsonWord{j.ControlID, j.ControlRoot, j.Image} {
		if w == nil {
			return selector, errors.New("bn254_control_id, control_root or image_id is missing")
		}
	}
	post := RISC0State{j.Post.Root.array(), j.Post.PC}
	claim := RISC0Claim{
		Input: j.Input.array(), Pre: j.Image.array(), Post: post.Digest(),
		Output:     RISC0Output(j.Journal, j.Assumptions.array()),
		ExitSystem: j.Exit.System, ExitUser: j.Exit.User,
	}
	params := RISC0Parameters{j.ControlRoot.array(), j.ControlID.array()}
	if s.Key != nil {
		digest := params.Digest(s.Key)
		selector = [4]byte(digest[:])
	}
	s.Derived, err = params.Inputs(claim.Digest())
	return selector, err
}

func (s *Statement) deriveSP1(raw json.RawMessage, seal *SP1Seal) (selector [4]byte, err error) {
	var j struct {
		Program      jsonWord `json:"program_vkey_hash"`
		Values       jsonHex  `json:"public_values"`
		Hash         string   `json:"public_values_hash"`
		VerifierHash jsonWord `json:"verifier_hash"`
	}
	if err := json.Unmarshal(raw, &j); err != nil {
		return selector, err
	}
	if j.Program == nil || j.VerifierHash == nil {
		return selector, errors.New("program_vkey_hash or verifier_hash is missing")
	}
	hash := SP1SHA256
	switch j.Hash {
	case "", "sha256":
	case "blake3":
		hash = SP1BLAKE3
	default:
		return selector, fmt.Errorf("public_values_hash is %q, must be sha256 or blake3", j.Hash)
	}
	if seal == nil {
		seal = new(SP1Seal)
	}
	selector = [4]byte(j.VerifierHash)
	if known, ok := FindSP1Key(selector); ok && s.Key != nil && s.Sealed && s.SealProblem == "" {
		s.SealProblem = known.problem(s.Key, seal)
	}
	s.Derived, err = seal.Inputs(j.Program.array(), hash.Digest(j.Values))
	return selector, err
}

// problem says what the version's contract would not accept.
func (k *SP1Key) problem(vk *VerifyingKey, seal *SP1Seal) string {
	own, err := k.VerifyingKey()
	switch {
	case err != nil:
		return err.Error()
	case !own.Equal(vk):
		return "the key is not that of SP1 " + k.Version
	case seal.Extended != k.HasVKRoot:
		return "the seal is of another length than those of SP1 " + k.Version
	case seal.Extended && seal.VKRoot != k.VKRoot:
		return "the seal's root is not that of SP1 " + k.Version
	case seal.ExitCode != [32]byte{}:
		return "the program failed: the seal's exit code is not 0"
	}
	return ""
}

// array returns the word, 0 if there is none.
func (w jsonWord) array() (a [32]byte) {
	copy(a[:], w)
	return a
}

func bytesOf(words []jsonWord) [][]byte {
	b := make([][]byte, len(words))
	for i, w := range words {
		b[i] = w
	}
	return b
}

// InputsMatch reports whether the public inputs are those that the claim leads to. It is
// true if no claim says otherwise.
func (s *Statement) InputsMatch() bool {
	if s.Derived == nil {
		return true
	}
	if len(s.Inputs) != len(s.Derived) {
		return false
	}
	for i := range s.Inputs {
		if !s.Inputs[i].Equal(&s.Derived[i]) {
			return false
		}
	}
	return true
}

// Verify returns what [Key.Verify] does of the proof and the public inputs, or why the
// key is none, or an error that wraps [ErrEncoding].
func (s *Statement) Verify() error {
	if s.malformed != nil {
		return s.malformed
	}
	k, err := Prepare(s.Key)
	if err != nil {
		return err
	}
	return k.Verify(s.Proof, s.Inputs)
}
