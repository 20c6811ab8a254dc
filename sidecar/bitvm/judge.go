package bitvm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/bitvm/assertion"
	"github.com/outrider-project/outrider/bitvm/claim"
	"github.com/outrider-project/outrider/bitvm/groth16"
	"github.com/outrider-project/outrider/bitvm/watch"
)

// assertionClaim is the name that BitVM2's graph has for its claim.
const assertionClaim = "assertion"

// A judge judges assertions of BitVM2 that are in blocks: consensus has verified their
// signatures, so that what was committed to is read from the digits beside them. The
// inputs of the commits carry the commitments in order.
type judge struct {
	key    *groth16.VerifyingKey
	verify func(context.Context, *claim.Claim) (claim.Verdict, error)
}

// Name implements [watch.Judge]: another key finds something else.
func (j judge) Name() string {
	digest := sha256.Sum256(j.key.EncodeEIP197())
	return hex.EncodeToString(digest[:])
}

// Judge implements [watch.Judge].
func (j judge) Judge(ctx context.Context, c *watch.Committed) watch.Judgement {
	undecided := func(format string, args ...any) watch.Judgement {
		return watch.Judgement{Finding: watch.Undecided, Reason: fmt.Sprintf(format, args...)}
	}
	if c.Claim != assertionClaim {
		return undecided("claims %q cannot be verified here", c.Claim)
	}
	var witnesses []wire.TxWitness
	for i := range c.Transactions {
		witnesses = append(witnesses, c.Transactions[i].Witnesses()...)
	}
	stacks, err := claim.Inputs(witnesses)
	if err != nil {
		return undecided("%v", err)
	}
	v, err := j.verify(ctx, &claim.Claim{Key: j.key, Validated: true, Load: stacks.Load})
	if err != nil {
		return undecided("%v", err)
	}
	switch v.Outcome {
	case claim.Valid:
		item, err := v.Raw.Proof()
		if err != nil {
			return undecided("%v", err)
		}
		input := item.Inputs[0].Bytes()
		return watch.Judgement{Finding: watch.Valid, Input: hex.EncodeToString(input[:])}
	case claim.Disprovable:
		found := watch.Judgement{Finding: watch.Disprovable, Leaf: &v.Leaf.Leaf, Kind: string(v.Leaf.Kind), Reason: string(v.Leaf.Reason)}
		if v.Leaf.Reason == assertion.HashMismatch {
			found.Claimed, found.Expected = hex.EncodeToString(v.Leaf.Claimed[:]), hex.EncodeToString(v.Leaf.Expected[:])
		}
		return found
	}
	return undecided("%v, and %d commitments more that cannot be read", v.Refusals[0], len(v.Refusals)-1)
}
