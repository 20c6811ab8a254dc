package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
)

// followChain brings the events to the node's best block. It reports whether
// it gave any.
func (f *follower) followChain(ctx context.Context) (moved bool, err error) {
	if err := f.resume(ctx); err != nil {
		return false, err
	}
	for {
		best, err := f.node.Tip(ctx)
		if err != nil {
			return moved, fmt.Errorf("ask for the tip: %w", err)
		}
		f.update(func(s *FeedStatus) { s.Best = best })
		if f.started && best == f.tip {
			return moved, nil
		}
		there, err := f.followHeaders(ctx, best)
		if err != nil || !there {
			return moved, err
		}
		if err := f.start(ctx, best); err != nil {
			return moved, err
		}
		moved = true
		if err := f.connect(ctx, best.Height); err != nil {
			return moved, err
		}
	}
}

// followHeaders makes best the tip of the verified header chain. When that
// leaves blocks that were given as connected, it disconnects them first. It
// returns false when the node's chain breaks a rule for headers.
func (f *follower) followHeaders(ctx context.Context, best Tip) (bool, error) {
	for {
		has, err := f.headers.Has(best)
		if err != nil {
			return false, fatal(err)
		}
		fork, branch := best.Height, []header.Header(nil)
		if !has {
			if fork, branch, err = f.fetchBranch(ctx); err != nil {
				return false, err
			}
			if valid, err := f.headers.Verify(fork, branch); err != nil {
				return false, f.refuse(ctx, fork, branch, valid, err)
			}
		}
		f.diverged = header.RuleError{}
		if err := f.disconnect(ctx, fork); err != nil {
			return false, err
		}
		if err := f.headers.replace(fork, branch); err != nil {
			return false, fatal(err)
		}
		f.update(func(s *FeedStatus) { s.Headers = f.headers.Tip() })
		if has {
			return true, nil
		}
	}
}

// fetchBranch returns the next headers of the node's best chain that the
// header chain does not have, and the height of the block that they follow.
func (f *follower) fetchBranch(ctx context.Context) (fork uint32, branch []header.Header, err error) {
	locator, heights, err := f.headers.locator()
	if err != nil {
		return 0, nil, fatal(err)
	}
	for {
		got, err := f.node.Headers(ctx, locator)
		if err != nil {
			return 0, nil, fmt.Errorf("ask for headers: %w", err)
		}
		if len(got) == 0 {
			return 0, nil, errors.New("ask for headers: the node has none after the last common block, though its tip is another")
		}
		fork, ok := heights[got[0].Prev()]
		if !ok {
			return 0, nil, errors.New("ask for headers: the answer does not follow the locator")
		}
		for i := range got {
			ours, err := f.headers.At(fork + 1)
			if fork+1 > f.headers.Tip().Height || (err == nil && ours != got[i]) {
				return fork, got[i:], nil
			}
			if err != nil {
				return 0, nil, fatal(err)
			}
			fork++
		}
		// All of them are known: the fork is further on.
		last := got[len(got)-1].Hash()
		locator, heights = []chainhash.Hash{last}, map[chainhash.Hash]uint32{last: fork}
	}
}

// refuse deals with a branch after fork of which Verify refused the header at
// index bad with err. It raises the alarm only when the node says the same
// again: the answer may have been spoilt on the way. A time in the future is no
// alarm at all: it may be this machine's clock that is wrong, and the time
// comes.
func (f *follower) refuse(ctx context.Context, fork uint32, branch []header.Header, bad int, err error) error {
	broken, ok := errors.AsType[*header.RuleError](err)
	switch {
	case !ok:
		return fatal(err)
	case broken.Rule == header.TimeTooNew:
		return fmt.Errorf("a block of the node's is in the future by this machine's clock: %w", err)
	}
	againFork, again, err := f.fetchBranch(ctx)
	switch {
	case err != nil:
		return err
	case againFork != fork || !slices.Equal(again, branch):
		return fmt.Errorf("the node's headers break a rule (%w), but it gave others when asked again", broken)
	case *broken == f.diverged:
		return nil
	}
	f.diverged = *broken
	hash, err := f.headers.Hash(fork)
	if err != nil {
		return fatal(err)
	}
	return f.emit(ctx, Diverged{
		Fork: Tip{hash, fork}, Bad: Tip{branch[bad].Hash(), fork + 1 + uint32(bad)},
		Headers: slices.Clone(branch[:bad+1]), Err: broken,
	})
}

