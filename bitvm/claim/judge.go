package claim

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/outrider-project/outrider/bitvm/assertion"
	"github.com/outrider-project/outrider/bitvm/groth16"
	"github.com/outrider-project/outrider/bitvm/wots"
)

// A docket is claims by the same verifying key that are judged together: what they have
// in common is done once.
type docket struct {
	key    *assertion.Key
	claims []*Claim
	// What follows is of each claim.
	stacks   []*Stacks
	verdicts []Verdict
	errs     []error
}

// Judge judges one claim on the calling goroutine, by a key that was made ready: c's own is
// not looked at. The error says why there is no verdict: the witnesses could not be
// loaded, or [ErrContradiction]. Who has many claims hands them to a [Verifier].
func Judge(ctx context.Context, key *assertion.Key, c *Claim) (Verdict, error) {
	d := newDocket(key, 1)
	d.claims[0] = c
	d.stacks[0], d.errs[0] = load(ctx, c)
	new(judge).decide(d)
	return d.verdicts[0], d.errs[0]
}

func newDocket(key *assertion.Key, claims int) *docket {
	return &docket{
		key: key, claims: make([]*Claim, claims), stacks: make([]*Stacks, claims),
		verdicts: make([]Verdict, claims), errs: make([]error, claims),
	}
}

// A judge judges dockets, and keeps memory for that from one to the next. The zero value
// is ready; it is not safe for concurrent use.
type judge struct {
	verifier wots.Verifier
	items    []wots.Item
	compact  []wots.CompactItem
	// of and ofCompact are whose commitments the items are.
	of, ofCompact []origin
}

// An origin is a commitment of a claim of a docket.
type origin struct{ claim, commitment int }

// decide sets the verdicts and errors of the claims whose error is nil.
func (j *judge) decide(d *docket) {
	j.read(d)
	items := make([]groth16.Item, 0, len(d.claims))
	of := make([]int, 0, len(d.claims))
	for i := range d.verdicts {
		v := &d.verdicts[i]
		if v.Raw == nil {
			continue
		}
		item, err := v.Raw.Proof()
		if v.Proof = err; err == nil {
			items, of = append(items, item), append(of, i)
		}
	}
	for n, err := range verifyProofs(d.key.Verifier(), items) {
		d.verdicts[of[n]].Proof = err
	}
	for i := range d.verdicts {
		v := &d.verdicts[i]
		if v.Raw == nil {
			continue
		}
		v.Leaf = d.key.Evaluate(v.Raw)
		if err := contradiction(d.key, v.Raw, v.Proof, &v.Leaf); err != nil {
			d.verdicts[i], d.errs[i] = Verdict{}, err
			continue
		}
		v.Outcome = Valid
		if v.Leaf.Disproved {
			v.Outcome = Disprovable
		}
	}
}

// verifyProofs verifies a few proofs, at once if there are several.
func verifyProofs(key *groth16.Key, items []groth16.Item) []error {
	if len(items) == 1 {
		return []error{key.Verify(items[0].Proof, items[0].Inputs)}
	}
	return key.VerifyBatch(items)
}

// read reads what the witnesses commit to, and verifies their signatures: a claim has a
// Raw then, or is refused, or has an error.
func (j *judge) read(d *docket) {
	all := assertion.Commitments * len(d.claims)
	j.items, j.of = slices.Grow(j.items, all), slices.Grow(j.of, all)
	for i := range d.claims {
		if d.errs[i] != nil {
			continue
		}
		d.verdicts[i].Raw = new(assertion.Raw)
		for n, stack := range d.stacks[i] {
			j.sort(d, origin{i, n}, stack)
		}
	}
	j.hash(d)
	for i := range d.verdicts {
		if v := &d.verdicts[i]; v.Refusals != nil {
			v.Outcome, v.Raw = Refused, nil
			slices.SortFunc(v.Refusals, func(a, b *assertion.SignatureError) int { return cmp.Compare(a.Commitment, b.Commitment) })
		}
	}
}

// hash verifies the signatures that were put where they are hashed with others.
func (j *judge) hash(d *docket) {
	messages, errs := j.verifier.Verify(j.items)
	for n, of := range j.of {
		d.take(of, messages[n], errs[n])
	}
	messages, errs = wots.VerifyCompact(j.compact)
	for n, of := range j.ofCompact {
		d.take(of, messages[n], errs[n])
	}
	// The memory that is kept must not hold on to these claims.
	clear(j.items)
	clear(j.compact)
	j.items, j.of, j.compact, j.ofCompact = j.items[:0], j.of[:0], j.compact[:0], j.ofCompact[:0]
}

// sort reads a witness, or puts it where it is hashed with others.
func (j *judge) sort(d *docket, of origin, stack [][]byte) {
	claim, scheme := d.claims[of.claim], assertion.Scheme(of.commitment)
	switch n := scheme.Digits(); {
	case len(stack) == n:
		j.compact = append(j.compact, wots.CompactItem{Scheme: scheme, Key: claim.winternitz(of.commitment), Witness: stack})
		j.ofCompact = append(j.ofCompact, of)
	case len(stack) != 2*n:
		d.take(of, nil, fmt.Errorf("%w: a witness of %d items, must be %d or %d", wots.ErrForm, len(stack), 2*n, n))
	case claim.Validated:
		message, err := scheme.ReadWitness(stack)
		d.take(of, message, err)
	default:
		sig, err := scheme.DecodeWitness(stack)
		if err != nil {
			d.take(of, nil, err)
			return
		}
		j.items = append(j.items, wots.Item{Scheme: scheme, Key: claim.winternitz(of.commitment), Signature: sig})
		j.of = append(j.of, of)
	}
}

// take notes what a commitment is to, or why it is to nothing.
func (d *docket) take(of origin, message []byte, err error) {
	v := &d.verdicts[of.claim]
	if err != nil {
		v.Refusals = append(v.Refusals, &assertion.SignatureError{Commitment: of.commitment, Err: err})
		return
	}
	copy(v.Raw.Message(of.commitment), message)
}
