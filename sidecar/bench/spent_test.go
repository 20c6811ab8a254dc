package bench

import (
	"math/rand/v2"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
)

// TestSpent holds what spent answers against a map, for blocks that spend some outputs
// twice and come with too few coins, enough, or too many.
func TestSpent(t *testing.T) {
	const seed = 1
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, tc := range []struct{ inputs, coins int }{{0, 0}, {0, 3}, {1, 0}, {1, 1}, {200, 150}, {1000, 1000}, {64, 65}} {
		block := &wire.MsgBlock{Transactions: []*wire.MsgTx{{TxIn: []*wire.TxIn{{}}}, {}}}
		tx := block.Transactions[1]
		var coins []blockval.Coin
		for i := range tc.coins {
			coins = append(coins, blockval.Coin{Value: int64(i + 1)})
		}
		want := make(map[wire.OutPoint]blockval.Coin)
		for i := range tc.inputs {
			in := &wire.TxIn{}
			// A few bits, so that outpoints are alike and repeated.
			in.PreviousOutPoint.Hash[rng.IntN(2)] = byte(rng.Uint32())
			in.PreviousOutPoint.Index = rng.Uint32N(3)
			tx.TxIn = append(tx.TxIn, in)
			if i < len(coins) {
				want[in.PreviousOutPoint] = coins[i]
			}
		}
		s := newSpent(block, coins)
		if (s.fit() == nil) != (tc.inputs == tc.coins) {
			t.Errorf("%d coins for %d inputs: %v", tc.coins, tc.inputs, s.fit())
		}
		ops := []wire.OutPoint{{Index: 7}}
		for _, in := range tx.TxIn {
			ops = append(ops, in.PreviousOutPoint)
		}
		got := make([]blockval.Coin, len(ops))
		if source, err := s.Prevouts(t.Context(), ops, got); err != nil || source != blockval.Node {
			t.Errorf("source %q, %v", source, err)
		}
		for i, op := range ops {
			if got[i].Value != want[op].Value || s.FetchPrevOutput(op).Value != want[op].Value {
				t.Errorf("%d coins for %d inputs: %v is worth %d, want %d", tc.coins, tc.inputs, op, got[i].Value, want[op].Value)
			}
		}
	}
}
