package relay

import (
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// A ReplayReport is what a model did with a HeadersFile. Its JSON is for programs:
// names stay.
type ReplayReport struct {
	// Kind is "full" or "light".
	Kind  string       `json:"kind"`
	Calls []ReplayCall `json:"calls"`
}

// A ReplayCall is a call, and the relay's state after it.
type ReplayCall struct {
	// Call is the contract's function, or "constructor".
	Call string `json:"call"`
	// About is the name that the file has for the header that the call is about;
	// empty for its chain.
	About string `json:"about,omitempty"`
	// Headers counts those that the call brings, and FromHeight is the height of
	// the first.
	Headers    int    `json:"headers,omitempty"`
	FromHeight uint64 `json:"from_height,omitempty"`
	// OK says that the contract did not revert. Else Revert is its reason; or
	// "panic 0x11", or the signature of a custom error.
	OK     bool   `json:"ok"`
	Revert string `json:"revert,omitempty"`
	// Gas is what a transaction with this call takes; absent for the constructor
	// and for a call that changes nothing.
	Gas uint64 `json:"gas,omitempty"`
	// Events are the names of those that it emitted.
	Events []string `json:"events,omitempty"`
	// Full or Light is the state afterwards.
	Full  *FullState  `json:"full,omitempty"`
	Light *LightState `json:"light,omitempty"`
}

// A FullState is the state of a FullRelay. Digests are in internal byte order, as the
// contract has them; difficulties are decimal.
type FullState struct {
	RelayGenesis            string `json:"relay_genesis"`
	BestKnownDigest         string `json:"best_known_digest"`
	BestHeight              uint64 `json:"best_height"`
	LastReorgCommonAncestor string `json:"last_reorg_common_ancestor"`
	CurrentEpochDifficulty  string `json:"current_epoch_difficulty"`
	PrevEpochDifficulty     string `json:"prev_epoch_difficulty"`
	// StoredHeaders counts the headers that were added, marked or not, and
	// StoredHeight is the greatest height of one.
	StoredHeaders int    `json:"stored_headers"`
	StoredHeight  uint64 `json:"stored_height"`
}

// A LightState is the state of a LightRelay. Difficulties are decimal.
type LightState struct {
	Ready                  bool   `json:"ready"`
	ProofLength            uint64 `json:"proof_length"`
	GenesisEpoch           uint64 `json:"genesis_epoch"`
	CurrentEpoch           uint64 `json:"current_epoch"`
	CurrentEpochDifficulty string `json:"current_epoch_difficulty"`
	PrevEpochDifficulty    string `json:"prev_epoch_difficulty"`
}

// Replay shows a file to a model: kind is "full" or "light". That the relay reverts is
// in the report; the error says that the file is of no use for this kind.
//
// A FullRelay is constructed with the genesis header, and given the chain, in one call
// up to each change of the target and in one after it, each followed by one that marks
// its last header. Then each other header is added on top of the header that it names,
// or where the relay does not know that, of the best, and marked if it was added.
//
// A LightRelay begins with the first header of the period. It is told of each change
// of the target with as many headers on either side as the chain has, and then asked
// for the whole chain, and for every other header on top of the one that it names.
func Replay(kind string, f *HeadersFile) (*ReplayReport, error) {
	switch kind {
	case "full":
		return replayFull(f)
	case "light":
		return replayLight(f)
	}
	return nil, fmt.Errorf("kind %q is not known: it must be full or light", kind)
}

// A fullReplay is a FullRelay being shown a file.
type fullReplay struct {
	relay  *FullRelay
	report *ReplayReport
	best   FileHeader
	stored uint64
}

func replayFull(f *HeadersFile) (*ReplayReport, error) {
	rep := &fullReplay{report: &ReplayReport{Kind: "full"}, best: f.Genesis, stored: f.Genesis.Height}
	var err error
	if rep.relay, err = NewFullRelay(f.Genesis.Raw, f.Genesis.Height, f.PeriodStart.Digest); err != nil {
		rep.report.Calls = []ReplayCall{{Call: "constructor", Revert: revertText(err)}}
		return rep.report, nil
	}
	rep.record(ReplayCall{Call: "constructor"}, Receipt{}, nil)

	known := map[chainhash.Hash]FileHeader{f.Genesis.Digest: f.Genesis}
	start := f.PeriodStart
	for rest := f.Chain; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].Height%epochLength != 0 {
			n++
		}
		if rep.add("", start, rep.best, rest[:n]) {
			rep.mark("", rep.best.Digest, rest[n-1], uint64(n)+1)
		}
		for _, h := range rest[:n] {
			known[h.Digest] = h
		}
		if rest[0].Height%epochLength == 0 {
			start = rest[0]
		}
		rest = rest[n:]
	}
	for _, other := range f.Others {
		anchor, ok := known[prevAt(other.Raw, 0)]
		if !ok {
			anchor = rep.best
		}
		if other.Height == 0 {
			other.Height = anchor.Height + 1
		}
		if rep.add(other.Name, start, anchor, []FileHeader{other.FileHeader}) {
			rep.mark(other.Name, anchor.Digest, other.FileHeader, rep.best.Height-anchor.Height+1)
		}
	}
	return rep.report, nil
}

