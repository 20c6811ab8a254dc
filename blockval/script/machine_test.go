package script

import (
	"crypto/sha256"
	"slices"
	"sync"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/sigverify"
)

// tapscriptSpend spends an output that commits to one script.
func tapscriptSpend(tb testing.TB, script []byte, elements ...[]byte) *Tx {
	tb.Helper()
	internal := decodeHex(tb, internalKey)
	key, parity := commit(tb, internal, script)
	witness := append(slices.Clone(elements), script, append([]byte{leafTapscript | parity}, internal...))
	return creditedSpend(nil, append([]byte{op1, 32}, decodeHex(tb, key)...), witness, 1)
}

// TestLongTapscripts runs scripts that make far more results than there is room
// for: the stack keeps what it holds while the arena is sorted out.
func TestLongTapscripts(t *testing.T) {
	j := newJudge(t)
	hash := []byte{7}
	script := []byte{1, 7}
	// 600 results stay on the stacks, half of them on the other one.
	for i := range 600 {
		script = append(script, opDup, opSHA256)
		if i%2 == 0 {
			script = append(script, opDup, opToAltStack)
		}
		sum := sha256.Sum256(hash)
		hash = sum[:]
	}
	for range 50_000 {
		script = append(script, opDup, opHash256, opDrop)
	}
	script = append(appendPush(script, hash), opEqualVerify)
	for range 299 {
		script = append(script, opFromAltStack, opDrop)
	}
	first := sha256.Sum256([]byte{7})
	script = append(appendPush(append(script, opFromAltStack), first[:]), opEqualVerify)
	for range 600 - 1 {
		script = append(script, opDrop)
	}
	script = append(script, 1, 7, opEqual)
	if got := j.run(t, tapscriptSpend(t, script), 0, consensus); got != OK {
		t.Errorf("%v, want OK", got)
	}
	if size := len(j.m.arena) + len(j.m.spare); size != 2*arenaSize {
		t.Errorf("the arenas have %d bytes, want %d", size, 2*arenaSize)
	}
	// Numbers are results too.
	script = []byte{2, 0xff, 0x7f}
	for range 30_000 {
		script = append(script, op1Add, op1Sub)
	}
	script = append(script, 2, 0xff, 0x7f, opNumEqual)
	if got := j.run(t, tapscriptSpend(t, script), 0, consensus); got != OK {
		t.Errorf("numbers: %v, want OK", got)
	}
}

