package blockval

import (
	"math/rand/v2"
	"testing"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval/script"
)

// randomScript returns a script of operations that matter for counting, pushes,
// and sometimes a truncated push.
func randomScript(rng *rand.Rand) []byte {
	ops := []byte{
		txscript.OP_0, txscript.OP_1, txscript.OP_16, txscript.OP_1NEGATE, txscript.OP_RESERVED, txscript.OP_NOP,
		txscript.OP_CHECKSIG, txscript.OP_CHECKSIGVERIFY, txscript.OP_CHECKMULTISIG, txscript.OP_CHECKMULTISIGVERIFY,
		txscript.OP_CHECKSIGADD, txscript.OP_INVALIDOPCODE,
	}
	var script []byte
	for range rng.IntN(12) {
		switch rng.IntN(6) {
		case 0:
			data := make([]byte, rng.IntN(80))
			for i := range data {
				data[i] = ops[rng.IntN(len(ops))]
			}
			script = appendPush(script, data)
		case 1:
			script = append(script, byte(rng.IntN(0x60)))
		default:
			script = append(script, ops[rng.IntN(len(ops))])
		}
	}
	return script
}

// TestSigOpsBesideBtcd holds the counts of signature operations against
// txscript's, which follows Bitcoin Core here, for random scripts in every place
// where they count.
func TestSigOpsBesideBtcd(t *testing.T) {
	const seed = 4
	rng := rand.New(rand.NewPCG(seed, 0))
	const flags = script.P2SH | script.Witness
	nonzero := 0
	for i := range 20_000 {
		own := randomScript(rng)
		if got, want := sigOps(own, false), txscript.GetSigOpCount(own); got != want {
			t.Fatalf("seed %d, case %d: %x has %d operations, want %d", seed, i, own, got, want)
		}
		in := &wire.TxIn{SignatureScript: own}
		pkScript := randomScript(rng)
		switch rng.IntN(5) {
		case 0:
			pkScript = p2wsh(own)
			in.SignatureScript, in.Witness = nil, wire.TxWitness{own}
		case 1:
			program := p2wsh(own)
			pkScript = p2sh(program)
			in.SignatureScript, in.Witness = appendPush(nil, program), wire.TxWitness{{}, own}
		case 2:
			pkScript = p2sh(own)
			in.SignatureScript = append(randomScript(rng), appendPush(nil, own)...)
		case 3:
			pkScript = p2sh(own)
			in.SignatureScript = append([]byte{byte(rng.IntN(0x62))}, appendPush(nil, own)...)
		}
		want := txscript.GetWitnessSigOpCount(in.SignatureScript, pkScript, in.Witness)
		p2shWant := 0
		if isP2SH(pkScript) {
			p2shWant = txscript.GetPreciseSigOpCount(in.SignatureScript, pkScript, true) * witnessScaleFactor
		}
		if want += p2shWant; want > 0 {
			nonzero++
		}
		if got := prevoutSigOpCost(in, pkScript, flags); got != want {
			t.Fatalf("seed %d, case %d: %x with %x and %x costs %d, want %d", seed, i, pkScript, in.SignatureScript, in.Witness, got, want)
		}
		if got := prevoutSigOpCost(in, pkScript, script.P2SH); got != p2shWant {
			t.Fatalf("seed %d, case %d: %x without segwit costs %d, want %d", seed, i, pkScript, got, p2shWant)
		}
		if got := prevoutSigOpCost(in, pkScript, 0); got != 0 {
			t.Fatalf("seed %d, case %d: %x without P2SH costs %d", seed, i, pkScript, got)
		}
	}
	if nonzero < 2000 {
		t.Errorf("only %d cases cost anything", nonzero)
	}
}

// A script that ends within a push is none that only pushes: what it pushed
// before does not count.
func TestSigOpsBehindABrokenPush(t *testing.T) {
	witnessScript := []byte{txscript.OP_CHECKSIG, txscript.OP_CHECKSIG}
	program := p2wsh(witnessScript)
	in := &wire.TxIn{SignatureScript: appendPush(nil, program), Witness: wire.TxWitness{witnessScript}}
	const flags = script.P2SH | script.Witness
	if got := prevoutSigOpCost(in, p2sh(program), flags); got != 2 {
		t.Fatalf("whole: costs %d, want 2", got)
	}
	for _, tail := range [][]byte{{2, 0}, {txscript.OP_PUSHDATA1}, {txscript.OP_PUSHDATA2, 1}, {txscript.OP_NOP}} {
		in.SignatureScript = append(appendPush(nil, program), tail...)
		if got := prevoutSigOpCost(in, p2sh(program), flags); got != 0 {
			t.Errorf("behind it %x: costs %d, want 0", tail, got)
		}
	}
}
