package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
)

// maxBranch is how many bytes of the blocks of one branch are fetched; the block
// that goes beyond is the last. The first block that breaks a rule is what
// counts, and nodes do not fetch what follows it: 16 blocks of the largest kind
// are more than a node that works has of such a branch.
const maxBranch = 64 << 20

// followBranches gives the branches that the node calls invalid and that were
// not given before, when it is time to look.
func (f *follower) followBranches(ctx context.Context) error {
	if !f.started || time.Now().Before(f.branchesDue) {
		return nil
	}
	tips, err := f.node.ChainTips(ctx)
	if err != nil {
		return fmt.Errorf("ask for chain tips: %w", err)
	}
	// What the node has forgotten need not be remembered here.
	known := make(map[chainhash.Hash]struct{})
	for _, tip := range tips {
		if tip.Status != "invalid" {
			continue
		}
		_, done := f.judged[tip.Hash]
		if !done {
			// One branch that cannot be had must not hide the others.
			done, err = f.reject(ctx, tip)
			if _, bad := errors.AsType[*fatalError](err); bad || ctx.Err() != nil {
				return err
			}
			if err != nil {
				f.log.Warn("a branch that the node calls invalid cannot be fetched yet", "tip", tip.Hash, "err", err)
			}
		}
		if done {
			f.judged[tip.Hash] = struct{}{}
			known[tip.Hash] = struct{}{}
		}
	}
	f.judged, f.looked = known, true
	f.branchesDue = soon(&f.branchesEvery)
	return nil
}

// reject gives the branch that ends in tip. It returns false when the branch
// must be looked at again: it does not leave the chain as it now stands, or an
// error says why it cannot be had.
func (f *follower) reject(ctx context.Context, tip ChainTip) (bool, error) {
	if tip.BranchLen == 0 || tip.BranchLen > f.opt.Depth || tip.Height < tip.BranchLen ||
		tip.Height-tip.BranchLen+f.opt.Depth < f.tip.Height {
		return true, f.emit(ctx, Rejected{
			Blocks: []RejectedBlock{{Tip: tip.Tip}}, Old: !f.looked,
			Unfetched: fmt.Sprintf("the branch is %d blocks long and leaves the chain too deep to be judged", tip.BranchLen),
		})
	}
	fork := tip.Height - tip.BranchLen
	if fork > f.tip.Height {
		return false, nil
	}
	blocks := make([]RejectedBlock, tip.BranchLen)
	hash := tip.Hash
	for i := len(blocks) - 1; i >= 0; i-- {
		hdr, err := f.node.Header(ctx, hash)
		if err != nil {
			return false, err
		}
		blocks[i] = RejectedBlock{Tip: Tip{hash, fork + 1 + uint32(i)}, Header: hdr}
		hash = hdr.Prev()
	}
	base := Tip{hash, fork}
	if has, err := f.headers.Has(base); err != nil || !has {
		return false, fatal(err)
	}
	ev := Rejected{Fork: base, Blocks: blocks, Old: !f.looked}
	if valid, err := f.headers.Verify(fork, ev.headers()); err != nil {
		broken, ok := errors.AsType[*header.RuleError](err)
		switch {
		case !ok:
			return false, fatal(err)
		case broken.Rule == header.TimeTooNew:
			return false, err
		}
		// The node is right, and there is nothing more to judge.
		ev.Blocks, ev.Broken = blocks[:valid+1], broken
		f.metrics.branches.Add(1)
		return true, f.emit(ctx, ev)
	}
	total := 0
	for i := range blocks {
		if total >= f.maxBranch {
			blocks[i].Unfetched = true
			continue
		}
		raw, err := f.node.Block(ctx, blocks[i].Hash)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return false, err
		}
		blocks[i].Raw = raw
		total += len(raw)
	}
	f.metrics.branches.Add(1)
	return true, f.emit(ctx, ev)
}

// headers returns the branch's headers.
func (r *Rejected) headers() []header.Header {
	hs := make([]header.Header, len(r.Blocks))
	for i := range r.Blocks {
		hs[i] = r.Blocks[i].Header
	}
	return hs
}

// Chain returns the branch's headers on top of base, the chain that it leaves.
func (r *Rejected) Chain(base header.Ancestors) *Branch {
	return &Branch{Base: base, Fork: r.Fork.Height, Headers: r.headers()}
}
