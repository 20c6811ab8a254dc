package coindb

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"
)

// Outpoints are sorted as their keys are, those of one transaction and those whose txids
// begin alike too.
func TestSorted(t *testing.T) {
	rng := rand.New(rand.NewPCG(seedOf(t), 0))
	for range 300 {
		ops := make([]wire.OutPoint, rng.IntN(200))
		for i := range ops {
			op := &ops[i]
			// Few values in each byte, so that they are alike up to any place.
			for k := range op.Hash {
				op.Hash[k] = byte(rng.IntN(1 + k%3))
			}
			op.Index = uint32(rng.IntN(3))
			if i > 0 && rng.IntN(3) == 0 {
				op.Hash = ops[rng.IntN(i)].Hash
			}
		}
		var got []wire.OutPoint
		for _, p := range sorted(len(ops), func(i int) *wire.OutPoint { return &ops[i] }) {
			got = append(got, ops[p.index])
		}
		want := slices.Clone(ops)
		slices.SortFunc(want, compareOps)
		if !slices.Equal(got, want) {
			t.Fatalf("%v, must be %v", got, want)
		}
	}
}
