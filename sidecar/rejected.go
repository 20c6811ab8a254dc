package sidecar

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/sidecar/node"
	"github.com/outrider-project/outrider/utxocache"
	"github.com/outrider-project/outrider/utxocache/coins"
)

// maxCondemned bounds the rejected blocks that are remembered.
const maxCondemned = 4096

// reject judges a branch that the node calls invalid, up to the first block
// that breaks a rule: what follows that one is invalid with it. If it is a header
// that breaks one, no block is judged.
func (j *judge) reject(ctx context.Context, ev node.Rejected) (err error) {
	seen := time.Now()
	last := &ev.Blocks[len(ev.Blocks)-1]
	if ev.Unfetched != "" {
		j.unjudged(ctx, last.Tip, ev.Old, ev.Unfetched, seen)
		return nil
	}
	if ev.Broken != nil {
		j.condemn(ctx, Report{
			Verdict: blockval.Verdict{Hash: last.Hash, Height: last.Height, Err: ofHeader(ev.Broken)},
			Outcome: Agree,
		}, seen)
		return nil
	}
	branch, err := j.coins.Branch(utxocache.Tip(ev.Fork))
	if err != nil {
		j.unjudged(ctx, last.Tip, ev.Old, fmt.Sprintf("the coins where the branch leaves the chain are not known: %v", err), seen)
		return nil
	}
	defer func() { err = errors.Join(err, branch.Close()) }()
	chain := ev.Chain(j.headers)
	source := blockval.Own
	var r Report
	var exhibits []exhibit
	for i := range ev.Blocks {
		if r, err = j.judgeRejected(ctx, &ev.Blocks[i], branch, chain); err != nil {
			return err
		}
		if r.Verdict.Prevouts == blockval.Node {
			source = blockval.Node
		}
		if r.Outcome != "" || !r.Verdict.Valid() {
			break
		}
		exhibits = append(exhibits, r.exhibits...)
	}
	r.exhibits = exhibits
	if r.Outcome == "" {
		accepted, err := j.accepted(ev.Blocks)
		if err != nil {
			return err
		}
		r.Outcome, r.Reason = compareRejected(&r.Verdict, source, accepted)
	}
	j.condemn(ctx, r, seen)
	return nil
}

// condemn tells of the verdict on a rejected branch, if it has not told of one on
// that block: a branch that grows is told of once, unless its end is what counts.
func (j *judge) condemn(ctx context.Context, r Report, seen time.Time) {
	if _, known := j.condemned[r.Verdict.Hash]; known {
		return
	}
	if len(j.condemned) >= maxCondemned {
		clear(j.condemned)
	}
	j.condemned[r.Verdict.Hash] = struct{}{}
	j.publish(ctx, r, seen, false)
}

// ofHeader returns a rule that a header broke as that of its block.
func ofHeader(broken *header.RuleError) *blockval.RuleError {
	return &blockval.RuleError{Rule: broken.Rule, Tx: -1, Input: -1, Detail: broken.Detail}
}

// unjudged reports a branch that cannot be judged. One that is older than the
// sidecar's own knowledge is worth a line in the log and no more.
func (j *judge) unjudged(ctx context.Context, tip node.Tip, old bool, reason string, seen time.Time) {
	if old {
		j.log.Info("an old branch that the node calls invalid is not judged", "tip", tip.Hash.String(), "height", tip.Height, "reason", reason)
		return
	}
	j.publish(ctx, Report{Verdict: blockval.Verdict{Hash: tip.Hash, Height: tip.Height}, Outcome: Undecided, Reason: reason}, seen, false)
}

// judgeRejected judges one block of a rejected branch, on the coins that
// branch has, and makes it branch's tip if it is valid.
func (j *judge) judgeRejected(ctx context.Context, rb *node.RejectedBlock, branch *coins.Branch, chain *node.Branch) (Report, error) {
	if rb.Raw == nil {
		r := Report{
			Verdict: blockval.Verdict{Hash: rb.Hash, Height: rb.Height},
			Outcome: Undecided, Reason: "the node has only the header of a block that it calls invalid",
		}
		if rb.Unfetched {
			r.Reason = "the branch is too large to be judged as a whole; what was judged of it breaks no rule"
		}
		return r, nil
	}
	known := &prevouts{fetch: branch.Fetch, node: j.node, parent: rb.Height - 1, chain: chain}
	at := blockval.At{Height: rb.Height, Ancestors: chain, TimeTaken: true, Coins: known}
	for try := 1; ; try++ {
		b := decode(rb.Raw)
		r, err := j.judge(ctx, rb.Tip, rb.Raw, b, at)
		if err != nil || r.Outcome != "" {
			return r, err
		}
		if r.Verdict.Valid() {
			if err := branch.Apply(cacheBlock(b, rb.Height)); err != nil {
				return r, fmt.Errorf("follow rejected branch: %w", err)
			}
			r.exhibits = []exhibit{{Tip: rb.Tip, header: rb.Header, raw: rb.Raw, ancestors: chain, taken: true, told: known.told}}
			return r, nil
		}
		again, err := j.fetchAgain(ctx, rb.Tip, rb.Raw)
		switch {
		case errors.Is(err, node.ErrNotFound):
			r.Outcome, r.Reason = Undecided, unconfirmed
			return r, nil
		case err != nil || again == nil:
			return r, err
		case try == bodyTries:
			r.Outcome, r.Reason = Undecided, unlike
			return r, nil
		}
		rb.Raw = again
	}
}

// accepted reports whether the node had a block of the branch in its best
// chain, as far as the sidecar saw.
func (j *judge) accepted(blocks []node.RejectedBlock) (bool, error) {
	for i := range blocks {
		if j.left.has(blocks[i].Hash) {
			return true, nil
		}
		if has, err := j.headers.Has(blocks[i].Tip); has || err != nil {
			return has, err
		}
	}
	return false, nil
}

// compareRejected returns the outcome for the last block judged of a branch
// that the node calls invalid. source says whose word the branch's coins are;
// accepted that the node had taken a block of it for valid before.
func compareRejected(v *blockval.Verdict, source blockval.Source, accepted bool) (Outcome, string) {
	switch {
	case !v.Valid():
		return Agree, ""
	case accepted:
		return Undecided, "no broken rule was found, and the node had accepted a block of this branch before it called it invalid: was invalidateblock used?"
	case source == blockval.Node:
		return Undecided, "the node calls the block invalid; no broken rule was found, but the spent outputs are the node's own word, " +
			"which cannot show a missing or doubly spent one"
	case len(v.Unchecked) > 0:
		return Undecided, fmt.Sprintf("the node calls the block invalid; no broken rule was found, but %v could not be checked", v.Unchecked)
	}
	return Differ, "the node calls a block invalid that breaks no rule"
}
