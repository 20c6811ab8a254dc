package watch

import (
	"fmt"
	"slices"
	"strings"
)

// maxStandardWeight is above what Bitcoin Core relays (policy.h, MAX_STANDARD_TX_WEIGHT),
// and maxBlockWeight above what a block may have (consensus.h, MAX_BLOCK_WEIGHT).
const (
	maxStandardWeight = 400_000
	maxBlockWeight    = 4_000_000
)

// A Status is what is known of an instance.
type Status struct {
	Instance string `json:"instance"`
	Graph    string `json:"graph"`
	Network  string `json:"network"`
	// Tip is the last block that was looked at.
	Tip Tip `json:"tip"`
	// Complete says that no block is known to be missing. If it is false, Behind says
	// why, and nothing else here means that all is well.
	Complete bool   `json:"complete"`
	Behind   string `json:"behind,omitempty"`
	// Transactions are those of the graph, in its order.
	Transactions []TransactionStatus `json:"transactions"`
	Claims       []ClaimStatus       `json:"claims,omitempty"`
	// Unknown are spends that the graph does not have.
	Unknown []UnknownSpending `json:"unknown,omitempty"`
	// Next is what to do, or to wait for, most urgent first.
	Next []Advice `json:"next"`
	// Event is the number of the last event.
	Event uint64 `json:"event"`
}

// A TransactionStatus is what is known of a transaction.
type TransactionStatus struct {
	Name  string `json:"name"`
	By    string `json:"by"`
	State State  `json:"state"`
	// Txid, Height and Weight are of one that is confirmed.
	Txid   string `json:"txid,omitempty"`
	Height uint32 `json:"height,omitempty"`
	Weight int64  `json:"weight,omitempty"`
	// Outcome is what one that is confirmed means for the claimant, if it ends something.
	Outcome Outcome `json:"outcome,omitempty"`
	// Leaves are the leaves by which it spends, as connector:leaf, with the number of
	// the script where there are several.
	Leaves []string `json:"leaves,omitempty"`
	// Opens is the height of the first block that may have one that is not confirmed:
	// exact if it is open or locked, else the first if all comes at once.
	Opens uint32 `json:"opens,omitempty"`
	// CLTV says that a script by which it spends has an absolute lock too (BIP65), which
	// is not known here: it may have to wait longer.
	CLTV bool `json:"cltv,omitempty"`
	// Deadline is the height of the first block in which Rival may take what it
	// needs; 0 is none. For is the transaction that must be there then, if it is
	// another behind this one. If Firm is false, the deadline may become later.
	Deadline uint32 `json:"deadline,omitempty"`
	Firm     bool   `json:"firm,omitempty"`
	Rival    string `json:"rival,omitempty"`
	For      string `json:"for,omitempty"`
	// Left is how many blocks can still have it before the deadline.
	Left uint32 `json:"left,omitempty"`
	// CalledFor says that what is known calls for it: it answers a claim that can be
	// disproved, or punishes the claimant for being late.
	CalledFor bool `json:"called_for,omitempty"`
}

// A ClaimStatus is what is known of a claim.
type ClaimStatus struct {
	Name string `json:"name"`
	// Made says that all of its transactions are in blocks.
	Made      bool       `json:"made"`
	Judgement *Judgement `json:"judgement,omitempty"`
	// Unjudged says why it is made and not judged.
	Unjudged string `json:"unjudged,omitempty"`
	// Answered is the transaction that answered it.
	Answered string `json:"answered,omitempty"`
}

// An UnknownSpending is a spend that the graph does not have.
type UnknownSpending struct {
	Txid       string   `json:"txid"`
	Height     uint32   `json:"height"`
	Connectors []string `json:"connectors"`
	Why        string   `json:"why"`
}

// An Advice is what to do or to wait for, in words.
type Advice struct {
	Urgent bool   `json:"urgent"`
	Text   string `json:"text"`
}

// Status returns what is known of every instance, in the order in which they were added.
func (w *Watcher) Status() []Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]Status, len(w.tracks))
	for i, t := range w.tracks {
		all[i] = t.status()
	}
	return all
}

