package testvectors

import (
	"fmt"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// An unlocking spends a coin with an input.
type unlocking struct {
	*lock
	value    int64
	tx       *wire.MsgTx
	hashes   *txscript.TxSigHashes
	input    int
	hashType txscript.SigHashType
}

// unlock sets the input's script and witness. Signatures follow from what they
// sign (RFC 6979).
func (u *unlocking) unlock() (err error) {
	in := u.tx.TxIn[u.input]
	switch u.pattern {
	case p2pk:
		in.SignatureScript, err = u.pushed(u.legacy(u.script, 0))
	case p2pkh, p2pkhLong:
		in.SignatureScript, err = u.pushed(u.legacy(u.script, 0))
		in.SignatureScript = append(in.SignatureScript, push(u.key(0))...)
	case p2shMultisig:
		in.SignatureScript, err = u.pushed(u.legacy(u.inner, 0, 2))
		in.SignatureScript = append(append(ops(txscript.OP_0), in.SignatureScript...), push(u.inner)...)
	case p2wpkh:
		in.Witness, err = u.segwit(u.script, 0)
		in.Witness = append(in.Witness, u.key(0))
	case nestedP2WPKH:
		in.SignatureScript = push(u.inner)
		in.Witness, err = u.segwit(u.inner, 0)
		in.Witness = append(in.Witness, u.key(0))
	case nestedP2WSH:
		in.SignatureScript = push(witnessScriptHash(u.inner))
		in.Witness, err = u.segwitMultisig()
	case p2wshChannel, p2wshVault:
		in.Witness, err = u.segwitMultisig()
	case p2wshSwap:
		// The first key's signature is on top.
		in.Witness, err = u.segwit(u.inner, 1, 0)
		in.Witness = append(append(wire.TxWitness{u.preimage}, in.Witness...), u.inner)
	case p2wshAnchor:
		in.Witness = wire.TxWitness{nil, u.inner}
	default:
		in.Witness, err = u.taproot()
	}
	if err != nil {
		return fmt.Errorf("sign input %d, pattern %q: %w", u.input, u.pattern, err)
	}
	return nil
}

// pushed returns the script that pushes the signatures.
func (u *unlocking) pushed(sigs [][]byte, err error) (script []byte, _ error) {
	for _, sig := range sigs {
		script = append(script, push(sig)...)
	}
	return script, err
}

// ecdsa returns signatures by the keys with these numbers.
func (u *unlocking) ecdsa(keys []int, sign func(key *btcec.PrivateKey) ([]byte, error)) (sigs [][]byte, err error) {
	for _, i := range keys {
		sig, err := sign(u.keys[i])
		if err != nil {
			return nil, err
		}
		sigs = append(sigs, sig)
	}
	return sigs, nil
}

// legacy signs the script without segregated witness.
func (u *unlocking) legacy(script []byte, keys ...int) ([][]byte, error) {
	return u.ecdsa(keys, func(key *btcec.PrivateKey) ([]byte, error) {
		return txscript.RawTxInSignature(u.tx, u.input, script, u.hashType, key)
	})
}

// segwit signs the script by BIP143.
func (u *unlocking) segwit(script []byte, keys ...int) (wire.TxWitness, error) {
	return u.ecdsa(keys, func(key *btcec.PrivateKey) ([]byte, error) {
		return txscript.RawTxInWitnessSignature(u.tx, u.hashes, u.input, u.value, script, u.hashType, key)
	})
}

// segwitMultisig returns a witness with the signatures of the first key and the
// last, and the empty element that OP_CHECKMULTISIG takes besides.
func (u *unlocking) segwitMultisig() (wire.TxWitness, error) {
	sigs, err := u.segwit(u.inner, 0, len(u.keys)-1)
	return append(append(wire.TxWitness{nil}, sigs...), u.inner), err
}

// taproot signs by BIP341, with the key or for the script.
func (u *unlocking) taproot() (witness wire.TxWitness, err error) {
	if u.pattern == p2trKey {
		sig, err := txscript.RawTxInTaprootSignature(u.tx, u.hashes, u.input, u.value, u.script, nil, u.hashType, u.keys[0])
		return wire.TxWitness{sig}, err
	}
	// The key that the script asks for first signs on top.
	for i := len(u.keys) - 1; i >= 0; i-- {
		sig, err := txscript.RawTxInTapscriptSignature(u.tx, u.hashes, u.input, u.value, u.script, u.leaf(), u.hashType, u.keys[i])
		if err != nil {
			return nil, err
		}
		witness = append(witness, sig)
	}
	return append(witness, u.inner, u.control), nil
}
