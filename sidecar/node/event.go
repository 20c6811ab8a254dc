package node

import (
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/blockval/header"
)

// An Event is one step of what the node's chain and mempool did: Started,
// Connected, Disconnected, MempoolAdded, MempoolRemoved, Rejected or Diverged.
type Event interface{ event() }

// Started comes before every other event of a feed but Diverged: the blocks
// above Tip follow.
type Started struct {
	Tip
}

// Connected says that a block joined the best chain, on top of the block that
// the events before left as its tip.
type Connected struct {
	Tip
	// Header is the block's header, verified with all the headers below it.
	Header header.Header
	// Raw is the serialised block; its header is Header, the rest of it is
	// what the node said.
	Raw []byte
	// Block is Raw decoded; nil when it cannot be.
	Block *blockval.Block
	// Seen is when the sidecar first heard of the block.
	Seen time.Time
	// CatchUp says that the block was fetched on the way to a tip that was
	// more than one block ahead.
	CatchUp bool
}

// Disconnected says that the tip that the events before left is no longer in
// the best chain.
type Disconnected struct {
	Tip
}

// MempoolAdded says that a transaction entered the node's mempool.
type MempoolAdded struct {
	Txid chainhash.Hash
	// Raw is the serialised transaction; nil when the node told its id only.
	Raw []byte
}

// MempoolRemoved says that a transaction left the node's mempool, but not by
// being mined: those that a Connected block holds leave with that event.
type MempoolRemoved struct {
	Txid chainhash.Hash
}

// Rejected says that the node calls a branch invalid: its blocks follow Fork,
// which is in the best chain, in ascending order.
type Rejected struct {
	Fork   Tip
	Blocks []RejectedBlock
	// Broken is the rule for headers that the last of Blocks breaks; nil if all of
	// them keep every one. What follows that block in the branch is left out, and
	// no block is fetched: they are invalid with it, or do not matter.
	Broken *header.RuleError
	// Unfetched says why the branch cannot be judged, if so; then Fork is zero
	// and Blocks holds its last block only, without header and body.
	Unfetched string
	// Old says that the node had the branch before the feed started.
	Old bool
}

// A RejectedBlock is a block of a branch that the node calls invalid.
type RejectedBlock struct {
	Tip
	// Header has passed every rule for headers, unless it is the one that
	// Rejected.Broken is about.
	Header header.Header
	// Raw is the serialised block; nil when the node has only its header, or
	// when it was not fetched.
	Raw []byte
	// Unfetched says that the blocks below it are as many bytes as are fetched
	// of one branch.
	Unfetched bool
}

// Diverged says that the node's best chain has a header that breaks a rule.
// The feed stays where it is, and looks again, until the node leaves that
// chain.
type Diverged struct {
	// Fork is the last block that the node's chain and the feed's share, Bad
	// the first one of the node's that breaks a rule.
	Fork, Bad Tip
	// Headers are those of the node's chain from the one after Fork to Bad.
	Headers []header.Header
	// Err says how.
	Err *header.RuleError
}

func (Started) event()        {}
func (Diverged) event()       {}
func (Connected) event()      {}
func (Disconnected) event()   {}
func (MempoolAdded) event()   {}
func (MempoolRemoved) event() {}
func (Rejected) event()       {}
