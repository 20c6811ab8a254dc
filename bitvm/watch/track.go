package watch

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// keptTips is how many blocks an instance remembers, to find where a branch forks. What
// blocks are deeper is found by what was seen in them, or from the start again.
const keptTips = 288

// A Sighting is a transaction in a block that spends a watched output, or makes the first.
type Sighting struct {
	// Transaction is its place in the graph, or -1 if the graph does not have it; Why
	// says then what is wrong with it.
	Transaction int            `json:"transaction"`
	Why         string         `json:"why,omitempty"`
	Txid        chainhash.Hash `json:"txid"`
	Block       Tip            `json:"block"`
	Weight      int64          `json:"weight"`
	Spent       []Spent        `json:"spent,omitempty"`
}

// A judged is what was found of a claim, in which transactions, and by which judge.
type judged struct {
	Claim     int              `json:"claim"`
	Txids     []chainhash.Hash `json:"txids"`
	By        string           `json:"by,omitempty"` // its name
	Judgement Judgement        `json:"judgement"`
}

// An output is one of a connector.
type output struct {
	there   bool
	at      wire.OutPoint
	height  uint32
	spentBy int // a sighting, counted from 1; 0 is none
}

// A track is what is known of an instance. All of it follows from its tip, the sightings,
// what was judged and what was told, which the journal has.
type track struct {
	instance *Instance
	bound    *binding
	journal  *journal // nil if it is kept nowhere

	tip       Tip
	recent    []Tip // ends with tip; none if the tip is the one before the start
	sightings []Sighting
	verdicts  []judged
	events    []Event
	number    uint64 // of the last event

	told map[moment]uint32 // by the height of the tip then

	// These follow from the sightings.
	outputs []output // of all connectors
	made    []int    // by transaction: its sighting, counted from 1; 0 is none

	// behind says why blocks are missing; "" if they are not known to be.
	behind string
	// unjudged says why a claim could not be given to the judge; "" if none is kept.
	unjudged string
	// again are the claims of which an earlier run could not tell, or whose judge was
	// another, and that this run has not tried; true if the judge was another.
	again map[int]bool
}

func newTrack(in *Instance) *track {
	t := &track{instance: in, bound: in.bound, tip: Tip{Height: in.Start - 1}, told: make(map[moment]uint32), behind: "it has not been looked for blocks yet"}
	t.rebuild()
	return t
}

// rebuild derives what follows from the sightings.
func (t *track) rebuild() {
	t.outputs = make([]output, t.bound.outputs)
	t.made = make([]int, len(t.bound.graph.Transactions))
	for c, e := range t.bound.exists {
		t.outputs[t.bound.first[c]] = output{there: true, at: e.outpoint, height: e.height}
	}
	for i := range t.sightings {
		t.settle(i)
	}
}

// settle takes sighting i into what follows from them.
func (t *track) settle(i int) {
	s := &t.sightings[i]
	for _, spent := range s.Spent {
		t.outputs[t.slot(spent.Connector, spent.Output)].spentBy = i + 1
	}
	if s.Transaction == unknown {
		return
	}
	t.made[s.Transaction] = i + 1
	index := uint32(t.bound.graph.Transactions[s.Transaction].shift(t.bound.graph, s.Spent))
	t.bound.eachOutput(s.Transaction, func(connector, n int) {
		if connector != unknown {
			t.outputs[t.slot(connector, n)] = output{there: true, at: wire.OutPoint{Hash: s.Txid, Index: index}, height: s.Block.Height}
		}
		index++
	})
}

// slot returns the place of an output among all.
func (t *track) slot(connector, n int) int { return t.bound.first[connector] + n }

// connectorAt returns the connector of the output at a place among all, and its place
// there.
func (t *track) connectorAt(slot int) (connector, n int) {
	i, exact := slices.BinarySearch(t.bound.first, slot)
	if !exact {
		i--
	}
	return i, slot - t.bound.first[i]
}

// takes reports whether the block follows the tip.
func (t *track) takes(b *Block) bool {
	return b.Height == t.tip.Height+1 && (len(t.recent) == 0 || t.tip.Hash == b.Prev)
}

// advance makes b the tip.
func (t *track) advance(tip Tip) {
	t.tip = tip
	if t.recent = append(t.recent, tip); len(t.recent) > 2*keptTips {
		t.recent = slices.Clone(t.recent[len(t.recent)-keptTips:])
	}
}

