package demo

import "testing"

// TestChain lets btcd's own consensus code judge the blocks of a Chain, which
// spend coins of every kind.
func TestChain(t *testing.T) {
	judge, c := newChain(t), NewChain(3)
	blocks, err := c.Bootstrap()
	if err != nil {
		t.Fatal(err)
	}
	const count = maxSplits*fanOutputs + 7
	fanned, coins, err := c.FanOut(count)
	if err != nil {
		t.Fatal(err)
	}
	if len(coins) != count {
		t.Errorf("%d coins, want %d", len(coins), count)
	}
	blocks = append(blocks, fanned...)
	kinds := make(map[Kind]int)
	for spent := 0; spent < 600; spent += 300 {
		txs, err := c.Spend(coins[spent : spent+300])
		if err != nil {
			t.Fatal(err)
		}
		for i, tx := range txs {
			if len(tx.Spent) != 1 || tx.Spent[0].OutPoint != coins[spent+i].OutPoint || tx.Fee <= 0 {
				t.Fatalf("transaction %d spends %v for a fee of %d, want coin %v", i, tx.Spent, tx.Fee, coins[spent+i].OutPoint)
			}
			kinds[tx.Spent[0].Kind]++
		}
		b, err := c.Mine(txs)
		if err != nil {
			t.Fatal(err)
		}
		blocks = append(blocks, b)
	}
	if len(kinds) != int(numKinds) {
		t.Errorf("only these kinds were spent: %v", kinds)
	}
	for _, b := range blocks {
		judge.take(b)
	}
	judge.at(c.Tip())
	tiny := coins[700]
	tiny.Value = smallestOutput - 1
	if _, err := c.Spend([]Coin{tiny}); err == nil {
		t.Error("a coin was spent that does not pay for it")
	}
}
