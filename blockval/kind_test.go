package blockval

import (
	"bytes"
	"maps"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/testvectors"
)

// multisigScript returns the script of m of as many keys as there are sizes.
func multisigScript(m int, sizes ...int) []byte {
	script := []byte{byte(txscript.OP_1 - 1 + m)}
	for _, size := range sizes {
		script = appendPush(script, make([]byte, size))
	}
	return append(script, byte(txscript.OP_1-1+len(sizes)), txscript.OP_CHECKMULTISIG)
}

func TestKindOf(t *testing.T) {
	key, keyHash, scriptHash := make([]byte, 33), make([]byte, 20), make([]byte, 32)
	v0Key := append([]byte{txscript.OP_0, 20}, keyHash...)
	v0Script := append([]byte{txscript.OP_0, 32}, scriptHash...)
	taproot := append([]byte{txscript.OP_1, 32}, scriptHash...)
	multisig := multisigScript(2, 33, 65, 33)
	sixteen := multisigScript(1, slices.Repeat([]int{33}, 16)...)
	nested := func(program []byte) []byte { return appendPush(nil, program) }
	annex := []byte{0x50}
	for _, tc := range []struct {
		name                string
		pkScript, sigScript []byte
		witness             wire.TxWitness
		want                kind
	}{
		{"P2PK", append(appendPush(nil, key), txscript.OP_CHECKSIG), nil, nil, kindP2PK},
		{"P2PK, uncompressed", append(appendPush(nil, make([]byte, 65)), txscript.OP_CHECKSIG), nil, nil, kindP2PK},
		{"P2PK of 64 bytes", append(appendPush(nil, make([]byte, 64)), txscript.OP_CHECKSIG), nil, nil, kindOther},
		{"P2PKH", p2pkh(key), nil, nil, kindP2PKH},
		{"P2WPKH", v0Key, nil, nil, kindP2WPKH},
		{"P2SH-P2WPKH", p2sh(v0Key), nested(v0Key), nil, kindNestedP2WPKH},
		{"multisig", multisig, nil, nil, kindMultisig},
		{"multisig of 16", sixteen, nil, nil, kindMultisig},
		{"multisig of more than there are keys", multisigScript(3, 33, 33), nil, nil, kindOther},
		{"multisig of none", multisigScript(0, 33), nil, nil, kindOther},
		{"multisig with a key of 32 bytes", multisigScript(1, 33, 32), nil, nil, kindOther},
		{"multisig and more", append(slices.Clone(multisig), txscript.OP_CHECKMULTISIG), nil, nil, kindOther},
		{"multisig that counts wrong", bytes.Replace(multisig, []byte{txscript.OP_3, txscript.OP_CHECKMULTISIG}, []byte{txscript.OP_2, txscript.OP_CHECKMULTISIG}, 1), nil, nil, kindOther},
		{"P2SH multisig", p2sh(multisig), appendPush([]byte{0}, multisig), nil, kindP2SHMultisig},
		{"P2SH of another script", p2sh(anyone), appendPush(nil, anyone), nil, kindOther},
		{"P2SH without a redeem script", p2sh(anyone), nil, nil, kindOther},
		{"P2WSH multisig", v0Script, nil, wire.TxWitness{{}, {1}, multisig}, kindP2WSHMultisig},
		{"P2SH-P2WSH multisig", p2sh(v0Script), nested(v0Script), wire.TxWitness{{}, {1}, multisig}, kindP2WSHMultisig},
		{"P2WSH of another script", v0Script, nil, wire.TxWitness{anyone}, kindOther},
		{"P2WSH without a witness", v0Script, nil, nil, kindOther},
		{"P2TR by key", taproot, nil, wire.TxWitness{make([]byte, 64)}, kindP2TRKey},
		{"P2TR by key with annex", taproot, nil, wire.TxWitness{make([]byte, 64), annex}, kindP2TRKey},
		{"P2TR by script", taproot, nil, wire.TxWitness{anyone, key}, kindTapscript},
		{"P2TR by script with annex", taproot, nil, wire.TxWitness{{1}, anyone, key, annex}, kindTapscript},
		{"P2TR without a witness", taproot, nil, nil, kindOther},
		{"witness of a later version", append([]byte{txscript.OP_2, 32}, scriptHash...), nil, nil, kindOther},
		{"anyone", anyone, nil, nil, kindOther},
		{"nothing", nil, nil, nil, kindOther},
	} {
		in := &wire.TxIn{SignatureScript: tc.sigScript, Witness: tc.witness}
		if got := kindOf(in, tc.pkScript); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

// The kinds of a block's inputs, and its signatures, are counted once each.
func TestKindsAreCounted(t *testing.T) {
	c := newTestChain(t, "regtest", 120)
	var reg perfcore.Registry
	v := c.validator(t, Options{Recorder: &reg, Workers: 3})
	tx := pay(nil, 1)
	s := &spendTx{tx: tx}
	for i := range 3 * chunk {
		script := anyone
		if i < len(spendForms()) {
			script = spendForms()[i].lock(testKey(byte(i)))
		}
		tx.TxIn = append(tx.TxIn, c.addCoin(1, script))
		s.prevouts = append(s.prevouts, wire.TxOut{Value: 1, PkScript: script})
	}
	for i, form := range spendForms() {
		if err := form.sign(s, i, txscript.SigHashAll, testKey(byte(i))); err != nil {
			t.Fatal(err)
		}
	}
	if got := checkRaw(t, v, c.draft(tx).seal(), c.at()); !got.Valid() {
		t.Fatal(got.Err)
	}
	got := make(map[string]uint64)
	for _, series := range reg.Series() {
		switch m := series.Metric; m.Name {
		case "outrider_blockval_patterns_total":
			if n := series.Counter.Value(); n > 0 {
				got[m.Labels[1]] = n
			}
		case "outrider_blockval_signatures_total":
			got["signatures"] = series.Counter.Value()
		case "outrider_blockval_signature_seconds":
			got["blocks"] = series.Timer.Snapshot().Count
		}
	}
	forms := uint64(len(spendForms()))
	// The last of P2WPKH's two forms has an uncompressed key.
	want := map[string]uint64{
		"p2pkh": 2, "p2wpkh": 2, "p2sh-p2wpkh": 1, "p2tr-key": 1, "other": 3*chunk - forms, "signatures": forms, "blocks": 1,
	}
	if !maps.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
}

// TestKindsOfMainnet holds the kinds of the mainnet blocks' inputs against the
// classes that btcd gives their scripts.
func TestKindsOfMainnet(t *testing.T) {
	classes := map[txscript.ScriptClass]kind{
		txscript.PubKeyTy: kindP2PK, txscript.PubKeyHashTy: kindP2PKH, txscript.WitnessV0PubKeyHashTy: kindP2WPKH,
		txscript.MultiSigTy: kindMultisig,
	}
	for _, height := range testvectors.MainnetHeights() {
		m := loadMainnet(t, height)
		b, err := Parse(m.raw)
		if err != nil {
			t.Fatal(err)
		}
		all := make(testCoins)
		all.create(b, height)
		maps.Copy(all, testCoins(m.coins))
		var tally [kinds]int
		for _, tx := range b.Msg.Transactions[1:] {
			for _, in := range tx.TxIn {
				script := all[in.PreviousOutPoint].Script
				class := txscript.GetScriptClass(script)
				want, ok := classes[class]
				redeem := script
				if class == txscript.ScriptHashTy {
					redeem, _ = lastPush(in.SignatureScript)
					class = txscript.GetScriptClass(redeem)
					want = map[txscript.ScriptClass]kind{
						txscript.WitnessV0PubKeyHashTy: kindNestedP2WPKH, txscript.MultiSigTy: kindP2SHMultisig,
					}[class]
				}
				switch {
				case ok:
				case class == txscript.WitnessV0ScriptHashTy && txscript.GetScriptClass(in.Witness[len(in.Witness)-1]) == txscript.MultiSigTy:
					want = kindP2WSHMultisig
				case class == txscript.WitnessV1TaprootTy && len(in.Witness) == 1:
					want = kindP2TRKey
				case class == txscript.WitnessV1TaprootTy:
					want = kindTapscript // none of these has an annex
				}
				got := kindOf(in, script)
				if got != want {
					t.Errorf("block %d, %v: %v, want %v", height, in.PreviousOutPoint, got, want)
				}
				tally[got]++
			}
		}
		t.Logf("block %d: %v", height, tally)
	}
}