// retreat makes a block below the tip the tip, and drops what was seen above it. Where to
// is below the first block, or not known to be of the chain that was followed, the track
// stands before its start.
func (t *track) retreat(to Tip) (dropped []Sighting) {
	n := len(t.sightings)
	for n > 0 && t.sightings[n-1].Block.Height > to.Height {
		n--
	}
	dropped = slices.Clone(t.sightings[n:])
	t.sightings = t.sightings[:n]
	for len(t.recent) > 0 && t.recent[len(t.recent)-1].Height > to.Height {
		t.recent = t.recent[:len(t.recent)-1]
	}
	t.tip = to
	switch {
	case to.Height < t.instance.Start:
		t.tip, t.recent = Tip{Height: t.instance.Start - 1}, nil
	case len(t.recent) == 0:
		t.recent = []Tip{to}
	}
	t.rebuild()
	maps.DeleteFunc(t.told, func(_ moment, at uint32) bool { return at > to.Height })
	t.verdicts = slices.DeleteFunc(t.verdicts, func(v judged) bool { return !slices.Equal(v.Txids, t.commits(v.Claim)) })
	return dropped
}

// commits returns the ids of the transactions that carry a claim; nil if one is missing.
func (t *track) commits(claim int) []chainhash.Hash {
	var ids []chainhash.Hash
	for _, of := range t.bound.graph.Claims[claim].Commits {
		at := t.made[t.bound.graph.transaction(of)]
		if at == 0 {
			return nil
		}
		ids = append(ids, t.sightings[at-1].Txid)
	}
	return ids
}

// doubt has the claims judged again of which nobody could tell, or whose judge was another
// than the one of that name.
func (t *track) doubt(judge string) {
	t.again = make(map[int]bool)
	for _, v := range t.verdicts {
		if other := v.By != judge; other || v.Judgement.Finding == Undecided {
			t.again[v.Claim] = other
		}
	}
}

// find takes what was found of a claim in the place of what was found before.
func (t *track) find(v judged) {
	t.verdicts = slices.DeleteFunc(t.verdicts, func(old judged) bool { return old.Claim == v.Claim })
	t.verdicts = append(t.verdicts, v)
}

// found returns what was found of a claim, by whomever, or nil.
func (t *track) found(claim int) *judged {
	for i := range t.verdicts {
		if t.verdicts[i].Claim == claim {
			return &t.verdicts[i]
		}
	}
	return nil
}

// verdict returns what holds of a claim, or nil: what another judge found does not until
// this run's has tried, but for that it could not tell.
func (t *track) verdict(claim int) *Judgement {
	v := t.found(claim)
	if v == nil || t.again[claim] && v.Judgement.Finding != Undecided {
		return nil
	}
	return &v.Judgement
}

// seen returns the sighting of a transaction that is in a block, or nil.
func (t *track) seen(tx int) *Sighting {
	if at := t.made[tx]; at > 0 {
		return &t.sightings[at-1]
	}
	return nil
}

// tell returns a new event.
func (t *track) tell(e Event) Event {
	t.number++
	e.Number, e.Instance, e.Tip = t.number, t.instance.Name, t.tip
	return e
}

// remember takes events into what is kept of them.
func (t *track) remember(events []Event) {
	for _, e := range events {
		t.number = e.Number
		if m, ok := e.moment(); ok {
			t.told[m] = e.Tip.Height
		}
	}
	if t.events = append(t.events, events...); len(t.events) > 2*keptEvents {
		t.events = slices.Clone(t.events[len(t.events)-keptEvents:])
	}
}

// tellOf returns the event of a sighting.
func (t *track) tellOf(s *Sighting) Event {
	e := Event{Kind: Seen, Txid: &s.Txid}
	if s.Transaction == unknown {
		c := &t.bound.graph.Connectors[s.Spent[0].Connector]
		e.Kind, e.Urgent = UnknownSpend, true
		e.Text = fmt.Sprintf("%s spends connector %s in a way that the graph does not have: %s", s.Txid, c.Name, s.Why)
		return t.tell(e)
	}
	tx := &t.bound.graph.Transactions[s.Transaction]
	e.Transaction, e.Urgent = tx.Name, tx.Outcome == Paid && t.disprovable()
	e.Text = fmt.Sprintf("%s is in block %d: %s", tx.Name, s.Block.Height, tx.Means)
	if e.Urgent {
		e.Text += ", though the claim could be disproved"
	}
	return t.tell(e)
}

// disprovable reports whether a claim was found that can be disproved.
func (t *track) disprovable() bool {
	return slices.ContainsFunc(t.verdicts, func(v judged) bool { return v.Judgement.Finding == Disprovable })
}

