package blockval

import (
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval/script"
)

// maxPubkeysPerMultisig is what a multisig operation counts as where its number
// of keys is not told, MAX_PUBKEYS_PER_MULTISIG in Bitcoin Core.
const maxPubkeysPerMultisig = 20

// sigOps counts the signature operations in a script up to its first malformed
// push, as CScript::GetSigOpCount in Bitcoin Core. accurate takes the number of
// keys of a multisig from the number before it.
func sigOps(script []byte, accurate bool) int {
	n := 0
	last := byte(txscript.OP_INVALIDOPCODE)
	for s := (scriptReader{rest: script}); ; last = s.op {
		// Most operations are short pushes.
		for len(s.rest) > 0 && s.rest[0] < txscript.OP_PUSHDATA1 && int(s.rest[0]) < len(s.rest) {
			last, s.rest = s.rest[0], s.rest[1+int(s.rest[0]):]
		}
		if !s.next() {
			return n
		}
		switch s.op {
		case txscript.OP_CHECKSIG, txscript.OP_CHECKSIGVERIFY:
			n++
		case txscript.OP_CHECKMULTISIG, txscript.OP_CHECKMULTISIGVERIFY:
			if accurate && last >= txscript.OP_1 && last <= txscript.OP_16 {
				n += int(last-txscript.OP_1) + 1
			} else {
				n += maxPubkeysPerMultisig
			}
		}
	}
}

// legacySigOps counts the signature operations in a transaction's own scripts.
func legacySigOps(tx *wire.MsgTx) int {
	n := 0
	for _, in := range tx.TxIn {
		n += sigOps(in.SignatureScript, false)
	}
	for _, out := range tx.TxOut {
		n += sigOps(out.PkScript, false)
	}
	return n
}

// prevoutSigOpCost returns what the signature operations of an input cost that
// only the output it spends reveals, as the P2SH and witness parts of
// GetTransactionSigOpCost in Bitcoin Core.
func prevoutSigOpCost(in *wire.TxIn, pkScript []byte, flags script.Flags) int {
	cost := 0
	p2sh := isP2SH(pkScript)
	if p2sh && flags&script.P2SH != 0 {
		if redeem, ok := lastPush(in.SignatureScript); ok {
			cost += sigOps(redeem, true) * witnessScaleFactor
		}
	}
	if flags&script.Witness == 0 {
		return cost
	}
	program := pkScript
	if p2sh {
		// An empty push gives an empty script, which is no program.
		program, _ = lastPush(in.SignatureScript)
	}
	return cost + witnessSigOps(program, in.Witness)
}

// witnessSigOps returns the signature operations of a witness program of
// version 0; 0 for other scripts.
func witnessSigOps(program []byte, witness wire.TxWitness) int {
	switch {
	case isP2WPKH(program):
		return 1
	case isP2WSH(program) && len(witness) > 0:
		return sigOps(witness[len(witness)-1], true)
	}
	return 0
}

// lastPush returns what a script pushes last. It returns nil and false for a
// script that is malformed or does anything but push, as one that
// CScript::IsPushOnly in Bitcoin Core refuses.
func lastPush(script []byte) (data []byte, ok bool) {
	s := scriptReader{rest: script}
	for s.next() {
		if s.op > txscript.OP_16 {
			return nil, false
		}
		data = s.data
	}
	if s.malformed {
		return nil, false
	}
	return data, true
}
