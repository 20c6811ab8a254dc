package blockval

import (
	"bytes"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/sigverify"
)

// An ecdsaSpend is an input whose scripts succeed if and only if one ECDSA
// signature is valid.
type ecdsaSpend struct {
	key      []byte
	rs       [64]byte
	hashType txscript.SigHashType
}

// item returns the signature over digest, as data.
func (s *ecdsaSpend) item(digest [32]byte) sigverify.Item {
	return sigverify.Item{Key: s.key, Sig: s.rs, Digest: digest, Scheme: sigverify.ECDSA}
}

// parseECDSASpend returns the spend that a signature with its hash type and a
// key make. It reports false unless the key is compressed or uncompressed, the
// signature in strict DER (BIP66), and the hash type one of the six that are
// defined. What is beyond that is left to the engine.
func parseECDSASpend(sig, key []byte) (s ecdsaSpend, ok bool) {
	switch {
	case len(key) == 33 && (key[0] == 2 || key[0] == 3):
	case len(key) == 65 && key[0] == 4:
	default:
		return s, false
	}
	rs, ok := parseDER(sig)
	if !ok {
		return s, false
	}
	hashType := txscript.SigHashType(sig[len(sig)-1])
	switch hashType &^ txscript.SigHashAnyOneCanPay {
	case txscript.SigHashAll, txscript.SigHashNone, txscript.SigHashSingle:
	default:
		return s, false
	}
	return ecdsaSpend{key: key, rs: rs, hashType: hashType}, true
}

// parseDER splits a signature in BIP66's encoding, with its hash type, into r
// and s. It reports false for any other, and where r or s takes more than 32
// bytes.
func parseDER(sig []byte) (rs [64]byte, ok bool) {
	// 0x30 [total length] 0x02 [length of r] r 0x02 [length of s] s hashType
	if len(sig) < 9 || len(sig) > 73 || sig[0] != 0x30 || int(sig[1]) != len(sig)-3 {
		return rs, false
	}
	rest := sig[2 : len(sig)-1]
	for half := range 2 {
		if len(rest) < 3 || rest[0] != 0x02 || rest[1] == 0 || int(rest[1]) > len(rest)-2 {
			return rs, false
		}
		n := rest[2 : 2+rest[1]]
		rest = rest[2+rest[1]:]
		switch {
		case n[0]&0x80 != 0: // negative
			return rs, false
		case n[0] == 0 && len(n) > 1:
			if n[1]&0x80 == 0 { // not in its shortest form
				return rs, false
			}
			n = n[1:]
		}
		if len(n) > 32 {
			return rs, false
		}
		copy(rs[32*half+32-len(n):], n)
	}
	return rs, len(rest) == 0
}

// p2pkhSpend recognises a spend of P2PKH: the signature and the key, each in a
// direct push, and no witness. Neither can be so long that the length of its
// push is another operation.
func p2pkhSpend(in *wire.TxIn, pkScript []byte) (s ecdsaSpend, ok bool) {
	script := in.SignatureScript
	if len(in.Witness) != 0 || len(script) < 2 {
		return s, false
	}
	sigEnd := 1 + int(script[0])
	if sigEnd >= len(script) || sigEnd+1+int(script[sigEnd]) != len(script) {
		return s, false
	}
	sig, key := script[1:sigEnd], script[sigEnd+1:]
	// A signature as long as the hash could be the hash, and would then be cut
	// out of the script that is signed.
	if len(sig) == 20 || !bytes.Equal(address.Hash160(key), pkScript[3:23]) {
		return s, false
	}
	return parseECDSASpend(sig, key)
}

// p2wpkhSpend recognises a spend of P2WPKH, bare or in P2SH: the signature and
// the key in the witness. It returns the witness program.
func p2wpkhSpend(in *wire.TxIn, pkScript []byte) (s ecdsaSpend, program []byte, ok bool) {
	program = pkScript
	if isP2SH(pkScript) {
		if len(in.SignatureScript) != 23 || in.SignatureScript[0] != 22 {
			return s, nil, false
		}
		program = in.SignatureScript[1:]
		if !bytes.Equal(address.Hash160(program), pkScript[2:22]) {
			return s, nil, false
		}
	} else if len(in.SignatureScript) != 0 {
		return s, nil, false
	}
	if !isP2WPKH(program) || len(in.Witness) != 2 {
		return s, nil, false
	}
	sig, key := in.Witness[0], in.Witness[1]
	if !bytes.Equal(address.Hash160(key), program[2:]) {
		return s, nil, false
	}
	s, ok = parseECDSASpend(sig, key)
	return s, program, ok
}

// p2trKeySpend recognises a spend of P2TR by its key without an annex: one
// signature in the witness, with a hash type unless that is the default.
func p2trKeySpend(in *wire.TxIn) (sig []byte, hashType txscript.SigHashType, ok bool) {
	if len(in.SignatureScript) != 0 || len(in.Witness) != 1 {
		return nil, 0, false
	}
	switch sig = in.Witness[0]; len(sig) {
	case 64:
		return sig, txscript.SigHashDefault, true
	case 65:
		return sig, txscript.SigHashType(sig[64]), sig[64] != 0
	}
	return nil, 0, false
}

// collect recognises an input whose scripts succeed if and only if one signature
// is valid, where P2SH, segwit and taproot hold, and returns that signature.
// Where one of these does not, a valid signature still makes the scripts
// succeed: rules only ever forbid. legacy is the transaction's.
//
// The signature hashes are those of the engine: for what it hashes otherwise
// than most, such as SIGHASH_SINGLE without an output, so do they.
func (t *spendTx) collect(input int, legacy *legacyHasher) (item sigverify.Item, ok bool) {
	in := t.tx.TxIn[input]
	switch script := t.prevouts[input].PkScript; {
	case isP2PKH(script):
		spend, ok := p2pkhSpend(in, script)
		if !ok {
			return item, false
		}
		if spend.hashType == txscript.SigHashAll {
			return spend.item(legacy.all(input, script, uint32(spend.hashType))), true
		}
		digest, err := txscript.CalcSignatureHash(script, spend.hashType, t.tx, input)
		if err != nil {
			return item, false
		}
		return spend.item([32]byte(digest)), true
	case isP2WPKH(script), isP2SH(script):
		spend, program, ok := p2wpkhSpend(in, script)
		if !ok {
			return item, false
		}
		value := t.prevouts[input].Value
		digest, err := txscript.CalcWitnessSigHash(program, t.sigHashes(), spend.hashType, t.tx, input, value)
		if err != nil {
			return item, false
		}
		return spend.item([32]byte(digest)), true
	case isP2TR(script):
		sig, hashType, ok := p2trKeySpend(in)
		if !ok {
			return item, false
		}
		digest, err := txscript.CalcTaprootSignatureHash(t.sigHashes(), hashType, t.tx, input, t)
		if err != nil {
			return item, false
		}
		return sigverify.Item{
			Key: script[2:], Sig: [64]byte(sig[:64]), Digest: [32]byte(digest), Scheme: sigverify.BIP340,
		}, true
	}
	return item, false
}
