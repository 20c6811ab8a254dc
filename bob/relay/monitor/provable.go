package monitor

import (
	"fmt"
	"time"

	"github.com/outrider-project/outrider/bob/relay"
)

// A Provability says whether a relay accepts proofs of what is in a block of Bitcoin's best
// chain, and when it will if it does not.
type Provability struct {
	Height uint32 `json:"height"`
	// Confirmations is how many headers are on top of the block's, where proofs look for
	// them: up to the header that a FullRelay marked last, or up to Bitcoin's tip for a
	// LightRelay, whose proofs bring them. Needed is how many a proof must have, one less
	// than Bitcoin Core counts.
	Confirmations uint32 `json:"confirmations"`
	Needed        uint32 `json:"needed"`
	// RelayBest is the last height of Bitcoin's best chain that the relay can tell of: the
	// last one marked, or the last of a LightRelay's epoch.
	RelayBest uint32 `json:"relay_best_height"`
	// Now says that a proof is accepted.
	Now bool `json:"provable"`
	// AtHeight is, if it is not, the block of Bitcoin with which it will be once the relay
	// has been told; 0 if none will do. Expected is when that block is expected; zero if
	// it is there.
	AtHeight uint32    `json:"at_height"`
	Expected time.Time `json:"expected,omitzero"`
	// WaitsFor says who is next to act.
	WaitsFor Party `json:"waits_for,omitempty"`
	// Outage is the kind of the outage that the block is in or that it waits behind; "" if
	// only confirmations are missing.
	Outage OutageKind `json:"outage,omitempty"`
	// UntilHeight is the block of Bitcoin with which, once the relay was told of it, a
	// proof that was accepted is not any more, for a while or for good; 0 if no such block
	// is foreseen. Until is when it is expected.
	UntilHeight uint32    `json:"until_height,omitempty"`
	Until       time.Time `json:"until,omitzero"`
	// Why is a sentence for people.
	Why string `json:"why"`
}

// A Party is who must act before something is provable.
type Party string

// These are the parties.
const (
	// OnBitcoin: blocks must come.
	OnBitcoin Party = "bitcoin"
	// OnRelay: they are there, and the relay must be told of them.
	OnRelay Party = "relay"
)

// Provable tells of the block at a height of the best chain, whose proofs need so many headers
// on top: more than are asked for where a LightRelay's difficulty falls among them. It asks
// nobody. It fails if the position is not known, or if there is no such block yet.
func (s *State) Provable(height, needed uint32) (*Provability, error) {
	if !s.Position.Known {
		return nil, fmt.Errorf("where the relay is is not known: %s", s.Position.Reason)
	}
	p, tip := s.Position.V, *s.Bitcoin.V
	if height > tip.Height {
		return nil, fmt.Errorf("there is no block at height %d yet: the best chain ends at %d", height, tip.Height)
	}
	look := sight{
		now: s.At, kind: s.Kind, tip: tip, spacing: time.Duration(p.BlockSeconds * float64(time.Second)), reading: s.Relay.V,
		place: place{ancestor: p.MarkedHeight, agrees: p.Agrees},
	}
	return look.provable(p, height, needed), nil
}

// provable returns what is to be said of a block up to the tip. It is pure.
func (s *sight) provable(p *Position, height, needed uint32) *Provability {
	v := &Provability{Height: height, Needed: needed}
	if s.reading.Full != nil {
		s.provableFull(v, p)
	} else {
		s.provableLight(v, p)
	}
	if v.UntilHeight > 0 {
		v.Until = s.expect(v.UntilHeight)
	}
	switch {
	case v.Now:
		v.AtHeight, v.Why = 0, "it can be proven"
		if v.UntilHeight > 0 {
			v.Why += fmt.Sprintf(", until the relay knows block %d", v.UntilHeight)
		}
		return v
	case v.AtHeight == 0:
		return v // the sentence is there
	case v.AtHeight > s.tip.Height:
		v.WaitsFor, v.Expected = OnBitcoin, s.expect(v.AtHeight)
		v.Why = fmt.Sprintf("%d blocks are missing, up to %d, of which the relay must then be told", v.AtHeight-s.tip.Height, v.AtHeight)
	default:
		v.WaitsFor = OnRelay
		v.Why = fmt.Sprintf("block %d is there, and the relay has not been told", v.AtHeight)
	}
	switch v.Outage {
	case Forked:
		v.Why += "; it follows a branch that Bitcoin left"
	case Wrapped:
		v.Why += fmt.Sprintf("; with %d headers on top the contract, which keeps eight bits of it, counts %d", v.Confirmations, relay.Confirmations(uint64(v.Confirmations)))
	case Retargeting:
		v.Why += "; it is in an epoch that the relay does not know"
	}
	return v
}