// TestWitnessOfManyElements has more elements than a stack may.
func TestWitnessOfManyElements(t *testing.T) {
	j := newJudge(t)
	elements := make([][]byte, 100_000)
	for name, tt := range map[string]struct {
		tx   *Tx
		want Error
	}{
		"v0, no operation": {witnessV0Spend(nil, elements...), ErrCleanStack},
		"v0, operation":    {witnessV0Spend([]byte{opSHA256}, elements...), ErrStackSize},
		"v0, 1001":         {witnessV0Spend([]byte{opDrop}, elements[:1001]...), ErrCleanStack},
		"v0, not taken":    {witnessV0Spend([]byte{op0, opIf, opEndIf}, elements[:1001]...), ErrStackSize},
		"tapscript":        {tapscriptSpend(t, []byte{opDrop}, elements[:1001]...), ErrStackSize},
		"tapscript, any":   {tapscriptSpend(t, []byte{0x50}, elements...), OK},
	} {
		if got := j.run(t, tt.tx, 0, consensus); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
	j.run(t, witnessV0Spend([]byte{op1}), 0, consensus)
	if n := cap(j.m.main); n > keptStack {
		t.Errorf("the stack keeps room for %d elements, want at most %d", n, keptStack)
	}
}

// witnessV0Spend spends a P2WSH output.
func witnessV0Spend(script []byte, elements ...[]byte) *Tx {
	hash := sha256.Sum256(script)
	witness := append(slices.Clone(elements), script)
	return creditedSpend(nil, append([]byte{op0, 32}, hash[:]...), witness, 1)
}

// TestFullStackUnderP2SH has 1,000 elements below the script that P2SH adds one to.
func TestFullStackUnderP2SH(t *testing.T) {
	j := newJudge(t)
	for n, want := range map[int]Error{998: OK, 999: ErrStackSize, 1000: ErrStackSize} {
		sigScript := slices.Repeat([]byte{op1}, n)
		redeem := []byte{op1}
		sigScript = appendPush(sigScript, redeem)
		if got := j.run(t, creditedSpend(sigScript, p2sh(redeem), nil, 0), 0, P2SH); got != want {
			t.Errorf("%d elements: %v, want %v", n, got, want)
		}
	}
}

// TestWeight spends the weight that a tapscript has for signatures to the last
// byte, and one beyond.
func TestWeight(t *testing.T) {
	j := newJudge(t)
	key := slices.Repeat([]byte{1}, 31) // of an unknown type
	for _, tt := range []struct {
		signatures int
		want       Error
	}{{1, OK}, {2, OK}, {3, ErrTapscriptValidationWeight}} {
		var script []byte
		for range tt.signatures {
			script = append(script, opDup, opOver)
			script = append(script[:len(script)-1], 0x01, 9, opCheckSigVerify)
		}
		script = append(script, opDrop, op1)
		tx := tapscriptSpend(t, script, key)
		if got := j.run(t, tx, 0, consensus); got != tt.want {
			t.Errorf("%d signatures, weight %d: %v, want %v", tt.signatures,
				witnessSize(tx.Msg.TxIn[0].Witness)+weightOffset, got, tt.want)
		}
	}
}

// TestSeparators signs the same script before and behind an OP_CODESEPARATOR, with
// one hash type. Each signature is valid at its place only.
func TestSeparators(t *testing.T) {
	j, f := newJudge(t), newForge(16)
	for _, v := range []version{base, witnessV0, tapscript} {
		key := f.keys[1].PubKey().SerializeCompressed()
		if v == tapscript {
			key = key[1:]
		}
		script := append(appendPush(nil, key), opCheckSigVerify, opNop, opCodeSeparator)
		second := len(script)
		script = append(appendPush(script, key), opCheckSig)
		spend := func() *Tx {
			switch v {
			case witnessV0:
				return witnessV0Spend(script)
			case tapscript:
				return tapscriptSpend(t, script)
			}
			return creditedSpend(nil, script, nil, 1)
		}
		sign := func(tx *Tx, code []byte, separator uint32) []byte {
			h := sigHasher{w: newHashWriter()}
			switch v {
			case witnessV0:
				return signECDSA(f.keys[1], h.witnessV0(tx, 0, code, sigHashAll))
			case tapscript:
				leaf := leafHash(h.w, leafTapscript, script)
				digest, _ := h.taproot(tx, 0, &tapContext{leaf: leaf, inScript: true, separator: separator}, sigHashDefault)
				return signBIP340(f.keys[1], digest)
			}
			return signECDSA(f.keys[1], h.legacy(tx, 0, code, sigHashAll))
		}
		tx := spend()
		before, behind := sign(tx, script, noSeparator), sign(tx, script[second:], 3)
		for _, tt := range []struct {
			first, second []byte
			want          bool
		}{{before, behind, true}, {before, before, false}, {behind, behind, false}, {behind, before, false}} {
			tx := spend()
			in := tx.Msg.TxIn[0]
			if v == base {
				in.SignatureScript = appendPush(appendPush(nil, tt.second), tt.first)
			} else {
				in.Witness = append(wire.TxWitness{tt.second, tt.first}, in.Witness...)
			}
			if got := j.run(t, tx, 0, consensus); (got == OK) != tt.want {
				t.Errorf("version %d: %v, want valid %v", v, got, tt.want)
			}
		}
	}
}

// TestTapscriptKeys is what BIP342 says of keys by their sizes.
func TestTapscriptKeys(t *testing.T) {
	j := newJudge(t)
	for _, tt := range []struct {
		sig, key int // sizes
		flags    Flags
		want     Error
	}{
		{0, 0, consensus, ErrTapscriptEmptyPubkey},
		{1, 0, consensus, ErrTapscriptEmptyPubkey},
		{0, 1, consensus, ErrEvalFalse},
		{1, 1, consensus, OK},
		{1, 33, consensus, OK},
		{1, 33, consensus | DiscourageUpgradablePubkeyType, ErrDiscourageUpgradablePubkeyType},
		{0, 33, consensus | DiscourageUpgradablePubkeyType, ErrDiscourageUpgradablePubkeyType},
		{0, 32, consensus | DiscourageUpgradablePubkeyType, ErrEvalFalse},
		{1, 32, consensus, ErrSchnorrSigSize},
		{64, 32, consensus, ErrSchnorrSig},
		{65, 32, consensus, ErrSchnorrSigHashType},
	} {
		script := append(appendPush(nil, make([]byte, tt.key)), opCheckSig)
		tx := tapscriptSpend(t, script, make([]byte, tt.sig))
		if got := j.run(t, tx, 0, tt.flags); got != tt.want {
			t.Errorf("a signature of %d bytes for a key of %d: %v, want %v", tt.sig, tt.key, got, tt.want)
		}
	}
}

// TestEveryOperation runs every operation alone, on many elements and on none, in
// every version of scripts, both ways and in btcd's engine.
func TestEveryOperation(t *testing.T) {
	j := newJudge(t)
	succeeded := 0
	for op := range 256 {
		for _, elements := range [][][]byte{nil, {{1}}, {{1}, nil, {1}, {1}, {1}, {1}, {1}}, {nil, {3}, {2}, {1}}} {
			for _, rest := range []string{"", "\x51", "\x68\x51"} {
				script := append([]byte{byte(op)}, rest...)
				for _, tx := range []*Tx{
					creditedSpend(newForge(0).pushes(elements), script, nil, 1),
					witnessV0Spend(script, elements...),
					tapscriptSpend(t, script, elements...),
				} {
					got := j.run(t, tx, 0, consensus)
					if err := engine(tx, 0, consensus); (err == nil) != (got == OK) {
						t.Errorf("operation %#x: %v, btcd says %v\n%s", op, got, err, describe(tx, 0, consensus))
					}
					if got == OK {
						succeeded++
					}
				}
			}
		}
	}
	t.Logf("%d of %d succeed", succeeded, j.inputs)
	if succeeded < 1000 {
		t.Error("too few succeed")
	}
}

// TestUnknownProgramsSucceed spends what is kept for upgrades.
func TestUnknownProgramsSucceed(t *testing.T) {
	j := newJudge(t)
	witness := wire.TxWitness{{1}}
	anchor := []byte{op1, 2, 0x4e, 0x73}
	for name, tt := range map[string]struct {
		pkScript []byte
		flags    Flags
		want     Error
	}{
		"anchor":               {anchor, consensus, OK},
		"anchor by policy":     {anchor, consensus | DiscourageUpgradableWitnessProgram, OK},
		"version 2":            {[]byte{op1 + 1, 2, 1, 1}, consensus, OK},
		"version 2 by policy":  {[]byte{op1 + 1, 2, 1, 1}, consensus | DiscourageUpgradableWitnessProgram, ErrDiscourageUpgradableWitnessProgram},
		"version 1 of 2 bytes": {[]byte{op1, 2, 1, 1}, consensus | DiscourageUpgradableWitnessProgram, ErrDiscourageUpgradableWitnessProgram},
		"version 1 of zeros":   {[]byte{op1, 2, 0, 0}, consensus, ErrEvalFalse},
		"one byte":             {[]byte{op1, 1, 1}, consensus, ErrWitnessUnexpected},
		"taproot without rule": {append([]byte{op1, 32, 1}, make([]byte, 31)...), consensus &^ Taproot, OK},
	} {
		if got := j.run(t, creditedSpend(nil, tt.pkScript, witness, 0), 0, tt.flags); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
	nested := creditedSpend(appendPush(nil, anchor), p2sh(anchor), nil, 0)
	if got := j.run(t, nested, 0, consensus|DiscourageUpgradableWitnessProgram); got != ErrDiscourageUpgradableWitnessProgram {
		t.Errorf("anchor in P2SH: %v", got)
	}
}

// TestPushOnly is what counts as a push, where policy asks before anything is
// executed.
func TestPushOnly(t *testing.T) {
	j := newJudge(t)
	for script, want := range map[string]Error{
		"\x51":     OK,
		"\x01\x01": OK,
		"\x05\x01": ErrSigPushOnly, // it breaks off
		"\x61":     ErrSigPushOnly,
		"\x50":     ErrBadOpcode, // OP_RESERVED counts
	} {
		if got := j.run(t, creditedSpend([]byte(script), []byte{op1}, nil, 0), 0, SigPushOnly); got != want {
			t.Errorf("%x: %v, want %v", script, got, want)
		}
	}
}

func TestContradictingFlags(t *testing.T) {
	for _, flags := range []Flags{Witness, P2SH | CleanStack} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("flags %x: no panic", flags)
				}
			}()
			NewMachine().Collect(creditedSpend(nil, []byte{op1}, nil, 0), 0, flags, new(Batch), 0)
		}()
	}
}

