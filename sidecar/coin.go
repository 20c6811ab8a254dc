package sidecar

import (
	"context"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/sidecar/node"
	"github.com/outrider-project/outrider/sidecar/web"
	"github.com/outrider-project/outrider/utxocache"
	"github.com/outrider-project/outrider/utxocache/coins"
)

// origin returns how a node is asked for coins; nil if it cannot be.
func origin(n node.Node) coins.Origin {
	u, ok := n.(node.Unspender)
	if !ok {
		return nil
	}
	return func(ctx context.Context, ops []wire.OutPoint, answers []utxocache.Answer) (utxocache.Tip, error) {
		told, tip, err := u.Unspent(ctx, ops)
		if err != nil {
			return utxocache.Tip{}, err
		}
		for i := range told {
			answers[i] = answerOf(&told[i].Coin)
		}
		return utxocache.Tip(tip), nil
	}
}

// Coin says what is known of an outpoint as of the tip that is named with it; with
// mempool, as of the mempool on top of that tip. It waits for no block, but may ask
// the node. The error wraps web.ErrNoAnswer when nobody can say for the moment, for
// instance before the sidecar follows the node's chain.
func (s *Sidecar) Coin(ctx context.Context, op wire.OutPoint, mempool bool) (web.Coin, error) {
	if s.set.Load() == nil {
		return web.Coin{}, fmt.Errorf("coin %s: %w: the node's chain is not followed yet", op, web.ErrNoAnswer)
	}
	c, err := s.coin(ctx, op, mempool)
	if err != nil && ctx.Err() == nil && !lost(err) && !errors.Is(err, web.ErrNoAnswer) {
		err = fmt.Errorf("%w: %w", web.ErrNoAnswer, err)
	}
	return c, err
}

func (s *Sidecar) coin(ctx context.Context, op wire.OutPoint, mempool bool) (web.Coin, error) {
	if mempool {
		switch pending, out := s.status.pending(op); pending {
		case pendingUnknown:
			return s.askCoin(ctx, op)
		case pendingMade, pendingGone:
			tip, ok := s.set.Load().Tip()
			if !ok {
				return web.Coin{}, fmt.Errorf("%w: no block was followed yet", web.ErrNoAnswer)
			}
			c := web.Coin{Tip: *blockID(node.Tip(tip)), Mempool: true}
			if pending == pendingMade {
				c.Set(out.Value, out.PkScript, 0, false)
			}
			return c, nil
		}
	}
	a, tip, err := s.set.Load().Get(ctx, op)
	if err != nil {
		return web.Coin{}, err
	}
	c := web.Coin{Tip: *blockID(node.Tip(tip)), Mempool: mempool, Own: a.Own}
	if a.State == utxocache.Unspent {
		c.Set(a.Coin.Value, a.Coin.Script, a.Coin.Height, a.Coin.Coinbase)
	}
	return c, nil
}

// askCoin asks the node, whose mempool is not known whole here.
func (s *Sidecar) askCoin(ctx context.Context, op wire.OutPoint) (web.Coin, error) {
	n, ok := s.node.(node.MempoolUnspender)
	if !ok {
		return web.Coin{}, fmt.Errorf("coin %s: %w: not all of the mempool is known here, and a %s cannot be asked", op, web.ErrNoAnswer, s.cfg.Node.kind())
	}
	told, tip, err := n.UnspentInMempool(ctx, []wire.OutPoint{op})
	if err != nil {
		return web.Coin{}, err
	}
	c := web.Coin{Tip: *blockID(tip), Mempool: true}
	if t := &told[0]; !t.Missing {
		c.Set(t.Value, t.Script, t.Height, t.Coinbase)
	}
	return c, nil
}