func (t *track) status() Status {
	g := t.bound.graph
	s := Status{
		Instance: t.instance.Name, Graph: g.Name, Network: t.instance.Network, Tip: t.tip,
		Complete: t.behind == "", Behind: t.behind, Event: t.number,
	}
	steps := t.plan()
	for i := range g.Transactions {
		s.Transactions = append(s.Transactions, t.transaction(i, &steps[i]))
	}
	for i := range g.Claims {
		s.Claims = append(s.Claims, t.claim(i))
	}
	for i := range t.sightings {
		if seen := &t.sightings[i]; seen.Transaction == unknown {
			u := UnknownSpending{Txid: seen.Txid.String(), Height: seen.Block.Height, Why: seen.Why}
			for _, sp := range seen.Spent {
				u.Connectors = append(u.Connectors, g.Connectors[sp.Connector].Name)
			}
			u.Connectors = slices.Compact(u.Connectors)
			s.Unknown = append(s.Unknown, u)
		}
	}
	s.Next = t.advice(&s)
	return s
}

func (t *track) transaction(i int, st *step) TransactionStatus {
	g := t.bound.graph
	s := TransactionStatus{Name: g.Transactions[i].Name, By: g.Transactions[i].By, State: st.state}
	if seen := t.seen(i); seen != nil {
		s.Txid, s.Height, s.Weight = seen.Txid.String(), seen.Block.Height, seen.Weight
		s.Outcome = g.Transactions[i].Outcome
		for _, sp := range seen.Spent {
			if sp.Output == 0 && sp.Leaf != unknown {
				s.Leaves = append(s.Leaves, t.leafText(&sp))
			}
		}
		return s
	}
	if st.state == Over {
		return s
	}
	s.Opens, s.Deadline, s.Firm, s.CalledFor = st.opens, st.deadline, st.firm, t.calledFor(i)
	s.CLTV = ownLock(g, &g.Transactions[i]) != ""
	if st.deadline != 0 {
		s.Rival = g.Transactions[st.rival].Name
		if st.by != i {
			s.For = g.Transactions[st.by].Name
		}
		if next := t.tip.Height + 1; st.deadline > next {
			s.Left = st.deadline - next
		}
	}
	return s
}

// leafText names a leaf.
func (t *track) leafText(sp *Spent) string {
	c := &t.bound.graph.Connectors[sp.Connector]
	l := &c.Leaves[sp.Leaf]
	text := c.Name + ":" + l.Name
	if l.Count > 1 && t.bound.leaves[sp.Connector] != nil {
		text += fmt.Sprintf("/%d", sp.Script)
	}
	return text
}

func (t *track) claim(i int) ClaimStatus {
	g := t.bound.graph
	s := ClaimStatus{Name: g.Claims[i].Name, Made: t.commits(i) != nil, Judgement: t.verdict(i)}
	if s.Made && s.Judgement == nil {
		s.Unjudged = t.unjudged
	}
	for _, a := range g.Claims[i].Answers {
		if t.made[g.transaction(a)] != 0 {
			s.Answered = a
		}
	}
	return s
}

// advice says what to do, or to wait for, most urgent first.
func (t *track) advice(s *Status) []Advice {
	g := t.bound.graph
	var urgent, calm []Advice
	say := func(must bool, format string, args ...any) {
		a := Advice{must, fmt.Sprintf(format, args...)}
		if must {
			urgent = append(urgent, a)
		} else {
			calm = append(calm, a)
		}
	}
	if !s.Complete {
		say(true, "Blocks are missing: %s. Until they are seen, nothing here says that all is well.", s.Behind)
	}
	for _, u := range s.Unknown {
		say(true, "Transaction %s in block %d spends connector %s in a way that the graph does not have: %s. Look at it; what comes behind it is not watched.",
			u.Txid, u.Height, strings.Join(u.Connectors, ", "), u.Why)
	}
	spoken := make(map[string]bool)
	for i := range s.Claims {
		t.adviseClaim(s, &g.Claims[i], &s.Claims[i], say, spoken)
	}
	ended := false
	for i := range s.Transactions {
		tx, of := &s.Transactions[i], &g.Transactions[i]
		switch {
		case tx.State == Confirmed && of.Outcome != "":
			ended = true
			say(false, "%s is in block %d: %s.", tx.Name, tx.Height, of.Means)
		case spoken[tx.Name] || tx.By == g.Claimant:
		case tx.State == Open && tx.CalledFor:
			say(true, "Broadcast %s: %s.%s%s", tx.Name, of.Means, within(tx), heavy(of))
		case tx.State == Open && tx.Deadline != 0 && len(of.Inputs) > 0:
			say(false, "%s may be sent by the %s: %s.%s%s", tx.Name, tx.By, of.Means, within(tx), heavy(of))
		case tx.State == Locked && tx.CalledFor:
			say(false, "If nothing comes before, %s may be in a block from height %d on: %s.", tx.Name, tx.Opens, of.Means)
		}
	}
	if !ended {
		for i := range s.Transactions {
			if tx := &s.Transactions[i]; tx.By == g.Claimant && (tx.State == Open || tx.State == Locked) {
				say(false, "The %s may send %s from height %d on%s: %s.", tx.By, tx.Name, tx.Opens, ownLock(g, &g.Transactions[i]), g.Transactions[i].Means)
			}
		}
	}
	if all := append(urgent, calm...); all != nil {
		return all
	}
	return []Advice{{Text: "Nothing of it is in a block yet."}}
}

