package watch

import "github.com/btcsuite/btcd/chainhash/v2"

// A Kind is what an event tells of.
type Kind string

// The kinds of events.
const (
	// Seen: a transaction of the graph is in a block.
	Seen Kind = "seen"
	// UnknownSpend: a watched output was spent by a transaction that the graph does
	// not have, or not that way. What follows it is not watched.
	UnknownSpend Kind = "unknown spend"
	// RolledBack: the block of a transaction that was told of left the chain.
	RolledBack Kind = "rolled back"
	// Judged: a claim was found valid, or one that can be disproved, or neither.
	Judged Kind = "judged"
	// Opened: the next block may have a transaction from now on.
	Opened Kind = "opened"
	// Due: a deadline is near.
	Due Kind = "due"
	// Passed: a deadline is over, and the transaction is in no block.
	Passed Kind = "passed"
)

// An Event is something that happened to an instance. Events are numbered from 1 on, each
// instance's for themselves, and stay the same over restarts: who has taken one has taken
// all with lower numbers.
type Event struct {
	Number   uint64 `json:"number"`
	Kind     Kind   `json:"kind"`
	Instance string `json:"instance"`
	// Tip is the block with which it became known.
	Tip Tip `json:"tip"`
	// Transaction is the graph's name of the transaction, if it has one, and Txid its
	// id, if it is or was in a block.
	Transaction string          `json:"transaction,omitempty"`
	Txid        *chainhash.Hash `json:"txid,omitempty"`
	// Claim is the claim that was judged, and Judgement what came of it.
	Claim     string     `json:"claim,omitempty"`
	Judgement *Judgement `json:"judgement,omitempty"`
	// Height is when a transaction opened or is due. Earliest says that it may become
	// later: what the rival needs is not there yet.
	Height   uint32 `json:"height,omitempty"`
	Earliest bool   `json:"earliest,omitempty"`
	// Urgent says that somebody should act, or look.
	Urgent bool   `json:"urgent"`
	Text   string `json:"text"`
}

// keptEvents is how many events an instance remembers.
const keptEvents = 1000

// A moment is what an event about heights is told once for: a height that may become later
// counts as 0, so that it is told once while it moves.
type moment struct {
	Kind        Kind   `json:"kind"`
	Transaction string `json:"transaction"`
	Height      uint32 `json:"height"`
	Urgent      bool   `json:"urgent,omitempty"`
}

// A telling is a moment that was told of, and the height of the tip then.
type telling struct {
	moment
	At uint32 `json:"at"`
}

// moment returns that of an event about heights.
func (e *Event) moment() (m moment, ok bool) {
	m = moment{e.Kind, e.Transaction, e.Height, e.Urgent}
	if e.Earliest {
		m.Height = 0
	}
	return m, e.Kind == Opened || e.Kind == Due || e.Kind == Passed
}
