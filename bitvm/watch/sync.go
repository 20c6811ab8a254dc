package watch

import (
	"context"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// A Chain is a node's best chain, as the node tells of it at each call.
type Chain interface {
	// Best returns the chain's tip.
	Best(ctx context.Context) (Tip, error)
	// BlockHash returns the hash of the chain's block at a height that it has.
	BlockHash(ctx context.Context, height uint32) (chainhash.Hash, error)
	Blockstore
}

// Sync brings every instance to the tip of the chain: it takes back what left it, down to
// the fork, and then connects block after block, each fetched once for all instances. It
// returns when all are at the tip, or with why they cannot be: an instance that lacks
// blocks is incomplete and says so in its status. Only an error that wraps
// [ErrJournal] ends the watcher; with any other it may be called again.
func (w *Watcher) Sync(ctx context.Context, chain Chain) error {
	const rounds = 100 // of reorganisations meanwhile
	for range rounds {
		best, err := chain.Best(ctx)
		if err == nil {
			err = w.fork(ctx, chain, best)
		}
		if err == nil {
			err = w.climb(ctx, chain, best)
		}
		switch {
		case err == nil:
			return w.judge(ctx, nil, chain)
		case errors.Is(err, errMoved):
			continue
		}
		w.note(err)
		return err
	}
	return errors.New("watch: the node's chain changes faster than it can be followed")
}

// ErrJournal says that a journal could not be written.
var ErrJournal = errors.New("watch: a journal failed")

// errMoved says that the chain changed while it was looked at.
var errMoved = errors.New("the chain changed")

// note says of every instance that is not at the tip why.
func (w *Watcher) note(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.tracks {
		t.behind = fmt.Sprintf("it has seen blocks up to %d only: %v", t.tip.Height, err)
	}
}

// fork takes every instance back to a block of the chain.
func (w *Watcher) fork(ctx context.Context, chain Chain, best Tip) error {
	for i := 0; ; i++ {
		w.mu.Lock()
		if i >= len(w.tracks) || w.failed != nil {
			w.mu.Unlock()
			return w.failed
		}
		t := w.tracks[i]
		anchors := t.anchors()
		w.mu.Unlock()
		to := Tip{}
		for _, a := range anchors {
			if a.Height > best.Height {
				continue
			}
			hash, err := chain.BlockHash(ctx, a.Height)
			if err != nil {
				return err
			}
			if hash == a.Hash {
				to = a
				break
			}
		}
		if len(anchors) == 0 || to == anchors[0] {
			continue
		}
		w.mu.Lock()
		t.behind = fmt.Sprintf("its blocks from %d on left the chain", to.Height+1)
		events, err := w.retreat(t, to)
		w.mu.Unlock()
		if err != nil {
			return err
		}
		w.publish(events)
	}
}

// anchors returns the blocks that are known of the chain that was followed, from the tip
// down: the last ones, and below them those in which something was seen.
func (t *track) anchors() []Tip {
	var all []Tip
	for i := len(t.recent) - 1; i >= 0; i-- {
		all = append(all, t.recent[i])
	}
	for i := len(t.sightings) - 1; i >= 0 && len(all) > 0; i-- {
		if b := t.sightings[i].Block; b.Height < all[len(all)-1].Height {
			all = append(all, b)
		}
	}
	return all
}

// climb connects the blocks up to best.
func (w *Watcher) climb(ctx context.Context, chain Chain, best Tip) error {
	for {
		low, ok := w.lowest(best)
		if !ok {
			return nil
		}
		hash := best.Hash
		if low+1 < best.Height {
			var err error
			if hash, err = chain.BlockHash(ctx, low+1); err != nil {
				return err
			}
		}
		b, err := chain.Block(ctx, Tip{low + 1, hash})
		if err != nil {
			return fmt.Errorf("block %d: %w", low+1, err)
		}
		if b.Tip != (Tip{low + 1, hash}) {
			return fmt.Errorf("watch: block %s at height %d was asked for, and another came", hash, low+1)
		}
		if err := b.check(); err != nil {
			return err
		}
		if !w.follows(b) {
			return errMoved
		}
		if err := w.connect(ctx, b, false, chain); err != nil {
			return err
		}
	}
}

// lowest returns the height of the instance that is farthest behind best, and marks those
// that are there as complete.
func (w *Watcher) lowest(best Tip) (low uint32, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.tracks {
		switch {
		case t.tip.Height >= best.Height: // or it begins above the tip
			t.behind = ""
		case !ok || t.tip.Height < low:
			low, ok = t.tip.Height, true
			fallthrough
		default:
			t.behind = fmt.Sprintf("it has seen blocks up to %d, and the chain is at %d", t.tip.Height, best.Height)
		}
	}
	return low, ok
}

// follows reports whether a block follows on an instance.
func (w *Watcher) follows(b *Block) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.tracks {
		if t.takes(b) {
			return true
		}
	}
	return false
}
