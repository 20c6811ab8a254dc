package monitor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
)

// Bitcoin is a Bitcoin node's best chain. Its errors say nothing about the chain.
type Bitcoin interface {
	// BlockHash returns the hash of the block at a height.
	BlockHash(ctx context.Context, height uint32) (chainhash.Hash, error)
	// Header returns the header of a block, of any branch.
	Header(ctx context.Context, hash chainhash.Hash) (header.Header, error)
	// Headers returns headers in ascending order, each of which follows the one
	// before: at most 2,000, and fewer than 1,000 only if there are no more. The first
	// follows the first hash of the locator that is in the best chain, or is at height
	// 1 if none is.
	Headers(ctx context.Context, locator []chainhash.Hash) ([]header.Header, error)
}

const (
	// interval is how many blocks Bitcoin's target stays the same for.
	interval = 2016
	// window is how many headers below the tip are kept, at least.
	window = 3 * interval
	// moreHeaders is how many headers there are in an answer after which there may be
	// more.
	moreHeaders = 1000
	// maxMoves is how often the node's tip may move during an update.
	maxMoves = 3
)

// A Block is a block of Bitcoin.
type Block struct {
	Height uint32         `json:"height"`
	Hash   chainhash.Hash `json:"hash"`
	// Time is the header's.
	Time time.Time `json:"time"`
}

// chain is the upper end of the Bitcoin node's best chain. Its methods are for one at a
// time.
type chain struct {
	node Bitcoin
	// base is the height of the first hash; 0 hashes before begin. headers[i] is that of
	// hashes[i+1].
	base    uint32
	hashes  []chainhash.Hash
	headers []header.Header
}

// errBegin says that a chain does not know where to begin.
var errBegin = errors.New("the height to look from is not known until the relay has been read once")

// begun reports whether update can be called.
func (c *chain) begun() bool { return len(c.hashes) > 0 }

// begin begins the chain below a height that the node is thought to be at or near.
func (c *chain) begin(ctx context.Context, near uint32) error {
	base := uint32(0)
	if near > window {
		base = near - window
	}
	hash, err := c.node.BlockHash(ctx, base)
	if err != nil {
		return fmt.Errorf("the Bitcoin node: %w", err)
	}
	c.base, c.hashes, c.headers = base, []chainhash.Hash{hash}, nil
	return c.update(ctx)
}

// update follows the node to its tip. After an error the chain is one that the node had.
func (c *chain) update(ctx context.Context) error {
	for moved := 0; moved < maxMoves; {
		headers, err := c.node.Headers(ctx, c.locator())
		if err != nil {
			return fmt.Errorf("the Bitcoin node: %w", err)
		}
		if len(headers) == 0 {
			// Nothing follows our tip, or one below it to which the node went back.
			tip := c.tip()
			switch hash, err := c.node.BlockHash(ctx, tip.Height); {
			case err != nil:
				return fmt.Errorf("the Bitcoin node: %w", err)
			case hash == tip.Hash:
				return nil
			}
			moved++
			continue
		}
		if err := c.extend(headers); err != nil {
			return err
		}
		if len(headers) < moreHeaders {
			return nil
		}
	}
	return errors.New("the Bitcoin node's tip moves while it is asked")
}

// locator returns hashes from the tip down, the first ten one by one and then in steps that
// double, and the lowest.
func (c *chain) locator() []chainhash.Hash {
	var list []chainhash.Hash
	step := 1
	for i := len(c.hashes) - 1; i > 0; i -= step {
		list = append(list, c.hashes[i])
		if len(list) >= 10 {
			step *= 2
		}
	}
	return append(list, c.hashes[0])
}

// extend puts headers on top of the one that the first of them names.
func (c *chain) extend(headers []header.Header) error {
	at := len(c.hashes) - 1
	for prev := headers[0].Prev(); at >= 0 && c.hashes[at] != prev; at-- {
	}
	if at < 0 {
		*c = chain{node: c.node}
		return errors.New("the Bitcoin node's chain has left what was known of it: it is looked up anew")
	}
	hashes, prev := make([]chainhash.Hash, len(headers)), c.hashes[at]
	for i := range headers {
		if headers[i].Prev() != prev {
			return errors.New("the Bitcoin node's headers do not follow one another")
		}
		prev = headers[i].Hash()
		hashes[i] = prev
	}
	c.hashes, c.headers = append(c.hashes[:at+1], hashes...), append(c.headers[:at], headers...)
	if cut := len(c.hashes) - 2*window; cut > 0 {
		cut += window - interval // not at each block
		c.base += uint32(cut)
		c.hashes, c.headers = slices.Clone(c.hashes[cut:]), slices.Clone(c.headers[cut:])
	}
	return nil
}

// tip returns the last block. Its time is zero if only its hash is known.
func (c *chain) tip() Block {
	b := Block{Height: c.base + uint32(len(c.headers)), Hash: c.hashes[len(c.hashes)-1]}
	if n := len(c.headers); n > 0 {
		b.Time = timeOf(&c.headers[n-1])
	}
	return b
}

// hashAt returns the hash of the block at a height up to the tip's.
func (c *chain) hashAt(ctx context.Context, height uint32) (chainhash.Hash, error) {
	if height >= c.base {
		return c.hashes[height-c.base], nil
	}
	hash, err := c.node.BlockHash(ctx, height)
	if err != nil {
		return hash, fmt.Errorf("the Bitcoin node: %w", err)
	}
	return hash, nil
}

// headerAt returns the header of the block at a height up to the tip's.
func (c *chain) headerAt(ctx context.Context, height uint32) (header.Header, error) {
	if height > c.base {
		return c.headers[height-c.base-1], nil
	}
	hash, err := c.hashAt(ctx, height)
	if err != nil {
		return header.Header{}, err
	}
	h, err := c.node.Header(ctx, hash)
	if err != nil {
		return header.Header{}, fmt.Errorf("the Bitcoin node: %w", err)
	}
	return h, nil
}

// spacing returns the time between blocks, over the last period as far as it is known.
func (c *chain) spacing() time.Duration {
	const (
		few    = interval / 14 // a day's
		normal = 10 * time.Minute
	)
	n := min(len(c.headers)-1, interval)
	if n < few {
		return normal
	}
	last := len(c.headers) - 1
	took := timeOf(&c.headers[last]).Sub(timeOf(&c.headers[last-n]))
	return min(max(took/time.Duration(n), normal/10), 10*normal)
}

func timeOf(h *header.Header) time.Time { return time.Unix(int64(h.Time()), 0).UTC() }
