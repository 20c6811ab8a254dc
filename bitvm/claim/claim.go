package claim

import (
	"context"
	"errors"
	"fmt"

	"github.com/outrider-project/outrider/bitvm/assertion"
	"github.com/outrider-project/outrider/bitvm/groth16"
	"github.com/outrider-project/outrider/bitvm/wots"
)

// A Claim is an assertion to judge, and what it is to be judged by. It must not change
// while it is judged.
type Claim struct {
	// Key is the verifying key of the bridge's circuit, with one public input.
	Key *groth16.VerifyingKey
	// Keys are the public Winternitz keys of the commitments, as the scripts that are
	// spent have them; nil only if Validated is set and no witness is compact.
	Keys *assertion.Keys
	// Validated says that all witnesses are of blocks that one's own node validated, by
	// scripts with these keys. Their digits are then read and not hashed again, but of
	// compact witnesses, whose digits only hashing tells. It must not be set for what a
	// peer, a mempool or an untrusted server told. Bitcoin Core runs no scripts of blocks
	// below -assumevalid: of those it is the chain's word, not the node's.
	Validated bool
	// Load returns the witnesses, when the claim's turn has come: those that wait take
	// no memory. The errors of ctx aside, what it returns is told as it is. [Stacks.Load]
	// is for witnesses that are at hand.
	Load func(ctx context.Context) (*Stacks, error)
}

// Stacks are the witnesses of an assertion's commitments, each as the script of its
// commitment takes it, bottom of the stack first: that of a [wots.Scheme.Script], or of a
// [wots.Scheme.CompactScript], as the number of its items tells. The commitments are in
// the order of [assertion.Raw.Message].
type Stacks [assertion.Commitments][][]byte

// Load returns s.
func (s *Stacks) Load(context.Context) (*Stacks, error) { return s, nil }

// Inputs returns what the witnesses of inputs hand to the leaves of the commitments, one for
// each in their order: see [Arguments]. It is memory of witnesses. The error is
// [ErrWitness], also for another number than [assertion.Commitments].
func Inputs[W ~[][]byte](witnesses []W) (*Stacks, error) {
	if len(witnesses) != assertion.Commitments {
		return nil, fmt.Errorf("%w: there are %d inputs, must be %d", ErrWitness, len(witnesses), assertion.Commitments)
	}
	s := new(Stacks)
	for i, witness := range witnesses {
		var err error
		if s[i], err = Arguments(witness); err != nil {
			return nil, fmt.Errorf("commitment %d: %w", i, err)
		}
	}
	return s, nil
}

// winternitz returns the public Winternitz key of a commitment.
func (c *Claim) winternitz(commitment int) wots.PublicKey {
	if c.Keys == nil {
		return nil
	}
	return c.Keys[commitment]
}

// ErrWitness says that inputs of transactions are not those of an assertion: they spend no
// leaf of a taproot tree, or are too few or too many.
var ErrWitness = errors.New("claim: not the witness of an assertion")

// Arguments returns what the witness of a transaction's input hands to the leaf that it
// spends: without annex, control block and script (BIP341). It is memory of witness. The
// error is [ErrWitness].
func Arguments(witness [][]byte) ([][]byte, error) {
	const annexTag = 0x50
	if n := len(witness); n >= 2 && len(witness[n-1]) > 0 && witness[n-1][0] == annexTag {
		witness = witness[:n-1]
	}
	if len(witness) < 2 {
		return nil, fmt.Errorf("%w: it has %d items", ErrWitness, len(witness))
	}
	const base, step, most = 33, 32, 128
	control := len(witness[len(witness)-1])
	if control < base || control > base+step*most || (control-base)%step != 0 {
		return nil, fmt.Errorf("%w: its control block has %d bytes", ErrWitness, control)
	}
	return witness[:len(witness)-2], nil
}
