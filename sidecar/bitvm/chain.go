package bitvm

import (
	"context"
	"fmt"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/bitvm/watch"
	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/sidecar/node"
)

// A Source tells of a node's chain: a part of [node.Node].
type Source interface {
	Network(ctx context.Context) (string, error)
	Tip(ctx context.Context) (node.Tip, error)
	BlockHash(ctx context.Context, height uint32) (chainhash.Hash, error)
	Block(ctx context.Context, hash chainhash.Hash) ([]byte, error)
}

// A chain is a node's best chain, as a watcher asks for it.
type chain struct{ Source }

// Best implements [watch.Chain].
func (c chain) Best(ctx context.Context) (watch.Tip, error) {
	tip, err := c.Tip(ctx)
	return watch.Tip{Height: tip.Height, Hash: tip.Hash}, err
}

// Block implements [watch.Blockstore]. The body is what the header commits to; that the
// rest is valid is the node's word.
func (c chain) Block(ctx context.Context, tip watch.Tip) (*watch.Block, error) {
	raw, err := c.Source.Block(ctx, tip.Hash)
	if err != nil {
		return nil, err
	}
	b, err := blockval.Parse(raw)
	if err == nil {
		err = b.Intact()
	}
	if err != nil {
		return nil, fmt.Errorf("it came spoilt from the node: %w", err)
	}
	return watched(b, tip.Height), nil
}

// watched returns a block as a watcher takes it.
func watched(b *blockval.Block, height uint32) *watch.Block {
	return &watch.Block{
		Tip: watch.Tip{Height: height, Hash: b.Hash}, Prev: b.Header.Prev(),
		Txids: b.Txids, Txs: b.Msg.Transactions,
	}
}
