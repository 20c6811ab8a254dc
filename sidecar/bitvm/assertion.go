package bitvm

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/outrider-project/outrider/bitvm/assertion"
	"github.com/outrider-project/outrider/bitvm/groth16"
)

// An AssertionReport says whether an assertion of BitVM2 can be disproved.
type AssertionReport struct {
	// Valid says that no leaf disproves the assertion.
	Valid bool `json:"valid"`
	// Segments is how many of the 363 hashes are right, from the first on.
	Segments int `json:"segments"`
	// Leaf is the first leaf that disproves it, from 0 to 363; nil if none does.
	Leaf *int `json:"leaf"`
	// Kind and Reason are the leaf's, and Claimed and Expected the hash that is
	// committed to and the right one, in hexadecimal, if they differ.
	Kind     assertion.Kind   `json:"kind,omitempty"`
	Reason   assertion.Reason `json:"reason,omitempty"`
	Claimed  string           `json:"claimed,omitempty"`
	Expected string           `json:"expected,omitempty"`
}

// Good reports whether nothing disproves the assertion.
func (r *AssertionReport) Good() bool { return r.Valid }

// EvaluateAssertion looks for a leaf that disproves the assertion in the file at path,
// which holds what [assertion.Decode] takes, by the key in the file at keyPath, which
// arkworks or gnark wrote, or as contracts have it. That there is one is in the report; an
// error says that a file is of no use.
func EvaluateAssertion(path, keyPath string) (*AssertionReport, error) {
	raw, err := readRaw(path)
	if err != nil {
		return nil, err
	}
	key, err := readKey(keyPath)
	if err != nil {
		return nil, err
	}
	return evaluate(key, raw), nil
}

// An AssertionsReport is what is known of the assertions of several files.
type AssertionsReport struct {
	// Assertions are in the order of the files.
	Assertions []FileAssertion `json:"assertions"`
}

// A FileAssertion is the assertion of a file.
type FileAssertion struct {
	File string `json:"file"`
	*AssertionReport
}

// Good reports whether nothing disproves any of them.
func (r *AssertionsReport) Good() bool {
	return !slices.ContainsFunc(r.Assertions, func(f FileAssertion) bool { return !f.Good() })
}

// WriteTable writes the report for people.
func (r *AssertionsReport) WriteTable(w io.Writer) error {
	var errs []error
	for _, f := range r.Assertions {
		_, err := fmt.Fprintf(w, "%s: ", f.File)
		errs = append(errs, err, f.AssertionReport.WriteTable(w))
	}
	return errors.Join(errs...)
}

// EvaluateAssertions is [EvaluateAssertion] for several files by the same key, on all cores.
// The error joins those of all files that are of no use.
func EvaluateAssertions(ctx context.Context, paths []string, keyPath string) (*AssertionsReport, error) {
	key, err := readKey(keyPath)
	if err != nil {
		return nil, err
	}
	rep := &AssertionsReport{Assertions: make([]FileAssertion, len(paths))}
	errs := make([]error, len(paths))
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(paths)) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(paths); i = int(next.Add(1)) - 1 {
				if errs[i] = ctx.Err(); errs[i] != nil {
					return
				}
				raw, err := readRaw(paths[i])
				if errs[i] = err; err == nil {
					rep.Assertions[i] = FileAssertion{paths[i], evaluate(key, raw)}
				}
			}
		})
	}
	workers.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return rep, nil
}

// readRaw reads an assertion from the file at path.
func readRaw(path string) (*assertion.Raw, error) {
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	raw, err := assertion.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return raw, nil
}

// evaluate reports what is known of an assertion.
func evaluate(key *assertion.Key, raw *assertion.Raw) *AssertionReport {
	v := key.Evaluate(raw)
	rep := &AssertionReport{Valid: !v.Disproved, Segments: v.Segments}
	if v.Disproved {
		rep.Leaf, rep.Kind, rep.Reason = &v.Leaf, v.Kind, v.Reason
	}
	if v.Reason == assertion.HashMismatch {
		rep.Claimed, rep.Expected = hex.EncodeToString(v.Claimed[:]), hex.EncodeToString(v.Expected[:])
	}
	return rep
}

// readKey reads the verifying key of assertions from the file at path.
func readKey(path string) (*assertion.Key, error) {
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	vk, err := decodeKey(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	key, err := assertion.Prepare(vk)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

// decodeKey decodes a key in any form. No key has the length of one in another form and
// the number of inputs that is there.
func decodeKey(data []byte) (*groth16.VerifyingKey, error) {
	var errs []error
	for _, decode := range []func([]byte) (*groth16.VerifyingKey, error){
		groth16.DecodeArkworksKey, groth16.DecodeGnarkKey, groth16.DecodeEIP197Key,
	} {
		vk, err := decode(data)
		if err == nil {
			return vk, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// WriteTable writes the report for people.
func (r *AssertionReport) WriteTable(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%d of %d segments are right\n", r.Segments, assertion.Hashes)
	if r.Valid {
		_, wrong := fmt.Fprintln(w, "no leaf disproves the assertion")
		return errors.Join(err, wrong)
	}
	_, wrong := fmt.Fprintf(w, "leaf %d (%s) disproves the assertion: %s\n", *r.Leaf, r.Kind, r.Reason)
	if r.Claimed != "" {
		_, mismatch := fmt.Fprintf(w, "claimed %s, expected %s\n", r.Claimed, r.Expected)
		wrong = errors.Join(wrong, mismatch)
	}
	return errors.Join(err, wrong)
}