// provableFull is for a FullRelay.
func (s *sight) provableFull(v *Provability, p *Position) {
	v.RelayBest = s.place.ancestor
	depth, marked := uint32(0), v.Height <= s.place.ancestor
	switch {
	case v.Height < s.reading.Full.GenesisHeight:
		v.Why = fmt.Sprintf("the relay begins with block %d and knows none below", s.reading.Full.GenesisHeight)
		return
	case marked:
		depth = s.reading.Full.MarkedHeight - v.Height
		v.Confirmations = depth
	case p.Wedge == Wedged:
		v.Outage, v.Why = Forked, "the relay can never follow Bitcoin again, and must be deployed anew"
		return
	case p.ForkDepth > 0:
		v.Outage = Forked
	}
	at, ok := s.accepts(depth, v.Needed)
	if !ok {
		v.Why = fmt.Sprintf("with %d headers on top it is out of what the contract looks back for", depth)
		if v.Needed > maxNeeded {
			v.Why = fmt.Sprintf("the contract cannot be asked for %d headers on top", v.Needed)
		}
		return
	}
	v.Now, v.AtHeight = marked && at == depth, v.Height+at
	if marked && !v.Now && depth >= v.Needed {
		v.Outage = Wrapped
	}
	if s.kind == relay.KindFullWithVerify {
		// The first depth beyond at which the contract does not accept.
		for end := at + 1; ; end++ {
			if next, ok := s.accepts(end, v.Needed); !ok || next != end {
				v.UntilHeight = v.Height + end
				return
			}
		}
	}
}

// maxNeeded is the most that a FullRelayWithVerify can be asked for.
const maxNeeded = 1<<8 - 1

// accepts returns the first number of headers on top, from depth on, with which a FullRelay
// has a block proven; false if there is none.
func (s *sight) accepts(depth, needed uint32) (uint32, bool) {
	if s.kind != relay.KindFullWithVerify {
		return max(depth, needed), true
	}
	if needed > maxNeeded {
		return 0, false
	}
	next, ok := relay.NextProvable(uint64(depth), uint8(needed))
	return uint32(next), ok
}

// provableLight is for a LightRelay.
func (s *sight) provableLight(v *Provability, p *Position) {
	r, epoch := s.reading.Light, v.Height/interval
	v.RelayBest, v.Confirmations = (r.CurrentEpoch+1)*interval-1, s.tip.Height-v.Height
	switch {
	case !r.Ready:
		v.RelayBest, v.Outage, v.Why = 0, Mismatch, "the relay was not begun: its owner must call genesis"
		return
	case !p.Agrees:
		v.Outage, v.Why = Mismatch, "the relay has another difficulty than Bitcoin"
		return
	case epoch+1 < r.CurrentEpoch || epoch < r.GenesisEpoch:
		v.Why = fmt.Sprintf("the relay only knows the difficulties of the epochs %d and %d, and this is of %d", max(r.CurrentEpoch, 1)-1, r.CurrentEpoch, epoch)
		return
	}
	v.AtHeight = v.Height + v.Needed
	if epoch > r.CurrentEpoch {
		v.Outage = Retargeting
		v.AtHeight = max(v.AtHeight, s.toldAt(epoch))
	}
	v.Now = epoch <= r.CurrentEpoch && v.AtHeight <= s.tip.Height
	v.UntilHeight = s.toldAt(epoch + 2)
}

// toldAt returns the height of the block with which a LightRelay can be told of an epoch.
func (s *sight) toldAt(epoch uint32) uint32 {
	return uint32(relay.FirstRetarget(uint64(epoch), uint64(max(s.reading.Light.ProofLength, 1))))
}

// newest returns the height of the newest block that can be proven now, with so many headers
// on top; 0 if there is none.
func (s *sight) newest(p *Position, needed uint32) uint32 {
	height := s.tip.Height
	if f := s.reading.Full; f != nil {
		depth, ok := s.accepts(f.MarkedHeight-s.place.ancestor, needed)
		if !ok || depth > f.MarkedHeight {
			return 0
		}
		height = f.MarkedHeight - depth
	} else if height -= min(height, needed); height/interval > s.reading.Light.CurrentEpoch {
		height = (s.reading.Light.CurrentEpoch+1)*interval - 1
	}
	if !s.provable(p, height, needed).Now {
		return 0
	}
	return height
}
