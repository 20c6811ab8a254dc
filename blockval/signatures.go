package blockval

import (
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// signatures returns how many signatures an input that spends an output with
// script pkScript presents, as Verdict.Signatures counts them.
func signatures(in *wire.TxIn, pkScript []byte) int {
	n := 0
	if isP2TR(pkScript) {
		for _, e := range taprootArguments(in.Witness) {
			if len(e) == 64 || len(e) == 65 {
				n++
			}
		}
		return n
	}
	for s := (scriptReader{rest: in.SignatureScript}); s.next(); {
		if looksDER(s.data) {
			n++
		}
	}
	for _, e := range in.Witness {
		if looksDER(e) {
			n++
		}
	}
	return n
}

// taprootArguments returns the elements of a taproot spend's witness that are
// neither annex nor script nor control block (BIP341).
func taprootArguments(witness wire.TxWitness) wire.TxWitness {
	if n := len(witness); n >= 2 && len(witness[n-1]) > 0 && witness[n-1][0] == txscript.TaprootAnnexTag {
		witness = witness[:n-1]
	}
	if n := len(witness); n >= 2 {
		return witness[:n-2]
	}
	return witness
}

func looksDER(e []byte) bool {
	return len(e) >= 9 && len(e) <= 80 && e[0] == 0x30 && e[2] == 0x02
}
