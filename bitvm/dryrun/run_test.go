package dryrun

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// What fails is found where it fails, in every kind of script.
func TestFailures(t *testing.T) {
	good := ops(txscript.OP_2, txscript.OP_EQUAL)
	bad := ops(txscript.OP_NOP, txscript.OP_3, txscript.OP_EQUALVERIFY, txscript.OP_1)
	two := []byte{2}
	annexed := tapLeaf(t, good, two)
	annexed.witness = append(annexed.witness, []byte{0x50, 1})
	otherControl := tapLeaf(t, good, two)
	otherControl.witness = [][]byte{two, good, tapLeaf(t, bad, two).witness[2]}
	otherControl.witness[2] = append([]byte(nil), otherControl.witness[2]...)
	otherControl.witness[2][5] ^= 1
	otherScript := witnessScript(good, two)
	otherScript.witness = [][]byte{two, bad}
	future := coin{pkScript: ops(txscript.OP_16, bytes.Repeat([]byte{1}, 32)), witness: [][]byte{{1}}}
	for name, tt := range map[string]struct {
		coin           coin
		script, opcode string // "" if it passes; the opcode is position and name
		code           string
	}{
		"leaf passes":           {tapLeaf(t, good, two), "", "", ""},
		"leaf fails":            {tapLeaf(t, bad, two), "tapscript", "2 OP_EQUALVERIFY", "EqualVerify"},
		"leaf is false":         {tapLeaf(t, good, []byte{3}), "tapscript", "", "EvalFalse"},
		"leaf leaves too much":  {tapLeaf(t, good, two, two), "tapscript", "", "CleanStack"},
		"leaf needs more":       {tapLeaf(t, good), "tapscript", "1 OP_EQUAL", "InvalidStackOperation"},
		"leaf is unbalanced":    {tapLeaf(t, ops(txscript.OP_IF, txscript.OP_1), two[:0]), "tapscript", "", "UnbalancedConditional"},
		"leaf has no ENDIF":     {tapLeaf(t, ops(txscript.OP_1, txscript.OP_ENDIF, txscript.OP_1)), "tapscript", "1 OP_ENDIF", "UnbalancedConditional"},
		"leaf overflows":        {tapLeaf(t, bytes.Repeat([]byte{txscript.OP_1}, 1001)), "tapscript", "1000 OP_1", "StackOverflow"},
		"leaf is malformed":     {tapLeaf(t, []byte{txscript.OP_DATA_2, 1}), "witness", "", "MalformedPush"},
		"leaf of success":       {tapLeaf(t, []byte{0xfe, txscript.OP_DATA_2}), "", "", ""},
		"item too large":        {tapLeaf(t, good, make([]byte, 521)), "witness", "", "ElementTooBig"},
		"an annex":              {annexed, "", "", ""},
		"another control block": {otherControl, "witness", "", "TaprootMerkleProofInvalid"},
		"no witness":            {coin{pkScript: otherControl.pkScript}, "witness", "", "WitnessProgramEmpty"},
		"P2WSH passes":          {witnessScript(good, two), "", "", ""},
		"P2WSH fails":           {witnessScript(bad, two), "witnessScript", "2 OP_EQUALVERIFY", "EqualVerify"},
		"P2WSH of another hash": {otherScript, "witness", "", "WitnessProgramMismatch"},
		"P2SH passes":           {redeemScript(good, ops(txscript.OP_2)), "", "", ""},
		"P2SH fails":            {redeemScript(bad, ops(txscript.OP_2)), "redeemScript", "2 OP_EQUALVERIFY", "EqualVerify"},
		"P2SH of another hash": {coin{pkScript: redeemScript(good, nil).pkScript, sigScript: ops(bad)},
			"scriptPubKey", "", "EvalFalse"},
		"P2SH-P2WSH passes":     {wrapped(witnessScript(good, two)), "", "", ""},
		"P2SH-P2WSH fails":      {wrapped(witnessScript(bad, two)), "witnessScript", "2 OP_EQUALVERIFY", "EqualVerify"},
		"P2SH-P2WSH mismatch":   {wrapped(otherScript), "witness", "", "WitnessProgramMismatch"},
		"bare passes":           {coin{pkScript: good, sigScript: ops(txscript.OP_2)}, "", "", ""},
		"bare fails":            {coin{pkScript: bad, sigScript: ops(txscript.OP_2)}, "scriptPubKey", "2 OP_EQUALVERIFY", "EqualVerify"},
		"scriptSig fails":       {coin{pkScript: good, sigScript: ops(txscript.OP_2, txscript.OP_RETURN)}, "scriptSig", "1 OP_RETURN", "EarlyReturn"},
		"nothing at all":        {coin{}, "witness", "", "EvalFalse"},
		"scriptSig of a leaf":   {coin{tapLeaf(t, good).pkScript, ops(txscript.OP_2), tapLeaf(t, good, two).witness}, "witness", "", "WitnessMalleated"},
		"P2WPKH without key":    {payToWitnessKeyHash(), "witness", "", "WitnessProgramMismatch"},
		"P2WPKH of another key": {coin{payToWitnessKeyHash().pkScript, nil, [][]byte{{}, make([]byte, 33)}}, "witnessScript", "3 OP_EQUALVERIFY", "EqualVerify"},
		"CLTV fails":            {tapLeaf(t, ops(two, txscript.OP_CHECKLOCKTIMEVERIFY)), "tapscript", "1 OP_CHECKLOCKTIMEVERIFY", "UnsatisfiedLockTime"},
		"CSV fails":             {tapLeaf(t, ops(two, txscript.OP_CHECKSEQUENCEVERIFY)), "tapscript", "1 OP_CHECKSEQUENCEVERIFY", "UnsatisfiedLockTime"},
		"a dummy": {coin{pkScript: ops(txscript.OP_0, txscript.OP_0, txscript.OP_CHECKMULTISIG), sigScript: ops(txscript.OP_1)},
			"scriptPubKey", "2 OP_CHECKMULTISIG", "SigNullDummy"},
		"no dummy":         {coin{pkScript: ops(txscript.OP_0, txscript.OP_0, txscript.OP_CHECKMULTISIG), sigScript: ops(txscript.OP_0)}, "", "", ""},
		"a future version": {future, "", "", ""},
		"an anchor":        {coin{pkScript: txscript.PayToAnchorScript}, "", "", ""},
	} {
		r := run(t, spend(tt.coin))
		in := r.Inputs[0]
		if r.Passed != (tt.script == "") || in.Passed != r.Passed || (in.Failure == nil) != r.Passed {
			t.Errorf("%s: %+v, %+v", name, in, in.Failure)
			continue
		}
		if in.Failure == nil {
			continue
		}
		opcode := ""
		if in.Failure.Opcode != nil {
			opcode = fmt.Sprint(*in.Failure.Opcode, " ", in.Failure.Name)
		}
		if in.Failure.Script != tt.script || opcode != tt.opcode || in.Failure.Code != tt.code || in.Failure.Reason == "" {
			t.Errorf("%s: %+v at %q, want %s %q %s", name, *in.Failure, opcode, tt.script, tt.opcode, tt.code)
		}
	}
}