// TestSharedTx lets goroutines collect the inputs of one transaction.
func TestSharedTx(t *testing.T) {
	f := newForge(6)
	tx, want := manyInputs(f, 64)
	v := sigverify.New(sigverify.Options{Workers: 1, CacheBytes: -1})
	t.Cleanup(v.Close)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			m, b := NewMachine(), new(Batch)
			for i := range tx.Msg.TxIn {
				if reason := m.Collect(tx, i, consensus, b, i); reason != OK {
					t.Errorf("input %d: %v", i, reason)
				}
			}
			if len(b.Items) != want {
				t.Errorf("%d checks, want %d", len(b.Items), want)
			}
			valid := make([]bool, len(b.Items))
			if err := v.Verify(t.Context(), b.Items, valid); err != nil {
				t.Error(err)
			}
			if failed := b.Settle(valid, nil); len(failed) != 0 {
				t.Errorf("failed: %v", failed)
			}
		})
	}
	wg.Wait()
}

// manyInputs returns a transaction whose inputs spend P2PKH, P2WPKH and P2TR by
// turns, validly, and how many signatures that makes.
func manyInputs(f *forge, n int) (tx *Tx, signatures int) {
	tx = &Tx{Msg: wire.NewMsgTx(2)}
	tx.Msg.AddTxOut(&wire.TxOut{Value: 5, PkScript: []byte{op1}})
	key := f.keys[1].PubKey().SerializeCompressed()
	hash := hash160(key)
	code := slices.Concat([]byte{opDup, opHash160, 20}, hash[:], []byte{opEqualVerify, opCheckSig})
	outputs := [][]byte{code, append([]byte{op0, 20}, hash[:]...), append([]byte{op1, 32}, key[1:]...)}
	for i := range n {
		tx.Msg.AddTxIn(&wire.TxIn{PreviousOutPoint: wire.OutPoint{Index: uint32(i)}})
		tx.Prevouts = append(tx.Prevouts, wire.TxOut{Value: int64(i), PkScript: outputs[i%3]})
	}
	signed := Tx{Msg: tx.Msg, Prevouts: tx.Prevouts}
	h := sigHasher{w: newHashWriter()}
	for i, in := range tx.Msg.TxIn {
		switch i % 3 {
		case 0:
			in.SignatureScript = appendPush(appendPush(nil, signECDSA(f.keys[1], h.legacy(&signed, i, code, sigHashAll))), key)
		case 1:
			in.Witness = wire.TxWitness{signECDSA(f.keys[1], h.witnessV0(&signed, i, code, sigHashAll)), key}
		case 2:
			digest, _ := h.taproot(&signed, i, new(tapContext), sigHashDefault)
			in.Witness = wire.TxWitness{signBIP340(f.keys[1], digest)}
		}
	}
	return tx, n
}