// heights returns the events of transactions that open or are due, which were not told.
func (t *track) heights() []Event {
	g := t.bound.graph
	var events []Event
	next := t.tip.Height + 1
	for i, s := range t.plan() {
		tx := &g.Transactions[i]
		if s.state != Open {
			continue
		}
		say := func(e Event, format string, args ...any) {
			e.Transaction, e.Text = tx.Name, fmt.Sprintf(format, args...)
			if m, _ := e.moment(); !t.knows(m) {
				events = append(events, t.tell(e))
			}
		}
		urgent := t.calledFor(i) || t.doubtful(i)
		locked := slices.ContainsFunc(tx.Inputs, func(in Input) bool { _, l := g.input(in); return l.Lock != Blocks{} })
		if locked {
			say(Event{Kind: Opened, Height: s.opens, Urgent: urgent}, "%s may be in a block from height %d on%s: %s", tx.Name, s.opens, ownLock(g, tx), tx.Means)
		}
		if s.deadline == 0 || tx.By == g.Claimant {
			continue
		}
		left, rival := s.deadline-min(next, s.deadline), g.Transactions[s.rival].Name
		switch {
		case left > t.instance.react():
		case !s.firm:
			say(Event{Kind: Due, Height: s.deadline, Earliest: true, Urgent: urgent}, "%s must be in a block before height %d at the earliest, when %s may be if what it needs comes at once: %s left at least",
				tx.Name, s.deadline, rival, blocks(left))
		case left == 0:
			say(Event{Kind: Passed, Height: s.deadline, Urgent: urgent}, "%s is in no block before height %d, and %s", tx.Name, s.deadline, missed(i, &s, g))
		default:
			say(Event{Kind: Due, Height: s.deadline, Urgent: urgent}, "%s must be in a block before height %d, %s: %s left",
				tx.Name, s.deadline, reason(i, &s, g), blocks(left))
		}
	}
	return events
}

// tellings returns what was told of heights, in a fixed order.
func (t *track) tellings() []telling {
	all := make([]telling, 0, len(t.told))
	for m, at := range t.told {
		all = append(all, telling{m, at})
	}
	slices.SortFunc(all, func(a, b telling) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Transaction, b.Transaction), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Height, b.Height))
	})
	return all
}

// knows reports whether a moment was told of, or it is calm and was told of as urgent.
func (t *track) knows(m moment) bool {
	_, told := t.told[m]
	if !told && !m.Urgent {
		m.Urgent = true
		_, told = t.told[m]
	}
	return told
}

// doubtful reports whether a transaction answers a claim that is in blocks and of which it
// is not known that it is valid. While it is being judged it does not count.
func (t *track) doubtful(tx int) bool {
	g := t.bound.graph
	for i, c := range g.Claims {
		if !slices.Contains(c.Answers, g.Transactions[tx].Name) || t.commits(i) == nil {
			continue
		}
		if v := t.verdict(i); v != nil && v.Finding != Valid || v == nil && t.unjudged != "" {
			return true
		}
	}
	return false
}

// reason says why there is a deadline of transaction i, and missed what it is to be late.
func reason(i int, s *step, g *Graph) string {
	by, rival := g.Transactions[s.by].Name, g.Transactions[s.rival].Name
	if s.by == i {
		return fmt.Sprintf("when %s may be", rival)
	}
	return fmt.Sprintf("for %s to come before %s may", by, rival)
}

func missed(i int, s *step, g *Graph) string {
	by, rival := g.Transactions[s.by].Name, g.Transactions[s.rival].Name
	if s.by == i {
		return fmt.Sprintf("%s may be since then", rival)
	}
	return fmt.Sprintf("%s may come as soon as %s", rival, by)
}

// ownLock says that a transaction may have to wait for more than is known here.
func ownLock(g *Graph, tx *Transaction) string {
	if slices.ContainsFunc(tx.Inputs, func(in Input) bool { _, l := g.input(in); return l.Absolute }) {
		return ", not before its own lock"
	}
	return ""
}

// calledFor reports whether what is known calls for a transaction: it answers a claim that
// can be disproved, or punishes the claimant for being late. That a claim may be
// challenged does not call for it.
func (t *track) calledFor(tx int) bool {
	g := t.bound.graph
	for i, c := range g.Claims {
		v := t.verdict(i)
		if v != nil && v.Finding == Disprovable && slices.Contains(c.Answers, g.Transactions[tx].Name) {
			return true
		}
	}
	return g.Transactions[tx].By != g.Claimant && g.Transactions[tx].Outcome == Punished &&
		slices.ContainsFunc(g.Transactions[tx].Inputs, func(in Input) bool { _, l := g.input(in); return l.Lock != Blocks{} })
}

// blocks returns a number of blocks in words.
func blocks(n uint32) string {
	if n == 1 {
		return "1 block"
	}
	return fmt.Sprintf("%d blocks", n)
}
