package node

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/perfcore"
)

// A prefetch fetches and decodes blocks ahead of the handler, in parallel, and
// gives them in order.
type prefetch struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
	// queue holds a place for every block under way, in order, each of which has a
	// turn of ahead.
	queue chan chan fetched
	ahead *perfcore.Semaphore
}

// fetched is a block as it came from the node.
type fetched struct {
	header header.Header
	raw    []byte
	block  *blockval.Block // nil when raw is no block
	asked  time.Time
	err    error
}

// prefetch begins to fetch the header chain's blocks from height from to to.
func (f *follower) prefetch(ctx context.Context, from, to uint32) *prefetch {
	ctx, cancel := context.WithCancel(ctx)
	p := &prefetch{cancel: cancel, queue: make(chan chan fetched, maxAhead), ahead: f.ahead}
	p.wg.Go(func() {
		defer close(p.queue)
		for height := from; height <= to; height++ {
			if p.ahead.Acquire(ctx) != nil {
				return
			}
			place := make(chan fetched, 1)
			p.queue <- place // has room for all
			p.wg.Go(func() {
				b := f.fetch(ctx, height)
				if b.block != nil && f.opt.Fetched != nil && height > from { // the first one's turn is now
					f.opt.Fetched(ctx, b.block)
				}
				place <- b
			})
		}
	})
	return p
}

// next returns the next block.
func (p *prefetch) next(ctx context.Context) (fetched, error) {
	select {
	case place, ok := <-p.queue:
		if !ok {
			return fetched{}, context.Canceled
		}
		b := <-place
		p.ahead.Release()
		return b, b.err
	case <-ctx.Done():
		return fetched{}, ctx.Err()
	}
}

// stop ends what is under way and waits for it.
func (p *prefetch) stop() {
	p.cancel()
	p.wg.Wait()
	for range p.queue { // closed
		p.ahead.Release()
	}
}

// fetchTries is how often a block is asked for that comes spoilt, and another
// way each time.
const fetchTries = 4

// fetch gets the header chain's block at height.
func (f *Feed) fetch(ctx context.Context, height uint32) fetched {
	hash, err := f.headers.Hash(height)
	if err != nil {
		return fetched{err: fatal(err)}
	}
	return f.fetchBlock(ctx, hash)
}

// fetchBlock gets one block. A body that is not what the header commits to is
// believed only when it comes twice the same: it may have been spoilt on the
// way.
func (f *Feed) fetchBlock(ctx context.Context, hash chainhash.Hash) fetched {
	b := fetched{asked: time.Now()}
	defer f.metrics.fetch.Since(b.asked)
	for range fetchTries {
		raw, err := f.node.Block(ctx, hash)
		if err != nil {
			b.err = err
			return b
		}
		confirmed := bytes.Equal(raw, b.raw)
		b.raw, b.header = raw, header.Header(raw[:header.Size])
		block, err := blockval.Parse(raw)
		if err == nil {
			b.block = block
		}
		if confirmed || err == nil && block.Intact() == nil {
			return b
		}
		b.block = nil
	}
	b.err = errors.New("the block comes spoilt, and another way each time")
	return b
}
