// Package utxocache answers what the unspent transaction outputs are as of one
// named block, the tip, from the blocks that it was given. It is not a hint
// but a truth: each answer is right for that tip, or the answer is Unknown.
//
// # What is held where
//
// The ring is exact. It holds what the last Options.Blocks blocks created and
// spent, and how to undo them, so that the cache can follow a reorganisation
// of that depth. The block below them is the floor: nothing below it can be
// disconnected. Coins that outlive the ring move to pages, which also take the
// coins that others told of (Remember). An outpoint is in one of the two at
// most, and there the whole of it is compared: hashes only find the place.
//
// A page has about a hundred coins that came to it at about the same time.
// Ristretto holds one key for each page and decides which of them stay; what is
// on a page that it evicts or turns away is forgotten. It does so only while
// the cache is being changed, by Apply, Remember, Reset or a knob. A page never
// holds an answer of "spent", so what is forgotten becomes Unknown and never
// wrong. The ring forgets nothing but that an outpoint is Absent,
// Options.Blocks blocks after it became so.
//
// A cache that began at the genesis block and lost no coin is complete: a coin
// that is not here does not exist. Applying and disconnecting blocks keep it
// complete; the first coin that is forgotten ends it, until Reset.
//
// What all of it takes is bounded by a number of blocks and a number of bytes for the
// pages, or by one budget (Options.Budget), which Memory accounts for.
//
// # What readers see
//
// A reader takes a view, which one atomic pointer names, and asks nobody again:
// all answers of a call are of one view, and so of one tip. Views do not change.
// A change makes the next view beside the one that is read, and shares with it
// what stays. A reader that still has a view of the past gets the answers of the
// past. Nothing that a view refers to is used again for something else; the
// garbage collector frees it after its last reader.
//
// So no look-up waits, for a lock or for anything else, nor allocates. The
// script of an answer is part of the view's memory: who keeps an answer keeps
// what its block created, or its page, from being freed. One change is made at a
// time, and those who make others wait for it.
//
// # What the operations do to an outpoint
//
//	before     Apply creates  Apply spends     leaves the ring  Remember
//	Unspent    the new coin   Absent           to a page        as it was
//	Absent     the new coin   block refused    Unknown (1)      as it was
//	Unknown    the new coin   Absent           -                Unspent (2)
//
//	(1) Absent, while the cache is complete.
//	(2) Unless the coin claims a height above the floor: the cache has those
//	    blocks, and they hold no such coin.
//
// Disconnect brings back what was known before the block:
//
//	the block   before it was  after Disconnect
//	created     Unspent        that coin (BIP30 duplicate)
//	created     Absent         Absent
//	created     Unknown        Absent (3)
//	spent       Unspent        that coin, Own as it was
//	spent       Unknown        Unknown
//
//	(3) BIP30 says that none of a block's outputs is unspent before it. Two
//	    blocks of the main chain (91842 and 91880) break this, and what they
//	    created is Unknown again. Bitcoin Core deletes a coin that a
//	    disconnected block had overwritten; this cache, like a synchronisation
//	    from scratch, brings it back where it knew it.
//
// Withdraw, for a block that may break BIP30 for all that is known, leaves what it
// created and was Unknown before it Unknown.
//
// Disconnecting loses nothing: what it brings back lies in the ring and moves
// to a page only when the ring has moved on by Options.Blocks blocks.
//
// # What is told of it
//
// The metrics count look-ups by what answered them, and coins that were found by
// their age. Of one outpoint in 16, always the same ones, Options.Refer hears each
// look-up, and when its coin is created and spent: enough to know what a larger or
// a smaller cache would find. Look-ups of others pay a branch for both.
//
// # What is not checked
//
// The cache obeys the caller in what the chain is. It checks that a block
// follows the tip and that it spends nothing that is certainly Absent; it
// checks no other rule, and takes transaction ids as they are given. A block
// must have been accepted by the node at least, or Absent answers are worth
// nothing.
package utxocache
