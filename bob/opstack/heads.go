package opstack

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ethereum/go-ethereum/common"
)

// A Kind is what a source of heads is.
type Kind uint8

// These are the kinds: an op-node with its optimism_syncStatus, and an execution client
// with its tags.
const (
	OpNode Kind = iota + 1
	Execution
)

// A Report is what one source said of the heads at one moment.
type Report struct {
	Source string
	At     time.Time
	// Heads that the source does not have are zero; an execution client has no safe
	// head until it was told one.
	Heads Heads
	// Status is an op-node's whole answer; nil of an execution client.
	Status *SyncStatus
	// Syncing says that an execution client is on its way to a target (eth_syncing).
	Syncing bool
	// Err is why the source did not answer. Then nothing else is set, and nothing is
	// concluded about any head.
	Err error
}

// A FaultKind is what is wrong with a source, or with the chain.
type FaultKind string

// These are the kinds of faults. A report with one of the first six is not used: the
// source's last good one counts until it is too old.
const (
	// Unstarted sources name no unsafe head: they have not begun.
	Unstarted FaultKind = "unstarted"
	// Unordered reports have a safe head beyond the unsafe one, or a finalized beyond
	// the safe: op-node reads them one after another, and something came between.
	Unordered FaultKind = "unordered"
	// Stale sources go back to an answer that they gave before, or stand still while
	// others go on: a cache or a balancer is between, or the node hangs.
	Stale FaultKind = "stale"
	// SyncTarget heads are where a syncing node wants to be, not where it is
	// (optimism#18124, optimism#20990).
	SyncTarget FaultKind = "sync-target"
	// Future heads have a time that has not come.
	Future FaultKind = "future"
	// FinalizedChanged sources replace a block that they called final.
	FinalizedChanged FaultKind = "finalized-changed"

	// Silent sources have not answered for too long.
	Silent FaultKind = "silent"
	// Disagree says that two sources have different blocks at one height.
	Disagree FaultKind = "disagree"
	// Lone heads are known from one source only.
	Lone FaultKind = "lone"
	// Late heads are older than they should be.
	Late FaultKind = "late"
)

// FaultKinds are all kinds.
var FaultKinds = []FaultKind{
	Unstarted, Unordered, Stale, SyncTarget, Future, FinalizedChanged, Silent, Disagree, Lone, Late,
}

// A Fault is one that is there now.
type Fault struct {
	Kind FaultKind
	// Source is who has it; "" when it is about the chain.
	Source string
	// Head is which head it is about, where it is about one.
	Head   Label
	Detail string
}

// String returns the fault in words, with its source and head.
func (f Fault) String() string {
	if f.Source == "" {
		return fmt.Sprintf("%v head %s: %s", f.Head, f.Kind, f.Detail)
	}
	return fmt.Sprintf("%s: %v head %s: %s", f.Source, f.Head, f.Kind, f.Detail)
}

// A Head is one of the chain's heads as its sources have it.
type Head struct {
	Ref
	// Sources counts the sources that are there or beyond: two, if there are two to
	// be had; 0 when nobody knows the head.
	Sources int
	// Lag is the time since the block's.
	Lag time.Duration
}

// A State is what is known of the heads at one moment.
type State struct {
	At    time.Time
	Heads [labels]Head
	// Faults are sorted by source and kind.
	Faults []Fault
}

// A HeadsConfig says what is expected of a chain. Fields that are 0 have the value that
// suits BOB.
type HeadsConfig struct {
	// Sources are the names of those who report, by kind.
	Sources map[string]Kind
	// BlockTime is the time between L2 blocks (2 s).
	BlockTime time.Duration
	// MaxAge is how old a report may be to count (15 s).
	MaxAge time.Duration
	// MaxLead is how many blocks a source may be ahead of another that is asked at
	// the same time (2).
	MaxLead uint64
	// MaxSkew is how far a block's time may be in the future (5 s).
	MaxSkew time.Duration
	// MaxLag is how old a head may be: 20 s, 75 min, 120 min. BOB posts its batches
	// about hourly.
	MaxLag [labels]time.Duration
}

