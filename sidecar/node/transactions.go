package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// Transactions implements Node.
func (b *Btcd) Transactions(ctx context.Context, txids []chainhash.Hash) ([][]byte, error) {
	raws, err := transactions(ctx, b.rpc, b.m.getRawTransaction, txids, notFound)
	if err != nil {
		return nil, fmt.Errorf("btcd: %w", err)
	}
	return raws, nil
}

// Transactions implements Node.
func (b *Bitcoind) Transactions(ctx context.Context, txids []chainhash.Hash) ([][]byte, error) {
	raws, err := transactions(ctx, b.rpc, b.m.getRawTransaction, txids, bitcoindError)
	if err != nil {
		return nil, fmt.Errorf("bitcoind: %w", err)
	}
	return raws, nil
}

// transactions calls getrawtransaction, which is m, for all of txids. Of the
// node's errors, known makes one that wraps ErrNotFound.
func transactions(ctx context.Context, rpc *rpcClient, m rpcMethod, txids []chainhash.Hash, known func(error) error) ([][]byte, error) {
	raws := make([][]byte, len(txids))
	err := rpc.inChunks(ctx, len(txids), func(ctx context.Context, from, to int) error {
		return transactionBatch(ctx, rpc, m, txids[from:to], raws[from:to], known)
	})
	if err != nil {
		return nil, err
	}
	return raws, nil
}

// transactionBatch asks for transactions in one exchange, or in halves when the
// answer would be too long.
func transactionBatch(ctx context.Context, rpc *rpcClient, m rpcMethod, txids []chainhash.Hash, raws [][]byte, known func(error) error) error {
	params := make([][]any, len(txids))
	for i, txid := range txids {
		params[i] = []any{txid.String(), 0}
	}
	batch := m
	if len(txids) > 1 {
		batch.limit = maxBatchAnswer
	}
	answers, err := rpc.batch(ctx, batch, params)
	if _, tooLong := errors.AsType[*tooLongError](err); tooLong && len(txids) > 1 {
		half := len(txids) / 2
		if err := transactionBatch(ctx, rpc, m, txids[:half], raws[:half], known); err != nil {
			return err
		}
		return transactionBatch(ctx, rpc, m, txids[half:], raws[half:], known)
	}
	if err != nil {
		return known(err)
	}
	for i := range answers {
		var raw hexBytes
		err := known(answers[i].decodeInto(&raw))
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err == nil {
			_, err = decodeTx(raw, txids[i])
		}
		if err != nil {
			return fmt.Errorf("transaction %s: %w", txids[i], err)
		}
		raws[i] = raw
	}
	return nil
}
