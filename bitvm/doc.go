// Package bitvm verifies natively what the provers of BitVM bridges claim on Bitcoin.
//
// In every variant of BitVM a prover commits on chain to a Groth16 proof and its public
// input, and a watchtower reads both out of a witness, verifies the proof and decides.
// [github.com/outrider-project/outrider/bitvm/groth16] verifies proofs, whoever encoded
// them; [github.com/outrider-project/outrider/bitvm/wots] reads and checks the
// Winternitz signatures that BitVM2 commits with;
// [github.com/outrider-project/outrider/bitvm/assertion] names the part of a BitVM2
// assertion that can be disproved, [github.com/outrider-project/outrider/bitvm/claim]
// judges whole claims, and [github.com/outrider-project/outrider/bitvm/watch] follows the
// transactions of bridges. Bridges that garble their verifier commit with adaptor
// signatures, which [github.com/outrider-project/outrider/bitvm/adaptor] reads.
// [github.com/outrider-project/outrider/bitvm/dryrun] runs a transaction before somebody
// pays for it, and [github.com/outrider-project/outrider/bitvm/bitvm0] is the first BitVM,
// for teaching.
//
// The witness that spends a disprove leaf of BitVM2 is not made here: it needs hints
// whose layout follows BitVM's generator of scripts, which is not stable. Nor is any
// bridge spoken to, and no money moved.
package bitvm
