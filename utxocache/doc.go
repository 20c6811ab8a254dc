// Package utxocache answers what the unspent transaction outputs are as of one
// named block, the tip, from the blocks that it was given. It is not a hint
// but a truth: each answer is right for that tip, or the answer is Unknown.
//
// # What is held where
//
// The ring is exact. It holds what the last Options.Blocks blocks created and
// spent, and how to undo them, so that the cache can follow a reorganisation
// of that depth. The block below them is the floor: nothing below it can be
// disconnected. Coins that outlive the ring move to ristretto, which also
// takes the coins that the node told of (Remember). An outpoint is in one of
// the two at most.
//
// Ristretto may forget any coin at any write, because it is full or because
// two outpoints share a key. It never holds an answer of "spent", so what it
// forgets becomes Unknown and never wrong. The ring forgets nothing but that
// an outpoint is Absent, Options.Blocks blocks after it became so.
//
// A cache that began at the genesis block and lost no coin is complete: a coin
// that is not here does not exist. Applying and disconnecting blocks keep it
// complete; the first coin that ristretto loses ends it, until Reset.
//
// # What the operations do to an outpoint
//
//	before     Apply creates  Apply spends     leaves the ring  Remember
//	Unspent    the new coin   Absent           ristretto        as it was
//	Absent     the new coin   block refused    Unknown (1)      as it was
//	Unknown    the new coin   Absent           -                Unspent, not Own (2)
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
// to ristretto only when the ring has moved on by Options.Blocks blocks.
//
// # What is not checked
//
// The cache obeys the caller in what the chain is. It checks that a block
// follows the tip and that it spends nothing that is certainly Absent; it
// checks no other rule, and takes transaction ids as they are given. A block
// must have been accepted by the node at least, or Absent answers are worth
// nothing.
package utxocache
