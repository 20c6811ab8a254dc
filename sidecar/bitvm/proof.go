package bitvm

import (
	"errors"
	"fmt"
	"io"

	"github.com/outrider-project/outrider/bitvm/groth16"
)

// A ProofReport says what is known of a proof.
type ProofReport struct {
	System string `json:"system,omitempty"`
	// Valid says that the proof is valid for the public inputs and the key of the
	// file, and of nothing else: whether they are those that one asked for is what
	// the two below say, as far as the file tells.
	Valid bool `json:"valid"`
	// InputsMatch says that the public inputs are those that the claim leads to.
	// It is true where there is no claim.
	InputsMatch bool `json:"inputs_match"`
	// SealMatch says that the seal holds the same proof, and begins with the
	// selector that belongs to key and claim. It is true where there is no seal.
	SealMatch bool `json:"seal_match"`
	// Problems says what is wrong, in words.
	Problems []string `json:"problems"`
}

// Good reports whether nothing is wrong.
func (r *ProofReport) Good() bool { return r.Valid && r.InputsMatch && r.SealMatch }

// VerifyProof verifies the proof in the JSON file at path, which is as
// [groth16.ParseStatement] takes it. What is wrong with the proof is in the report; an
// error says that the file could not be read or is not of that form.
func VerifyProof(path string) (*ProofReport, error) {
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	s, err := groth16.ParseStatement(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	rep := &ProofReport{System: s.System, Problems: []string{}}
	if err := s.Verify(); err != nil {
		rep.Problems = append(rep.Problems, err.Error())
	} else {
		rep.Valid = true
	}
	if rep.InputsMatch = s.InputsMatch(); !rep.InputsMatch {
		rep.Problems = append(rep.Problems, "the public inputs are not those that the claim leads to")
	}
	if rep.SealMatch = s.SealProblem == ""; !rep.SealMatch {
		rep.Problems = append(rep.Problems, s.SealProblem)
	}
	return rep, nil
}

// WriteTable writes the report for people.
func (r *ProofReport) WriteTable(w io.Writer) error {
	_, err := fmt.Fprintf(w, "valid %v, inputs match %v, seal matches %v\n", r.Valid, r.InputsMatch, r.SealMatch)
	for _, p := range r.Problems {
		_, wrong := fmt.Fprintln(w, p)
		err = errors.Join(err, wrong)
	}
	return err
}