// Signatures are checked, all inputs or one.
func TestSignatures(t *testing.T) {
	s := spend(payToKeyHash(), payToWitnessKeyHash(), payToTaprootKey())
	for i := range s.Prevouts {
		s.sign(t, i)
	}
	r := run(t, s)
	if !r.Passed || !r.Relayed || len(r.Inputs) != 3 {
		t.Fatalf("%+v", r)
	}
	if *r.Fee != 10_000 || r.VSize != (r.Weight+3)/4 || r.FeeRate != 10_000/float64(r.VSize) || *r.SigOpsCost != 1 || r.TxID != s.Tx.TxHash().String() {
		t.Errorf("%+v", r)
	}
	s.Prevouts[0].Value++ // which taproot signs
	if r := run(t, s); r.Passed || !r.Inputs[0].Passed || !r.Inputs[1].Passed || r.Inputs[2].Passed || r.Inputs[2].Failure.Script != "witness" {
		t.Errorf("another amount: %+v", r.Inputs)
	}
	s.Prevouts[0] = nil
	s.Input = 1
	if r := run(t, s); !r.Passed || len(r.Inputs) != 1 || r.Inputs[0].Input != 1 || r.Fee != nil || r.SigOpsCost != nil {
		t.Errorf("one input: %+v", r)
	}
	s.Prevouts[1].Value++
	if r := run(t, s); r.Passed || r.Inputs[0].Failure.Script != "witnessScript" {
		t.Errorf("one input of another amount: %+v", r.Inputs)
	}
	s.Input = 2
	if _, err := Run(t.Context(), s, nil); !errors.Is(err, ErrInput) {
		t.Errorf("taproot without an amount: %v", err)
	}
}

