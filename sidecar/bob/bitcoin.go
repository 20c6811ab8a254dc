package bob

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/bob/headers"
	"github.com/outrider-project/outrider/sidecar/node"
)

// A Source tells of Bitcoin's headers: a part of node.Node.
type Source interface {
	Network(ctx context.Context) (string, error)
	Tip(ctx context.Context) (node.Tip, error)
	BlockHash(ctx context.Context, height uint32) (chainhash.Hash, error)
	Headers(ctx context.Context, locator []chainhash.Hash) ([]header.Header, error)
	Header(ctx context.Context, hash chainhash.Hash) (header.Header, error)
	Watch(ctx context.Context, hints chan<- node.Hint) error
}

// A Bitcoin is the tree of headers near the tip of a node's chain. It is for one
// goroutine, but for the tree.
type Bitcoin struct {
	Tree   *headers.Tree
	source Source
}

const (
	// reachBack is how many headers below the tip are wanted, at least: a period for
	// a relay that lags, and one for its targets. targetsBack are those for the targets.
	reachBack   = 2 * 2016
	targetsBack = 2016
	// maxBehind is how far behind a relay may be: two years.
	maxBehind = 105_000
	// medianSpan is how many headers a median time is of.
	medianSpan = 11
	// maxSeek bounds a branch that is fetched header by header.
	maxSeek = 2016
)

// OpenBitcoin reads a node's last headers, from the first of a period on and as many as a
// relay needs whose best header is at floor, and verifies them by its network's rules. The
// few below are taken for valid, as the node does.
func OpenBitcoin(ctx context.Context, source Source, floor uint64) (*Bitcoin, error) {
	name, err := source.Network(ctx)
	if err != nil {
		return nil, err
	}
	params, err := header.For(name)
	if err != nil {
		return nil, err
	}
	tip, err := source.Tip(ctx)
	if err != nil {
		return nil, err
	}
	if floor+maxBehind < uint64(tip.Height) {
		return nil, fmt.Errorf("the relay is at height %d, the node at %d: it is too far behind to be told", floor, tip.Height)
	}
	base, limits := headers.Genesis(params), headers.DefaultLimits()
	from := min(int64(tip.Height)-reachBack, int64(floor)-targetsBack)
	limits.Depth = max(limits.Depth, int(int64(tip.Height)-from)+reachBack)
	if interval := params.Interval(); from >= int64(interval) {
		start := uint32(from) / interval * interval
		if base, err = baseAt(ctx, source, start); err != nil {
			return nil, err
		}
	}
	tree, err := headers.NewTree(params, base, limits)
	if err != nil {
		return nil, err
	}
	b := &Bitcoin{Tree: tree, source: source}
	return b, b.Follow(ctx)
}

// baseAt returns a base that ends with the header at a height.
func baseAt(ctx context.Context, source Source, height uint32) (headers.Base, error) {
	below, err := source.BlockHash(ctx, height-medianSpan)
	if err != nil {
		return headers.Base{}, err
	}
	next, err := source.Headers(ctx, []chainhash.Hash{below})
	if err != nil {
		return headers.Base{}, err
	}
	if len(next) < medianSpan || next[0].Prev() != below {
		return headers.Base{}, fmt.Errorf("the node's chain changed while it was read from height %d", height)
	}
	return headers.Base{Height: height - medianSpan + 1, Work: next[0].Work(), Headers: next[:medianSpan]}, nil
}

// ErrOtherTip says that the node's best block is not the end of the headers with the most
// work: it may have found a block of theirs invalid, or not have it yet.
var ErrOtherTip = errors.New("the node's best block does not have the most work of the headers that are known")

// Follow reads the headers that are new. It fails with ErrOtherTip if the node follows
// another chain than that with the most work: relays look at headers only, and must not be
// told of blocks that the node refused.
func (b *Bitcoin) Follow(ctx context.Context) error {
	const rounds = 64 // of 2,000 headers
	for range rounds {
		tip, err := b.source.Tip(ctx)
		if err != nil {
			return err
		}
		if b.Tree.Tip().Hash == tip.Hash {
			return nil
		}
		next, err := b.source.Headers(ctx, b.locator())
		if err != nil {
			return err
		}
		if len(next) == 0 {
			break
		}
		if _, err := b.Tree.Add(next, time.Now()); err != nil {
			return err
		}
	}
	tip, err := b.source.Tip(ctx)
	if err != nil {
		return err
	}
	if best := b.Tree.Tip(); best.Hash != tip.Hash {
		return fmt.Errorf("%w: the node's is %v at %d, they end with %v at %d", ErrOtherTip, tip.Hash, tip.Height, best.Hash, best.Height)
	}
	return nil
}

// locator returns hashes of the best chain, the tip first, and then ever fewer.
func (b *Bitcoin) locator() []chainhash.Hash {
	var hashes []chainhash.Hash
	height, root := int64(b.Tree.Tip().Height), int64(b.Tree.Root().Height)
	for step := int64(1); height > root; height -= step {
		if n, ok := b.Tree.At(uint32(height)); ok {
			hashes = append(hashes, n.Hash)
		}
		if len(hashes) > 10 {
			step *= 2
		}
	}
	return append(hashes, b.Tree.Root().Hash)
}

// watchBlocks puts a value into wake, unless one is there, when the node may have a block that
// it did not have before, until ctx ends, whose error it returns. A node that stops to tell of
// blocks before is logged: from there on they are seen by looking. log may be nil.
func watchBlocks(ctx context.Context, source Source, wake chan<- struct{}, log *slog.Logger) error {
	hints := make(chan node.Hint)
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() {
		if err := source.Watch(ctx, hints); ctx.Err() == nil {
			cmp.Or(log, slog.New(slog.DiscardHandler)).Warn("the node tells of no more blocks; they are looked for", "err", err)
		}
	})
	for {
		select {
		case h := <-hints:
			switch h.Kind {
			case node.HintConnected, node.HintMissed, node.HintBlockConnected:
				select {
				case wake <- struct{}{}:
				default:
				}
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Seek adds the branch that ends with a header, which the node may know.
func (b *Bitcoin) Seek(ctx context.Context, hash chainhash.Hash) error {
	var branch []header.Header
	for range maxSeek {
		if _, known := b.Tree.Get(hash); known {
			for i, j := 0, len(branch)-1; i < j; i, j = i+1, j-1 {
				branch[i], branch[j] = branch[j], branch[i]
			}
			_, err := b.Tree.Add(branch, time.Now())
			return err
		}
		h, err := b.source.Header(ctx, hash)
		if err != nil {
			return fmt.Errorf("header %v: %w", hash, err)
		}
		branch = append(branch, h)
		hash = h.Prev()
	}
	return fmt.Errorf("the branch of %v has more than %d headers", branch[0].Hash(), maxSeek)
}
