package node

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// A Locator is a Node that can tell where in its chain transactions and blocks are.
type Locator interface {
	// BlockOf returns the block that a transaction is in, as the node's transaction
	// index has it, which may be one that left the best chain. The error wraps
	// ErrUnconfirmed, ErrNoIndex or ErrNotFound.
	BlockOf(ctx context.Context, txid chainhash.Hash) (chainhash.Hash, error)
	// HeightOf returns the height of a block of the best chain. The error wraps
	// ErrStale or ErrNotFound.
	HeightOf(ctx context.Context, block chainhash.Hash) (uint32, error)
}

// These are the errors of a Locator, beside ErrNotFound.
var (
	// ErrUnconfirmed says that a transaction is in the mempool and in no block.
	ErrUnconfirmed = errors.New("it is in the mempool, and in no block yet")
	// ErrNoIndex says that the node has no transaction index, or is still building it:
	// the transaction may be in any block.
	ErrNoIndex = errors.New("the node has no index that tells which block a transaction is in")
	// ErrStale says that a block is not in the best chain.
	ErrStale = errors.New("it is not in the best chain")
)

// BlockOf implements Locator.
func (b *Bitcoind) BlockOf(ctx context.Context, txid chainhash.Hash) (chainhash.Hash, error) {
	hash, err := blockOf(ctx, b.rpc, b.m.verboseTransactions, txid)
	if e, ok := errors.AsType[*RPCError](err); ok && e.Code == notFoundCode {
		// The words are those of getrawtransaction (rpc/rawtransaction.cpp).
		switch {
		case strings.Contains(e.Message, "-txindex"):
			err = fmt.Errorf("%w: txindex=1 in bitcoin.conf makes one, but not on a pruned node: %w", ErrNoIndex, err)
		case strings.Contains(e.Message, "process of being indexed"):
			err = fmt.Errorf("%w yet: getindexinfo shows how far it is: %w", ErrNoIndex, err)
		}
	}
	if err != nil {
		return chainhash.Hash{}, fmt.Errorf("bitcoind: transaction %s: %w", txid, bitcoindError(err))
	}
	return hash, nil
}

// BlockOf implements Locator.
func (b *Btcd) BlockOf(ctx context.Context, txid chainhash.Hash) (chainhash.Hash, error) {
	hash, err := blockOf(ctx, b.rpc, b.m.verboseTransactions, txid)
	if e, ok := errors.AsType[*RPCError](err); ok && e.Code == notFoundCode && strings.Contains(e.Message, "transaction index") {
		err = fmt.Errorf("%w: txindex=1 in btcd's configuration makes one: %w", ErrNoIndex, err)
	}
	if err != nil {
		return chainhash.Hash{}, fmt.Errorf("btcd: transaction %s: %w", txid, notFound(err))
	}
	return hash, nil
}

// blockOf asks for a transaction with getrawtransaction, which is m.
func blockOf(ctx context.Context, rpc *rpcClient, m rpcMethod, txid chainhash.Hash) (chainhash.Hash, error) {
	var result struct {
		Hex   hexBytes     `json:"hex"`
		Block *displayHash `json:"blockhash"`
	}
	if err := rpc.call(ctx, m, &result, txid.String(), 1); err != nil {
		return chainhash.Hash{}, err
	}
	if _, err := decodeTx(result.Hex, txid); err != nil {
		return chainhash.Hash{}, err
	}
	if result.Block == nil {
		return chainhash.Hash{}, ErrUnconfirmed
	}
	return chainhash.Hash(*result.Block), nil
}

// HeightOf implements Locator.
func (b *Bitcoind) HeightOf(ctx context.Context, block chainhash.Hash) (uint32, error) {
	var info blockInfo
	err := b.rpc.call(ctx, b.m.getBlockHeader, &info, block.String(), true)
	if err == nil {
		err = info.check()
	}
	if err == nil && !info.inBestChain() {
		err = ErrStale
	}
	if err != nil {
		return 0, fmt.Errorf("bitcoind: block %s: %w", block, bitcoindError(err))
	}
	return uint32(*info.Height), nil
}

// HeightOf implements Locator.
func (b *Btcd) HeightOf(ctx context.Context, block chainhash.Hash) (uint32, error) {
	var info struct {
		Height *height `json:"height"`
	}
	err := b.rpc.call(ctx, b.m.getBlockHeader, &info, block.String(), true)
	// btcd looks for the height in its best chain only.
	if e, ok := errors.AsType[*RPCError](err); ok && e.Code == internalCode {
		err = fmt.Errorf("%w: %w", ErrStale, err)
	}
	if err == nil && info.Height == nil {
		err = malformed("height is missing")
	}
	if err != nil {
		return 0, fmt.Errorf("btcd: block %s: %w", block, notFound(err))
	}
	return uint32(*info.Height), nil
}

var (
	_ Locator = (*Bitcoind)(nil)
	_ Locator = (*Btcd)(nil)
)
