// Package monitor watches a Bitcoin relay on an L2, without a key: how far the relay is
// behind Bitcoin, what it has stored and not marked, whether it left Bitcoin's best chain,
// and when proofs will fail.
//
// What is not known is not guessed. A node that limits the rate, hangs, lags, is of another
// chain or answers in halves makes a [Value] unknown, with the reason, and with what was
// known last and how old that is; it never makes a header "not relayed". Only the contract
// itself says that, by reverting with "Unknown block" in the very L2 block that all else is
// read at. What was read in a block that a reorganisation of the L2 took away is forgotten.
//
// A [Monitor] asks two parties: execution clients of the L2 (an endpoint.Pool) about the
// contract, and a Bitcoin node, which is believed, about Bitcoin's best chain. Digests are in
// internal byte order, heights are Bitcoin's unless a name says otherwise, and times are the
// blocks' own.
package monitor
