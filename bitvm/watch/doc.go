// Package watch follows the transactions of BitVM bridges through the blocks of a chain:
// it says what was claimed, what may be done about it, by whom, and before which height.
//
// A [Graph] describes a bridge as data: transactions, the connectors (outputs) between
// them, the leaves that spend those, and their relative locks. [BitVM2] and
// [GarbledCircuit] are built in; others are read by [DecodeGraph], and [Graph.Lint] looks
// for locks that leave nobody time. An [Instance] binds a graph to the transaction ids and
// scripts of one peg-out. A [Watcher] takes blocks, and keeps a journal of each instance.
//
// # What decides
//
// Blocks decide. A transaction of the mempool is a hint and no more ([Watcher.Peek]), and
// the heavy ones never come there: Bitcoin Core relays nothing above 400,000 weight units
// (policy.h, MAX_STANDARD_TX_WEIGHT), and the transactions that carry a BitVM2 assertion,
// and the one that disproves it, are above that.
//
// An instance whose blocks were not all seen is incomplete ([Status.Complete]), and nothing that is said of
// it then means that all is well.
//
// Heights are those of BIP68: an output in a block at height h with a lock of n blocks may
// be spent in a block at h+n, not before. Hashes are in the order of wire, and in display
// order where they are text.
package watch
