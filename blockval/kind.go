package blockval

import (
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// A kind is a common way of locking an output, as the input that spends it
// shows it. It says nothing about the input's being valid, nor about how it was
// verified.
type kind uint8

// These are the kinds. A P2WSH output in P2SH counts as P2WSH.
const (
	kindOther kind = iota
	kindP2PK
	kindP2PKH
	kindP2WPKH
	kindNestedP2WPKH
	kindMultisig
	kindP2SHMultisig
	kindP2WSHMultisig
	kindP2TRKey
	kindTapscript
	kinds
)

// String returns the kind's name in metrics.
func (k kind) String() string {
	return [kinds]string{
		kindOther: "other", kindP2PK: "p2pk", kindP2PKH: "p2pkh", kindP2WPKH: "p2wpkh", kindNestedP2WPKH: "p2sh-p2wpkh",
		kindMultisig: "multisig", kindP2SHMultisig: "p2sh-multisig", kindP2WSHMultisig: "p2wsh-multisig",
		kindP2TRKey: "p2tr-key", kindTapscript: "tapscript",
	}[k]
}

// kindOf returns the kind of the output with script pkScript that in spends.
func kindOf(in *wire.TxIn, pkScript []byte) kind {
	switch {
	case isP2WPKH(pkScript):
		return kindP2WPKH
	case isP2PKH(pkScript):
		return kindP2PKH
	case isP2TR(pkScript):
		return taprootKind(in.Witness)
	case isP2WSH(pkScript):
		return witnessKind(in.Witness)
	case isP2SH(pkScript):
		redeem, _ := lastPush(in.SignatureScript)
		switch {
		case isP2WPKH(redeem):
			return kindNestedP2WPKH
		case isP2WSH(redeem):
			return witnessKind(in.Witness)
		case isMultisig(redeem):
			return kindP2SHMultisig
		}
	case isP2PK(pkScript):
		return kindP2PK
	case isMultisig(pkScript):
		return kindMultisig
	}
	return kindOther
}

// witnessKind returns the kind of a P2WSH output that witness spends.
func witnessKind(witness wire.TxWitness) kind {
	if n := len(witness); n > 0 && isMultisig(witness[n-1]) {
		return kindP2WSHMultisig
	}
	return kindOther
}

// taprootKind returns the kind of a P2TR output that witness spends (BIP341).
func taprootKind(witness wire.TxWitness) kind {
	n := len(witness)
	if n >= 2 && len(witness[n-1]) > 0 && witness[n-1][0] == txscript.TaprootAnnexTag {
		n--
	}
	switch {
	case n == 0:
		return kindOther
	case n == 1:
		return kindP2TRKey
	}
	return kindTapscript
}

// isP2PK reports whether s is a push of what has the length of a key, and
// OP_CHECKSIG.
func isP2PK(s []byte) bool {
	return (len(s) == 35 && s[0] == 33 || len(s) == 67 && s[0] == 65) && s[len(s)-1] == txscript.OP_CHECKSIG
}

// isMultisig reports whether script is a number m, n pushes of what has the
// length of a key, the number n, and OP_CHECKMULTISIG, with both numbers from 1
// to 16 and m not above n.
func isMultisig(script []byte) bool {
	if n := len(script); n < 3 || script[n-1] != txscript.OP_CHECKMULTISIG {
		return false
	}
	small := func(op byte) int { return int(op) - txscript.OP_1 + 1 }
	s := scriptReader{rest: script}
	if !s.next() || small(s.op) < 1 || small(s.op) > 16 {
		return false
	}
	m, keys := small(s.op), 0
	for s.next() && (len(s.data) == 33 || len(s.data) == 65) {
		keys++
	}
	return keys >= m && keys <= 16 && small(s.op) == keys && len(s.rest) == 1
}
