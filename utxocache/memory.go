package utxocache

import "fmt"

// Memory is what a cache takes, in bytes, as accounted: what its own view refers
// to, and not what readers of older views still do, nor what the garbage collector
// has not freed yet.
type Memory struct {
	// Ring is of the blocks of the ring: what they changed, and what undoes them.
	Ring int64
	// Pages is of the coins below the ring, with what ristretto takes.
	Pages int64
	// Index is of the tables that find both.
	Index int64
}

// Total returns the sum.
func (m Memory) Total() int64 { return m.Ring + m.Pages + m.Index }

// Memory returns what the cache takes as of now. It waits for nobody.
func (c *Cache) Memory() Memory { return c.view.Load().memory }

// measure returns what v takes, with pages that ristretto and older account for.
func (v *view) measure(o *older) Memory {
	m := Memory{
		Pages: o.bytes - o.indexed,
		Index: v.recent.bytes() + v.old.bytes() + 8*int64(cap(v.layers)+cap(v.ring)+cap(v.pages)),
	}
	for _, d := range v.ring {
		m.Ring += d.bytes()
	}
	return m
}

const (
	// ringShare is the share of a budget, in per cent, that the ring may have at first
	// beyond its least number of blocks. For the same memory, less coins are found in
	// the ring than below it: it holds what was spent, too, and how to undo it.
	ringShare = 25
	// A sparePart of a budget and a spareBlock are left for what is not accounted
	// for: what a change makes beside the view that is read, the garbage collector's
	// own, and memory that it has not freed. TestResidentMemory measures it. No more
	// is left than a mostSpare.
	sparePart  = 16
	spareBlock = 8 << 20
	mostSpare  = 4
)

// A budget is how much memory a cache may take in all.
type budget struct {
	bytes int64 // 0 where the ring and the pages have a bound each
	least int   // blocks of the ring that no memory is saved by
	ring  int64 // per cent that more blocks of the ring may have
}

// Accounted returns how many bytes of a budget Memory accounts for at most; what is
// left of it is for what else that takes.
func Accounted(budget int64) int64 {
	return budget - min(budget/sparePart+spareBlock, budget/mostSpare)
}

// total returns what Memory may account for.
func (b *budget) total() int64 { return Accounted(b.bytes) }

// fullRing reports whether n blocks that take bytes are more than the ring may have.
func (b *budget) fullRing(n int, bytes int64) bool {
	return b.bytes > 0 && n > b.least && bytes > b.bytes/100*b.ring
}

// room returns what a budget leaves for pages beside v's ring.
func (b *budget) room(v *view, o *older) int64 {
	m := v.measure(o)
	others := m.Ring + m.Index - min(v.old.bytes(), o.indexed)
	return max(b.total()-others, 1)
}

// bytesInRing returns what a block of the ring takes, with its share of the index.
func (d *delta) bytesInRing() int64 {
	n := 0
	for _, l := range []*layer{d.layer, d.carried} {
		if l != nil {
			n += len(l.entries)
		}
	}
	return d.bytes() + int64(n)*indexBytes
}

// SetBudget sets what the cache may take in all, up to 4 times Options.Budget,
// without which it fails. What exceeds the budget is gone before SetBudget returns,
// but for what readers still use: the oldest blocks of the ring first, where they take
// more than their share of it, a quarter at first, then pages. It returns an error when the least number of
// blocks alone exceeds the budget; then no coins are left below them.
//
// From then on each change makes room for itself. What Memory accounts for stays below
// the budget by what else that takes, as Accounted says: a sixteenth and 8 MiB, though a
// quarter at most.
// See MemoryLimit for what the process takes.
func (c *Cache) SetBudget(bytes int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if most := growth * c.older.first; c.budget.bytes == 0 || bytes < 1 || bytes > most {
		return fmt.Errorf("utxocache: a budget of %d bytes, where it was %d, and may be %d", bytes, c.budget.bytes, most)
	}
	c.budget.bytes = bytes
	return c.fit()
}

// setRing sets the share of the budget, in per cent, that the ring may have beyond its
// least number of blocks. What exceeds it leaves the ring before setRing returns.
func (c *Cache) setRing(percent int64) error {
	if percent < 1 || percent > 100 {
		return fmt.Errorf("utxocache: the ring cannot have %d per cent", percent)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.budget.ring
	c.budget.ring = percent
	err := c.fit()
	if err != nil {
		c.budget.ring = was
	}
	return err
}

func (c *Cache) ring() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.budget.ring
}

// fit makes what is held fit the budget. c.mu is held.
func (c *Cache) fit() error {
	bytes := c.budget.bytes
	if len(c.view.Load().ring) == 0 {
		c.older.resize(bytes)
		return nil
	}
	// The pages learn of what the index gave back in the next turn.
	var total int64
	for range 3 {
		next := c.view.Load().next()
		c.raiseFloor(next)
		next.recent = next.recent.with(new(addition), allShards, next.layers)
		c.publish(next, allShards)
		if total = next.memory.Total(); total <= c.budget.total() {
			return nil
		}
	}
	if total > bytes {
		return fmt.Errorf("utxocache: %d blocks alone take %d bytes; the budget is %d", c.budget.least, total, bytes)
	}
	return nil
}

// MemoryLimit returns the memory limit of the Go runtime (GOMEMLIMIT,
// debug.SetMemoryLimit) with which a process takes at most the budget and five per
// cent of it more than it would without a cache: for budgets of 256 MiB and more, if
// the garbage collector gets the processor time that it needs. rest is what all else
// in the process takes, as the limit counts it: the metric /memory/classes/total
// without /memory/classes/heap/released. Without the limit a process takes nearly twice
// the budget, with GOGC as it is by default.
func MemoryLimit(rest, budget int64) int64 { return rest + budget }
