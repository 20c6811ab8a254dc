package sidecar

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/sidecar/node"
	"github.com/outrider-project/outrider/utxocache"
)

// errUnknownCoins says that nobody could tell of the coins that a block
// spends, so that it cannot be judged.
var errUnknownCoins = errors.New("spent outputs are unknown")

// prevouts answers for the coins that one block spends: from the sidecar's own
// view where it can, else from the node. It is a blockval.Coins.
type prevouts struct {
	// fetch answers from the sidecar's own view as of the block's parent.
	fetch func(ops []wire.OutPoint, answers []utxocache.Answer) error
	// remember keeps coins that the node told of; nil keeps none.
	remember func(ops []wire.OutPoint, coins []utxocache.Coin)
	node     node.Node
	// ask asks the node for single coins; nil means node.Prevouts.
	ask func(ctx context.Context, ops []wire.OutPoint) ([]node.Prevout, error)
	// parent is the height of the block's parent, and chain the headers up to
	// it: a coin that the node tells of must have been made in that chain.
	parent uint32
	chain  header.Ancestors
	// connected says that the node holds the block valid, so that a coin that
	// it does not know is the node's confusion and not the block's fault.
	connected bool
	// block is the block at tip if it is connected: a node that can is then
	// asked what it spends as a whole.
	block *blockval.Block
	tip   node.Tip

	// asked counts what the node was asked for; nil counts nothing.
	asked *asking

	// told is what was answered last: what the verdict rests on.
	told testimony
}

// Prevouts implements blockval.Coins.
func (c *prevouts) Prevouts(ctx context.Context, ops []wire.OutPoint, into []blockval.Coin) (blockval.Source, error) {
	answers := make([]utxocache.Answer, len(ops))
	if err := c.fetch(ops, answers); err != nil {
		return "", err
	}
	source := blockval.Own
	var ask []wire.OutPoint
	var places []int
	for i, a := range answers {
		switch a.State {
		case utxocache.Unspent:
			into[i] = blockval.Coin{Value: a.Coin.Value, Script: a.Coin.Script, Height: a.Coin.Height, Coinbase: a.Coin.Coinbase}
			if !a.Own {
				source = blockval.Node
			}
		case utxocache.Absent:
			into[i] = blockval.Coin{Missing: true}
			answers[i].Own = true // it is certain
		default:
			ask, places = append(ask, ops[i]), append(places, i)
		}
	}
	if len(ask) > 0 {
		source = blockval.Node
		told, err := c.askNode(ctx, ask)
		if err != nil {
			return "", err
		}
		for i, coin := range told {
			into[places[i]], answers[places[i]] = coin, answerOf(&coin)
		}
	}
	c.told.ops, c.told.answers = slices.Clone(ops), answers
	return source, nil
}

// answerOf returns a coin that the node told of as an answer.
func answerOf(coin *blockval.Coin) utxocache.Answer {
	if coin.Missing {
		return utxocache.Answer{State: utxocache.Absent}
	}
	return utxocache.Answer{State: utxocache.Unspent, Coin: utxocache.Coin{
		Value: coin.Value, Script: coin.Script, Height: coin.Height, Coinbase: coin.Coinbase,
	}}
}

// askNode returns the coins of ops as the node knows them.
func (c *prevouts) askNode(ctx context.Context, ops []wire.OutPoint) ([]blockval.Coin, error) {
	start := time.Now()
	told, err := c.tell(ctx, ops)
	if errors.Is(err, node.ErrNoPrevouts) || errors.Is(err, node.ErrNotTold) {
		return nil, fmt.Errorf("%w: %w", errUnknownCoins, err)
	}
	if err != nil {
		return nil, fmt.Errorf("ask the node for %d spent outputs: %w", len(ops), err)
	}
	c.asked.told(len(ops), start)
	answer := make([]blockval.Coin, len(ops))
	var keep []wire.OutPoint
	var kept []utxocache.Coin
	for i, p := range told {
		if !p.Missing {
			// The node answers for its best chain as it is now, which may
			// not be the chain below this block; what it tells of a block by
			// hash is of that block's chain, and names none.
			if p.Height > c.parent {
				p.Missing = true
			} else if hdr, err := c.chain.At(p.Height); err != nil {
				return nil, err
			} else if p.Block != (chainhash.Hash{}) && hdr.Hash() != p.Block {
				p.Missing = true
			}
		}
		if p.Missing {
			if c.connected {
				return nil, fmt.Errorf("%w: the node connected the block but does not know %v", errUnknownCoins, ops[i])
			}
			answer[i] = blockval.Coin{Missing: true}
			continue
		}
		answer[i] = p.Coin
		keep = append(keep, ops[i])
		kept = append(kept, utxocache.Coin{Value: p.Value, Script: p.Script, Height: p.Height, Coinbase: p.Coinbase})
	}
	if c.remember != nil {
		c.remember(keep, kept)
	}
	return answer, nil
}

// tell asks the node for the coins of ops, some of the inputs of the block in
// their order: by the block if it can, and else one by one. A block that the
// node did not connect has no undo data.
func (c *prevouts) tell(ctx context.Context, ops []wire.OutPoint) ([]node.Prevout, error) {
	if c.ask != nil {
		return c.ask(ctx, ops)
	}
	spender, ok := c.node.(node.Spender)
	if !ok || !c.connected || c.block == nil {
		return c.node.Prevouts(ctx, ops)
	}
	places, err := placesOf(ops, c.block)
	if err != nil {
		return nil, err
	}
	all, err := spender.Spent(ctx, c.tip, c.block, places)
	if err != nil {
		return nil, err
	}
	told := make([]node.Prevout, len(places))
	for i, place := range places {
		told[i] = all[place]
	}
	return told, nil
}

// placesOf returns the places of ops among the block's inputs without the
// coinbase's, in whose order they are.
func placesOf(ops []wire.OutPoint, b *blockval.Block) ([]int, error) {
	places := make([]int, 0, len(ops))
	place := 0
	for i, tx := range b.Msg.Transactions {
		if i == 0 {
			continue
		}
		for _, in := range tx.TxIn {
			if next := len(places); next < len(ops) && in.PreviousOutPoint == ops[next] {
				places = append(places, place)
			}
			place++
		}
	}
	if len(places) < len(ops) {
		return nil, fmt.Errorf("%v is not spent by the block, or not in this order", ops[len(places)])
	}
	return places, nil
}

// Unspent implements blockval.Coins.
func (c *prevouts) Unspent(_ context.Context, ops []wire.OutPoint) (first int, known bool, err error) {
	answers := make([]utxocache.Answer, len(ops))
	if err := c.fetch(ops, answers); err != nil {
		return -1, false, err
	}
	first, known = -1, true
	var found []wire.OutPoint
	for i, a := range answers {
		if a.State == utxocache.Unspent {
			if found = append(found, ops[i]); first < 0 {
				first = i
			}
		}
		known = known && a.State != utxocache.Unknown
	}
	c.told.unspent, c.told.knew = found, known || first >= 0
	return first, known || first >= 0, nil
}
