package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
)

const (
	// batchSize is how many calls one exchange carries. btcd takes a new
	// connection and a TLS handshake for each exchange, which costs more than
	// to look a transaction up does.
	batchSize = 64
	// maxBatchAnswer bounds the answer to a batch; a longer one is asked for
	// again in halves.
	maxBatchAnswer = 16 << 20
	// prevoutRounds is how often a transaction is asked for that is between
	// chain and mempool; prevoutPause lies between two rounds.
	prevoutRounds = 4
	prevoutPause  = 50 * time.Millisecond
)

// Prevouts implements Node. btcd finds a transaction of its chain only with a
// transaction index (txindex=1); without one the error wraps ErrNoPrevouts.
//
// Outputs that the chain does not have, or that only a transaction of the
// mempool makes, are Missing, and so is the genesis block's, which never was a
// coin. btcd cannot be asked past its mempool: one that does not clear it of
// mined transactions, because its tip is more than a day old, hides them from
// the chain. The answers are not taken at one moment: a caller to whom the state
// of the chain matters compares the tip before and after.
func (b *Btcd) Prevouts(ctx context.Context, ops []wire.OutPoint) ([]Prevout, error) {
	s := &prevoutSearch{btcd: b, ops: ops, wanted: make(map[chainhash.Hash][]int), found: make([]Prevout, len(ops))}
	for i, op := range ops {
		s.found[i].Missing = true
		s.wanted[op.Hash] = append(s.wanted[op.Hash], i)
	}
	if err := s.run(ctx); err != nil {
		return nil, fmt.Errorf("btcd: prevouts: %w", err)
	}
	return s.found, nil
}

// A prevoutSearch is one call of Prevouts.
type prevoutSearch struct {
	btcd *Btcd
	ops  []wire.OutPoint
	// wanted has the places in ops and found that refer to each transaction.
	wanted map[chainhash.Hash][]int
	found  []Prevout
}

// A place is where a transaction is.
type place int

const (
	// nowhere: neither in the best chain nor in the mempool.
	nowhere place = iota
	// inChain: in the best chain.
	inChain
	// inMempool: in the mempool, where btcd looks first. A transaction that was
	// mined a moment ago may not have been taken out of it yet.
	inMempool
	// moving: in a block that left the best chain meanwhile.
	moving
)

// A sighting is what an answer says about a transaction.
type sighting struct {
	place place
	block chainhash.Hash // of one in the chain
	err   error          // what the node said about one that moves
}

