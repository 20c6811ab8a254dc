package bitvm

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/outrider-project/outrider/bitvm/wots"
)

// A WotsReport says what is known of Winternitz signatures.
type WotsReport struct {
	Vectors int `json:"vectors"`
	Passed  int `json:"passed"`
	// Failures are those that did not pass, in the file's order.
	Failures []WotsFailure `json:"failures"`
}

// A WotsFailure is a vector, counted from 0, of which something is wrong.
type WotsFailure struct {
	Index    int      `json:"index"`
	Problems []string `json:"problems"`
}

// Good reports whether nothing is wrong.
func (r *WotsReport) Good() bool { return len(r.Failures) == 0 }

type hexBytes []byte

// UnmarshalText takes hexadecimal digits.
func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// A wotsVector is a message and its public key, and of the rest what there is.
type wotsVector struct {
	Message          hexBytes   `json:"message"`
	SecretKey        hexBytes   `json:"secretKey"`
	PublicKey        []hexBytes `json:"publicKey"`
	Witness          []hexBytes `json:"witness"`
	Signature        []hexBytes `json:"signature"` // values with their digits behind them
	CompactWitness   []hexBytes `json:"compact_witness"`
	CompactSignature []hexBytes `json:"compact_signature"`
}

// CheckWots verifies the signatures in the JSON file at path, which is like BitVM's
// wots-test-vectors.json: each form that a vector has, by the rules of consensus, and if
// it has a secret key, also what that makes. What is wrong is in the report; an error
// says that the file could not be read.
func CheckWots(path string) (*WotsReport, error) {
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	var vectors []wotsVector
	if err := json.Unmarshal(data, &vectors); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(vectors) == 0 {
		return nil, fmt.Errorf("%s holds no vectors", path)
	}
	rep := &WotsReport{Vectors: len(vectors), Failures: []WotsFailure{}}
	for i := range vectors {
		if problems := vectors[i].problems(); len(problems) > 0 {
			rep.Failures = append(rep.Failures, WotsFailure{i, problems})
		} else {
			rep.Passed++
		}
	}
	return rep, nil
}

// problems says what is wrong with a vector.
func (v *wotsVector) problems() (problems []string) {
	complain := func(what string, err error) {
		if err != nil {
			problems = append(problems, what+": "+err.Error())
		}
	}
	scheme, err := wots.For(len(v.Message))
	if err != nil {
		return []string{err.Error()}
	}
	key, err := hashes(v.PublicKey)
	if err != nil {
		return []string{"publicKey: " + err.Error()}
	}
	verify := func(what string, sig *wots.Signature, err error) {
		if err == nil {
			var message []byte
			if message, err = scheme.Verify(key, sig); err == nil && !bytes.Equal(message, v.Message) {
				err = fmt.Errorf("it is of the message %x", message)
			}
		}
		complain(what, err)
	}
	if v.SecretKey != nil {
		if !slices.Equal(scheme.PublicKey(v.SecretKey), wots.PublicKey(key)) {
			complain("publicKey", errors.New("it is not that of the secret key"))
		}
		sig := scheme.Sign(v.SecretKey, v.Message)
		if v.Witness != nil && !slices.EqualFunc(sig.Witness(), v.Witness, func(a []byte, b hexBytes) bool { return bytes.Equal(a, b) }) {
			complain("witness", errors.New("it is not what the secret key signs"))
		}
	}
	if v.Witness != nil {
		sig, err := scheme.DecodeWitness(items(v.Witness))
		verify("witness", sig, err)
	}
	if v.Signature != nil {
		sig, err := signature(v.Signature)
		verify("signature", sig, err)
	}
	for _, compact := range []struct {
		what  string
		items []hexBytes
	}{{"compact_witness", v.CompactWitness}, {"compact_signature", v.CompactSignature}} {
		if compact.items != nil {
			sig, err := scheme.DecodeCompactWitness(key, items(compact.items))
			verify(compact.what, sig, err)
		}
	}
	if v.Witness == nil && v.Signature == nil && v.CompactWitness == nil && v.CompactSignature == nil {
		complain("vector", errors.New("there is no signature"))
	}
	return problems
}

func items(list []hexBytes) [][]byte {
	all := make([][]byte, len(list))
	for i, b := range list {
		all[i] = b
	}
	return all
}

// hashes returns the list's parts, if each is as long as a hash.
func hashes(list []hexBytes) ([][wots.Hash]byte, error) {
	all := make([][wots.Hash]byte, len(list))
	for i, b := range list {
		if len(b) != wots.Hash {
			return nil, fmt.Errorf("part %d has %d bytes", i, len(b))
		}
		all[i] = [wots.Hash]byte(b)
	}
	return all, nil
}

// signature reads values that have their digits behind them.
func signature(list []hexBytes) (*wots.Signature, error) {
	sig := new(wots.Signature)
	for i, b := range list {
		if len(b) != wots.Hash+1 {
			return nil, fmt.Errorf("part %d has %d bytes", i, len(b))
		}
		sig.Values = append(sig.Values, [wots.Hash]byte(b))
		sig.Digits = append(sig.Digits, b[wots.Hash])
	}
	return sig, nil
}

// WriteTable writes the report for people.
func (r *WotsReport) WriteTable(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%d of %d vectors passed\n", r.Passed, r.Vectors)
	for _, f := range r.Failures {
		for _, p := range f.Problems {
			_, wrong := fmt.Fprintf(w, "vector %d: %s\n", f.Index, p)
			err = errors.Join(err, wrong)
		}
	}
	return err
}
