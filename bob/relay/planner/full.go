package planner

import (
	"context"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/ethereum/go-ethereum/common"

	"github.com/outrider-project/outrider/bob/headers"
	"github.com/outrider-project/outrider/bob/relay"
)

// These are errors of plans that have nothing to do with the network.
var (
	// ErrUnknownBest: the relay's best header is in no branch that is known here. A
	// contract does not store headers, and the next mark needs this one.
	ErrUnknownBest = errors.New("the relay's best header is not known here")
	// ErrDiverged: the relay and Bitcoin do not agree on what cannot change.
	ErrDiverged = errors.New("the relay is of another chain than the headers")
	// ErrTooFar: the headers do not reach back to what the plan needs.
	ErrTooFar = errors.New("the headers do not reach back far enough")
)

// An UnknownBestError says which header is not known.
type UnknownBestError struct{ Best chainhash.Hash }

// Error names the header.
func (e *UnknownBestError) Error() string { return fmt.Sprintf("%v: %v", ErrUnknownBest, e.Best) }

// Unwrap returns ErrUnknownBest.
func (e *UnknownBestError) Unwrap() error { return ErrUnknownBest }

// A FullState is what a plan needs to know of a FullRelay, all of it in the state after
// Head.
type FullState struct {
	Head *Head
	// Genesis is the digest of the relay's first header.
	Genesis       chainhash.Hash
	GenesisHeight uint64
	// LastReorgAncestor and the difficulties are the contract's.
	LastReorgAncestor               chainhash.Hash
	CurrentEpochDiff, PrevEpochDiff relay.Uint256
	// Best is the header that was marked last, Tip Bitcoin's, Fork the last header
	// that the chains of both have, and Stored the last of Tip's chain that the relay
	// knows.
	Best, Tip, Fork, Stored headers.Node
	// PeriodStart is the first header of Stored's period, which the relay knows; nil
	// if Tip is in that period, too.
	PeriodStart *headers.Node
}

// probes is how many headers are asked for at once.
const probes = 20

// ReadFull reads the state of a FullRelay and finds its place in the tree.
func ReadFull(ctx context.Context, chain Chain, t *Target, tree *headers.Tree, head *Head) (*FullState, error) {
	answers, err := ask(ctx, chain, t.Relay, head.Hash, []view{
		getBestKnownDigest, getRelayGenesis, getLastReorgCommonAncestor, getCurrentEpochDifficulty, getPrevEpochDifficulty,
	})
	if err != nil {
		return nil, err
	}
	for _, a := range answers {
		if a.revert != nil {
			return nil, fmt.Errorf("relay %v: %w", t.Relay, a.revert)
		}
	}
	s := &FullState{
		Head: head, Genesis: chainhash.Hash(answers[1].word), LastReorgAncestor: chainhash.Hash(answers[2].word),
		CurrentEpochDiff: answers[3].word.uint256(), PrevEpochDiff: answers[4].word.uint256(),
		Tip: tree.Tip(),
	}
	best := chainhash.Hash(answers[0].word)
	var ok bool
	if s.Best, ok = tree.Get(best); !ok {
		return nil, &UnknownBestError{best}
	}
	if s.Fork, ok = tree.Fork(best, s.Tip.Hash); !ok {
		return nil, &UnknownBestError{best} // it went out of the tree meanwhile
	}
	known, err := heights(ctx, chain, t.Relay, head.Hash, []chainhash.Hash{best, s.Genesis})
	if err != nil {
		return nil, err
	}
	for i, want := range []uint64{uint64(s.Best.Height), 0} {
		height, ok, err := known[i].height()
		switch {
		case err != nil || !ok:
			return nil, fmt.Errorf("relay %v does not know its own headers: %v, %w", t.Relay, known[i].revert, ErrDiverged)
		case i == 0 && height != want:
			return nil, fmt.Errorf("%w: header %v is at height %d, the relay says %d", ErrDiverged, best, want, height)
		}
		s.GenesisHeight = height
	}
	if s.Stored, err = s.findStored(ctx, chain, t.Relay, tree); err != nil {
		return nil, err
	}
	return s, s.findPeriodStart(ctx, chain, t.Relay, tree)
}