// add adds headers on top of anchor, and reports whether the relay took them.
func (rep *fullReplay) add(about string, periodStart, anchor FileHeader, headers []FileHeader) bool {
	var data []byte
	for _, h := range headers {
		data = append(data, h.Raw...)
	}
	c := ReplayCall{Call: "addHeaders", About: about, Headers: len(headers), FromHeight: headers[0].Height}
	var receipt Receipt
	var err error
	if headers[0].Height%epochLength == 0 {
		c.Call = "addHeadersWithRetarget"
		receipt, err = rep.relay.AddHeadersWithRetarget(periodStart.Raw, anchor.Raw, data)
	} else {
		receipt, err = rep.relay.AddHeaders(anchor.Raw, data)
	}
	if err == nil {
		rep.stored = max(rep.stored, anchor.Height+uint64(len(headers)))
	}
	rep.record(c, receipt, err)
	return err == nil
}

// mark makes h the best header.
func (rep *fullReplay) mark(about string, ancestor chainhash.Hash, h FileHeader, limit uint64) {
	receipt, err := rep.relay.MarkNewHeaviest(ancestor, rep.best.Raw, h.Raw, min(limit, epochLength))
	if err == nil {
		rep.best = h
	}
	rep.record(ReplayCall{Call: "markNewHeaviest", About: about, Headers: 1, FromHeight: h.Height}, receipt, err)
}

// record adds a call to the report.
func (rep *fullReplay) record(c ReplayCall, receipt Receipt, err error) {
	c.finish(receipt, err)
	r := rep.relay
	height, _ := r.FindHeight(r.best) // 0 for a genesis header that was said to be at 0
	genesis, best, last := r.genesis, r.best, r.lastReorgAncestor
	c.Full = &FullState{
		RelayGenesis:            fmt.Sprintf("%x", genesis[:]),
		BestKnownDigest:         fmt.Sprintf("%x", best[:]),
		BestHeight:              height,
		LastReorgCommonAncestor: fmt.Sprintf("%x", last[:]),
		CurrentEpochDifficulty:  toBig(r.currentEpochDiff).String(),
		PrevEpochDifficulty:     toBig(r.prevEpochDiff).String(),
		StoredHeaders:           r.Headers(),
		StoredHeight:            rep.stored,
	}
	rep.report.Calls = append(rep.report.Calls, c)
}

// finish fills in how a call ended.
func (c *ReplayCall) finish(receipt Receipt, err error) {
	c.Gas = receipt.Gas
	c.OK, c.Revert = err == nil, revertText(err)
	for _, event := range receipt.Events {
		switch event.(type) {
		case Extension:
			c.Events = append(c.Events, "Extension")
		case NewTip:
			c.Events = append(c.Events, "NewTip")
		case Genesis:
			c.Events = append(c.Events, "Genesis")
		case Retarget:
			c.Events = append(c.Events, "Retarget")
		}
	}
}

// revertText returns a revert's reason, panic or custom error; "" for nil.
func revertText(err error) string {
	r, ok := errors.AsType[*Revert](err)
	switch {
	case !ok:
		return ""
	case r.Reason != "":
		return r.Reason
	case r.Custom != "":
		return r.Custom
	}
	return fmt.Sprintf("panic 0x%02x", r.Panic)
}

func replayLight(f *HeadersFile) (*ReplayReport, error) {
	if f.PeriodStart.Raw == nil || f.PeriodStart.Height%epochLength != 0 {
		return nil, errors.New("a light relay begins with the first header of a period: the file does not have it")
	}
	report := &ReplayReport{Kind: "light"}
	owner := Address{19: 1}
	r := NewLightRelay(owner)
	record := func(c ReplayCall, receipt Receipt, err error) {
		c.finish(receipt, err)
		c.Light = &LightState{
			Ready:                  r.ready,
			ProofLength:            r.proofLength,
			GenesisEpoch:           r.genesisEpoch,
			CurrentEpoch:           r.currentEpoch,
			CurrentEpochDifficulty: toBig(r.currentDiff).String(),
			PrevEpochDifficulty:    toBig(r.prevDiff).String(),
		}
		report.Calls = append(report.Calls, c)
	}
	record(ReplayCall{Call: "constructor"}, Receipt{}, nil)

	chain := append([]FileHeader{f.Genesis}, f.Chain...)
	// The longest proof that every change of the target in the chain has.
	length := epochLength - 1
	var changes []int
	for i, h := range chain {
		if i > 0 && h.Height%epochLength == 0 {
			changes = append(changes, i)
			length = min(length, i, len(chain)-i)
		}
	}
	receipt, err := r.Genesis(owner, f.PeriodStart.Raw, f.PeriodStart.Height, uint64(length))
	record(ReplayCall{Call: "genesis", Headers: 1, FromHeight: f.PeriodStart.Height}, receipt, err)
	join := func(headers []FileHeader) (data []byte) {
		for _, h := range headers {
			data = append(data, h.Raw...)
		}
		return data
	}
	for _, i := range changes {
		proof := chain[i-length : i+length]
		data := join(proof)
		// A block takes the clock's time, which is later than its headers'.
		receipt, err := r.Retarget(owner, data, uint64(timeAt(data, len(data)-80))+1)
		record(ReplayCall{Call: "retarget", Headers: len(proof), FromHeight: proof[0].Height}, receipt, err)
	}
	_, _, err = r.ValidateChain(join(chain))
	record(ReplayCall{Call: "validateChain", Headers: len(chain), FromHeight: chain[0].Height}, Receipt{}, err)
	for _, other := range f.Others {
		below := chain[len(chain)-1]
		for _, h := range chain {
			if h.Digest == prevAt(other.Raw, 0) {
				below = h
			}
		}
		_, _, err = r.ValidateChain(join([]FileHeader{below, other.FileHeader}))
		record(ReplayCall{Call: "validateChain", About: other.Name, Headers: 2, FromHeight: below.Height}, Receipt{}, err)
	}
	return report, nil
}
