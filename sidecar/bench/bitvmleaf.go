package bench

import (
	"context"
	"fmt"

	"github.com/outrider-project/outrider/bitvm/assertion"
)

// leafFigures: the worst case of the search for a leaf is that there is none. Its anchor
// is no other search, but tells how fast the machine is at this arithmetic.
func leafFigures() ([]*bitvmFigure, error) {
	b, err := newProofBench(1, 1)
	if err != nil {
		return nil, err
	}
	key, err := assertion.Prepare(b.vk)
	if err != nil {
		return nil, err
	}
	raw, err := key.Assert(b.items[0].Proof, b.items[0].Inputs[0])
	if err != nil {
		return nil, err
	}
	return []*bitvmFigure{{
		name: "leaf", ours: evaluation(key, raw), anchor: fourPairings, theirs: b.each(fourPairings, b.pairings),
	}}, nil
}

// evaluation returns a task that evaluates an honest assertion.
func evaluation(key *assertion.Key, raw *assertion.Raw) task {
	return func(context.Context) (int, error) {
		if v := key.Evaluate(raw); v.Disproved {
			return 0, fmt.Errorf("leaf %d disproves an honest assertion", v.Leaf)
		}
		return 1, nil
	}
}
