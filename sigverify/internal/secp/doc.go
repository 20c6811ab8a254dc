// Package secp verifies ECDSA and BIP340 signatures on secp256k1, one at a
// time. It is the fallback of every platform, and the oracle that code for many
// signatures at once is held against. All of it is Go; on amd64 with BMI2 and ADX
// the doublings and additions of points are assembly, which computes the same
// words as the Go that it stands for. The build tag purego leaves it out.
//
// The package knows public data only: signatures, keys and digests from the
// network. Everything in it takes time that depends on its operands, and so
// none of it may ever touch a secret: to sign, use another package.
//
// All functions are safe for concurrent use, as long as no operand is written
// meanwhile. Receivers may alias operands, unless a comment says otherwise.
package secp
