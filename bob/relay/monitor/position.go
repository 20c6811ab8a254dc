package monitor

import (
	"fmt"
	"time"

	"github.com/outrider-project/outrider/bob/relay"
)

// A Position is where a relay is beside Bitcoin.
type Position struct {
	// LagBlocks counts the blocks of Bitcoin's best chain that a FullRelay does not
	// follow yet, or that came since a LightRelay could have been told of an epoch that
	// it does not know. LagSeconds is for how long the first of them has been there, by
	// its time.
	LagBlocks  uint32  `json:"lag_blocks"`
	LagSeconds float64 `json:"lag_seconds"`
	// EpochGap counts the periods of 2016 blocks that the relay is behind.
	EpochGap uint32 `json:"epoch_gap"`
	// NextRetarget is the next block of Bitcoin with another target.
	NextRetarget Retarget `json:"next_retarget"`
	// BlockSeconds is the time between blocks that expectations rest on: that of the last
	// two weeks, as far as they are known.
	BlockSeconds float64 `json:"block_seconds"`
	// ProvableHeight is that of the newest block that can be proven now, 0 if there is
	// none, and TipProvable says when Bitcoin's tip can: with as many headers on top as the
	// monitor's Config asks for.
	ProvableHeight uint32       `json:"provable_height"`
	TipProvable    *Provability `json:"tip_provable"`

	// StoredHeight and MarkedHeight are, of a FullRelay, the heights up to which the
	// relay has stored headers of the best chain and follows it; what is stored and not
	// marked proves nothing.
	StoredHeight uint32 `json:"stored_height"`
	MarkedHeight uint32 `json:"marked_height"`
	// ForkDepth counts marked headers that are not on the best chain, and Ahead those
	// that would be on top of the Bitcoin node's tip: the node is behind.
	ForkDepth uint32 `json:"fork_depth"`
	Ahead     uint32 `json:"ahead"`
	// Wedge says whether the relay can follow a reorganisation.
	Wedge Wedge `json:"wedge"`

	// Agrees says, of a LightRelay, that it has the difficulty that the best chain has
	// in the relay's epoch, and Due from which height on it can be told of the next.
	Agrees bool   `json:"agrees"`
	Due    uint32 `json:"due_height"`

	// Outages are what cannot be proven now or will not be, the nearest first.
	Outages []Outage `json:"outages"`
}

// A Retarget is the first block of a period.
type Retarget struct {
	Height uint32 `json:"height"`
	// Blocks is how many blocks there are until then, that one included. Expected is
	// when it is expected by the blocks of the last two weeks.
	Blocks   uint32    `json:"blocks"`
	Expected time.Time `json:"expected"`
}

// A Wedge says whether a FullRelay can follow a reorganisation. On chains of a difficulty
// below 1, signet's and regtest's, the contract counts no work, and a branch that begins in
// the period before that of the marked header never wins.
type Wedge string

// These are the states.
const (
	// Free relays can follow.
	Free Wedge = "free"
	// Exposed relays cannot follow a branch that begins at most wedgeReach below the
	// marked header, as a reorganisation may, for a retarget is in between.
	Exposed Wedge = "exposed"
	// Wedged relays need to and cannot.
	Wedged Wedge = "wedged"
)

// wedgeReach is how deep a reorganisation is thought to be possible.
const wedgeReach = 100

// An OutageKind is why something cannot be proven.
type OutageKind string

// These are the kinds.
const (
	// Retargeting outages are of a LightRelay, around each retarget: what is in the new
	// epoch cannot be proven until the relay has been told of it, which needs as many
	// headers of it as the relay's proof length.
	Retargeting OutageKind = "retarget"
	// Mismatch outages are of a LightRelay that has another difficulty than Bitcoin, or
	// was not begun.
	Mismatch OutageKind = "mismatch"
	// Forked outages are of a FullRelay that follows a branch that Bitcoin left.
	Forked OutageKind = "fork"
	// Wrapped outages are of a FullRelayWithVerify: it keeps eight bits of a number of
	// confirmations.
	Wrapped OutageKind = "uint8-wrap"
)

// OutageKinds are all kinds.
var OutageKinds = []OutageKind{Retargeting, Mismatch, Forked, Wrapped}

// An Outage is blocks in which nothing can be proven for a while.
type Outage struct {
	Kind OutageKind `json:"kind"`
	// From and To are the heights of the first and the last of these blocks; To is 0 if
	// all above From are.
	From uint32 `json:"from_height"`
	To   uint32 `json:"to_height"`
	// Active says that such blocks are there. Begins is when they are or were, Ends
	// when the outage is expected to end; zero if it needs somebody to end it.
	Active bool      `json:"active"`
	Begins time.Time `json:"begins,omitzero"`
	Ends   time.Time `json:"ends,omitzero"`
	Why    string    `json:"why"`
}

// A sight is what a position follows from.
type sight struct {
	now     time.Time
	kind    relay.Kind
	confs   uint8
	tip     Block
	spacing time.Duration
	reading *Reading
	place   place
}

