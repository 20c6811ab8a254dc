package planner

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/outrider-project/outrider/bob/headers"
	"github.com/outrider-project/outrider/bob/relay"
)

// A LightState is what a plan needs to know of a LightRelay, all of it in the state after
// Head.
type LightState struct {
	Head  *Head
	Known relay.LightKnown
}

// slotEpochs is where a LightRelay has its epochs, for which it has no view: a mapping of
// numbers to a time in the low 32 bits and a target in those above.
const slotEpochs = 4

// ReadLight reads the state of a LightRelay.
func ReadLight(ctx context.Context, chain Chain, t *Target, head *Head) (*LightState, error) {
	answers, err := ask(ctx, chain, t.Relay, head.Hash, []view{
		ready, authorizationRequired, proofLength, genesisEpoch, currentEpoch,
		getCurrentEpochDifficulty, getPrevEpochDifficulty, isAuthorized.of(common.BytesToHash(t.Sender[:])),
	})
	if err != nil {
		return nil, err
	}
	var numbers [5]uint64
	for i, a := range answers {
		if a.revert != nil {
			return nil, fmt.Errorf("relay %v: %w", t.Relay, a.revert)
		}
		if i < len(numbers) {
			if numbers[i], err = a.word.number(); err != nil {
				return nil, fmt.Errorf("relay %v: %w", t.Relay, err)
			}
		}
	}
	s := &LightState{Head: head, Known: relay.LightKnown{
		Ready: numbers[0] != 0, AuthorizationRequired: numbers[1] != 0,
		ProofLength: numbers[2], GenesisEpoch: numbers[3], CurrentEpoch: numbers[4],
		CurrentDiff: answers[5].word.uint256(), PrevDiff: answers[6].word.uint256(),
	}}
	if answers[7].word != (word{}) {
		s.Known.Authorized = []relay.Address{relay.Address(t.Sender)}
	}
	if !s.Known.Ready {
		return s, nil
	}
	slot := crypto.Keccak256Hash(number256(s.Known.CurrentEpoch), number256(slotEpochs))
	raw, err := chain.Call(ctx, "eth_getStorageAt", t.Relay, slot, blockID(head.Hash))
	if err != nil {
		return nil, err
	}
	packed, err := parseWord(raw)
	if err != nil {
		return nil, fmt.Errorf("relay %v, slot %v: %w", t.Relay, slot, err)
	}
	s.Known.Latest.Time = binary.BigEndian.Uint32(packed[28:])
	var target word
	copy(target[4:], packed[:28])
	s.Known.Latest.Target = target.uint256()
	if s.Known.Latest.Time == 0 {
		return nil, fmt.Errorf("relay %v has nothing of epoch %d where a LightRelay has it", t.Relay, s.Known.CurrentEpoch)
	}
	return s, nil
}

// number256 returns a number as the EVM has it.
func number256(n uint64) []byte { return binary.BigEndian.AppendUint64(make([]byte, 24), n) }

// maxRetargets bounds the epochs of a plan: two months.
const maxRetargets = 4

// A BestChain is Bitcoin's best chain, as far back as it is known; a *headers.Tree has one.
type BestChain interface {
	Tip() headers.Node
	// At returns the header at a height up to the tip's; false if it is not known.
	At(height uint32) (headers.Node, bool)
}

// Plan plans what tells the relay of the epochs that can be proven now, four at most: then the
// next plan goes on. It asks nobody.
func (s *LightState) Plan(t *Target, chain BestChain) (*Situation, error) {
	return s.plan(t, chain, maxRetargets)
}

// plan is Plan with so many epochs at most.
func (s *LightState) plan(t *Target, chain BestChain, most int) (*Situation, error) {
	tip := chain.Tip()
	k := &s.Known
	situation := &Situation{
		Tip:   Place{Height: tip.Height, Hash: tip.Hash.String()},
		Epoch: k.CurrentEpoch, Behind: int64(uint64(tip.Height)/epochLength) - int64(k.CurrentEpoch),
	}
	if !k.Ready {
		situation.Verdict, situation.Why = Waiting, "the relay's owner has not called genesis"
		return situation, nil
	}
	if err := s.agree(chain); err != nil {
		return nil, err
	}
	model := relay.RestoreLightRelay(k)
	model.SetCosts(t.costs())
	var proofs [][]byte
	for epoch := k.CurrentEpoch + 1; ; epoch++ {
		situation.NextHeight = relay.FirstRetarget(epoch, k.ProofLength)
		if len(proofs) == most || uint64(tip.Height) < situation.NextHeight {
			break
		}
		var nodes []headers.Node
		for height := epoch*epochLength - k.ProofLength; height < epoch*epochLength+k.ProofLength; height++ {
			n, ok := chain.At(uint32(height))
			if !ok {
				return nil, fmt.Errorf("%w: the retarget of epoch %d needs header %d", ErrTooFar, epoch, height)
			}
			nodes = append(nodes, n)
		}
		proofs = append(proofs, headers.Serialised(nodes))
	}
	switch {
	case len(proofs) == 0 && situation.Behind > 0:
		situation.Verdict = Waiting
		situation.Why = fmt.Sprintf("epoch %d can be told with block %d", k.CurrentEpoch+1, situation.NextHeight)
		return situation, nil
	case len(proofs) == 0:
		situation.Verdict = InStep
		situation.Why = fmt.Sprintf("the relay knows Bitcoin's epoch; the next can be told with block %d", situation.NextHeight)
		return situation, nil
	case !model.MayRetarget(relay.Address(t.Sender)):
		situation.Verdict = Unauthorized
		situation.Why = fmt.Sprintf("the relay only takes a retarget from those whom its owner authorised, and %v is none", t.Sender)
		return situation, nil
	}
	plan, err := model.PlanRetargets(relay.Address(t.Relay), relay.Address(t.Sender), proofs, s.Head.Time, s.Head.Caps())
	if err != nil {
		return nil, err
	}
	situation.Verdict, situation.Plan = Behind, plan
	situation.Why = fmt.Sprintf("%d epochs to tell, from %d", len(proofs), k.CurrentEpoch+1)
	return situation, nil
}

// agree fails if the relay's latest epoch is not what the headers say, where they reach
// back to it.
func (s *LightState) agree(chain BestChain) error {
	k := &s.Known
	if k.ProofLength == 0 || k.ProofLength >= epochLength || k.CurrentEpoch > 1<<32/epochLength-2 {
		return fmt.Errorf("%w: a proof length of %d, epoch %d", ErrDiverged, k.ProofLength, k.CurrentEpoch)
	}
	n, ok := chain.At(uint32(k.CurrentEpoch * epochLength))
	if !ok {
		return nil
	}
	if n.Header.Time() != k.Latest.Time {
		return fmt.Errorf("%w: epoch %d began at %d, the relay says %d", ErrDiverged, k.CurrentEpoch, n.Header.Time(), k.Latest.Time)
	}
	return nil
}
