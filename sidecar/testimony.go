package sidecar

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/utxocache"
	"github.com/outrider-project/outrider/utxocache/coindb"
)

// A testimony is what was said of the coins that one block spends, and creates.
// It is only read once it is whole.
type testimony struct {
	// answers are those to ops, with the node's in the place of what was
	// unknown. Both are nil if nothing was asked.
	ops     []wire.OutPoint
	answers []utxocache.Answer
	// unspent are outputs of the block that were said to be coins already
	// (BIP30); knew says that the answer was whole.
	unspent []wire.OutPoint
	knew    bool
}

// word says whose word an answer is.
func word(a *utxocache.Answer) blockval.Source {
	if a.Own {
		return blockval.Own
	}
	return blockval.Node
}

// of returns the answers by outpoint.
func (t *testimony) of() map[wire.OutPoint]*utxocache.Answer {
	m := make(map[wire.OutPoint]*utxocache.Answer, len(t.ops))
	for i, op := range t.ops {
		m[op] = &t.answers[i]
	}
	return m
}

// own returns which coins ops are, where that rests on the sidecar's own blocks; a
// zero coin elsewhere. ops has t.ops in their order, and others between them.
func (t *testimony) own(ops []wire.OutPoint) []coindb.Coin {
	coins := make([]coindb.Coin, len(ops))
	next := 0
	for i, op := range ops {
		if next == len(t.ops) {
			break
		}
		if op != t.ops[next] {
			continue
		}
		if a := &t.answers[next]; a.Own && a.State == utxocache.Unspent {
			coins[i] = coindb.Coin(a.Coin)
		}
		next++
	}
	return coins
}

// errNotTold says that a bundle has no answer to a question: it is of another
// block, or of rules that asked for less.
var errNotTold = errors.New("the evidence does not say")

// A record answers from a testimony. It is a blockval.Coins.
type record struct {
	testimony
	answer map[wire.OutPoint]*utxocache.Answer
}

func newRecord(t testimony) *record { return &record{t, t.of()} }

// Prevouts implements blockval.Coins.
func (r *record) Prevouts(_ context.Context, ops []wire.OutPoint, coins []blockval.Coin) (blockval.Source, error) {
	source := blockval.Own
	for i, op := range ops {
		a := r.answer[op]
		switch {
		case a == nil:
			return "", fmt.Errorf("%w: what coin %v is", errNotTold, op)
		case a.State != utxocache.Unspent:
			coins[i] = blockval.Coin{Missing: true}
		default:
			coins[i] = blockval.Coin{Value: a.Coin.Value, Script: a.Coin.Script, Height: a.Coin.Height, Coinbase: a.Coin.Coinbase}
		}
		if word(a) == blockval.Node {
			source = blockval.Node
		}
	}
	return source, nil
}

// Unspent implements blockval.Coins.
func (r *record) Unspent(_ context.Context, ops []wire.OutPoint) (first int, known bool, err error) {
	first = slices.IndexFunc(ops, func(op wire.OutPoint) bool { return slices.Contains(r.unspent, op) })
	return first, r.knew || first >= 0, nil
}

// spends returns what the inputs of a block spend, the coinbase's left out, in
// their order; made says of each whether an earlier transaction of the block
// makes it, and if so it returns that output in its place. An input that t does
// not speak of ends it with ok false.
func (t *testimony) spends(b *blockval.Block) (all []spentCoin, ok bool) {
	told := t.of()
	created := make(map[chainhash.Hash]*wire.MsgTx, len(b.Txids))
	for i, tx := range b.Msg.Transactions {
		for _, in := range tx.TxIn {
			op := in.PreviousOutPoint
			if i == 0 {
				break
			}
			if from := created[op.Hash]; from != nil && uint64(op.Index) < uint64(len(from.TxOut)) {
				out := from.TxOut[op.Index]
				all = append(all, spentCoin{op: op, made: true, answer: utxocache.Answer{State: utxocache.Unspent, Own: true, Coin: utxocache.Coin{
					Value: out.Value, Script: out.PkScript, Coinbase: from == b.Msg.Transactions[0],
				}}})
				continue
			}
			a := told[op]
			if a == nil {
				return nil, false
			}
			all = append(all, spentCoin{op: op, answer: *a})
		}
		created[b.Txids[i]] = tx
	}
	return all, true
}

// A spentCoin is what an input spends. Of one that the block made the height is
// not set.
type spentCoin struct {
	op     wire.OutPoint
	made   bool
	answer utxocache.Answer
}