// position returns the position. It is pure.
func (s *sight) position() *Position {
	p := &Position{Outages: []Outage{}}
	next := (s.tip.Height/interval + 1) * interval
	p.NextRetarget = Retarget{next, next - s.tip.Height, s.expect(next)}
	p.BlockSeconds = s.spacing.Seconds()
	if s.reading.Full != nil {
		s.full(p)
	} else {
		s.light(p)
	}
	p.ProvableHeight = s.newest(p, uint32(s.confs))
	p.TipProvable = s.provable(p, s.tip.Height, uint32(s.confs))
	return p
}

// expect returns when a block is expected, or the tip's time for those below.
func (s *sight) expect(height uint32) time.Time {
	if height <= s.tip.Height {
		return s.tip.Time
	}
	return s.tip.Time.Add(time.Duration(height-s.tip.Height) * s.spacing)
}

func (s *sight) since(t time.Time) float64 { return max(s.now.Sub(t).Seconds(), 0) }

// full is for a FullRelay.
func (s *sight) full(p *Position) {
	r, at := s.reading.Full, s.place
	p.StoredHeight, p.MarkedHeight = at.stored, at.ancestor
	if p.LagBlocks = s.tip.Height - at.ancestor; p.LagBlocks > 0 {
		p.LagSeconds = s.since(at.next.Time)
	}
	p.EpochGap = s.tip.Height/interval - at.ancestor/interval
	if r.MarkedHeight > at.ancestor {
		if at.ancestor == s.tip.Height {
			p.Ahead = r.MarkedHeight - at.ancestor
		} else {
			p.ForkDepth = r.MarkedHeight - at.ancestor
		}
	}
	p.Wedge = Free
	boundary := r.MarkedHeight / interval * interval
	if r.Current == (Difficulty{}) && boundary > 0 {
		switch {
		case p.ForkDepth > 0 && at.ancestor < boundary:
			p.Wedge = Wedged
		case r.MarkedHeight-boundary < wedgeReach:
			p.Wedge = Exposed
		}
	}
	if p.ForkDepth > 0 {
		o := Outage{
			Kind: Forked, From: at.ancestor + 1, Active: true, Begins: at.next.Time,
			Why: fmt.Sprintf("the relay follows %d headers that Bitcoin left; it must be told of the best chain, and mark it", p.ForkDepth),
		}
		if p.Wedge == Wedged {
			o.Why = "the relay follows a branch that Bitcoin left before a retarget, and its contract counts no work for either: it can never follow again, and must be deployed anew"
		}
		p.Outages = append(p.Outages, o)
	}
	if s.kind == relay.KindFullWithVerify {
		s.wrap(p)
	}
}

// wrap adds the nearest blocks whose confirmations the contract takes for too few.
func (s *sight) wrap(p *Position) {
	const wraps = 1 << 8
	marked := s.reading.Full.MarkedHeight
	if marked < wraps || s.confs == 0 {
		return
	}
	oldest := uint32(wraps) + uint32(s.confs) - 1
	o := Outage{
		Kind: Wrapped, To: marked - wraps, Active: true,
		Why: fmt.Sprintf("the contract takes 256 confirmations for none: %d to %d below the best header fail, and so do 512 and so on; a block is provable again %d blocks later",
			wraps, oldest, s.confs),
		Ends: s.expect(s.tip.Height + uint32(s.confs)),
	}
	if marked > oldest {
		o.From = marked - oldest
	}
	// By the model, from which the tests take it that these are the blocks.
	p.Outages = append(p.Outages, o)
}

// light is for a LightRelay.
func (s *sight) light(p *Position) {
	r, at := s.reading.Light, s.place
	p.Agrees = at.agrees
	if !r.Ready || !at.agrees {
		o := Outage{Kind: Mismatch, Active: true, Why: "the relay was not begun: its owner must call genesis"}
		if r.Ready {
			o.From = r.CurrentEpoch * interval
			o.Why = fmt.Sprintf("the relay's difficulty of the epoch from height %d is %v, which is not Bitcoin's", o.From, r.Current)
		}
		p.Outages = append(p.Outages, o)
		if !r.Ready {
			return
		}
	}
	boundary := (r.CurrentEpoch + 1) * interval
	p.Due = boundary + max(r.ProofLength, 1) - 1
	p.EpochGap = s.tip.Height/interval - r.CurrentEpoch
	if s.tip.Height >= p.Due {
		p.LagBlocks = s.tip.Height - p.Due + 1
		p.LagSeconds = s.since(at.due.Time)
	}
	o := Outage{Kind: Retargeting, From: boundary, Begins: s.expect(boundary), Ends: s.expect(p.Due)}
	o.Why = fmt.Sprintf("blocks from %d on cannot be proven until %d is there and a retarget was submitted", boundary, p.Due)
	if s.tip.Height >= boundary {
		o.Active, o.Begins = true, at.boundary.Time
	}
	if s.tip.Height >= p.Due {
		o.Ends = time.Time{}
		o.Why = fmt.Sprintf("blocks from %d on cannot be proven: a retarget could be submitted since block %d, and was not", boundary, p.Due)
	}
	p.Outages = append(p.Outages, o)
}
