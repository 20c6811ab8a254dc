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
	epoch uint32
	tip   Tip
	// known holds what differs from the cache.
	known map[key]Answer
}

// Branch returns a view as of fork, which is the tip or a block below it. It
// returns an error that wraps ErrTooDeep when fork is below what the cache can
// undo, and ErrTip when it is not in the cache's chain.
func (c *Cache) Branch(fork Tip) (*Branch, error) {
	v := c.view.Load()
	tip, ok := v.tip()
	if !ok {
		return nil, fmt.Errorf("branch at %s: %w: at none", fork, ErrTip)
	}
	if floor := v.ring[0].tip; fork.Height < floor.Height {
		return nil, fmt.Errorf("branch at %s: %w: down to %s", fork, ErrTooDeep, floor)
	}
	above := tip.Height - fork.Height
	if fork.Height > tip.Height || v.ring[len(v.ring)-1-int(above)].tip != fork {
		return nil, fmt.Errorf("branch at %s: %w: at %s, another chain", fork, ErrTip, tip)
	}
	b := &Branch{cache: c, epoch: v.epoch, tip: fork, known: make(map[key]Answer)}
	for _, d := range slices.Backward(v.ring[len(v.ring)-int(above):]) {
		for i := range d.layer.entries {
			b.known[d.layer.entries[i].key] = d.before(i, v.complete)
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
	v, err := b.view()
	if err != nil {
		return fmt.Errorf("fetch %d coins of the branch at %s: %w", len(ops), b.tip, err)
	}
	var n tally
	answers = answers[:len(ops)]
	for i := range ops {
		k := keyOf(&ops[i])
		if a, ok := b.known[k]; ok {
			answers[i] = a
			continue
		}
		hash := v.hasher.of(&k)
		at := v.lookAt(&k, hash, &answers[i])
		n[at.tier]++
		if p := &b.cache.perf; p.observing && sampled(hash) {
			p.observe(v, hash, &answers[i], at)
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
	played, err := b.play(&block)
	if err != nil {
		return fmt.Errorf("apply block %s to the branch at %s: %w", block.Tip, b.tip, err)
	}
	l := played.delta.layer
	for i := range l.entries {
		b.known[l.entries[i].key] = l.answer(&l.entries[i])
	}
	b.tip = block.Tip
	return nil
}

// play returns what block changes, if it follows the branch's tip.
func (b *Branch) play(block *Block) (*connection, error) {
	v, err := b.view()
	if err != nil {
		return nil, err
	}
	if err := block.follows(b.tip); err != nil {
		return nil, err
	}
	return connect(block, func(k *key) found {
		if a, ok := b.known[*k]; ok {
			return found{Answer: a, where: where{ring: true}}
		}
		return v.look(k)
	})
}

// view returns what the cache knows now, unless its tip changed.
func (b *Branch) view() (*view, error) {
	v := b.cache.view.Load()
	if v.epoch != b.epoch {
		return nil, fmt.Errorf("%w than when the branch was made", ErrTip)
	}
	return v, nil
}