// findStored returns the highest header of the tip's chain that the relay knows. It knows
// those below a header that it knows.
func (s *FullState) findStored(ctx context.Context, chain Chain, to common.Address, tree *headers.Tree) (headers.Node, error) {
	path, ok := tree.Path(s.Fork.Hash, s.Tip.Hash)
	if !ok {
		return headers.Node{}, fmt.Errorf("%w: the best chain changed meanwhile", ErrTooFar)
	}
	stored := s.Fork
	for len(path) > 0 {
		// So many places, evenly, the last header among them.
		n := min(probes, len(path))
		places := make([]int, n)
		digests := make([]chainhash.Hash, n)
		for i := range n {
			places[i] = (i+1)*len(path)/n - 1
			digests[i] = path[places[i]].Hash
		}
		answers, err := heights(ctx, chain, to, s.Head.Hash, digests)
		if err != nil {
			return headers.Node{}, err
		}
		from, end := 0, len(path)
		for i := n - 1; i >= 0; i-- {
			height, ok, err := answers[i].height()
			if err != nil {
				return headers.Node{}, err
			}
			if !ok {
				end = places[i]
				continue
			}
			node := path[places[i]]
			if height != uint64(node.Height) {
				return headers.Node{}, fmt.Errorf("%w: header %v is at height %d, the relay says %d", ErrDiverged, node.Hash, node.Height, height)
			}
			stored, from = node, places[i]+1
			break
		}
		path = path[from:end]
	}
	return stored, nil
}

// findPeriodStart sets PeriodStart if the plan goes into the next period.
func (s *FullState) findPeriodStart(ctx context.Context, chain Chain, to common.Address, tree *headers.Tree) error {
	start := s.Stored.Height - s.Stored.Height%epochLength
	if s.Tip.Height < start+epochLength {
		return nil
	}
	node, ok := tree.At(start)
	if !ok {
		return fmt.Errorf("%w: the next period's target needs header %d", ErrTooFar, start)
	}
	answers, err := heights(ctx, chain, to, s.Head.Hash, []chainhash.Hash{node.Hash})
	if err != nil {
		return err
	}
	switch height, ok, err := answers[0].height(); {
	case err != nil:
		return err
	case !ok:
		return fmt.Errorf("%w: it does not know header %d, the first of its period, and can never go into the next", ErrDiverged, start)
	case height != uint64(start):
		return fmt.Errorf("%w: header %v is at height %d, the relay says %d", ErrDiverged, node.Hash, start, height)
	}
	s.PeriodStart = &node
	return nil
}

const epochLength = 2016

