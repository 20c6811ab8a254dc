// Package wots makes, reads and verifies the Winternitz signatures that BitVM2 commits
// with: HASH160 chains of 16 values, as in BitVM's signatures/winternitz.rs and
// signatures/public.rs. It also writes the Bitcoin Scripts that verify them on chain,
// with which it agrees on every witness.
//
// A message is a row of digits of four bits: the low one of a byte before the high one,
// and then all in reverse, so that the last byte comes first. Behind it comes the
// checksum, 15 for each digit without the digits' sum, most significant digit first.
// The secret of digit i is HASH160 of the secret key with i appended, as many bytes as it
// takes, none for 0; its signature is that secret hashed as often as the digit says, and
// its public key the secret hashed 15 times.
//
// A key is for one message: two signatures by the same key let others sign. [Scheme.Sign]
// is for tests and tools and keeps no record of what it signed; nothing here runs in
// constant time.
package wots
