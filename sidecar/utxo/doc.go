// Package utxo does what "outrider utxo" is for: it loads a snapshot of the
// unspent transaction outputs into a coin database, answers questions about it,
// and looks after it. The database itself is utxocache/coindb; here is where it
// lies, what a user is told when it cannot be used, and the two hashes by which
// it is compared with Bitcoin Core's.
//
// Every function opens the database of a Place, does one thing and closes it
// again; while it runs, no other process can have that database open. Hashes are
// in display order where they are text, values are in satoshis.
package utxo