// Signature operations are counted as a block counts them: four times outside of witnesses.
func TestSigOpsCost(t *testing.T) {
	check := bytes.Repeat([]byte{txscript.OP_CHECKSIG}, 3)
	for name, tt := range map[string]struct {
		coin coin
		want int
	}{
		"P2SH":                {redeemScript(check, nil), 12},
		"scriptSig":           {coin{pkScript: []byte{txscript.OP_1}, sigScript: check}, 12},
		"P2WSH":               {witnessScript(check), 3},
		"P2SH-P2WSH":          {wrapped(witnessScript(check)), 3},
		"P2WPKH":              {payToWitnessKeyHash(), 1},
		"taproot":             {tapLeaf(t, check), 0},
		"what is spent alone": {coin{pkScript: check}, 0},
	} {
		if r := run(t, spend(tt.coin)); *r.SigOpsCost != tt.want {
			t.Errorf("%s: %d, want %d", name, *r.SigOpsCost, tt.want)
		}
	}
	s := spend(tapLeaf(t, check))
	s.Tx.TxOut[0].PkScript = check
	if r := run(t, s); *r.SigOpsCost != 12 {
		t.Errorf("an output: %d", *r.SigOpsCost)
	}
}

// The second engine has a say, and a disagreement passes nothing.
func TestSecond(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		first            bool
		second           string
		err              error
		passed, disagree bool
	}{
		{true, "OK", nil, true, false},
		{true, "EVAL_FALSE", nil, false, true},
		{false, "EVAL_FALSE", nil, false, false},
		{false, "OK", nil, false, true},
		{true, "", broken, false, false},
	} {
		script := ops(txscript.OP_1)
		if !tt.first {
			script = ops(txscript.OP_0)
		}
		r, err := Run(t.Context(), spend(tapLeaf(t, script)), func(_ context.Context, tx *wire.MsgTx, prevouts []wire.TxOut, input int) (bool, string, error) {
			if len(tx.TxIn) != 1 || len(prevouts) != 1 || input != 0 || prevouts[0].Value != 100_000 {
				t.Error("the second engine is told another spend")
			}
			return tt.second == "OK", tt.second, tt.err
		})
		if !errors.Is(err, tt.err) {
			t.Errorf("%+v: %v", tt, err)
			continue
		}
		if err == nil && (r.Passed != tt.passed || r.Inputs[0].Disagree != tt.disagree || r.Inputs[0].Second != tt.second) {
			t.Errorf("%+v: %+v", tt, r.Inputs[0])
		}
	}
}

// An engine that runs by steps says what it says when it runs by itself, and our position
// in its scripts is its own.
func follow(t *testing.T, s *Spend) {
	t.Helper()
	fetcher, midstate := outputsOf(s)
	for i, p := range s.Prevouts {
		whole, errNew := txscript.NewEngine(p.PkScript, s.Tx, i, consensus, nil, midstate, p.Value, fetcher)
		want := errNew
		if want == nil {
			want = whole.Execute()
		}
		_, failure, err := step(context.Background(), s, i, consensus, midstate, fetcher)
		if err != nil || (failure == nil) != (want == nil) {
			t.Fatalf("input %d: %+v (%v), the engine says %v", i, failure, err, want)
		}
		if failure != nil && failure.Reason != want.Error() {
			t.Fatalf("input %d: %q, the engine says %q", i, failure.Reason, want)
		}
		if errNew != nil {
			continue
		}
		vm, err := txscript.NewEngine(p.PkScript, s.Tx, i, consensus, nil, midstate, p.Value, fetcher)
		if err != nil {
			t.Fatal(err)
		}
		at := newPosition(parts(s.Tx.TxIn[i], p.PkScript))
		for done := false; !done; {
			words, err := vm.DisasmPC()
			if err != nil {
				t.Fatal(err)
			}
			at.next()
			var script, opcode int
			if _, err := fmt.Sscanf(words, "%x:%x:", &script, &opcode); err != nil {
				t.Fatal(err)
			}
			name := strings.Fields(words)[1]
			if opcode != at.opcode || name != opcodeName(at.tokens.Opcode()) {
				t.Fatalf("input %d: at %d of %s, %s, and the engine at %s", i, at.opcode, at.name(), opcodeName(at.tokens.Opcode()), words)
			}
			if done, err = vm.Step(); err != nil {
				break
			}
		}
	}
}

func TestPositions(t *testing.T) {
	script := ops(txscript.OP_1, txscript.OP_IF, []byte("data"), txscript.OP_DROP, txscript.OP_ELSE, txscript.OP_RETURN, txscript.OP_ENDIF, txscript.OP_2, txscript.OP_EQUAL)
	two := []byte{2}
	s := spend(tapLeaf(t, script, two), witnessScript(script, two), wrapped(witnessScript(script, two)), redeemScript(script, ops(txscript.OP_2)),
		coin{pkScript: script, sigScript: ops(txscript.OP_2)}, coin{sigScript: ops(txscript.OP_2)}, payToKeyHash(), payToWitnessKeyHash(), payToTaprootKey(),
		wrapped(payToWitnessKeyHash()))
	for _, i := range []int{6, 7, 8} {
		s.sign(t, i)
	}
	follow(t, s)
}

