package bitvm

import (
	"context"
	"fmt"

	"github.com/outrider-project/outrider/bitvm/assertion"
	"github.com/outrider-project/outrider/bitvm/watch"
	"github.com/outrider-project/outrider/bitvm/wots"
)

// assertionClaim is the name that BitVM2's graph has for its claim.
const assertionClaim = "assertion"

// A judge judges assertions of BitVM2 that are in blocks: consensus has verified their
// signatures, so that what was committed to is read from the digits beside them. The
// inputs of the commits carry the commitments in order.
type judge struct{ key *assertion.Key }

// Judge implements [watch.Judge].
func (j judge) Judge(_ context.Context, c *watch.Committed) watch.Judgement {
	undecided := func(format string, args ...any) watch.Judgement {
		return watch.Judgement{Finding: watch.Undecided, Reason: fmt.Sprintf(format, args...)}
	}
	if c.Claim != assertionClaim {
		return undecided("claims %q cannot be verified here", c.Claim)
	}
	raw, n := new(assertion.Raw), 0
	for i := range c.Transactions {
		for _, witness := range c.Transactions[i].Witnesses() {
			if n >= assertion.Commitments {
				return undecided("there are more than %d commitments", assertion.Commitments)
			}
			message, err := committed(assertion.Scheme(n), witness)
			if err != nil {
				return undecided("commitment %d: %v", n, err)
			}
			copy(raw.Message(n), message)
			n++
		}
	}
	if n != assertion.Commitments {
		return undecided("there are %d commitments, and must be %d", n, assertion.Commitments)
	}
	v := j.key.Evaluate(raw)
	if !v.Disproved {
		return watch.Judgement{Finding: watch.Valid}
	}
	return watch.Judgement{Finding: watch.Disprovable, Leaf: &v.Leaf, Reason: string(v.Reason)}
}

// committed returns what the witness of a commitment says that was committed to. The
// script and its control block are the last items.
func committed(s wots.Scheme, witness [][]byte) ([]byte, error) {
	if len(witness) < 2 {
		return nil, fmt.Errorf("a witness of %d items", len(witness))
	}
	sig, err := s.DecodeWitness(witness[:len(witness)-2])
	if err != nil {
		return nil, err
	}
	// The digits are in reverse: that of the high half of the last byte comes first.
	message := make([]byte, s.MessageSize())
	for i := range message {
		at := 2 * (len(message) - 1 - i)
		message[i] = sig.Digits[at]<<4 | sig.Digits[at+1]
	}
	return message, nil
}
