package coindb

import (
	"errors"
	"fmt"
	"time"

	"github.com/btcsuite/btcd/wire/v2"
	"github.com/cockroachdb/pebble/v2"
)

// A Past is the coins as of a block below the tip of a View, which it is good as
// long as. It holds what the blocks above changed, some 0.7 MB for one of 8,000
// inputs. Its methods are safe for concurrent use.
type Past struct {
	view *View
	tip  Tip
	// before holds what the blocks above changed: the value that there was
	// before them; nil where there was none.
	before map[wire.OutPoint][]byte
}

// Past returns the coins as of tip, which is the view's or one below it. It
// returns an error that wraps ErrTooDeep when the blocks above it cannot be
// undone, and ErrTip when it is not in the view's chain.
func (v *View) Past(tip Tip) (*Past, error) {
	p := &Past{view: v, tip: v.Tip(), before: make(map[wire.OutPoint][]byte)}
	for p.tip.Height > tip.Height {
		if err := p.stepBack(); err != nil {
			return nil, fmt.Errorf("coins as of %s: %w", tip, err)
		}
	}
	if p.tip != tip {
		return nil, fmt.Errorf("coins as of %s: %w: at %s", tip, ErrTip, v.Tip())
	}
	return p, nil
}

// stepBack undoes the block at p's tip.
func (p *Past) stepBack() error {
	db := p.view.db
	err := db.get(p.view.snap, undoKey(p.tip.Height), func(value []byte) error {
		u, err := decodeUndo(append([]byte(nil), value...)) // its parts are kept
		if err != nil {
			return fmt.Errorf("%w: undo record of height %d: %w", ErrCorrupt, p.tip.Height, err)
		}
		if u.hash != p.tip.Hash {
			return fmt.Errorf("%w: the undo record of height %d is of block %s", ErrCorrupt, p.tip.Height, u.hash)
		}
		for _, c := range u.created {
			p.before[c.op] = nil
		}
		for _, c := range u.restored {
			p.before[c.op] = c.value
		}
		p.tip = Tip{u.prev, p.tip.Height - 1}
		return nil
	})
	if errors.Is(err, pebble.ErrNotFound) {
		return ErrTooDeep
	}
	return err
}

// Tip returns the block as of which p answers.
func (p *Past) Tip() Tip { return p.tip }

// GetBatch sets answers[i] to what there was of ops[i], for every i; answers must
// be as long as ops.
func (p *Past) GetBatch(ops []wire.OutPoint, answers []Answer) error {
	start := time.Now()
	answers = answers[:len(ops)]
	if err := p.view.lookUp(ops, answers); err != nil {
		return fmt.Errorf("%d coins as of %s: %w", len(ops), p.tip, err)
	}
	for i, op := range ops {
		value, ok := p.before[op]
		if !ok {
			continue
		}
		answers[i] = Answer{Found: value != nil}
		if value == nil {
			continue
		}
		if err := decodeCoin(&answers[i].Coin, value); err != nil {
			return fmt.Errorf("%w: undo record, coin %s: %w", ErrCorrupt, op, err)
		}
	}
	p.view.db.perf.batch.Since(start)
	return nil
}
