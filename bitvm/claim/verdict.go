package claim

import (
	"errors"
	"fmt"

	"github.com/outrider-project/outrider/bitvm/assertion"
)

// An Outcome is what a claim comes to. Its zero value is none.
type Outcome uint8

// The outcomes.
const (
	// Valid: the proof is valid, and no leaf disproves the assertion.
	Valid Outcome = iota + 1
	// Disprovable: a leaf disproves the assertion.
	Disprovable
	// Refused: nothing was asserted, for some commitment is not signed as it must be.
	Refused

	outcomes = iota + 1
)

// String returns the outcome in lower case.
func (o Outcome) String() string {
	switch o {
	case Valid:
		return "valid"
	case Disprovable:
		return "disprovable"
	case Refused:
		return "refused"
	}
	return fmt.Sprintf("outcome(%d)", uint8(o))
}

// A Verdict is what a claim was found to be.
type Verdict struct {
	Outcome Outcome
	// Raw is what was committed to; nil if the claim is refused.
	Raw *assertion.Raw
	// Proof says why the proof is not valid; nil if it is, or the claim is refused. A
	// claim with a valid proof can be disprovable: who commits to wrong hashes, or to a
	// wrong c, loses the stake all the same.
	Proof error
	// Leaf is the first leaf that disproves the assertion, if one does.
	Leaf assertion.Verdict
	// Refusals are the commitments that are not signed as they must be, lowest first,
	// if the claim is refused.
	Refusals []*assertion.SignatureError
}

// ErrContradiction is wrapped by the error for a claim whose proof and whose parts, of
// which each is computed for itself, do not fit together: a fault of this program or
// machine. There is no verdict then, and somebody must look at once.
var ErrContradiction = errors.New("claim: proof and parts contradict each other")

// contradiction says what is the matter with the verdict on a proof and that on the parts;
// nil if nothing is. proof is why the proof is not valid. That there is a valid proof does
// not mean that there is no leaf, but the other direction holds, and some leaves say
// something of the proof.
func contradiction(key *assertion.Key, raw *assertion.Raw, proof error, leaf *assertion.Verdict) error {
	switch {
	case !leaf.Disproved && proof != nil:
		return fmt.Errorf("%w: no leaf disproves the assertion, but its proof is not valid: %w", ErrContradiction, proof)
	case !leaf.Disproved || proof != nil:
		return nil
	case leaf.Reason == assertion.InvalidInput && (leaf.Kind == assertion.PrecomputeP || leaf.Kind == assertion.MSM || leaf.Kind == assertion.InitT4):
		return fmt.Errorf("%w: leaf %d (%s) has an invalid input, but the proof is valid", ErrContradiction, leaf.Leaf, leaf.Kind)
	case leaf.Reason == assertion.FinalCheck && key.Shows(raw):
		return fmt.Errorf("%w: the chain does not end where c shows that it does, and the proof is valid", ErrContradiction)
	}
	return nil
}
