// Package assertion reads what a prover of a BitVM2 bridge commits to on chain, and finds
// the leaf that disproves it, if one does.
//
// BitVM2 cuts the verification of a Groth16 proof with one public input into 364 parts,
// each small enough for a Bitcoin Script (BitVM's chunk/g16_runner_core.rs). The prover
// commits to the public input, to 14 elements of the proof, and to the outputs of 363
// parts as hashes of 16 bytes. Part after part is a leaf with which anybody can spend
// the prover's stake who shows that its committed inputs do not lead to its committed
// output; the last leaf shows that the committed end is not that of a valid proof.
//
// [Key.Evaluate] computes all parts natively from what is committed to, and stops at the
// first that is wrong. Its inputs are then those that were committed to, so that its
// leaf can be spent. The witness for that is not made here; it needs hints that follow
// BitVM's generator of scripts, which is not stable.
//
// # The parts
//
// Elements (1 + a·w) of the field with p^12 elements stand for themselves times any
// element of the field with p^6, so that only a is carried: the product of a and b is
// (a+b)/(1+abv). A point (x, y) of G1 is carried as (-x/y, 1/y), with which lines are
// evaluated. Beside the accumulator f, the chain carries T, a multiple of B.
//
// That a proof is valid is shown by c, with f·c^-λ in the field with p^6 elements and
// λ = 6x+2+p-p²+p³ (Novakovic and Eagen, "On Proving Pairings", eprint 2024/640).
package assertion
