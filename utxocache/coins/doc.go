// Package coins answers what the unspent transaction outputs are as of a tip, from
// four tiers behind one question:
//
//	ring       what the last blocks created and spent   utxocache
//	ristretto  older coins that were of use             utxocache
//	pebble     all coins, on disk                       coindb, in full mode
//	origin     the node                                 as of the same tip, or not at all
//
// Every answer is right for the tip that is named with it, or it is Unknown.
//
// # How two tips become one
//
// The database follows the cache: a block is given to the cache first, and to the
// database when it is judged. A reader takes a view of the cache, and only for
// what that does not know one of the database. If the database's tip is one of
// the blocks of the view's ring, nothing has touched these outpoints since, or
// the ring would know of them: the database's answer is right as of the view's
// tip too. If it is not, the reader took an old view of one and a new one of the
// other; it takes both again.
//
// So whoever changes them keeps to one order: the cache is never behind the
// database, and a block that is disconnected leaves the database first.
package coins
