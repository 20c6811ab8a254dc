// Package demo runs a small Bitcoin network of real btcd nodes on regtest, with
// real traffic: a [Network] of nodes that know each other, a wallet that spends
// coins of every standard kind, and a miner that builds blocks, reorganisations
// and deliberately invalid blocks. The demo (outrider demo) and the integration
// tests attach a sidecar to one of its nodes.
//
// Keys, transactions and choices follow from a seed. Block times, and with them
// block hashes, follow the clock, because btcd does; so does, in runs of minutes,
// which coins are old enough for a relative lock time.
//
// It is for demonstrations and tests only: the keys are public.
package demo
