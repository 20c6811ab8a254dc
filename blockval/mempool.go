package blockval

import (
	"context"
	"fmt"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval/script"
	"github.com/outrider-project/outrider/sigverify"
)

// mempoolVerifier verifies at the priority of the mempool.
type mempoolVerifier struct{ *sigverify.Verifier }

// Verify implements script.Verifier.
func (v mempoolVerifier) Verify(ctx context.Context, items []sigverify.Item, valid []bool) error {
	return v.VerifyMempool(ctx, items, valid)
}

// VerifyTx verifies the scripts of a transaction that is in no block yet, and
// reports whether they succeed under all of script.Consensus. If they do, it is
// remembered, and a block that holds it, and in which it spends the same, needs not
// run them again. Nothing else about the transaction is checked.
//
// prevouts are what the inputs spend, in their order. Neither they nor tx may change
// before VerifyTx returns. It takes one goroutine, its signatures give way to those of
// blocks, and its time is bounded only by the size of tx. An error says nothing about
// the scripts.
func (v *Validator) VerifyTx(ctx context.Context, tx *wire.MsgTx, prevouts []wire.TxOut) (valid bool, err error) {
	if len(tx.TxIn) == 0 || len(prevouts) != len(tx.TxIn) {
		return false, fmt.Errorf("transaction of %d inputs with %d outputs that they spend", len(tx.TxIn), len(prevouts))
	}
	t := &script.Tx{Msg: tx, Prevouts: prevouts}
	w := v.take()
	defer v.put(w)
	for {
		falls := v.falls()
		valid, err := v.verifyTx(ctx, w, t)
		if err != nil {
			return false, err
		}
		if v.falls() != falls {
			continue // what verified it has lost its trust
		}
		if valid {
			v.seen.add(tx.WitnessHash(), prevouts, script.Consensus, falls)
			v.metrics.seen.Set(float64(v.seen.len()))
		}
		return valid, nil
	}
}

func (v *Validator) verifyTx(ctx context.Context, w *worker, t *script.Tx) (valid bool, err error) {
	verifier := mempoolVerifier{v.verifier}
	w.reset()
	for i := range t.Msg.TxIn {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if w.machine.Collect(t, i, script.Consensus, &w.batch, i) != script.OK {
			w.undecided = append(w.undecided, i)
		}
		if len(w.batch.Items) >= batchSize {
			if err := w.settle(ctx, verifier); err != nil {
				return false, err
			}
		}
	}
	if err := w.finish(ctx, verifier); err != nil {
		return false, err
	}
	for _, i := range w.undecided {
		reason, err := w.machine.Execute(ctx, t, i, script.Consensus, verifier)
		if err != nil || reason != script.OK {
			return false, err
		}
	}
	return true, nil
}
