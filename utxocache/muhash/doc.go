// Package muhash computes MuHash3072, a hash of a set to which elements are
// added and from which they are taken in any order: the muhash of Bitcoin
// Core's gettxoutsetinfo, which the coinstatsindex keeps for every block.
//
// An element is any bytes. Its SHA-256 is the key of a ChaCha20 stream (nonce
// and counter 0) whose first 384 bytes are, little-endian, a number. The set is
// the product of the numbers of what was inserted over the product of the
// numbers of what was removed, modulo the prime 2^3072 − 1103717, and its hash
// is the SHA-256 of that quotient in 384 bytes, little-endian. The source is
// Bitcoin Core's crypto/muhash.cpp; what an element is for a coin,
// corefile.AppendTxOutSer says.
//
// Nothing here is known of coins, and what is inserted twice is there twice. A
// set does not tell what is in it: the hash of one from which something was
// removed that was never in it is as good as any other, and is put right by
// inserting it. Nothing here takes constant time, and there is no secret.
package muhash
