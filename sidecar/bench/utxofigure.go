package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/utxocache/coindb"
)

// A getFigure is get/block8000/pebble, a block's coins, asked for at once; or else
// get/one/pebble, as many, one after the other.
type getFigure struct {
	set          coinSet
	db           *coindb.DB
	level        *levelCoins
	single       bool
	ours, theirs []float64
}

func (f *getFigure) measure(_ context.Context, round int) error {
	indices := f.set.asked(round)
	ops := make([]wire.OutPoint, len(indices))
	for i, index := range indices {
		ops[i] = f.set.outPoint(index)
	}
	answers := make([]coindb.Answer, len(ops))
	ours := func() error { return f.look(ops, answers) }
	theirs := func() error {
		_, _, err := f.level.get(ops)
		return err
	}
	if f.single {
		ours = func() (err error) {
			for i := 0; i < len(ops) && err == nil; i++ {
				err = f.look(ops[i:i+1], answers[i:i+1])
			}
			return err
		}
		theirs = func() (err error) {
			for i := 0; i < len(ops) && err == nil; i++ {
				_, _, err = f.level.one(ops[i])
			}
			return err
		}
	}
	took, err := inTurns(round, ours, theirs)
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

// look asks for coins, as of one tip.
func (f *getFigure) look(ops []wire.OutPoint, answers []coindb.Answer) (err error) {
	view, err := f.db.View()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, view.Close()) }()
	return view.GetBatch(ops, answers)
}

func (f *getFigure) rows() []Row {
	if f.single {
		const each = 1000. / blockSpends // microseconds of a coin, where all take milliseconds
		return []Row{lessIsBetter("get/one/pebble", each*median(f.ours), "µs", "goleveldb", each*median(f.theirs))}
	}
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
