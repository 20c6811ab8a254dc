package bench

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval/script"
	"github.com/outrider-project/outrider/sigverify"
)

// consensusFlags are the rules of today's blocks. What they forbid in an older one
// is not remembered.
const consensusFlags = script.P2SH | script.DERSig | script.NullDummy | script.CheckLockTimeVerify |
	script.CheckSequenceVerify | script.Witness | script.Taproot

// remember has v verify the signatures of a share of the block's transactions as
// those of the mempool's, so that it knows them when they come with their block.
// Which ones they are is drawn, always the same way.
func remember(ctx context.Context, v *sigverify.Verifier, block *wire.MsgBlock, coins *spent, share float64) error {
	txs := block.Transactions[1:]
	rng := rand.New(rand.NewPCG(uint64(len(txs)), 0))
	m, batch := script.NewMachine(), new(script.Batch)
	for _, i := range rng.Perm(len(txs))[:int(math.Round(share*float64(len(txs))))] {
		tx := &script.Tx{Msg: txs[i]}
		for _, in := range txs[i].TxIn {
			tx.Prevouts = append(tx.Prevouts, *coins.FetchPrevOutput(in.PreviousOutPoint))
		}
		for j := range txs[i].TxIn {
			// An input that cannot be collected has nothing to be remembered.
			m.Collect(tx, j, consensusFlags, batch, i)
		}
	}
	// Some inputs of multisig need several turns.
	for len(batch.Items) > 0 {
		valid := make([]bool, len(batch.Items))
		if err := v.VerifyMempool(ctx, batch.Items, valid); err != nil {
			return fmt.Errorf("verify what was seen before: %w", err)
		}
		batch.Settle(valid, nil)
	}
	return nil
}
