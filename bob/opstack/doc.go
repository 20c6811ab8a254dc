// Package opstack reads chains of the OP Stack, such as BOB, with go-ethereum's own
// types: what go-ethereum's client refuses or drops (deposit transactions of type 0x7e,
// the fee fields of receipts) is decoded here, and everything else stays what it is
// there.
//
// Fees are computed exactly as the chain charges them, in wei. Heads are taken from
// several sources that may each be wrong, and say how they are wrong. Blocks, receipts
// and output roots are recomputed from their parts: a node that contradicts itself is
// found without another node.
//
// The rules are those of the OP Stack's specifications (github.com/ethereum-optimism/
// specs), whose names are used. Times are Unix seconds of the L2 unless a type says
// otherwise. Decoders take no more memory than a small multiple of their input, keep no
// reference to it, and do not panic. Values are plain data and safe for concurrent
// reading.
package opstack