// fill replaces zeros by defaults.
func (c HeadsConfig) fill() HeadsConfig {
	c.BlockTime = cmp.Or(c.BlockTime, 2*time.Second)
	c.MaxAge = cmp.Or(c.MaxAge, 15*time.Second)
	c.MaxLead = cmp.Or(c.MaxLead, 2)
	c.MaxSkew = cmp.Or(c.MaxSkew, 5*time.Second)
	for l, lag := range [labels]time.Duration{20 * time.Second, 75 * time.Minute, 120 * time.Minute} {
		c.MaxLag[l] = cmp.Or(c.MaxLag[l], lag)
	}
	return c
}

// Tracking follows the heads of a chain from what its sources report. It is a pure state
// machine, without a clock of its own, and not safe for concurrent use.
type Tracking struct {
	cfg     HeadsConfig
	names   []string
	sources map[string]*source
	final   Ref // the first that two sources called final at its height
}

// A source is one who reports.
type source struct {
	kind Kind
	good Report // the last report that can be used
	// began is when a source that never reported was expected to.
	began time.Time
	// faults are those of the newest report.
	faults []Fault
	// moved is when the unsafe head of the good report was first seen.
	moved time.Time
	past  past
}

// past are the blocks that a source named, by height, the newest of them.
type past struct{ hashes map[uint64]common.Hash }

// remembered is how many heights back a source's blocks are remembered: two hours and
// more, so that most safe heads are among them.
const remembered = 4096

// add remembers the blocks of a report. Where they show a reorganisation, what was above
// the safe head is forgotten.
func (p *past) add(h Heads) {
	if p.hashes == nil {
		p.hashes = make(map[uint64]common.Hash)
	}
	var blocks []ID
	for _, ref := range h {
		if ref.IsZero() {
			continue
		}
		blocks = append(blocks, ref.ID())
		if ref.Number > 0 && ref.Parent != (common.Hash{}) {
			blocks = append(blocks, ID{ref.Parent, ref.Number - 1})
		}
	}
	for _, b := range blocks {
		if old, ok := p.hashes[b.Number]; ok && old != b.Hash {
			maps.DeleteFunc(p.hashes, func(n uint64, _ common.Hash) bool { return n > h[Safe].Number })
			break
		}
	}
	for _, b := range blocks {
		p.hashes[b.Number] = b.Hash
	}
	if top := h[Unsafe].Number; len(p.hashes) > 2*remembered {
		maps.DeleteFunc(p.hashes, func(n uint64, _ common.Hash) bool { return n > top || n+remembered < top })
	}
}

// NewTracking returns a Tracking that has heard of nothing; start is when it begins to
// expect reports. It refuses a configuration without a source.
func NewTracking(cfg HeadsConfig, start time.Time) (*Tracking, error) {
	if len(cfg.Sources) == 0 {
		return nil, errors.New("heads are followed without a source")
	}
	t := &Tracking{cfg: cfg.fill(), sources: make(map[string]*source, len(cfg.Sources))}
	for name, kind := range cfg.Sources {
		if kind != OpNode && kind != Execution {
			return nil, fmt.Errorf("source %q is of kind %d, which is none", name, kind)
		}
		t.sources[name] = &source{kind: kind, began: start}
		t.names = append(t.names, name)
	}
	slices.Sort(t.names)
	return t, nil
}

// Observe takes a report. It panics if the source is not one of the configuration's:
// names come from there. Reports of one source come in the order of their times.
func (t *Tracking) Observe(r Report) {
	s, ok := t.sources[r.Source]
	if !ok {
		panic("opstack: report of unknown source " + r.Source)
	}
	s.faults = nil
	if r.Err != nil {
		return
	}
	s.faults = t.judge(s, &r)
	if len(s.faults) > 0 {
		return
	}
	if s.good.Heads[Unsafe].Hash != r.Heads[Unsafe].Hash {
		s.moved = r.At
	}
	s.good = r
	s.past.add(r.Heads)
}

