package demo

import (
	"fmt"
	"slices"
	"time"
)

// A Chain is the wallet and the miner of a regtest chain without its nodes: it
// makes transactions and blocks for a node of any kind, and talks to nobody. The
// node has to get every block, in order. It is not safe for concurrent use.
type Chain struct{ work *workload }

// NewChain returns a chain of the genesis block. The seed decides keys,
// transactions and choices.
func NewChain(seed uint64) *Chain { return &Chain{newWorkload(seed)} }

// Tip returns the last block.
func (c *Chain) Tip() *Block { return c.work.ledger.tip }

// Bootstrap mines the first blocks, until there are coins to split, and returns
// them. It is called once, before anything else.
func (c *Chain) Bootstrap() ([]*Block, error) {
	blocks := make([]*Block, bootstrapBlocks)
	start := c.work.miner.now().Add(-bootstrapBlocks * bootstrapSpacing)
	for i := range blocks {
		b, err := c.work.miner.mineAt(c.Tip(), nil, start.Add(time.Duration(i)*bootstrapSpacing))
		if err != nil {
			return nil, err
		}
		c.work.connect(b)
		blocks[i] = b
	}
	return blocks, nil
}

// maxSplits is how many transactions of fanOutputs outputs one block of FanOut
// has: the signature operations of more would be too many.
const maxSplits = 32

// FanOut splits the largest coins into count coins of all kinds, in two steps,
// and mines that. It returns the blocks, and the coins, none of which another
// call splits as long as there are larger ones.
func (c *Chain) FanOut(count int) (blocks []*Block, coins []Coin, err error) {
	txs, err := c.work.fanOut((count+fanOutputs-1)/fanOutputs, []int{0})
	if err != nil {
		return nil, nil, err
	}
	b, err := c.Mine(txs)
	if err != nil {
		return nil, nil, err
	}
	blocks = append(blocks, b)
	for seeds := range slices.Chunk(b.Created[1:], maxSplits) {
		txs = nil
		for _, seed := range seeds {
			tx, err := c.work.split(seed, min(count, fanOutputs))
			if err != nil {
				return nil, nil, err
			}
			count -= fanOutputs
			txs = append(txs, tx)
		}
		if b, err = c.Mine(txs); err != nil {
			return nil, nil, err
		}
		blocks, coins = append(blocks, b), append(coins, b.Created[1:]...)
	}
	return blocks, coins, nil
}

// Spend makes a transaction for each of coins, which spends it to one or two
// outputs of any kind. It mines none of them.
func (c *Chain) Spend(coins []Coin) ([]*Tx, error) {
	txs := make([]*Tx, len(coins))
	for i := range coins {
		tx, err := c.work.spend(coins[i:i+1:i+1], 1+c.work.random.IntN(2), SpendOptions{})
		if err != nil {
			return nil, err
		}
		if tx == nil {
			return nil, fmt.Errorf("make a transaction: %d satoshis do not pay for one", coins[i].Value)
		}
		txs[i] = tx
	}
	return txs, nil
}

// Mine mines a block of txs, all of which have to be valid in it in that order,
// and makes it the tip.
func (c *Chain) Mine(txs []*Tx) (*Block, error) {
	b, err := c.work.miner.mine(c.Tip(), txs)
	if err != nil {
		return nil, err
	}
	c.work.connect(b)
	return b, nil
}
