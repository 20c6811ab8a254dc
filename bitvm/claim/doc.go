// Package claim judges whole claims of BitVM2 bridges: from the witnesses with which a
// prover committed to an assertion, to whether it can be disproved and by which leaf.
//
// A claim goes through three steps. Its 378 Winternitz signatures are verified, their
// chains side by side, and say what was committed to. The Groth16 proof among that is
// verified. And the parts of its verification, as BitVM2 cuts it, are computed until one
// is not what was committed to. The last two are computed apart from one another and must
// fit together: see [ErrContradiction].
//
// Of a claim in a block that one's own node validated, the first step is what consensus
// has done already, and [Claim.Validated] leaves the hashing out.
//
// A verdict says what the script of a leaf would say. It is no proof that a peg-out was
// paid, nor that the proof's public input is the right one; both are for whoever knows the
// bridge.
package claim
