package blockval

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/ecdsa"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

func TestSignatures(t *testing.T) {
	schnorr64, schnorr65 := make([]byte, 64), make([]byte, 65)
	der := append([]byte{0x30, 6, 2, 1, 1, 2, 1, 1}, 1)
	long := append([]byte{0x30, 77, 2}, make([]byte, 77)...)
	annex, script, control := []byte{0x50}, make([]byte, 64), make([]byte, 65)
	taproot, legacy := spendForms()[5].lock(testKey(0)), anyone
	for name, tc := range map[string]struct {
		pkScript, sigScript []byte
		witness             wire.TxWitness
		want                int
	}{
		"nothing":                {legacy, nil, nil, 0},
		"pushes":                 {legacy, slices.Concat([]byte{0}, appendPush(nil, der), appendPush(nil, der)), nil, 2},
		"up to a truncated push": {legacy, append(appendPush(nil, der), 5), nil, 1},
		"witness":                {legacy, nil, wire.TxWitness{der, {}, der, script}, 2},
		"too short":              {legacy, appendPush(nil, der[:8]), nil, 0},
		"80 bytes":               {legacy, appendPush(nil, long), nil, 1},
		"81 bytes":               {legacy, appendPush(nil, append(long, 0)), nil, 0},
		"no integer":             {legacy, appendPush(nil, slices.Concat([]byte{0x30, 6, 3}, der[3:])), nil, 0},
		"no sequence":            {legacy, appendPush(nil, slices.Concat([]byte{0x31}, der[1:])), nil, 0},
		"Schnorr elsewhere":      {legacy, nil, wire.TxWitness{schnorr64, schnorr65}, 0},
		"key":                    {taproot, nil, wire.TxWitness{schnorr64}, 1},
		"key with annex":         {taproot, nil, wire.TxWitness{schnorr65, annex}, 1},
		"script":                 {taproot, nil, wire.TxWitness{schnorr64, {}, schnorr65, script, control}, 2},
		"script with annex":      {taproot, nil, wire.TxWitness{schnorr64, script, control, annex}, 1},
		"script alone":           {taproot, nil, wire.TxWitness{script, control}, 0},
		"ECDSA elsewhere":        {taproot, appendPush(nil, der), wire.TxWitness{der}, 0},
		"no witness":             {taproot, nil, nil, 0},
	} {
		s := &spendTx{tx: pay([]*wire.TxIn{{SignatureScript: tc.sigScript, Witness: tc.witness}}, 1)}
		s.prevouts = []wire.TxOut{{PkScript: tc.pkScript}}
		if got := s.signatures(0); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}

// TestParseDER holds the reader of strict signatures against btcd's, which
// refuses besides what no signature can have: r or s of 0 or not below the
// group's order.
func TestParseDER(t *testing.T) {
	const seed = 5
	rng := rand.New(rand.NewPCG(seed, 0))
	numbers := [][]byte{
		nil, {0}, {1}, {0x7f}, {0x80}, {0, 0x7f}, {0, 0x80}, {0, 0, 0x80}, bytes.Repeat([]byte{0xff}, 32),
		bytes.Repeat([]byte{0x7f}, 32), append([]byte{0}, bytes.Repeat([]byte{0x80}, 32)...), bytes.Repeat([]byte{0x11}, 33),
	}
	strict := 0
	for i := range 50_000 {
		r, s := numbers[rng.IntN(len(numbers))], numbers[rng.IntN(len(numbers))]
		sig := slices.Concat([]byte{0x30, byte(4 + len(r) + len(s)), 0x02, byte(len(r))}, r, []byte{0x02, byte(len(s))}, s, []byte{1})
		switch rng.IntN(4) {
		case 0:
			sig[rng.IntN(len(sig))] ^= 1 << rng.IntN(8)
		case 1:
			at := rng.IntN(len(sig))
			sig = slices.Insert(sig, at, byte(rng.IntN(3)))
		case 2:
			sig = sig[:rng.IntN(len(sig)+1)]
		}
		rs, ok := parseDER(sig)
		if len(sig) == 0 {
			if ok {
				t.Fatal("nothing is a signature")
			}
			continue
		}
		want, err := ecdsa.ParseDERSignature(sig[:len(sig)-1])
		if err == nil && int(sig[1]) != len(sig)-3 {
			// btcd's reader leaves this to others.
			err = errors.New("bytes after the sequence")
		}
		if err == nil {
			strict++
			wantR, wantS := want.R(), want.S()
			if r, s := wantR.Bytes(), wantS.Bytes(); !ok || rs != [64]byte(slices.Concat(r[:], s[:])) {
				t.Fatalf("seed %d, case %d: %x: %x, %v, want %x and %x", seed, i, sig, rs, ok, r, s)
			}
			continue
		}
		var n btcec.ModNScalar
		possible := true
		for _, half := range [][]byte{rs[:32], rs[32:]} {
			overflow := n.SetByteSlice(half)
			possible = possible && !overflow && !n.IsZero()
		}
		if ok && possible {
			t.Fatalf("seed %d, case %d: %x is read; btcd says %v", seed, i, sig, err)
		}
	}
	if strict < 2000 {
		t.Errorf("only %d signatures were strict", strict)
	}
}

// TestLaxSignatures names the one difference between txscript and Bitcoin Core
// that is known: without BIP66, Core takes these encodings of a valid signature
// for what they mean, and txscript does not. It fails when txscript learns to.
func TestLaxSignatures(t *testing.T) {
	key := testKey(0)
	pkScript := append(appendPush(nil, serialise(key, true)), txscript.OP_CHECKSIG)
	s := &spendTx{tx: pay([]*wire.TxIn{{}}, 1), prevouts: []wire.TxOut{{Value: 1, PkScript: pkScript}}}
	script, err := txscript.RawTxInSignature(s.tx, 0, pkScript, txscript.SigHashAll, key)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		sig []byte
		ok  bool
	}{
		"strict":                      {script, true},
		"sequence length too large":   {slices.Concat([]byte{0x30, script[1] + 2}, script[2:]), false},
		"sequence length too small":   {slices.Concat([]byte{0x30, script[1] - 1}, script[2:]), false},
		"length of the long form":     {slices.Concat([]byte{0x30, 0x81}, script[1:]), false},
		"padded, which both can read": {slices.Concat([]byte{0x30, script[1] + 1, 0x02, script[3] + 1, 0}, script[4:]), true},
	} {
		s.tx.TxIn[0].SignatureScript = appendPush(nil, tc.sig)
		if err := s.execute(0, collectFlags); (err == nil) != tc.ok {
			t.Errorf("%s, without BIP66: %v, want ok %v", name, err, tc.ok)
		}
		if err := s.execute(0, collectFlags|txscript.ScriptVerifyDERSignatures); (err == nil) != (name == "strict") {
			t.Errorf("%s, with BIP66: %v", name, err)
		}
	}
}

// TestDefaultHashTypeByte appends to a signature with taproot's default hash
// type the byte that must be left out.
func TestDefaultHashTypeByte(t *testing.T) {
	form := spendForms()[5]
	s := twoInputs(form, 2)
	if err := form.sign(s, 0, txscript.SigHashDefault, testKey(0)); err != nil {
		t.Fatal(err)
	}
	v := newVerifier(t)
	if recognised, valid := agree(t, v, s, 0); !recognised || !valid {
		t.Fatalf("recognised %v, valid %v", recognised, valid)
	}
	s.tx.TxIn[0].Witness[0] = append(s.tx.TxIn[0].Witness[0], 0)
	if _, valid := agree(t, v, s, 0); valid || s.execute(0, collectFlags) == nil {
		t.Error("a signature with a hash type of 0 is valid")
	}
}