// adviseClaim says what to do about a claim.
func (t *track) adviseClaim(s *Status, of *Claim, c *ClaimStatus, say func(bool, string, ...any), spoken map[string]bool) {
	g := t.bound.graph
	if c.Made && c.Judgement == nil {
		why := c.Unjudged
		if why == "" {
			why = "it is being judged"
		}
		say(true, "The %s claims, and nobody here knows yet whether it is true: %s.", g.Claimant, why)
		return
	}
	switch {
	case c.Judgement == nil:
		return
	case c.Judgement.Finding == Valid:
		of := ""
		if c.Judgement.Input != "" {
			of = " for the public input " + c.Judgement.Input
		}
		say(false, "The %s claims %s, and its proof is valid%s; compare the input with what the peg-out must have.", g.Claimant, c.Name, of)
		return
	case c.Answered != "":
		say(false, "The claim %s was answered: %s is in a block.", c.Name, c.Answered)
		return
	}
	what := fmt.Sprintf("The %s claims, and nobody here can tell whether it is true (%s): verify it by other means", g.Claimant, c.Judgement.Reason)
	if c.Judgement.Finding == Disprovable {
		what = fmt.Sprintf("The %s claims; the proof is invalid", g.Claimant)
		if c.Judgement.Leaf != nil {
			what += fmt.Sprintf(" at leaf %d", *c.Judgement.Leaf)
		}
		if c.Judgement.Reason != "" {
			what += fmt.Sprintf(" (%s)", strings.TrimSpace(c.Judgement.Kind+" "+c.Judgement.Reason))
		}
	}
	able := false
	for _, answer := range of.Answers {
		i := g.transaction(answer)
		tx := &s.Transactions[i]
		spoken[answer] = true
		switch tx.State {
		case Open:
			able = true
			say(true, "%s; broadcast %s.%s%s", what, answer, within(tx), heavy(&g.Transactions[i]))
		case Locked, Waiting:
			able = true
			say(true, "%s; prepare %s, which may be in a block from height %d on.%s%s", what, answer, tx.Opens, within(tx), heavy(&g.Transactions[i]))
		}
	}
	if !able {
		say(true, "%s; no transaction of the graph can answer it any more.", what)
	}
}

// within says until when a transaction must be in a block.
func within(tx *TransactionStatus) string {
	if tx.Deadline == 0 {
		return ""
	}
	text := fmt.Sprintf(" It must be in a block before height %d", tx.Deadline)
	if tx.For != "" {
		text += fmt.Sprintf(", for %s to come before %s", tx.For, tx.Rival)
	} else {
		text += fmt.Sprintf(", when %s may be", tx.Rival)
	}
	switch {
	case tx.Left == 0:
		return text + ": that is over, and whichever comes first decides."
	case tx.Firm:
		return text + fmt.Sprintf(" (%s left).", blocks(tx.Left))
	}
	return text + fmt.Sprintf(" (%s left at least).", blocks(tx.Left))
}

// heavy says how a transaction gets into a block that nobody relays.
func heavy(of *Transaction) string {
	if of.Weight <= maxStandardWeight {
		return ""
	}
	return fmt.Sprintf(" With up to %d weight units it is too heavy for mempools: send it to miners.", of.Weight)
}
