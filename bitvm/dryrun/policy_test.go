package dryrun

import (
	"bytes"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// Every rule of policy is broken by a transaction that breaks no other.
func TestWarnings(t *testing.T) {
	one := func() *Spend { return spend(tapLeaf(t, ops(txscript.OP_1))) }
	with := func(change func(s *Spend)) *Spend { s := one(); change(s); return s }
	drops := func(n, size int) (script []byte, items [][]byte) {
		for range n {
			script, items = append(script, txscript.OP_DROP), append(items, make([]byte, size))
		}
		return append(script, txscript.OP_1), items
	}
	tapItem := func(size int) *Spend { script, items := drops(1, size); return spend(tapLeaf(t, script, items...)) }
	wshItems := func(n, size int) *Spend {
		script, items := drops(n, size)
		return spend(witnessScript(script, items...))
	}
	output := func(value int64, script []byte) *Spend {
		return with(func(s *Spend) {
			s.Tx.TxOut = append(s.Tx.TxOut, &wire.TxOut{Value: value, PkScript: script})
			s.Prevouts[0].Value += value
		})
	}
	padded := func(n int) []byte { // a script of n bytes
		script := []byte{}
		for len(script)+203 <= n-1 {
			script = append(script, ops(make([]byte, 200), txscript.OP_DROP)...) // 203 bytes
		}
		for len(script) < n-1 {
			script = append(script, txscript.OP_NOP)
		}
		return append(script, txscript.OP_1)
	}
	multisig := func(keys int) []byte {
		script := []byte{txscript.OP_1}
		for range keys {
			script = append(script, ops(testKey.PubKey().SerializeCompressed())...)
		}
		return append(script, byte(txscript.OP_1-1+keys), txscript.OP_CHECKMULTISIG)
	}
	sigops := func(n int) []byte {
		return append(append([]byte{txscript.OP_0, txscript.OP_IF}, bytes.Repeat([]byte{txscript.OP_CHECKSIG}, n)...), txscript.OP_ENDIF, txscript.OP_1)
	}
	annex := one()
	annex.Tx.TxIn[0].Witness = append(annex.Tx.TxIn[0].Witness, []byte{0x50})
	anchor := spend(coin{pkScript: txscript.PayToAnchorScript, witness: [][]byte{{1}}})
	for name, tt := range map[string]struct {
		s      *Spend
		reason string // "" if it is relayed
		word   string
	}{
		"right":            {one(), "", ""},
		"version 0":        {with(func(s *Spend) { s.Tx.Version = 0 }), "version", "version 0"},
		"version 3":        {with(func(s *Spend) { s.Tx.Version = 3 }), "", ""},
		"version 4":        {with(func(s *Spend) { s.Tx.Version = 4 }), "version", "version 4"},
		"weight 400,000":   {heavy(t, 400_000), "", ""},
		"weight 400,001":   {heavy(t, 400_001), "tx-size", "400001"},
		"for miners alone": {heavy(t, 3_992_000), "tx-size", "look for it in blocks"},
		"and not for all":  {heavy(t, 3_992_001), "tx-size", "leave room for 3992000"},
		"TRUC":             {with(func(s *Spend) { *s = *heavy(t, 40_001); s.Tx.Version = 3 }), "TRUC-violation", "10001"},
		"TRUC that fits":   {with(func(s *Spend) { *s = *heavy(t, 40_000); s.Tx.Version = 3 }), "", ""},
		"64 bytes":         {with(func(s *Spend) { s.Tx.TxOut[0] = &wire.TxOut{Value: 90_000, PkScript: txscript.PayToAnchorScript} }), "tx-size-small", "64 bytes"},
		"65 bytes": {with(func(s *Spend) {
			s.Tx.TxOut[0] = &wire.TxOut{Value: 90_000, PkScript: []byte{txscript.OP_RETURN, txscript.OP_1, txscript.OP_2, txscript.OP_3, txscript.OP_4}}
		}), "", ""},
		"unknown output":         {output(1000, []byte{txscript.OP_1}), "scriptpubkey", "output 1"},
		"bare multisig":          {output(1000, multisig(3)), "", ""},
		"of four keys":           {output(1000, multisig(4)), "scriptpubkey", "3 keys"},
		"dust":                   {output(329, ops(txscript.OP_1, make([]byte, 32))), "dust", "330"},
		"no dust":                {output(330, ops(txscript.OP_1, make([]byte, 32))), "", ""},
		"dust by hash":           {output(545, payToKeyHash().pkScript), "dust", "546"},
		"no dust by hash":        {output(546, payToKeyHash().pkScript), "", ""},
		"data":                   {output(0, ops(txscript.OP_RETURN, make([]byte, 60_000))), "", ""},
		"scriptSig of 1,650":     {longSigScript(1650), "", ""},
		"scriptSig of 1,651":     {longSigScript(1651), "scriptsig-size", "1651"},
		"scriptSig not pushing":  {spend(coin{pkScript: payToKeyHash().pkScript, sigScript: []byte{txscript.OP_NOP}}), "scriptsig-not-pushonly", "input 0"},
		"unknown input":          {spend(coin{pkScript: []byte{txscript.OP_1}}), "bad-txns-nonstandard-inputs", "nonstandard"},
		"future input":           {spend(coin{pkScript: ops(txscript.OP_2, bytes.Repeat([]byte{1}, 32))}), "bad-txns-nonstandard-inputs mempool-script-verify-flag-failed", "witness_unknown"},
		"P2SH of 15 sigops":      {spend(redeemScript(sigops(15), nil)), "", ""},
		"P2SH of 16 sigops":      {spend(redeemScript(sigops(16), nil)), "bad-txns-nonstandard-inputs", "15"},
		"anchor":                 {spend(coin{pkScript: txscript.PayToAnchorScript}), "", ""},
		"anchor and witness":     {anchor, "bad-witness-nonstandard", "anchor"},
		"annex":                  {annex, "bad-witness-nonstandard", "annex"},
		"tapscript item of 80":   {tapItem(80), "", ""},
		"tapscript item of 81":   {tapItem(81), "bad-witness-nonstandard", "81"},
		"P2WSH item of 80":       {wshItems(1, 80), "", ""},
		"P2WSH item of 81":       {wshItems(1, 81), "bad-witness-nonstandard", "81"},
		"P2WSH of 100 items":     {wshItems(100, 1), "", ""},
		"P2WSH of 101 items":     {wshItems(101, 1), "bad-witness-nonstandard", "101 items"},
		"P2WSH script of 3,600":  {spend(witnessScript(padded(3600))), "", ""},
		"P2WSH script of 3,601":  {spend(witnessScript(padded(3601))), "bad-witness-nonstandard", "3601"},
		"a NOP kept for later":   {spend(tapLeaf(t, ops(txscript.OP_NOP5, txscript.OP_1))), "mempool-script-verify-flag-failed", "NOP5"},
		"OP_SUCCESS":             {spend(tapLeaf(t, []byte{0xfe})), "mempool-script-verify-flag-failed", "OP_SUCCESS"},
		"2,496 sigops of keys":   {multisigInputs(156), "", ""},
		"2,512 sigops of keys":   {multisigInputs(157), "bad-txns-nonstandard-inputs", "2512"},
		"sigops of 16,000":       {sigopsInputs(5, 3200, 10_000), "", ""},
		"sigops of 16,005":       {sigopsInputs(5, 3201, 10_000), "bad-txns-too-many-sigops", "16005"},
		"sigops that pay":        {sigopsInputs(4, 3500, 7000), "", ""},
		"and that do not":        {sigopsInputs(4, 3500, 6999), "min relay fee not met", "7000"},
		"a fee too low":          {with(func(s *Spend) { s.Tx.TxOut[0].Value = 100_000 - 8 }), "min relay fee not met", "8 satoshis"},
		"a fee that just is one": {with(func(s *Spend) { s.Tx.TxOut[0].Value = 100_000 - 12 }), "", ""},
		"a fee by mistake":       {with(func(s *Spend) { s.Prevouts[0].Value = 10_000_000 }), "max-fee-exceeded", "satoshis"},
	} {
		r := run(t, tt.s)
		var reasons, words []string
		for _, w := range r.Warnings {
			if len(reasons) == 0 || reasons[len(reasons)-1] != w.Reason {
				reasons = append(reasons, w.Reason)
			}
			words = append(words, w.Words)
		}
		if strings.Join(reasons, " ") != tt.reason || !strings.Contains(strings.Join(words, "; "), tt.word) {
			t.Errorf("%s: %q %q, want %q and a word on %q (%+v %+v)", name, reasons, words, tt.reason, tt.word, r, r.Inputs[0].Failure)
		}
		if r.Relayed != (r.Passed && len(r.Warnings) == 0) {
			t.Errorf("%s: relayed %v", name, r.Relayed)
		}
	}
}

// heavy is a spend of a leaf of such a weight.
func heavy(t testing.TB, weight int) *Spend {
	t.Helper()
	build := func(size int) *Spend {
		script := []byte{}
		for len(script)+600 < size {
			script = append(script, ops(make([]byte, 500), txscript.OP_DROP)...)
		}
		for len(script) < size {
			script = append(script, txscript.OP_NOP)
		}
		s := spend(tapLeaf(t, append(script, txscript.OP_1)))
		s.Prevouts[0].Value += 100_000
		return s
	}
	s := build(weight - 1000)
	s = build(weight - 1000 + weight - measure(s).Weight)
	if got := measure(s).Weight; got != weight {
		t.Fatalf("weight %d, want %d", got, weight)
	}
	return s
}

// multisigInputs spends bare outputs of 16 keys without a signature.
func multisigInputs(n int) *Spend {
	script := []byte{txscript.OP_1}
	for range 16 {
		script = append(script, ops(testKey.PubKey().SerializeCompressed())...)
	}
	script = append(script, txscript.OP_16, txscript.OP_CHECKMULTISIG)
	coins := make([]coin, n)
	for i := range coins {
		coins[i].pkScript = script
	}
	return spend(coins...)
}

// sigopsInputs spends outputs of P2WSH that have so many signature operations each, more
// than can be run, and pays so much.
func sigopsInputs(n, each int, fee int64) *Spend {
	coins := make([]coin, n)
	for i := range coins {
		coins[i] = witnessScript(bytes.Repeat([]byte{txscript.OP_CHECKSIG}, each))
	}
	s := spend(coins...)
	s.Tx.TxOut[0].Value += 10_000 - fee
	return s
}

// longSigScript is a spend of P2SH with a scriptSig of so many bytes.
func longSigScript(size int) *Spend {
	const before = 3 * (3 + 400)
	redeem := ops(txscript.OP_2DROP, txscript.OP_2DROP, txscript.OP_1)
	last := size - before - len(ops(redeem)) - 3
	return spend(redeemScript(redeem, ops(make([]byte, 400), make([]byte, 400), make([]byte, 400), make([]byte, last))))
}

// What no block can have is a problem, and does not pass.
func TestProblems(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(s *Spend)
		want   string
	}{
		"right":        {func(*Spend) {}, ""},
		"no outputs":   {func(s *Spend) { s.Tx.TxOut = nil }, "bad-txns-vout-empty"},
		"negative":     {func(s *Spend) { s.Tx.TxOut[0].Value = -1 }, "bad-txns-vout-toolarge or -negative"},
		"too large":    {func(s *Spend) { s.Tx.TxOut[0].Value = maxMoney + 1 }, "bad-txns-vout-toolarge or -negative"},
		"too much":     {func(s *Spend) { s.Tx.TxOut[0].Value = maxMoney; s.Tx.TxOut = append(s.Tx.TxOut, s.Tx.TxOut[0]) }, "bad-txns-txouttotal-toolarge"},
		"more than in": {func(s *Spend) { s.Tx.TxOut[0].Value = 100_001 }, "bad-txns-in-belowout"},
		"all of it":    {func(s *Spend) { s.Tx.TxOut[0].Value = 100_000 }, ""},
		"too much in": {func(s *Spend) {
			for i := range 6000 { // more than 64 bits hold
				in := *s.Tx.TxIn[0]
				in.PreviousOutPoint.Index = uint32(i + 1)
				s.Tx.TxIn = append(s.Tx.TxIn, &in)
				s.Prevouts = append(s.Prevouts, &wire.TxOut{Value: maxMoney, PkScript: s.Prevouts[0].PkScript})
			}
		}, "bad-txns-inputvalues-outofrange: input 1"},
		"nothing spent": {func(s *Spend) { s.Tx.TxIn[0].PreviousOutPoint = wire.OutPoint{Index: wire.MaxPrevOutIndex} }, "bad-txns-prevout-null"},
		"twice": {func(s *Spend) {
			s.Tx.TxIn = append(s.Tx.TxIn, s.Tx.TxIn[0])
			s.Prevouts = append(s.Prevouts, s.Prevouts[0])
		}, "bad-txns-inputs-duplicate"},
		"too heavy": {func(s *Spend) { *s = *heavy(t, maxBlockWeight+1); s.Prevouts[0].Value = 1_000_000 }, "bad-blk-weight"},
		"sigops": {func(s *Spend) {
			for range 3 {
				s.Tx.TxOut = append(s.Tx.TxOut, &wire.TxOut{PkScript: bytes.Repeat([]byte{txscript.OP_CHECKSIG}, 7000)})
			}
		}, "bad-blk-sigops"},
	} {
		s := spend(tapLeaf(t, ops(txscript.OP_1)))
		tt.change(s)
		r := run(t, s)
		if r.Passed != (tt.want == "") || len(r.Problems) > 1 || !strings.HasPrefix(strings.Join(r.Problems, ""), tt.want) {
			t.Errorf("%s: passed %v, %q, want %q", name, r.Passed, r.Problems, tt.want)
		}
	}
}

