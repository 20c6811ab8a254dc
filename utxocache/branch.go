package utxocache

import (
	"fmt"
	"slices"

	"github.com/btcsuite/btcd/wire/v2"
)

// A Branch is a view of the coins for blocks off the best chain: as of an
// ancestor of the tip, and of the blocks that were applied to the branch since.
// It changes nothing in its cache, and is good until the cache's tip changes.
// It is for one goroutine at a time.
type Branch struct {
	cache *Cache
	epoch uint64
	tip   Tip
	// known holds what differs from the cache; nil says Unknown.
	known map[wire.OutPoint]*record
}

// Branch returns a view as of fork, which is the tip or a block below it. It
// returns an error that wraps ErrTooDeep when fork is below what the cache can
// undo, and ErrTip when it is not in the cache's chain.
func (c *Cache) Branch(fork Tip) (*Branch, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	tip, ok := c.tip()
	if !ok {
		return nil, fmt.Errorf("branch at %s: %w: at none", fork, ErrTip)
	}
	if floor := c.ring[0].tip; fork.Height < floor.Height {
		return nil, fmt.Errorf("branch at %s: %w: down to %s", fork, ErrTooDeep, floor)
	}
	above := tip.Height - fork.Height
	if fork.Height > tip.Height || c.ring[len(c.ring)-1-int(above)].tip != fork {
		return nil, fmt.Errorf("branch at %s: %w: at %s, another chain", fork, ErrTip, tip)
	}
	b := &Branch{cache: c, epoch: c.epoch, tip: fork, known: make(map[wire.OutPoint]*record)}
	for _, d := range slices.Backward(c.ring[len(c.ring)-int(above):]) {
		for _, ch := range d.changes {
			b.known[ch.op()] = ch.before(d, c.complete())
		}
	}
	return b, nil
}

// Tip returns the block as of which the branch answers.
func (b *Branch) Tip() Tip { return b.tip }

// Fetch sets answers[i] to what is known of ops[i], for every i; answers must
// be as long as ops. It returns an error that wraps ErrTip, and leaves answers
// as they are, when the cache's tip changed since the branch was made.
func (b *Branch) Fetch(ops []wire.OutPoint, answers []Answer) error {
	b.cache.mu.RLock()
	defer b.cache.mu.RUnlock()
	if err := b.current(); err != nil {
		return fmt.Errorf("fetch %d coins of the branch at %s: %w", len(ops), b.tip, err)
	}
	var n tally
	answers = answers[:len(ops)]
	for i, op := range ops {
		if r, ok := b.known[op]; ok {
			answers[i] = r.answer()
		} else {
			answers[i] = b.cache.answer(op, &n)
		}
	}
	b.cache.perf.count(&n)
	return nil
}

// Apply makes block the branch's tip, as Cache.Apply would. An error changes
// nothing. It wraps ErrTip when block does not follow the branch's tip or the
// cache's tip changed since the branch was made, and ErrAbsent when it spends
// what is certainly Absent.
func (b *Branch) Apply(block Block) error {
	b.cache.mu.RLock()
	defer b.cache.mu.RUnlock()
	d, err := b.play(&block)
	if err != nil {
		return fmt.Errorf("apply block %s to the branch at %s: %w", block.Tip, b.tip, err)
	}
	for _, ch := range d.changes {
		b.known[ch.op()] = ch.now
	}
	b.tip = block.Tip
	return nil
}

// play returns what block changes, if it follows the branch's tip.
func (b *Branch) play(block *Block) (*delta, error) {
	if err := b.current(); err != nil {
		return nil, err
	}
	if err := block.follows(b.tip); err != nil {
		return nil, err
	}
	look := func(op wire.OutPoint) *record {
		if r, ok := b.known[op]; ok {
			return r
		}
		r, _ := b.cache.look(op)
		return r
	}
	return connect(block, look, b.cache.complete())
}

// current returns an error that wraps ErrTip if the cache's tip changed.
func (b *Branch) current() error {
	if b.epoch != b.cache.epoch {
		return fmt.Errorf("%w than when the branch was made", ErrTip)
	}
	return nil
}
