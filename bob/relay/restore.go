package relay

import (
	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
)

// A Stored is a header that a FullRelay has, and its height.
type Stored struct {
	Header header.Header
	Height uint64
}

// A FullKnown is as much of a FullRelay's state as a plan needs.
type FullKnown struct {
	Genesis, Best, LastReorgAncestor chainhash.Hash
	CurrentEpochDiff, PrevEpochDiff  Uint256
	// Headers are what the relay knows: those that the plan's calls name, and those
	// below them that findHeight comes to, so that the gas is right: the last fork and
	// four headers below it, and from there to the best and to the anchor.
	Headers []Stored
}

// RestoreFullRelay returns a model of a relay that has this state and else nothing. It
// answers as the relay does to calls that touch no other header.
func RestoreFullRelay(s *FullKnown) *FullRelay {
	r := &FullRelay{
		genesis: s.Genesis, best: s.Best, lastReorgAncestor: s.LastReorgAncestor,
		currentEpochDiff: s.CurrentEpochDiff, prevEpochDiff: s.PrevEpochDiff,
		previous: make(map[chainhash.Hash]chainhash.Hash, len(s.Headers)),
		heights:  make(map[chainhash.Hash]uint64, len(s.Headers)/HeightInterval+2),
		costs:    BOBCosts(),
	}
	for i := range s.Headers {
		h := &s.Headers[i]
		digest := hash256(h.Header[:])
		if digest != s.Genesis { // which was never added
			r.previous[digest] = h.Header.Prev()
		}
		if digest == s.Genesis || h.Height%HeightInterval == 0 {
			r.heights[digest] = h.Height
		}
	}
	return r
}

// A LightKnown is as much of a LightRelay's state as a retarget needs.
type LightKnown struct {
	Ready, AuthorizationRequired bool
	ProofLength                  uint64
	GenesisEpoch, CurrentEpoch   uint64
	CurrentDiff, PrevDiff        Uint256
	// Latest is what the relay knows of CurrentEpoch.
	Latest Epoch
	// Authorized are those who may call retarget, of whom anybody asks.
	Authorized []Address
}

// RestoreLightRelay returns a model of a relay that has this state and else nothing.
func RestoreLightRelay(s *LightKnown) *LightRelay {
	r := NewLightRelay(Address{})
	r.ready, r.authorizationRequired = s.Ready, s.AuthorizationRequired
	r.proofLength, r.genesisEpoch, r.currentEpoch = s.ProofLength, s.GenesisEpoch, s.CurrentEpoch
	r.currentDiff, r.prevDiff = s.CurrentDiff, s.PrevDiff
	r.epochs[s.CurrentEpoch] = s.Latest
	for _, a := range s.Authorized {
		r.authorized[a] = true
	}
	return r
}

// PlanRetargets returns the transactions that tell the relay of epochs, in order, one each:
// a multicall would call in another's name, which the relay may not let. proofs are the
// headers of each, as Retarget takes them, sender is who sends them, and now the time of
// the chain's last block. The calls have been tried on a copy of r: one that would
// revert is the error, a *Revert.
func (r *LightRelay) PlanRetargets(relay, sender Address, proofs [][]byte, now uint64, caps Caps) (*Plan, error) {
	try := *r
	try.epochs = map[uint64]Epoch{r.currentEpoch: r.epochs[r.currentEpoch]}
	p := new(Plan)
	for _, proof := range proofs {
		receipt, err := try.Retarget(sender, proof, now)
		if err != nil {
			return nil, err
		}
		tx := Transaction{
			To: relay, Data: RetargetData(proof), Calls: []Call{{Function: "retarget", Args: [][]byte{proof}}},
			Gas: receipt.Gas, GasLimit: receipt.Gas + receipt.Gas/100,
			Headers: len(proof) / header.Size, FromHeight: try.currentEpoch*epochLength - r.proofLength,
		}
		if !caps.allow(&tx) {
			return nil, ErrCaps
		}
		p.Transactions = append(p.Transactions, tx)
		p.Gas += tx.Gas
		p.Headers += tx.Headers
	}
	return p, nil
}