// Timelocks are told as what has to come before a block may have the transaction.
func TestWaits(t *testing.T) {
	for name, tt := range map[string]struct {
		version            int32
		sequence, lockTime uint32
		want               string
	}{
		"none":           {2, wire.MaxTxInSequenceNum, 0, ""},
		"blocks":         {2, 2016, 0, "2016th"},
		"one block":      {2, 1, 0, ""},
		"of version 1":   {1, 2016, 0, ""},
		"of version -1":  {-1, 2016, 0, "2016th"},
		"seconds":        {2, 1<<22 | 3, 0, "1536 seconds"},
		"switched off":   {2, 1<<31 | 2016, 0, ""},
		"height":         {2, 1<<31 | 5, 900_000, "block 900000"},
		"time":           {2, 1<<31 | 5, 1_700_000_000, "later than 1700000000"},
		"height, final":  {2, wire.MaxTxInSequenceNum, 900_000, ""},
		"both":           {2, 36, 900_000, "36th"},
		"last of height": {2, 1 << 31, 499_999_999, "block 499999999"},
	} {
		s := spend(tapLeaf(t, ops(txscript.OP_1)))
		s.Tx.Version, s.Tx.TxIn[0].Sequence, s.Tx.LockTime = tt.version, tt.sequence, tt.lockTime
		got := strings.Join(run(t, s).Waits, "; ")
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want a word on %q", name, got, tt.want)
		}
	}
}
