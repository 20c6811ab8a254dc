package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/utxocache/coindb"
)

// A getFigure is get/block8000/pebble: a block's coins, asked for at once.
type getFigure struct {
	set          coinSet
	db           *coindb.DB
	level        *levelCoins
	ours, theirs []float64
}

func (f *getFigure) measure(_ context.Context, round int) error {
	indices := f.set.asked(round)
	ops := make([]wire.OutPoint, len(indices))
	for i, index := range indices {
		ops[i] = f.set.outPoint(index)
	}
	answers := make([]coindb.Answer, len(ops))
	took, err := inTurns(round, func() (err error) {
		view, err := f.db.View()
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, view.Close()) }()
		return view.GetBatch(ops, answers)
	}, func() error {
		_, _, err := f.level.get(ops)
		return err
	})
	if err != nil {
		return err
	}
	for i, a := range answers {
		if want := f.set.coin(indices[i]); !a.Found || a.Coin.Value != want.Value || a.Coin.Height != want.Height {
			return fmt.Errorf("the coin of %s is %+v, not %+v", ops[i], a, want)
		}
	}
	f.ours, f.theirs = append(f.ours, milliseconds(took[0])), append(f.theirs, milliseconds(took[1]))
	return nil
}

func (f *getFigure) rows() []Row {
	return []Row{lessIsBetter("get/block8000/pebble", median(f.ours), "ms", "goleveldb", median(f.theirs))}
}

// An applyFigure is apply/block, a block whose spent coins are known from its
// validation, until it is on the disk; or else apply/block/read, one of whose coins
// nothing is known.
type applyFigure struct {
	set          coinSet
	db           *coindb.DB
	level        *levelCoins
	known        bool
	first        int // of the set's blocks
	ours, theirs []float64
}

func (f *applyFigure) measure(_ context.Context, round int) error {
	tip, err := f.db.Tip()
	if err != nil {
		return err
	}
	b := f.set.block(f.first+round, tip)
	if !f.known {
		b.Known = nil
	}
	took, err := inTurns(round, func() error { return f.db.Apply(b) }, func() error { return f.level.apply(b) })
	if err != nil {
		return err
	}
	f.ours, f.theirs = append(f.ours, milliseconds(took[0])), append(f.theirs, milliseconds(took[1]))
	return nil
}

func (f *applyFigure) rows() []Row {
	name := "apply/block"
	if !f.known {
		name += "/read"
	}
	return []Row{lessIsBetter(name, median(f.ours), "ms", "goleveldb", median(f.theirs))}
}
