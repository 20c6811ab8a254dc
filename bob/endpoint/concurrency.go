package endpoint

import (
	"context"
	"fmt"
	"sync"
)

// A concurrency is how many exchanges the endpoints of a pool, and of those beside it, have
// open at once, each of them no more than its operator allows. It is safe for concurrent use.
type concurrency struct {
	mu    sync.Mutex // guards what follows, and orders changes of the places
	nodes []*node
	most  int64 // that an endpoint allows
	now   int64
}

// add adds endpoints. Until somebody sets it, each has open as many as it allows.
func (c *concurrency) add(nodes []*node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	untouched := c.now == c.most
	c.nodes = append(c.nodes, nodes...)
	for _, n := range nodes {
		c.most = max(c.most, int64(n.cfg.Calls))
	}
	if untouched {
		c.now = c.most
	}
	c.resize()
}

// resize has the endpoints open as many as was set. c.mu is held.
func (c *concurrency) resize() {
	for _, e := range c.nodes {
		e.places.Resize(min(int(c.now), e.cfg.Calls))
	}
}

// set sets how many exchanges an endpoint has open at once; one that allows fewer has as
// many as it allows. None that is open ends by it.
func (c *concurrency) set(_ context.Context, n int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n < 1 || n > c.most {
		return fmt.Errorf("%d exchanges cannot be open at once: an endpoint allows 1 to %d", n, c.most)
	}
	c.now = n
	c.resize()
	return nil
}

// get returns what was set.
func (c *concurrency) get() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// ladder returns the values that it can be set to: powers of two, and the most.
func (c *concurrency) ladder() []int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	var values []int64
	for n := int64(1); n < c.most; n *= 2 {
		values = append(values, n)
	}
	return append(values, c.most)
}