// run asks for all transactions, and again for those that may be on their way
// from mempool to chain or back.
func (s *prevoutSearch) run(ctx context.Context) error {
	open := slices.Collect(maps.Keys(s.wanted))
	for round := 1; ; round++ {
		seen, err := s.locate(ctx, open)
		if err != nil {
			return err
		}
		var again []chainhash.Hash
		for i, at := range seen {
			switch {
			case at.place == moving && round == prevoutRounds:
				return fmt.Errorf("transaction %s is never in the block that it is said to be in: %w", open[i], at.err)
			case at.place == moving, at.place == inMempool && round < prevoutRounds:
				again = append(again, open[i])
			}
		}
		if len(again) == 0 {
			return nil
		}
		open = again
		select {
		case <-time.After(prevoutPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// locate asks for transactions, fills in the outputs of those that are in the
// best chain, and says where each is.
func (s *prevoutSearch) locate(ctx context.Context, txids []chainhash.Hash) ([]sighting, error) {
	seen := make([]sighting, len(txids))
	err := s.btcd.rpc.inChunks(ctx, len(txids), func(ctx context.Context, from, to int) error {
		return s.transactions(ctx, txids[from:to], seen[from:to])
	})
	if err != nil {
		return nil, err
	}
	blocks := make(map[chainhash.Hash]blockPlace)
	for _, at := range seen {
		if at.place == inChain {
			blocks[at.block] = blockPlace{}
		}
	}
	if err := s.placeBlocks(ctx, blocks); err != nil {
		return nil, err
	}
	for i, txid := range txids {
		if seen[i].place != inChain {
			continue
		}
		block := blocks[seen[i].block]
		if block.err != nil {
			seen[i] = sighting{place: moving, err: block.err}
		}
		for _, at := range s.wanted[txid] {
			p := &s.found[at]
			switch {
			case p.Missing:
			case block.err != nil || block.height == 0:
				*p = Prevout{Coin: blockval.Coin{Missing: true}}
			default:
				p.Height, p.Block = block.height, seen[i].block
			}
		}
	}
	return seen, nil
}

// transactions asks for transactions in one exchange, or in halves when the
// answer would be too long, and sets what it says about each.
func (s *prevoutSearch) transactions(ctx context.Context, txids []chainhash.Hash, seen []sighting) error {
	params := make([][]any, len(txids))
	for i, txid := range txids {
		params[i] = []any{txid.String(), 1}
	}
	m := s.btcd.m.verboseTransactions
	if len(txids) > 1 {
		m.limit = maxBatchAnswer
	}
	answers, err := s.btcd.rpc.batch(ctx, m, params)
	if _, tooLong := errors.AsType[*tooLongError](err); tooLong && len(txids) > 1 {
		half := len(txids) / 2
		if err := s.transactions(ctx, txids[:half], seen[:half]); err != nil {
			return err
		}
		return s.transactions(ctx, txids[half:], seen[half:])
	}
	if err != nil {
		return err
	}
	for i := range answers {
		if seen[i], err = s.transaction(txids[i], &answers[i]); err != nil {
			return fmt.Errorf("transaction %s: %w", txids[i], err)
		}
	}
	return nil
}

// transaction reads one answer of getrawtransaction and, when the transaction
// is in a block, fills in the outputs that are wanted of it.
func (s *prevoutSearch) transaction(txid chainhash.Hash, a *answer) (sighting, error) {
	var result struct {
		Hex   hexBytes     `json:"hex"`
		Block *displayHash `json:"blockhash"`
	}
	if err := a.decodeInto(&result); err != nil {
		return elsewhere(err)
	}
	tx, err := decodeTx(result.Hex, txid)
	if err != nil {
		return sighting{}, err
	}
	if result.Block == nil {
		return sighting{place: inMempool}, nil
	}
	coinbase := len(tx.TxIn) == 1 && tx.TxIn[0].PreviousOutPoint == wire.OutPoint{Index: wire.MaxPrevOutIndex}
	for _, at := range s.wanted[txid] {
		if n := s.ops[at].Index; n < uint32(len(tx.TxOut)) {
			out := tx.TxOut[n]
			s.found[at].Coin = blockval.Coin{
				Value: out.Value, Script: slices.Clone(out.PkScript), Coinbase: coinbase,
			}
		}
	}
	return sighting{place: inChain, block: chainhash.Hash(*result.Block)}, nil
}

// internalCode is what btcd answers when it runs into a contradiction, such as
// a block of its index that is not in its chain (RPC_INTERNAL_ERROR).
const internalCode = -32603

// elsewhere says what an error of getrawtransaction means for the transaction,
// or returns it when it means nothing for it.
func elsewhere(err error) (sighting, error) {
	e, ok := errors.AsType[*RPCError](err)
	switch {
	case ok && e.Code == notFoundCode && strings.Contains(e.Message, "transaction index"):
		return sighting{}, fmt.Errorf("%w: btcd has no transaction index: add txindex=1 to its configuration and restart it (it then indexes the chain once), so that it can tell which coins a block spends", ErrNoPrevouts)
	case ok && e.Code == notFoundCode:
		return sighting{place: nowhere}, nil
	case ok && e.Code == internalCode:
		return sighting{place: moving, err: err}, nil
	}
	return sighting{}, err
}

// A blockPlace is a block's place in the best chain.
type blockPlace struct {
	height uint32
	err    error // by which the node said that it is not there
}

// placeBlocks sets the places of blocks.
func (s *prevoutSearch) placeBlocks(ctx context.Context, blocks map[chainhash.Hash]blockPlace) error {
	hashes := slices.Collect(maps.Keys(blocks))
	var mu sync.Mutex // guards blocks
	return s.btcd.rpc.inChunks(ctx, len(hashes), func(ctx context.Context, from, to int) error {
		params := make([][]any, 0, to-from)
		for _, hash := range hashes[from:to] {
			params = append(params, []any{hash.String(), true})
		}
		answers, err := s.btcd.rpc.batch(ctx, s.btcd.m.verboseHeaders, params)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		for i := range answers {
			hash := hashes[from+i]
			if blocks[hash], err = placeBlock(&answers[i]); err != nil {
				return fmt.Errorf("height of block %s: %w", hash, err)
			}
		}
		return nil
	})
}

// placeBlock reads an answer of getblockheader.
func placeBlock(a *answer) (blockPlace, error) {
	var result struct {
		Height *height `json:"height"`
	}
	err := a.decodeInto(&result)
	if e, ok := errors.AsType[*RPCError](err); ok && (e.Code == internalCode || e.Code == notFoundCode) {
		return blockPlace{err: err}, nil
	}
	if err == nil && result.Height == nil {
		err = malformed("height is missing")
	}
	if err != nil {
		return blockPlace{}, err
	}
	return blockPlace{height: uint32(*result.Height)}, nil
}

// inChunks calls do for consecutive ranges that cover 0 to n, at most batchSize
// long, and as many of them at once as calls may be open now. It returns the first
// error, when all calls of do have returned.
func (c *rpcClient) inChunks(ctx context.Context, n int, do func(ctx context.Context, from, to int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(c.slots.Size(), (n+batchSize-1)/batchSize) {
		workers.Go(func() {
			for ctx.Err() == nil {
				from := int(next.Add(batchSize)) - batchSize
				if from >= n {
					return
				}
				if err := do(ctx, from, min(from+batchSize, n)); err != nil {
					cancel(err)
				}
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}
