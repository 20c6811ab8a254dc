// Package lane verifies ECDSA and BIP340 signatures on secp256k1 eight at a
// time: one in each 64-bit lane of the vector registers of AVX-512, multiplied
// by the IFMA instructions. Package secp does the same one at a time, on every
// machine; a caller takes this package where Available says so.
//
// A verdict is Valid, Invalid or Unsure. Valid is final. Invalid costs the
// caller little to have confirmed by package secp, and consensus code should.
// Unsure must be settled there: the equations here know no exceptional cases
// (equal points, the point at infinity, an x that is not below the group order)
// but only notice them.
//
// The work is done by kernels, functions in assembly that ../asm/lane generates,
// and that prove the bounds of their numbers when they are generated. For each
// there is a model in Go that computes the same limbs, lane by lane, on every
// platform. The models are what the kernels are tested against, and they are
// tested against math/big.
//
// The package knows public data only, and takes time that depends on it. No
// secret may ever come near it.
package lane

//go:generate go run -C ../asm ./lane -out ../lane
