package bench

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
)

// remember has v verify a share of the block's transactions as those of the
// mempool's, so that it knows them when they come with their block. Which ones they
// are is drawn, always the same way. One that breaks a rule of today's, in an older
// block, is not remembered.
func remember(ctx context.Context, v *blockval.Validator, block *wire.MsgBlock, coins *spent, share float64) error {
	txs := block.Transactions[1:]
	rng := rand.New(rand.NewPCG(uint64(len(txs)), 0))
	for _, i := range rng.Perm(len(txs))[:int(math.Round(share*float64(len(txs))))] {
		var prevouts []wire.TxOut
		for _, in := range txs[i].TxIn {
			prevouts = append(prevouts, *coins.FetchPrevOutput(in.PreviousOutPoint))
		}
		if _, err := v.VerifyTx(ctx, txs[i], prevouts); err != nil {
			return fmt.Errorf("verify what was seen before: %w", err)
		}
	}
	return nil
}
