package monitor

import (
	"context"
	"errors"
	"fmt"

	"github.com/outrider-project/outrider/bob/relay"
)

// A place is where a relay is on the Bitcoin node's best chain.
type place struct {
	// Of a FullRelay: ancestor is the last height at which its marked chain and the best
	// chain are one, stored the height up to which it knows the best chain's headers,
	// and next the first block that is not marked, zero if there is none.
	ancestor, stored uint32
	next             Block
	// Of a LightRelay: agrees says that the current epoch's difficulty is the best
	// chain's. boundary is the first block of the next epoch, and due the last that a
	// retarget needs; zero if they are not there.
	agrees        bool
	boundary, due Block
}

const (
	// queries is how many questions one exchange has.
	queries = 16
	// maxFork is how far below the marked header the best chain is looked for.
	maxFork = interval
)

// locateFull finds where a FullRelay is.
func (c *reader) locateFull(ctx context.Context, r *FullReading, chain *chain) (p place, err error) {
	tip := chain.tip()
	if p.ancestor, err = c.ancestor(ctx, r, chain); err != nil {
		return p, err
	}
	if p.stored, err = c.stored(ctx, p.ancestor, chain); err != nil || p.ancestor == tip.Height {
		return p, err
	}
	p.next, err = chain.blockAt(ctx, p.ancestor+1)
	return p, err
}

// ancestor returns the last height at which the marked header's chain and the best chain
// are one.
func (c *reader) ancestor(ctx context.Context, r *FullReading, chain *chain) (uint32, error) {
	tip := chain.tip().Height
	offset := uint32(0)
	if r.MarkedHeight > tip {
		offset = r.MarkedHeight - tip
	} else if hash, err := chain.hashAt(ctx, r.MarkedHeight); err != nil || hash == r.Marked {
		return r.MarkedHeight, err
	}
	for ; offset <= min(maxFork, r.MarkedHeight); offset += queries {
		var list []query
		for o := offset; o < offset+queries && o <= r.MarkedHeight; o++ {
			list = append(list, of(findAncestor, word(r.Marked), wordOf(uint64(o))))
		}
		words, reverts, err := c.read(ctx, list...)
		if err != nil {
			return 0, err
		}
		for i := range list {
			height := r.MarkedHeight - offset - uint32(i)
			switch {
			case is(reverts[i], "Unknown ancestor"):
				return 0, errors.New("no header of the relay, down to its first, is on the Bitcoin node's best chain: they are of different networks, or the node is behind")
			case reverts[i] != nil:
				return 0, fmt.Errorf("findAncestor: %w", reverts[i])
			}
			switch hash, err := chain.hashAt(ctx, height); {
			case err != nil:
				return 0, err
			case hash == digest(words[i][0]):
				return height, nil
			}
		}
	}
	return 0, fmt.Errorf("the relay left the Bitcoin node's best chain more than %d blocks below %d, or the node is as far behind", maxFork, r.MarkedHeight)
}

// stored returns the height up to which the relay knows the best chain, which it does at
// least up to low: what it knows it knows all below of.
func (c *reader) stored(ctx context.Context, low uint32, chain *chain) (uint32, error) {
	for high := chain.tip().Height; low < high; {
		step := (high-low-1)/queries + 1
		var list []query
		for height := low + step; ; height += step {
			height = min(height, high)
			hash, err := chain.hashAt(ctx, height)
			if err != nil {
				return 0, err
			}
			list = append(list, of(findHeight, word(hash)))
			if height == high {
				break
			}
		}
		words, reverts, err := c.read(ctx, list...)
		if err != nil {
			return 0, err
		}
		from, to := low, high
		for i := range list {
			height := min(from+step*uint32(i+1), to)
			known, err := knows(words[i], reverts[i], height)
			switch {
			case err != nil:
				return 0, err
			case !known:
				high = min(high, height-1)
			case high < height:
				return 0, fmt.Errorf("the relay knows the header at %d and not all below it", height)
			default:
				low = height
			}
		}
	}
	return low, nil
}

// knows reports whether the answer to findHeight says that a relay knows the header at a
// height. It is the only place that takes an answer for "not relayed".
func knows(words []word, revert *relay.Revert, height uint32) (bool, error) {
	switch {
	case is(revert, "Unknown block"):
		return false, nil
	case revert != nil:
		return false, fmt.Errorf("findHeight: %w", revert)
	}
	said, err := words[0].small(maxHeight)
	if err == nil && uint32(said) != height {
		err = fmt.Errorf("the relay says that the header at %d is at %d: it was begun with a wrong height", height, said)
	}
	return err == nil, err
}

// locateLight finds where a LightRelay is.
func locateLight(ctx context.Context, r *LightReading, chain *chain) (p place, err error) {
	tip := chain.tip().Height
	start := uint64(r.CurrentEpoch) * interval
	if start > uint64(tip) {
		return p, fmt.Errorf("the relay's epoch begins at %d and the Bitcoin node is at %d: the node is behind, or they are of different networks", start, tip)
	}
	h, err := chain.headerAt(ctx, uint32(start))
	if err != nil {
		return p, err
	}
	difficulty, err := relay.HeaderDifficulty(h[:])
	if err != nil {
		return p, fmt.Errorf("the header at %d: %w", start, err)
	}
	p.agrees = Difficulty(difficulty) == r.Current
	boundary := start + interval
	if boundary <= uint64(tip) {
		if p.boundary, err = chain.blockAt(ctx, uint32(boundary)); err != nil {
			return p, err
		}
	}
	if due := boundary + uint64(max(r.ProofLength, 1)) - 1; due <= uint64(tip) {
		p.due, err = chain.blockAt(ctx, uint32(due))
	}
	return p, err
}

// blockAt returns the block at a height up to the tip's.
func (c *chain) blockAt(ctx context.Context, height uint32) (Block, error) {
	h, err := c.headerAt(ctx, height)
	if err != nil {
		return Block{}, err
	}
	return Block{Height: height, Hash: h.Hash(), Time: timeOf(&h)}, nil
}
