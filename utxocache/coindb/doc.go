// Package coindb keeps the unspent transaction outputs on disk, in one Pebble
// instance, as of one named block: the tip.
//
// A block is applied, and undone, in one atomic batch that is on the disk when
// the call returns. It holds the coins that the block creates and those that
// it spends, what undoes it, and the tip. So a process may be killed, or the
// machine lose power, at any instant: what is found afterwards is the state of
// the last block whose call returned, or of the one whose call did not.
//
// # Keys
//
// A key begins with one byte for its kind. Numbers in keys are big-endian, so
// that they sort; hashes are in internal byte order.
//
//	'c' txid vout(4)              a coin, as Bitcoin Core's chainstate has it
//	'h' height(4)                 the MuHash of the coins as of the block of that height
//	'm' name                      the tip, a load in progress, the index
//	's' sha256(script) txid vout  the height of a coin with that script
//	'u' height(4)                 what undoes the block of that height
//
// Coins sort as in a snapshot that dumptxoutset writes, but within one
// transaction by number, where Bitcoin Core sorts by the bytes of a VARINT.
//
// # States
//
//	              Tip, View     Apply, Undo   NewLoader   Reset
//	new, empty    ErrNoTip      ErrNoTip      begins      at its tip, empty
//	loading       ErrLoading    ErrLoading    goes on     at its tip, empty
//	at a tip      the tip       done          refused     at its tip, empty
//	of no height  the tip       ErrTip        refused     at its tip, empty
//	broken        ErrBroken     ErrBroken     ErrBroken   ErrBroken
//
// A tip of UnknownHeight is of no height: a snapshot does not say it. SetHeight
// does, and then it is a tip as any other.
//
// A database is complete when no coin exists that it does not have: it began
// at the genesis block, or with a whole snapshot. Then a block that spends a
// coin that is not there is refused. One that is not complete takes such a
// block: the coin was created before the database began.
//
// # The MuHash
//
// What a block does to the MuHash of the coins takes as long as applying it, and
// nobody who applies it waits for it: FollowMuHash does it afterwards, from the
// undo records. So it goes on where it was, whenever the process was killed.
//
// # What is not checked
//
// The caller says what the chain is. That a block follows the tip is checked,
// and that it spends nothing that a complete database does not have; no other
// rule is. That a block creates a coin that already exists is looked for only
// in the two blocks that BIP30 exempts.
//
// # When the disk fails
//
// Pebble ends the process when its log or its manifest cannot be written. Here
// the database is broken instead: nothing more is written, as if the process
// had died, every change and every new View returns ErrBroken, and Views that
// are open go on. Close it and open it again. Before it comes to that, Apply, Undo and a Loader refuse with
// ErrDiskFull while less space is free than Options.MinFree, and work again
// when it is there.
package coindb
