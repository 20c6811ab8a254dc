// Package dryrun runs a transaction that somebody means to broadcast, or one input of it,
// before anybody pays for it: a leaf that disproves an assertion of BitVM2 has up to
// 3.98 MB, goes to a miner directly, and is lost with its fee if its witness is wrong.
//
// [Parse] reads a [Spend]: the raw transaction and what its inputs spend. [Run] executes
// the scripts by the rules of consensus in btcd's engine, opcode by opcode, so that a
// context ends it, and in a second engine if it is given one. The [Report] says where a
// script failed and why, what the transaction weighs and pays, why Bitcoin Core's nodes
// would not relay it though a block may have it, and which timelocks it waits for.
//
// What is not known here is not judged: whether the outputs are there and unspent, how old
// they are, and what a node's mempool has in it.
package dryrun
