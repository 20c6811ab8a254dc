package sidecar

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/sidecar/node"
	"github.com/outrider-project/outrider/sigverify"
)

// An exhibit is a block as it was judged, and what that rested on.
type exhibit struct {
	node.Tip
	header header.Header
	// raw is the serialised block; nil if the header alone was judged.
	raw []byte
	// ancestors are the headers below it; taken says that its time was held
	// against the clock before.
	ancestors header.Ancestors
	taken     bool
	// told is what was said of its coins.
	told testimony
}

// A checker validates a block as the one at a place, as blockval.Validator.Check does.
type checker func(context.Context, *blockval.Block, blockval.At) (*blockval.Verdict, error)

// judge judges the exhibit again; check validates its block, if it has one.
func (x *exhibit) judge(ctx context.Context, check checker, p *blockval.Params, now time.Time) (blockval.Verdict, error) {
	none := blockval.Verdict{Hash: x.Hash, Height: x.Height}
	if x.raw == nil {
		err := p.Check(&x.header, x.Height, x.ancestors, now)
		if broken, ok := errors.AsType[*header.RuleError](err); ok {
			none.Err = ofHeader(broken)
			return none, nil
		}
		return none, err
	}
	b, err := blockval.Parse(x.raw)
	if broken, ok := errors.AsType[*blockval.RuleError](err); ok {
		none.Err = broken
		return none, nil
	}
	if err != nil {
		return none, err
	}
	got, err := check(ctx, b, blockval.At{
		Height: x.Height, Ancestors: x.ancestors, TimeTaken: x.taken, Coins: newRecord(x.told),
	})
	if err != nil {
		return none, fmt.Errorf("block %d: %w", x.Height, err)
	}
	return *got, nil
}

// rejudge judges exhibits, of which each follows the one before, up to the first
// that breaks a rule, and returns the verdict on the last one that it judged.
// It is now for them, and so many goroutines validate, at a pace that is nil or for one
// of them; 0 means one for each CPU.
// Signatures are verified one by one, and every one by independent code as well.
func rejudge(ctx context.Context, p *blockval.Params, exhibits []exhibit, now time.Time, workers int, at pace) (v blockval.Verdict, err error) {
	verifier := sigverify.New(sigverify.Options{Workers: workers, Path: sigverify.PathScalar, RecheckEvery: 1, CacheBytes: -1})
	defer verifier.Close()
	validator := blockval.New(p, blockval.Options{Verifier: verifier, Workers: workers, Pace: at, Now: func() time.Time { return now }})
	for i := range exhibits {
		if v, err = exhibits[i].judge(ctx, validator.Check, p, now); err != nil || !v.Valid() {
			break
		}
	}
	return v, err
}

// seenHeaders are headers of one chain, of which they note those that are read.
// They are a header.Ancestors, and safe for concurrent use.
type seenHeaders struct {
	chain header.Ancestors

	mu   sync.Mutex // guards seen
	seen map[uint32]header.Header
}

// At implements header.Ancestors.
func (s *seenHeaders) At(height uint32) (header.Header, error) {
	hdr, err := s.chain.At(height)
	if err == nil {
		s.mu.Lock()
		s.seen[height] = hdr
		s.mu.Unlock()
	}
	return hdr, err
}

// keptHeaders are the headers of a bundle, by height. They are a
// header.Ancestors.
type keptHeaders map[uint32]header.Header

// At implements header.Ancestors.
func (k keptHeaders) At(height uint32) (header.Header, error) {
	hdr, ok := k[height]
	if !ok {
		return hdr, fmt.Errorf("%w: the header at height %d", errNotTold, height)
	}
	return hdr, nil
}
