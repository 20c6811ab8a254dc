package blockval

import (
	"slices"
	"testing"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval/script"
)

func TestSignatures(t *testing.T) {
	schnorr64, schnorr65 := make([]byte, 64), make([]byte, 65)
	der := append([]byte{0x30, 6, 2, 1, 1, 2, 1, 1}, 1)
	long := append([]byte{0x30, 77, 2}, make([]byte, 77)...)
	annex, leaf, control := []byte{0x50}, make([]byte, 64), make([]byte, 65)
	taproot, legacy := spendForms()[5].lock(testKey(0)), anyone
	for name, tc := range map[string]struct {
		pkScript, sigScript []byte
		witness             wire.TxWitness
		want                int
	}{
		"nothing":                {legacy, nil, nil, 0},
		"pushes":                 {legacy, slices.Concat([]byte{0}, appendPush(nil, der), appendPush(nil, der)), nil, 2},
		"up to a truncated push": {legacy, append(appendPush(nil, der), 5), nil, 1},
		"witness":                {legacy, nil, wire.TxWitness{der, {}, der, leaf}, 2},
		"too short":              {legacy, appendPush(nil, der[:8]), nil, 0},
		"80 bytes":               {legacy, appendPush(nil, long), nil, 1},
		"81 bytes":               {legacy, appendPush(nil, append(long, 0)), nil, 0},
		"no integer":             {legacy, appendPush(nil, slices.Concat([]byte{0x30, 6, 3}, der[3:])), nil, 0},
		"no sequence":            {legacy, appendPush(nil, slices.Concat([]byte{0x31}, der[1:])), nil, 0},
		"Schnorr elsewhere":      {legacy, nil, wire.TxWitness{schnorr64, schnorr65}, 0},
		"key":                    {taproot, nil, wire.TxWitness{schnorr64}, 1},
		"key with annex":         {taproot, nil, wire.TxWitness{schnorr65, annex}, 1},
		"script":                 {taproot, nil, wire.TxWitness{schnorr64, {}, schnorr65, leaf, control}, 2},
		"script with annex":      {taproot, nil, wire.TxWitness{schnorr64, leaf, control, annex}, 1},
		"script alone":           {taproot, nil, wire.TxWitness{leaf, control}, 0},
		"ECDSA elsewhere":        {taproot, appendPush(nil, der), wire.TxWitness{der}, 0},
		"no witness":             {taproot, nil, nil, 0},
	} {
		in := &wire.TxIn{SignatureScript: tc.sigScript, Witness: tc.witness}
		if got := signatures(in, tc.pkScript); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}

// TestLaxSignatures names a difference between btcd and Bitcoin Core: without BIP66,
// Core takes these encodings of a valid signature for what they mean, and txscript
// does not. It fails when txscript learns to.
func TestLaxSignatures(t *testing.T) {
	key := testKey(0)
	pkScript := append(appendPush(nil, serialise(key, true)), txscript.OP_CHECKSIG)
	s := &spendTx{tx: pay([]*wire.TxIn{{}}, 1), prevouts: []wire.TxOut{{Value: 1, PkScript: pkScript}}}
	sig, err := txscript.RawTxInSignature(s.tx, 0, pkScript, txscript.SigHashAll, key)
	if err != nil {
		t.Fatal(err)
	}
	v := newValidator(t, "main", Options{})
	const early = script.P2SH | script.Witness | script.Taproot
	for name, tc := range map[string]struct {
		sig  []byte
		btcd bool
	}{
		"strict":                      {sig, true},
		"sequence length too large":   {slices.Concat([]byte{0x30, sig[1] + 2}, sig[2:]), false},
		"sequence length too small":   {slices.Concat([]byte{0x30, sig[1] - 1}, sig[2:]), false},
		"length of the long form":     {slices.Concat([]byte{0x30, 0x81}, sig[1:]), false},
		"padded, which both can read": {slices.Concat([]byte{0x30, sig[1] + 1, 0x02, sig[3] + 1, 0}, sig[4:]), true},
	} {
		s.tx.TxIn[0].SignatureScript = appendPush(nil, tc.sig)
		if err := s.execute(0, early); (err == nil) != tc.btcd {
			t.Errorf("%s, without BIP66: btcd says %v, want ok %v", name, err, tc.btcd)
		}
		if got, want := maybeLax(s.tx.TxIn[0]), name != "strict"; got != want {
			t.Errorf("%s: it may be lax: %v, want %v", name, got, want)
		}
		if rule := judgeScripts(t, v, s, early); rule != nil {
			t.Errorf("%s, without BIP66: %v", name, rule)
		}
		if rule := judgeScripts(t, v, s, early|script.DERSig); (rule == nil) != (name == "strict") {
			t.Errorf("%s, with BIP66: %v", name, rule)
		}
	}
}

// TestNotLax has what must not excuse a verdict that is not btcd's: signatures in strict
// DER and of Schnorr's, keys, and what no parser takes for a signature.
func TestNotLax(t *testing.T) {
	key := testKey(0)
	random := append([]byte{0x31}, make([]byte, 70)...)
	for _, form := range spendForms() {
		s := twoInputs(form, 2)
		if err := form.sign(s, 0, txscript.SigHashAll, key); err != nil {
			t.Fatal(err)
		}
		in := s.tx.TxIn[0]
		in.Witness = append(in.Witness, serialise(key, true), serialise(key, false), random, make([]byte, 64))
		if maybeLax(in) {
			t.Errorf("%s: it may be a lax signature: %+v", form.name, in)
		}
		in.Witness = append(in.Witness, append([]byte{0x30}, random...))
		if !maybeLax(in) {
			t.Errorf("%s: it may not be a lax signature: %+v", form.name, in)
		}
	}
}

// TestDefaultHashTypeByte appends to a signature with taproot's default hash
// type the byte that must be left out.
func TestDefaultHashTypeByte(t *testing.T) {
	form := spendForms()[5]
	s := twoInputs(form, 2)
	for i := range s.tx.TxIn {
		if err := form.sign(s, i, txscript.SigHashDefault, testKey(byte(i))); err != nil {
			t.Fatal(err)
		}
	}
	v := newValidator(t, "main", Options{})
	if !agree(t, v, s) {
		t.Fatal("a signature with the default hash type is not valid")
	}
	s.tx.TxIn[0].Witness[0] = append(s.tx.TxIn[0].Witness[0], 0)
	if agree(t, v, s) {
		t.Error("a signature with a hash type of 0 is valid")
	}
}