// judge returns the faults that a report has by itself and beside what its source said
// before.
func (t *Tracking) judge(s *source, r *Report) []Fault {
	var faults []Fault
	find := func(k FaultKind, l Label, detail string, args ...any) {
		faults = append(faults, Fault{k, r.Source, l, fmt.Sprintf(detail, args...)})
	}
	h := r.Heads
	if h[Unsafe].IsZero() {
		find(Unstarted, Unsafe, "it names none")
		return faults
	}
	for l := Safe; l < labels; l++ {
		if !h[l].IsZero() && h[l].Number > h[l-1].Number && !h[l-1].IsZero() {
			find(Unordered, l, "it is at %d, beyond the %v one at %d", h[l].Number, l-1, h[l-1].Number)
		}
	}
	if st := r.Status; st != nil && !st.LocalSafeL2.IsZero() && st.LocalSafeL2.Number < st.SafeL2.Number {
		find(Unordered, Safe, "it is at %d, beyond the local one at %d", st.SafeL2.Number, st.LocalSafeL2.Number)
	}
	if r.Syncing {
		find(SyncTarget, Unsafe, "the node is syncing: %d is where it wants to be", h[Unsafe].Number)
	}
	if ahead := time.Unix(int64(h[Unsafe].Time), 0).Sub(r.At); ahead > t.cfg.MaxSkew {
		find(Future, Unsafe, "its time is %v ahead", ahead)
	}
	// Until the good report is too old: whoever stays back that long has gone back.
	if s.good.At.IsZero() || r.At.Sub(s.good.At) > t.cfg.MaxAge {
		return faults
	}
	for l := range labels {
		was, is := s.good.Heads[l], h[l]
		if was.IsZero() || is.IsZero() {
			continue
		}
		hash, known := s.past.hashes[is.Number]
		switch {
		case l == Finalized && known && hash != is.Hash && is.Number <= was.Number:
			find(FinalizedChanged, l, "%v, and it was %v", is.ID(), ID{hash, is.Number})
		case is.Number < was.Number && (!known || hash == is.Hash):
			find(Stale, l, "it went back from %d to %d, on the same branch", was.Number, is.Number)
		}
	}
	return faults
}

// State returns what is known at a moment, which is not before the last report's.
func (t *Tracking) State(now time.Time) State {
	st := State{At: now}
	var usable []*source
	for _, name := range t.names {
		s := t.sources[name]
		st.Faults = append(st.Faults, s.faults...)
		if last := cmp.Or(s.good.At, s.began); now.Sub(last) > t.cfg.MaxAge {
			if len(s.faults) == 0 {
				st.Faults = append(st.Faults, Fault{Silent, name, Unsafe, fmt.Sprintf("no answer for %v", now.Sub(last).Round(time.Second))})
			}
			continue
		}
		if !s.good.At.IsZero() {
			usable = append(usable, s)
		}
	}
	for _, s := range usable {
		if hash, known := s.past.hashes[t.final.Number]; known && !t.final.IsZero() && hash != t.final.Hash {
			st.Faults = append(st.Faults, Fault{FinalizedChanged, s.good.Source, Finalized,
				fmt.Sprintf("%v was final, and it has %v", t.final.ID(), ID{hash, t.final.Number})})
		}
	}
	left := t.compare(usable, &st)
	for l := range labels {
		st.Heads[l] = t.agree(l, left[l], &st)
		head := &st.Heads[l]
		if head.Sources == 0 {
			continue
		}
		head.Lag = now.Sub(time.Unix(int64(head.Time), 0))
		if head.Lag > t.cfg.MaxLag[l] {
			st.Faults = append(st.Faults, Fault{Late, "", l, fmt.Sprintf("it is %v old, at most %v is usual", head.Lag.Round(time.Second), t.cfg.MaxLag[l])})
		}
	}
	slices.SortStableFunc(st.Faults, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Head, b.Head))
	})
	return st
}

