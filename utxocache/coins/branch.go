package coins

import (
	"errors"
	"fmt"
	"time"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/utxocache"
	"github.com/outrider-project/outrider/utxocache/coindb"
)

// A Branch is the coins for blocks off the best chain: as of an ancestor of the
// tip, and of the blocks that were applied to the branch since. It changes
// nothing, and is good until the tip changes. It is for one goroutine at a time.
type Branch struct {
	*utxocache.Branch
	set *Set
	// view and past are the database's coins as of the fork; nil without one.
	view *coindb.View
	past *coindb.Past
}

// Branch returns the coins as of fork, which is the tip or a block below it. Close
// must be called. It returns an error that wraps utxocache.ErrTooDeep or
// coindb.ErrTooDeep when fork is below what can be undone, utxocache.ErrTip when
// it is not in the chain, or ErrApart.
func (s *Set) Branch(fork utxocache.Tip) (*Branch, error) {
	for try := 1; ; try++ {
		b, err := s.branch(fork)
		if !errors.Is(err, ErrApart) || try == s.meetings {
			return b, err
		}
		time.Sleep(time.Millisecond)
	}
}

func (s *Set) branch(fork utxocache.Tip) (*Branch, error) {
	base, err := s.cache.Branch(fork)
	if err != nil {
		return nil, err
	}
	b := &Branch{Branch: base, set: s}
	db := s.db.Load()
	if db == nil || s.cache.Complete() {
		return b, nil
	}
	if b.view, err = db.View(); err != nil {
		return nil, fmt.Errorf("branch at %s: %w", fork, err)
	}
	if b.view.Tip().Height < fork.Height {
		err = fmt.Errorf("branch at %s: %w: the database is at %s", fork, ErrApart, b.view.Tip())
	} else if b.past, err = b.view.Past(coindb.Tip(fork)); errors.Is(err, coindb.ErrTip) {
		err = fmt.Errorf("branch at %s: %w: %w", fork, ErrApart, err)
	}
	if err != nil {
		return nil, errors.Join(err, b.view.Close())
	}
	return b, nil
}

// Fetch sets answers[i] to what is known of ops[i], for every i; answers must be
// as long as ops. It returns an error that wraps utxocache.ErrTip, and leaves
// answers as they are, when the tip changed since the branch was made.
func (b *Branch) Fetch(ops []wire.OutPoint, answers []utxocache.Answer) error {
	if err := b.Branch.Fetch(ops, answers); err != nil || b.past == nil {
		return err
	}
	ask, places := unknown(ops, answers)
	if len(ask) == 0 {
		return nil
	}
	return b.set.read(b.past.GetBatch, b.view.Complete(), ask, places, answers)
}

// Close ends the branch.
func (b *Branch) Close() error {
	if b.view == nil {
		return nil
	}
	return b.view.Close()
}
