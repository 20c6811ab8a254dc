package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/outrider-project/outrider/blockval"
)

// spentByIndex asks for the transactions that made the wanted coins, by the
// transaction index. What they cost does not depend on the block: for a few
// coins of it this is the cheapest of bitcoind's calls.
func (b *Bitcoind) spentByIndex(ctx context.Context, s *spending) ([]Prevout, error) {
	found, err := b.prevouts(ctx, s.wanted())
	for _, kind := range []error{ErrNoPrevouts, ErrForbidden} {
		if errors.Is(err, kind) {
			return nil, &unusableError{innermost(err, kind)}
		}
	}
	if err != nil {
		return nil, err
	}
	coins := s.nothing()
	for i, place := range s.want {
		coins[place] = found[i]
	}
	return coins, nil
}

// innermost returns the last error of the chain that err wraps which is not kind
// itself but says why it is: without the transaction that was asked for.
func innermost(err, kind error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil || inner == kind || !errors.Is(inner, kind) {
			return err
		}
		err = inner
	}
}

// Spent implements Spender.
func (b *Bitcoind) Spent(ctx context.Context, block Tip, body *blockval.Block, want []int) ([]Prevout, error) {
	s, err := newSpending(block, body, want)
	if err == nil {
		var coins []Prevout
		if coins, err = b.spent.read(ctx, s); err == nil {
			return coins, nil
		}
	}
	return nil, fmt.Errorf("bitcoind: %w", err)
}

// newSpentSources returns a node's sources of spent coins, in the order in which
// they are asked before they are measured.
func (b *Bitcoind) newSpentSources() *spentSources {
	var sources []*spentSource
	if b.cfg.BlocksDir != "" {
		undo := &undoFiles{dir: b.cfg.BlocksDir, network: b.Network}
		sources = append(sources, &spentSource{name: "undo", read: undo.spent})
	}
	sources = append(sources,
		&spentSource{name: "getblock", read: b.spentByBlock},
		&spentSource{name: "txindex", single: true, read: b.spentByIndex})
	return newSpentSources(b.cfg.Recorder, b.cfg.Log, sources...)
}
