// Package hashlane computes Bitcoin's hashes of many messages at once: SHA-256,
// SHA-256 of SHA-256, and HASH160, which is RIPEMD-160 of SHA-256.
//
// A vector register holds the same word of many messages, one in each lane, so
// that one instruction takes a step of all. Which registers there are is found
// out when the package is first used; see Path. A message alone is hashed no
// faster than by crypto/sha256, and a few are hashed by the processor's SHA
// instructions, two at a time, if it has them.
//
// All functions are safe for concurrent use on different destinations. They
// keep nothing of what they are given and, but for SumParts and DoubleSumParts
// without assembly, allocate nothing. Times depend on lengths and counts, and
// not on the bytes.
package hashlane
