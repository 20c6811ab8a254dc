// Package adaptor reads what a prover commits to with BIP340 adaptor signatures, one for
// each digit of a message, as the bridges do that garble their verifier: a digit is a
// byte, each of its 256 values is a label with a secret of its own, and the signature
// that the prover puts on chain gives away the secret of the digit's value and of no
// other. So eight bits cost one signature.
//
// A [Presignature] is a signature that lacks the secret of a point. Whoever knows the
// secret completes it ([Presignature.Adapt]), and whoever has both computes the secret
// ([Presignature.Extract]). The scheme is that of "Generalized Channels from Limited
// Blockchain Scripts and Adaptor Signatures" (Aumayr and others, eprint 2020/476) and
// "One-Time Verifiably Encrypted Signatures" (Fournier, 2019), with the challenge and the
// even nonce of BIP340.
//
// The script ([Script]) is that of "Optimizing On-Chain Costs of Publishing Proofs for
// BitVM3-Style Bridges" (Linus, after Eagen): a single key, and an OP_CODESEPARATOR
// between two checks, so that each signature is of a digest of its own and cannot stand
// for another digit. BIP342 counts the separator's position in opcodes, 3, 6, 9 and so
// on; a signer that counts bytes makes signatures that no node takes.
//
// A [Table] is made once of all labels of a prover and finds the value and the secret of
// a signature without any arithmetic on the curve. [Decode] reads a spend, and
// [Spend.Verify] checks its signatures with a verifier that is handed in. That no bridge
// has published its graph of transactions means that the digits' order and the meaning
// of the message are the caller's; nothing here claims to be any bridge's format.
//
// Nothing here runs in constant time. [Presign] and [Presignature.Adapt] see secrets:
// they are for tests and tools, not for a key that guards money on a shared machine.
package adaptor