// TestNoAllocations collects the common spends again and again.
func TestNoAllocations(t *testing.T) {
	tx, _ := manyInputs(newForge(7), 30)
	m, b := NewMachine(), new(Batch)
	collect := func() {
		b.Items, b.refs = b.Items[:0], b.refs[:0]
		b.work.reset()
		for i := range tx.Msg.TxIn {
			if reason := m.Collect(tx, i, consensus, b, i); reason != OK {
				t.Fatal(reason)
			}
		}
	}
	if n := testing.AllocsPerRun(100, collect); n != 0 {
		t.Errorf("%v allocations for %d inputs, want none", n, len(tx.Msg.TxIn))
	}
}

// A Tx that was reset is hashed as a new one is, by a Machine that has hashed what it
// was before.
func TestReset(t *testing.T) {
	f := newForge(23)
	w := newHashWriter()
	reused, h := new(Tx), sigHasher{w: w}
	for range 200 {
		tx := randomTx(f, 1+f.rng.IntN(120), 1+f.rng.IntN(3))
		reused.Reset(tx.Msg, tx.Prevouts)
		for range 3 {
			i := f.rng.IntN(len(tx.Msg.TxIn))
			fresh := sigHasher{w: newHashWriter()}
			if got, want := h.legacy(reused, i, []byte{1}, sigHashAll), fresh.legacy(tx, i, []byte{1}, sigHashAll); got != want {
				t.Fatalf("input %d of %d: %x, want %x", i, len(tx.Msg.TxIn), got, want)
			}
			if got, want := h.witnessV0(reused, i, []byte{1}, sigHashAll), fresh.witnessV0(tx, i, []byte{1}, sigHashAll); got != want {
				t.Fatalf("input %d of %d, BIP143: %x, want %x", i, len(tx.Msg.TxIn), got, want)
			}
			a, _ := h.taproot(reused, i, new(tapContext), sigHashAll)
			if want, _ := fresh.taproot(tx, i, new(tapContext), sigHashAll); a != want {
				t.Fatalf("input %d of %d, BIP341: %x, want %x", i, len(tx.Msg.TxIn), a, want)
			}
		}
		if n := cap(reused.blank.bytes); f.one(2) {
			if reused.Reset(nil, nil); cap(reused.blank.bytes) > maxKept {
				t.Errorf("%d bytes are kept of %d", cap(reused.blank.bytes), n)
			}
		}
	}
}