// resume gives the Started event at once when the stored tip is in the header
// chain. It is, unless that file was lost: followHeaders keeps blocks there
// until they are disconnected.
func (f *follower) resume(ctx context.Context) error {
	if f.started || f.stored == nil {
		return nil
	}
	has, err := f.headers.Has(*f.stored)
	if err != nil || !has {
		return fatal(err)
	}
	return f.startAt(ctx, *f.stored)
}

// start gives the Started event, once, when the header chain has reached the
// node's best block.
func (f *follower) start(ctx context.Context, best Tip) error {
	if err := f.resume(ctx); err != nil || f.started {
		return err
	}
	height := best.Height - min(f.opt.Depth, best.Height)
	if f.opt.Start != nil {
		height = min(max(*f.opt.Start, 1)-1, best.Height)
	}
	if f.stored != nil {
		f.log.Warn("the stored tip is in no chain that is known here; starting anew",
			"stored", f.stored.Hash, "stored_height", f.stored.Height, "start", height+1)
	}
	hash, err := f.headers.Hash(height)
	if err != nil {
		return fatal(err)
	}
	return f.startAt(ctx, Tip{hash, height})
}

func (f *follower) startAt(ctx context.Context, tip Tip) error {
	f.tip, f.started = tip, true
	f.update(func(s *FeedStatus) { s.Tip = tip })
	return f.emit(ctx, Started{tip})
}

// disconnect gives a Disconnected event for every block above fork, tip first.
func (f *follower) disconnect(ctx context.Context, fork uint32) error {
	for f.started && f.tip.Height > fork {
		hdr, err := f.headers.At(f.tip.Height)
		if err != nil {
			return fatal(err)
		}
		if err := f.emit(ctx, Disconnected{f.tip}); err != nil {
			return err
		}
		f.metrics.disconnected.Add(1)
		f.mined.pop()
		f.tip = Tip{hdr.Prev(), f.tip.Height - 1}
		f.update(func(s *FeedStatus) { s.Tip, s.Disconnected = f.tip, s.Disconnected+1 })
	}
	return nil
}

// connect gives a Connected event for every block of the header chain from
// above the tip to height to.
func (f *follower) connect(ctx context.Context, to uint32) error {
	if f.tip.Height >= to {
		return nil
	}
	catchUp := to > f.tip.Height+1
	blocks := f.prefetch(ctx, f.tip.Height+1, to)
	defer blocks.stop()
	for f.tip.Height < to {
		height := f.tip.Height + 1
		b, err := blocks.next(ctx)
		if err != nil {
			return fmt.Errorf("fetch block %d: %w", height, err)
		}
		seen, ok := f.seen[b.header.Hash()]
		if !ok {
			seen = b.asked
		}
		delete(f.seen, b.header.Hash())
		if _, err := f.connectBlock(ctx, b, seen, catchUp); err != nil {
			return err
		}
	}
	return nil
}

// connectBlock gives the Connected event of b, which follows the tip and is in
// the header chain. It returns how many transactions left the mempool with it.
func (f *follower) connectBlock(ctx context.Context, b fetched, seen time.Time, catchUp bool) (mined int, err error) {
	tip := Tip{b.header.Hash(), f.tip.Height + 1}
	ev := Connected{Tip: tip, Header: b.header, Raw: b.raw, Block: b.block, Seen: seen, CatchUp: catchUp}
	if err := f.emit(ctx, ev); err != nil {
		return 0, err
	}
	f.metrics.connected.Add(1)
	f.tip = tip
	mined = f.mine(b.block)
	f.update(func(s *FeedStatus) { s.Tip, s.Mempool = tip, len(f.pool) })
	return mined, nil
}
