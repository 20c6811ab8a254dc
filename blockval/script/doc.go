// Package script executes Bitcoin's scripts by the rules of Bitcoin Core's
// VerifyScript, and returns the signature checks in them as data.
//
// [Machine.Collect] takes every signature that is well encoded for valid, and
// notes the check of it in a [Batch]. Thousands of inputs make one batch for
// sigverify, which is many times faster than one call a signature. If all checks
// of an input hold, the path that its scripts took was the real one, and they
// succeed. If one does not, nothing is known: a script may branch on a signature
// that fails, and succeed. Such an input is run again by [Machine.Execute], which
// verifies each signature when the script asks for it, as Bitcoin Core does.
//
// What is checked beside signatures, the tweak of a taproot output's key, is
// collected in the same form; see tweak.go.
//
// One interpreter serves all versions of scripts: legacy ones, witness version 0
// (BIP141, BIP143) and tapscript (BIP342). It knows the flags of consensus and
// those of policy, and fails with Core's ScriptError.
//
// The package decides about one input's scripts and nothing else: not whether the
// coin exists, nor what a block's signature operations cost.
package script
