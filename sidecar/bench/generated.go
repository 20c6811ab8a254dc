package bench

import (
	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/testvectors"
)

// MostTransactions is how many transactions GenerateBlock makes at most.
const MostTransactions = testvectors.MostTransactions

// GenerateBlock makes a block of mainnet's shape from a seed, with that number of
// transactions, the coinbase's with them: see testvectors.Generate.
func GenerateBlock(seed uint64, transactions int) (BlockInput, error) {
	g, err := testvectors.Generate(testvectors.Generation{Seed: seed, Transactions: transactions})
	if err != nil {
		return BlockInput{}, err
	}
	ancestors := make(header.Chain, len(g.Headers))
	for i, h := range g.Headers {
		ancestors[i] = h
	}
	return BlockInput{
		Network: g.Network, Height: g.Height, Raw: g.Block, Spent: coinsOf(g.Spent), Ancestors: ancestors, Seed: &seed,
	}, nil
}
