// Package corefile reads and writes the formats in which Bitcoin Core keeps
// coins and blocks: the coin record of its chainstate, undo records and block
// records (rev*.dat and blk*.dat, with the key of xor.dat), and the snapshot of
// the UTXO set that dumptxoutset writes, with the set's hash. It knows bytes
// and no rule of consensus, and opens no file.
//
// # Conventions
//
// An Append function appends an encoding to a slice and returns it, and cannot
// fail; what its arguments may be is in its comment. A Decode function takes
// bytes that begin with an encoding, and returns the value and the number of
// bytes that it took. Hashes are in internal byte order, values in satoshis.
//
// Nothing that is read is trusted: a length is compared with what is there
// before memory is taken for it. Every error of a decoder wraps one of the
// errors below, or is what the underlying reader returned. What decodes encodes
// to the same bytes again, but for what Bitcoin Core reads and does not write:
// scripts that are too long to be spent, or written at length though they have a
// short form; transaction versions in undo records; and another order of the
// coins inside a snapshot's transaction.
//
// Functions and methods of values may be used by many goroutines at once. A
// SnapshotReader, SnapshotWriter or SetHasher is for one goroutine at a time.
package corefile
