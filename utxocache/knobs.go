package utxocache

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/outrider-project/outrider/perfcore"
)

// refill is how long the values before show in what the cache holds: about as long
// as it takes for the blocks of a day to go through the ring, and for what was
// forgotten to be asked for.
const refill = 24 * time.Hour

// Knobs returns what may be tried at other values. No answer becomes wrong by
// them: a smaller ring makes reorganisations deeper than it ErrTooDeep, and less
// memory makes answers Unknown. A cache with a budget has a knob for that and one for
// the ring's share of it, one without has a knob for each part.
func (c *Cache) Knobs() []perfcore.Knob {
	c.mu.Lock()
	blocks, first, budgeted := int64(c.blocks), c.older.first, c.budget.bytes > 0
	c.mu.Unlock()
	ladder := make([]int64, 0, 8)
	for n := max(first/16, 1); n < growth*first; n *= 2 {
		ladder = append(ladder, n)
	}
	ladder = perfcore.Ladder(ladder, first, growth*first)
	if budgeted {
		return []perfcore.Knob{{
			Name: "utxocache.budget", Help: "Memory for all coins: what recent blocks changed, and older coins.", Unit: "bytes",
			Scope: perfcore.Live, Carry: perfcore.Stateful, Settle: refill, Fills: true, Ladder: ladder,
			Apply: func(_ context.Context, n int64) error { return c.tryBudget(n) },
			Read:  c.budgetNow,
		}, {
			Name: "utxocache.ring", Help: "The share of it that recent blocks may have, beyond those that a reorganisation may need.", Unit: "percent",
			Scope: perfcore.Live, Resource: perfcore.Cache, Carry: perfcore.Stateful, Settle: refill,
			Ladder: perfcore.Ladder([]int64{5, 10, 15, ringShare, 35, 50}, c.ring()),
			Apply:  func(_ context.Context, n int64) error { return c.setRing(n) },
			Read:   c.ring,
		}}
	}
	return []perfcore.Knob{
		{
			Name: "utxocache.blocks", Help: "How many blocks the ring of exact answers holds.", Unit: "blocks",
			Scope: perfcore.Live, Carry: perfcore.Stateful, Settle: refill, Fills: true,
			Ladder: perfcore.Ladder([]int64{36, 72, 144, 288, 576, MaxBlocks}, blocks),
			Apply:  func(_ context.Context, n int64) error { return c.setBlocks(int(n)) },
			Read:   func() int64 { n, _ := c.sizes(); return n },
		},
		{
			Name: "utxocache.bytes", Help: "Memory for coins that are older than the ring.", Unit: "bytes",
			Scope: perfcore.Live, Carry: perfcore.Stateful, Settle: refill, Fills: true, Ladder: ladder,
			Apply: func(_ context.Context, n int64) error { return c.setBytes(n) },
			Read:  func() int64 { _, n := c.sizes(); return n },
		},
	}
}

func (c *Cache) budgetNow() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.budget.bytes
}

// tryBudget sets the budget; when that fails, it is as it was.
func (c *Cache) tryBudget(n int64) error {
	was := c.budgetNow()
	err := c.SetBudget(n)
	if err != nil {
		err = errors.Join(err, c.SetBudget(was))
	}
	return err
}

func (c *Cache) sizes() (blocks, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int64(c.blocks), c.older.budget
}

// setBlocks sets how many blocks the ring may hold. What is below them leaves
// it before setBlocks returns.
func (c *Cache) setBlocks(n int) error {
	if n < 1 || n > MaxBlocks {
		return fmt.Errorf("utxocache: the ring cannot hold %d blocks", n)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.blocks = n
	next := c.view.Load().next()
	if len(next.ring)-1 > n {
		c.raiseFloor(next)
		next.recent = next.recent.with(new(addition), allShards, next.layers)
		c.publish(next, noShard)
	}
	return nil
}

// setBytes sets what the coins below the ring may take. What exceeds it is gone
// before setBytes returns, but for what readers still use.
func (c *Cache) setBytes(n int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if most := growth * c.older.first; n < 1 || n > most {
		return fmt.Errorf("utxocache: %d bytes are more than %d, or too few", n, most)
	}
	c.older.resize(n)
	if next := *c.view.Load(); len(next.ring) > 0 {
		c.older.shrink()
		c.publish(&next, allShards)
	}
	return nil
}
