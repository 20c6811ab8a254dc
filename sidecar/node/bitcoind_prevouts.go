package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
)

// Prevouts implements Node. bitcoind keeps no spent outputs to ask for by
// themselves: it finds the transactions that made them only with a transaction
// index (txindex=1). Without one, or while it is being built, the error wraps
// ErrNoPrevouts, unless all ops are of the mempool's transactions.
// For blocks of the best chain Spent knows other ways.
//
// Outputs that the chain does not have, or that only a transaction of the
// mempool makes, are Missing, and so is the genesis block's. The answers are not
// taken at one moment: a caller to whom the state of the chain matters compares
// the tip before and after.
func (b *Bitcoind) Prevouts(ctx context.Context, ops []wire.OutPoint) ([]Prevout, error) {
	found, err := b.prevouts(ctx, ops)
	if err != nil {
		return nil, fmt.Errorf("bitcoind: prevouts: %w", err)
	}
	return found, nil
}

// A minedTx is a transaction and the block that the index has it in. Without a
// transaction it is nowhere, or in the mempool only.
type minedTx struct {
	tx    *wire.MsgTx
	block chainhash.Hash
}

func (b *Bitcoind) prevouts(ctx context.Context, ops []wire.OutPoint) ([]Prevout, error) {
	mined := make(map[chainhash.Hash]minedTx)
	for _, op := range ops {
		mined[op.Hash] = minedTx{}
	}
	heights := make(map[chainhash.Hash]uint32) // of blocks in the best chain
	open := slices.Collect(maps.Keys(mined))
	for round := 1; len(open) > 0; round++ {
		if err := b.lookUp(ctx, open, mined); err != nil {
			return nil, err
		}
		if err := b.placeInChain(ctx, open, mined, heights); err != nil {
			return nil, err
		}
		// The index waits for the tip before it answers, and keeps what a block
		// that left the chain wrote until another block has the transaction. So
		// one that stays in such a block is in no block of the chain.
		open = slices.DeleteFunc(open, func(txid chainhash.Hash) bool {
			_, placed := heights[mined[txid].block]
			return mined[txid].tx == nil || placed
		})
		if len(open) == 0 || round == prevoutRounds {
			break
		}
		select {
		case <-time.After(prevoutPause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	found := make([]Prevout, len(ops))
	for i, op := range ops {
		found[i] = mined[op.Hash].output(op.Index, heights)
	}
	return found, nil
}

// output returns the transaction's output n, Missing unless the transaction is
// in one of the blocks of which heights has the height.
func (m minedTx) output(n uint32, heights map[chainhash.Hash]uint32) Prevout {
	h, ok := heights[m.block]
	if m.tx == nil || !ok || uint64(n) >= uint64(len(m.tx.TxOut)) {
		return Prevout{Coin: blockval.Coin{Missing: true}}
	}
	out := m.tx.TxOut[n]
	coinbase := len(m.tx.TxIn) == 1 && m.tx.TxIn[0].PreviousOutPoint == wire.OutPoint{Index: wire.MaxPrevOutIndex}
	return Prevout{
		Coin:  blockval.Coin{Value: out.Value, Script: slices.Clone(out.PkScript), Height: h, Coinbase: coinbase},
		Block: m.block,
	}
}

// lookUp asks for transactions and enters those of blocks in mined.
func (b *Bitcoind) lookUp(ctx context.Context, txids []chainhash.Hash, mined map[chainhash.Hash]minedTx) error {
	got := make([]minedTx, len(txids))
	err := b.rpc.inChunks(ctx, len(txids), func(ctx context.Context, from, to int) error {
		return b.transactions(ctx, txids[from:to], got[from:to])
	})
	if err != nil {
		return err
	}
	for i, txid := range txids {
		mined[txid] = got[i]
	}
	return nil
}

// transactions asks for transactions in one exchange, or in halves when the
// answer would be too long.
func (b *Bitcoind) transactions(ctx context.Context, txids []chainhash.Hash, got []minedTx) error {
	params := make([][]any, len(txids))
	for i, txid := range txids {
		params[i] = []any{txid.String(), 1}
	}
	m := b.m.verboseTransactions
	if len(txids) > 1 {
		m.limit = maxBatchAnswer
	}
	answers, err := b.rpc.batch(ctx, m, params)
	if _, tooLong := errors.AsType[*tooLongError](err); tooLong && len(txids) > 1 {
		half := len(txids) / 2
		if err := b.transactions(ctx, txids[:half], got[:half]); err != nil {
			return err
		}
		return b.transactions(ctx, txids[half:], got[half:])
	}
	if err != nil {
		return bitcoindError(err)
	}
	for i := range answers {
		if got[i], err = minedTxOf(txids[i], &answers[i]); err != nil {
			return fmt.Errorf("transaction %s: %w", txids[i], err)
		}
	}
	return nil
}

// minedTxOf reads an answer of getrawtransaction.
func minedTxOf(txid chainhash.Hash, a *answer) (minedTx, error) {
	var result struct {
		Hex   hexBytes     `json:"hex"`
		Block *displayHash `json:"blockhash"`
	}
	err := a.decodeInto(&result)
	if e, ok := errors.AsType[*RPCError](err); ok && e.Code == notFoundCode {
		return minedTx{}, withoutIndex(e)
	}
	if err != nil {
		return minedTx{}, bitcoindError(err)
	}
	tx, err := decodeTx(result.Hex, txid)
	if err != nil || result.Block == nil {
		return minedTx{}, err
	}
	return minedTx{tx: tx, block: chainhash.Hash(*result.Block)}, nil
}

// withoutIndex returns the error that a "not found" is when the node could not
// look into its chain (rpc/rawtransaction.cpp, getrawtransaction); nil when it
// did.
func withoutIndex(e *RPCError) error {
	switch {
	case strings.Contains(e.Message, "-txindex"):
		return fmt.Errorf("%w: bitcoind has no transaction index to find single outputs by. Blocks of its best chain do not need one; for coins of blocks that it calls invalid, txindex=1 in bitcoin.conf makes one, but not on a pruned node", ErrNoPrevouts)
	case strings.Contains(e.Message, "process of being indexed"):
		return fmt.Errorf("%w: bitcoind is still building its transaction index: getindexinfo shows how far it is", ErrNoPrevouts)
	}
	return nil
}

// placeInChain enters in heights the blocks of the best chain among those that
// the transactions are in, and takes the others out.
func (b *Bitcoind) placeInChain(ctx context.Context, txids []chainhash.Hash, mined map[chainhash.Hash]minedTx, heights map[chainhash.Hash]uint32) error {
	named := make(map[chainhash.Hash]bool)
	for _, txid := range txids {
		if m := mined[txid]; m.tx != nil {
			named[m.block] = true
		}
	}
	blocks := slices.Collect(maps.Keys(named))
	infos := make([]blockInfo, len(blocks))
	err := b.inBatches(ctx, b.m.verboseHeaders, len(blocks), func(i int) []any {
		return []any{blocks[i].String(), true}
	}, func(i int, a *answer) error {
		if err := a.decodeInto(&infos[i]); err != nil {
			return err
		}
		return infos[i].check()
	})
	if err != nil {
		return bitcoindError(err)
	}
	for i, hash := range blocks {
		if infos[i].inBestChain() {
			heights[hash] = uint32(*infos[i].Height)
		} else {
			delete(heights, hash)
		}
	}
	return nil
}