// compare finds the faults that show between sources, and returns those that can be used
// for each head.
func (t *Tracking) compare(usable []*source, st *State) (left [labels][]*source) {
	for l := range labels {
		left[l] = slices.Clone(usable)
	}
	drop := func(l Label, s *source) {
		left[l] = slices.DeleteFunc(left[l], func(other *source) bool { return other == s })
	}
	for _, s := range usable {
		if s.kind == OpNode && t.ahead(s, usable) {
			st.Faults = append(st.Faults, Fault{SyncTarget, s.good.Source, Unsafe,
				fmt.Sprintf("it is at %d, where no execution client is", s.good.Heads[Unsafe].Number)})
			drop(Unsafe, s)
		}
	}
	for _, s := range usable {
		if s.good.At.Sub(s.moved) <= 2*t.cfg.BlockTime {
			continue
		}
		passed := func(other *source) bool { return t.lead(other, s) > t.cfg.MaxLead }
		if !slices.ContainsFunc(usable, passed) {
			continue
		}
		st.Faults = append(st.Faults, Fault{Stale, s.good.Source, Unsafe,
			fmt.Sprintf("it stands at %d, and another goes on", s.good.Heads[Unsafe].Number)})
		// An op-node that names a target says nothing against the one who executes.
		if slices.ContainsFunc(left[Unsafe], passed) {
			for l := range labels {
				drop(l, s)
			}
		}
	}
	for i, a := range usable {
		for _, b := range usable[i+1:] {
			if at, l, differ := conflict(a, b); differ {
				st.Faults = append(st.Faults, Fault{Disagree, a.good.Source, l, fmt.Sprintf("at height %d it has another block than %s", at, b.good.Source)})
			}
		}
	}
	return left
}

// lead returns by how many blocks a is ahead of b, beyond what came in the time between
// their reports.
func (t *Tracking) lead(a, b *source) uint64 {
	between := max(a.good.At.Sub(b.good.At), 0)
	ahead, behind := a.good.Heads[Unsafe].Number, b.good.Heads[Unsafe].Number+uint64(between/t.cfg.BlockTime)
	return max(ahead, behind) - behind
}

// ahead reports whether s is ahead of all execution clients, if there are any.
func (t *Tracking) ahead(s *source, usable []*source) bool {
	executes := false
	for _, other := range usable {
		if other.kind != Execution {
			continue
		}
		executes = true
		if t.lead(s, other) <= t.cfg.MaxLead {
			return false
		}
	}
	return executes
}

// conflict returns a height at which two sources have different blocks, and the head
// that it is of; the one nearest to finality, where several are.
func conflict(a, b *source) (height uint64, l Label, differ bool) {
	for l := range labels {
		head := Finalized - l
		for _, pair := range [][2]*source{{a, b}, {b, a}} {
			ref := pair[0].good.Heads[head]
			if hash, known := pair[1].past.hashes[ref.Number]; known && !ref.IsZero() && hash != ref.Hash {
				return ref.Number, head, true
			}
		}
	}
	return 0, 0, false
}

// agree returns the highest block that two sources have: it is the head of one, and the
// other is there or beyond, and is not known to have another block there. Where no two
// agree, it is the highest that one has.
func (t *Tracking) agree(l Label, sources []*source, st *State) Head {
	sources = slices.DeleteFunc(slices.Clone(sources), func(s *source) bool { return s.good.Heads[l].IsZero() })
	slices.SortStableFunc(sources, func(a, b *source) int {
		return cmp.Compare(b.good.Heads[l].Number, a.good.Heads[l].Number)
	})
	var head Head
	for _, s := range sources {
		candidate := Head{Ref: s.good.Heads[l]}
		for _, other := range sources {
			hash, known := other.past.hashes[candidate.Number]
			if other.good.Heads[l].Number >= candidate.Number && (!known || hash == candidate.Hash) {
				candidate.Sources++
			}
		}
		if head.Sources == 0 || head.Sources == 1 && candidate.Sources > 1 {
			head = candidate
		}
	}
	if head.Sources == 1 {
		st.Faults = append(st.Faults, Fault{Lone, "", l, "no two sources have it"})
	}
	if l == Finalized && head.Sources > 0 {
		head.Ref = t.keepFinal(head)
	}
	return head
}

// keepFinal returns the finalized head that follows from what two sources called final
// before, which stays so.
func (t *Tracking) keepFinal(head Head) Ref {
	if head.Sources > 1 && head.Number > t.final.Number {
		t.final = head.Ref
	}
	if head.Number > t.final.Number {
		return head.Ref
	}
	return t.final
}
