// Package groth16 verifies Groth16 proofs over BN254, one by one or many at once, and
// decodes them and their keys as arkworks, gnark, EIP-197, RISC Zero and SP1 write them.
//
// # What is checked
//
// Decoders take exactly one encoding of a point: coordinates below the field's modulus,
// on the curve, the sign that is stored the sign that the point has. [Key.Verify] and
// [Key.VerifyBatch] check besides that each point is on its curve and B in the subgroup
// of order r (on the curve of G1 there is no other), whoever made the [Proof], so that
// a proof that was not decoded here is safe to verify too. The point at infinity is a
// point as others are, as EIP-197 has it; a key may not have it but in its inputs.
//
// A valid proof says that its maker knows a witness for the public inputs, if the key
// is that of the right circuit. Which key that is, and whether the inputs are what one
// wants to believe, is for the caller to say: see [RISC0Claim] and [SP1Key].
//
// Times depend on what is verified. Nothing here is secret.
package groth16