// Plan plans what brings the relay to the tip. It asks nobody.
func (s *FullState) Plan(t *Target, tree *headers.Tree) (*Situation, error) {
	situation := &Situation{
		Best: s.place(s.Best), Tip: s.place(s.Tip), Stored: s.place(s.Stored),
		Behind: int64(s.Tip.Height) - int64(s.Best.Height), ForkDepth: s.Best.Height - s.Fork.Height,
	}
	if s.Fork.Hash == s.Tip.Hash {
		situation.Verdict, situation.Why = InStep, "the relay's best header is Bitcoin's best"
		if s.Best.Height > s.Tip.Height {
			situation.Why = "the relay is ahead of the headers"
		}
		return situation, nil
	}
	model, err := s.model(t, tree)
	if err != nil {
		return nil, err
	}
	if wedged, err := model.Wedged(s.Fork.Hash); err != nil {
		return nil, err
	} else if wedged {
		situation.Verdict = Wedged
		situation.Why = fmt.Sprintf("the branches fork at %d, before the relay's period, and difficulties below 1 all count 0 to it: "+
			"it can never adopt Bitcoin's best chain from there", s.Fork.Height)
		return situation, nil
	}
	path, ok := tree.Path(s.Stored.Hash, s.Tip.Hash)
	if !ok {
		return nil, fmt.Errorf("%w: the best chain changed meanwhile", ErrTooFar)
	}
	req := relay.Request{
		Headers: headers.Serialised(path), Height: uint64(s.Stored.Height) + 1, Anchor: s.Stored.Header[:],
		Best: s.Best.Header[:], Ancestor: s.Fork.Hash,
		Relay: relay.Address(t.Relay), Multicall: relay.Address(t.Multicall),
	}
	if s.PeriodStart != nil {
		req.PeriodStart = s.PeriodStart.Header[:]
	}
	plan, err := s.planIn(model, req, tree)
	if r, ok := errors.AsType[*relay.Revert](err); ok && r.Reason == relay.NotHeaviest {
		situation.Verdict = Waiting
		situation.Why = "Bitcoin's best chain does not have more work by the relay's rule yet: it counts heights, and difficulties as whole numbers"
		return situation, nil
	}
	if err != nil {
		return nil, err
	}
	situation.Verdict, situation.Plan = Behind, plan
	situation.Why = fmt.Sprintf("%d headers to add from height %d, and %d to mark", len(path), s.Stored.Height+1, s.Tip.Height)
	if situation.ForkDepth > 0 {
		situation.Why += fmt.Sprintf("; a reorganisation, %d headers deep", situation.ForkDepth)
	}
	if t.Kind == relay.KindFullWithVerify && s.Tip.Height >= 256 {
		situation.Notes = append(situation.Notes, fmt.Sprintf("the contract keeps eight bits of a depth: with the tip at %d, proofs of blocks %d to %d "+
			"that ask for 6 confirmations fail until the next blocks", s.Tip.Height, int64(s.Tip.Height)-261, s.Tip.Height-256))
	}
	return situation, nil
}

// planIn plans a request. A mark reaches over a period at most: if more than that was
// stored and not marked, the plan is a mark on the way, and the next plan goes on.
func (s *FullState) planIn(model *relay.FullRelay, req relay.Request, tree *headers.Tree) (*relay.Plan, error) {
	if s.Stored.Height > s.Fork.Height && s.Tip.Height-s.Fork.Height > epochLength {
		if n, ok := tree.At(min(s.Stored.Height, s.Fork.Height+epochLength)); ok {
			mark := req
			mark.Headers, mark.Height, mark.Anchor = nil, uint64(n.Height)+1, n.Header[:]
			plan, err := model.PlanMark(mark, s.Head.Caps())
			if r, ok := errors.AsType[*relay.Revert](err); !ok || r.Reason != relay.NotHeaviest {
				return plan, err
			}
		}
	}
	if len(req.Headers) == 0 {
		return model.PlanMark(req, s.Head.Caps())
	}
	return model.Plan(req, s.Head.Caps())
}

// model returns the relay with what a plan touches.
func (s *FullState) model(t *Target, tree *headers.Tree) (*relay.FullRelay, error) {
	known := &relay.FullKnown{
		Genesis: s.Genesis, Best: s.Best.Hash, LastReorgAncestor: s.LastReorgAncestor,
		CurrentEpochDiff: s.CurrentEpochDiff, PrevEpochDiff: s.PrevEpochDiff,
	}
	add := func(n *headers.Node) {
		known.Headers = append(known.Headers, relay.Stored{Header: n.Header, Height: uint64(n.Height)})
	}
	low := max(int64(s.GenesisHeight), int64(s.Fork.Height)-relay.HeightInterval)
	for height := low; height <= int64(s.Fork.Height); height++ {
		n, ok := tree.At(uint32(height))
		if !ok {
			return nil, fmt.Errorf("%w: to header %d", ErrTooFar, height)
		}
		add(&n)
	}
	for _, end := range []chainhash.Hash{s.Best.Hash, s.Stored.Hash} {
		path, ok := tree.Path(s.Fork.Hash, end)
		if !ok {
			return nil, fmt.Errorf("%w: the best chain changed meanwhile", ErrTooFar)
		}
		for i := range path {
			add(&path[i])
		}
	}
	if s.PeriodStart != nil {
		add(s.PeriodStart)
	}
	model := relay.RestoreFullRelay(known)
	model.SetCosts(t.costs())
	return model, nil
}

func (s *FullState) place(n headers.Node) Place {
	return Place{Height: n.Height, Hash: n.Hash.String()}
}