// FuzzScripts runs any script and items in each kind of output, by steps and at once.
func FuzzScripts(f *testing.F) {
	f.Add([]byte{txscript.OP_1}, []byte{}, []byte{})
	f.Add([]byte{txscript.OP_IF, txscript.OP_1, txscript.OP_ELSE, txscript.OP_RETURN, txscript.OP_ENDIF}, []byte{1}, []byte{})
	f.Add([]byte{txscript.OP_DUP, txscript.OP_HASH160, txscript.OP_EQUALVERIFY}, []byte{2}, []byte{3})
	f.Add([]byte{0xfe}, []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, script, a, b []byte) {
		if len(script) == 0 || len(script) > 500 || len(a) > 75 || len(b) > 75 {
			return
		}
		follow(t, spend(tapLeaf(t, script, a, b), witnessScript(script, a, b), redeemScript(script, ops(a, b)),
			wrapped(witnessScript(script, a)), coin{pkScript: script, sigScript: ops(a, b)}, coin{pkScript: script, sigScript: script}))
	})
}

// bigLeaf is as large as a transaction can have one, and does much: it pushes 520 bytes and
// drops them, and adds.
func bigLeaf(t testing.TB) *Spend {
	t.Helper()
	var script []byte
	push := ops(make([]byte, 520), txscript.OP_DROP)
	for len(script) < 2_980_000 {
		script = append(script, push...)
	}
	script = append(script, txscript.OP_0)
	for len(script) < 3_980_000 {
		script = append(script, txscript.OP_1ADD)
	}
	s := spend(tapLeaf(t, script))
	s.Prevouts[0].Value = 2_000_000
	return s
}

// A leaf of 3.98 MB passes in bounded memory, though nodes do not relay it.
func TestBigLeaf(t *testing.T) {
	s := bigLeaf(t)
	const limit = 48 << 20
	peak, r := peakOf(t, func() *Report { return run(t, s) })
	if !r.Passed || r.Relayed || r.Weight > maxBlockWeight || r.Inputs[0].Opcodes < 1_000_000 {
		t.Errorf("%+v", r)
	}
	if len(r.Warnings) != 1 || r.Warnings[0].Reason != "tx-size" {
		t.Errorf("%+v", r.Warnings)
	}
	t.Logf("%d opcodes, at most %d bytes beside the spend", r.Inputs[0].Opcodes, peak)
	if peak > limit {
		t.Errorf("%d bytes, want at most %d", peak, limit)
	}
}

// peakOf returns how much the heap grew at most while f ran.
func peakOf(t testing.TB, f func() *Report) (peak uint64, r *Report) {
	t.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(10))
	debug.FreeOSMemory()
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	used := func() uint64 { metrics.Read(sample); return sample[0].Value.Uint64() }
	before := used()
	done := make(chan struct{})
	go func() {
		defer close(done)
		r = f()
	}()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if now := used(); now > before {
			peak = max(peak, now-before)
		}
		select {
		case <-done:
			return peak, r
		case <-tick.C:
		}
	}
}

// A context ends a run between two opcodes, wherever it is.
func TestRunEnds(t *testing.T) {
	s := bigLeaf(t)
	ctx := &endsAfter{Context: t.Context(), looks: 1000}
	if _, err := Run(ctx, s, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if ctx.looks != 0 {
		t.Errorf("%d looks were left", ctx.looks)
	}
}

// endsAfter is a context that ends after so many looks at it.
type endsAfter struct {
	context.Context
	looks int
}

func (c *endsAfter) Err() error {
	if c.looks == 0 {
		return context.DeadlineExceeded
	}
	c.looks--
	return nil
}

// The report has the same names in JSON as in the manual.
func TestReportAsJSON(t *testing.T) {
	raw, err := json.Marshal(run(t, spend(tapLeaf(t, ops(txscript.OP_0)))))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"passed":false`, `"script":"tapscript","opcode":null,"code":"EvalFalse"`, `"problems":[]`, `"waits":[]`, `"fee":10000`} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("no %s in %s", want, raw)
		}
	}
}

func BenchmarkBigLeaf(b *testing.B) {
	s := bigLeaf(b)
	for b.Loop() {
		run(b, s)
	}
}
