package blockval

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval/script"
	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sigverify"
)

// manyForms returns a transaction of so many inputs, of all common forms in turns,
// that spends coins of c.
func manyForms(tb testing.TB, c *testChain, inputs int) *spendTx {
	tb.Helper()
	s := &spendTx{tx: pay(nil, 1)}
	forms := spendForms()
	for i := range inputs {
		pkScript := forms[i%len(forms)].lock(testKey(byte(i % 200)))
		s.tx.TxIn = append(s.tx.TxIn, c.addCoin(1, pkScript))
		s.prevouts = append(s.prevouts, wire.TxOut{Value: 1, PkScript: pkScript})
	}
	for i := range inputs {
		if err := forms[i%len(forms)].sign(s, i, txscript.SigHashAll, testKey(byte(i%200))); err != nil {
			tb.Fatal(err)
		}
	}
	return s
}

// inputsBy returns how many inputs v has decided, by what decided them.
func inputsBy(reg *perfcore.Registry) map[string]uint64 {
	by := make(map[string]uint64)
	for _, s := range reg.Series() {
		if s.Metric.Name == "outrider_blockval_inputs_total" {
			by[s.Metric.Labels[1]] = s.Counter.Value()
		}
	}
	return by
}

// A transaction that was verified before its block is not verified again; a
// stranger in the same block is.
func TestSeenTxsMakeBlocksCheap(t *testing.T) {
	c := newTestChain(t, "regtest", 120)
	var reg, signatures perfcore.Registry
	verifier := sigverify.New(sigverify.Options{Recorder: &signatures})
	defer verifier.Close()
	v := New(c.p, Options{Recorder: &reg, Verifier: verifier, Now: c.validator(t, Options{}).now})
	known, stranger := manyForms(t, c, 300), manyForms(t, c, 7)
	if valid, err := v.VerifyTx(t.Context(), known.tx, known.prevouts); !valid || err != nil {
		t.Fatal(valid, err)
	}
	before := verdicts(&signatures)
	got := checkRaw(t, v, c.draft(known.tx, stranger.tx).seal(), c.at())
	if !got.Valid() || got.Signatures != 307 {
		t.Fatalf("%v, %d signatures", got.Err, got.Signatures)
	}
	if n := verdicts(&signatures) - before; n != 7 {
		t.Errorf("%d signatures were asked for, want the stranger's 7", n)
	}
	if by := inputsBy(&reg); by["remembered"] != 300 || by["collected"] != 7 || by["exact"] != 0 {
		t.Errorf("inputs by what decided them: %v", by)
	}
}

// verdicts counts the signatures that a verifier has decided.
func verdicts(reg *perfcore.Registry) (n uint64) {
	for _, s := range reg.Series() {
		if s.Metric.Name == "outrider_sigverify_signatures_total" {
			n += s.Counter.Value()
		}
	}
	return n
}

// When a path loses its trust while a block or a transaction is being verified, all
// of it is verified again.
func TestLostTrust(t *testing.T) {
	c := newTestChain(t, "regtest", 120)
	var signatures perfcore.Registry
	verifier := sigverify.New(sigverify.Options{Recorder: &signatures})
	defer verifier.Close()
	v := New(c.p, Options{Verifier: verifier, Now: c.validator(t, Options{}).now})
	s := manyForms(t, c, 30)
	for name, verify := range map[string]func(){
		"block": func() {
			if got := checkRaw(t, v, c.draft(s.tx).seal(), c.at()); !got.Valid() {
				t.Error(got.Err)
			}
		},
		"transaction": func() {
			if valid, err := v.VerifyTx(t.Context(), s.tx, s.prevouts); !valid || err != nil {
				t.Error(valid, err)
			}
		},
	} {
		v.seen = newSeenTxs(1 << 20)
		asked := 0
		v.falls = func() int { asked++; return min(asked, 2) } // it falls after the first question
		before := verdicts(&signatures)
		verify()
		if n := verdicts(&signatures) - before; n != 60 {
			t.Errorf("%s: %d signatures were asked for, want 30 twice", name, n)
		}
	}
}

// What was verified counts for the same transaction, spending the same, and nothing
// else. Each case would be a wrong verdict if it were remembered.
func TestSeenTxsAreExact(t *testing.T) {
	spoil := func(s *spendTx) { s.tx.TxIn[3].Witness[0][40] ^= 1 } // the id without witnesses stays
	for name, tc := range map[string]struct {
		before, after func(c *testChain, s *spendTx)
		remembered    bool
	}{
		"the same": {remembered: true},
		"another witness": {
			after: func(_ *testChain, s *spendTx) { spoil(s) },
		},
		"never valid": {
			before: func(_ *testChain, s *spendTx) { spoil(s) },
		},
		"another amount": {
			after: func(c *testChain, s *spendTx) {
				op := s.tx.TxIn[2].PreviousOutPoint
				coin := c.coins[op]
				coin.Value++
				c.coins[op] = coin
			},
		},
		"another script": {
			after: func(c *testChain, s *spendTx) {
				op := s.tx.TxIn[2].PreviousOutPoint
				coin := c.coins[op]
				coin.Script = spendForms()[2].lock(testKey(200))
				c.coins[op] = coin
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newTestChain(t, "regtest", 120)
			v := c.validator(t, Options{})
			s := manyForms(t, c, 6)
			if tc.before != nil {
				tc.before(c, s)
			}
			valid, err := v.VerifyTx(t.Context(), s.tx, s.prevouts)
			if err != nil || valid != (name != "never valid") {
				t.Fatal(valid, err)
			}
			if tc.after != nil {
				tc.after(c, s)
			}
			if got := checkRaw(t, v, c.draft(s.tx).seal(), c.at()); got.Valid() != tc.remembered {
				t.Errorf("verdict %v", got.Err)
			}
		})
	}
}

// Scripts that succeed by an exact run only are remembered too.
func TestVerifyTxExactly(t *testing.T) {
	c := newTestChain(t, "regtest", 120)
	v := newValidator(t, "regtest", Options{})
	key := serialise(testKey(1), true)
	// A signature that must not fit, and does not.
	not := slices.Concat(appendPush(nil, key), []byte{txscript.OP_CHECKSIG, txscript.OP_NOT})
	s := &spendTx{tx: pay([]*wire.TxIn{c.addCoin(1, not)}, 1), prevouts: []wire.TxOut{{Value: 1, PkScript: not}}}
	sig, err := txscript.RawTxInSignature(s.tx, 0, not, txscript.SigHashAll, testKey(2))
	if err != nil {
		t.Fatal(err)
	}
	s.tx.TxIn[0].SignatureScript = appendPush(nil, sig)
	if valid, err := v.VerifyTx(t.Context(), s.tx, s.prevouts); !valid || err != nil || v.seen.len() != 1 {
		t.Errorf("%v, %v, %d remembered", valid, err, v.seen.len())
	}
	if _, err := v.VerifyTx(t.Context(), s.tx, nil); err == nil {
		t.Error("no error for a transaction without what it spends")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tx := range []*spendTx{s, {pay([]*wire.TxIn{c.addCoin(1, anyone)}, 1), []wire.TxOut{{Value: 1, PkScript: anyone}}}} {
		if valid, err := v.VerifyTx(ctx, tx.tx, tx.prevouts); valid || !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v, %v", valid, err)
		}
	}
	if _, err := v.VerifyTx(t.Context(), pay(nil, 1), nil); err == nil || v.seen.len() != 1 {
		t.Errorf("a transaction without inputs: %v, %d remembered", err, v.seen.len())
	}
}

// numbered returns an id that stands for n.
func numbered(n int) chainhash.Hash {
	return chainhash.HashH(binary.LittleEndian.AppendUint64(nil, uint64(n)))
}

// What is remembered is valid under the rules that it was verified under, and under
// fewer. The memory is bounded, and the latest stay.
func TestSeenTxs(t *testing.T) {
	s := newSeenTxs(40 << 10)
	prevouts := []wire.TxOut{{Value: 5, PkScript: []byte{1}}}
	txs := []script.Tx{{Prevouts: prevouts}}
	has := func(n int, flags script.Flags) bool {
		found := false
		s.has([]chainhash.Hash{numbered(n)}, txs, flags, 1, func(int) { found = true })
		return found
	}
	if has(0, 0) {
		t.Error("an empty table has something")
	}
	s.add(numbered(0), prevouts, script.P2SH|script.Witness, 1)
	for flags, want := range map[script.Flags]bool{
		0: true, script.P2SH: true, script.P2SH | script.Witness: true, script.P2SH | script.DERSig: false, script.Consensus: false,
	} {
		if got := has(0, flags); got != want {
			t.Errorf("flags %v: %v, want %v", flags.Names(), got, want)
		}
	}
	s.add(numbered(0), prevouts, script.Consensus, 1) // replaces it
	if !has(0, script.Consensus) || s.len() != 1 {
		t.Errorf("%d remembered after the same transaction came again", s.len())
	}
	s.has([]chainhash.Hash{numbered(0)}, txs, 0, 2, func(int) { t.Error("a verdict outlives the trust in who gave it") })
	const many = 10_000
	for n := range many {
		s.add(numbered(n), prevouts, script.Consensus, 1)
	}
	if s.len() > 1000 || s.len() < 500 {
		t.Errorf("%d remembered in 40 KiB", s.len())
	}
	for n := many - 20; n < many; n++ {
		if !has(n, script.Consensus) {
			t.Errorf("the %d-th from the end is forgotten", many-n)
		}
	}
	was := s.len()
	if s.resize(s.bytes()); s.len() != was {
		t.Errorf("at the size that it has %d are remembered of %d", s.len(), was)
	}
	s.resize(1)
	if s.len() != 0 || has(many-1, 0) {
		t.Error("something is left after a resize")
	}
	s.add(numbered(3), prevouts, script.Consensus, 1)
	if !has(3, script.Consensus) {
		t.Error("the smallest table remembers nothing")
	}
}

func TestKnobs(t *testing.T) {
	v := newValidator(t, "main", Options{})
	for _, k := range v.Knobs() {
		if err := k.Check(); err != nil {
			t.Error(err)
		}
		for _, n := range k.Ladder {
			if err := k.Set(t.Context(), n); err != nil {
				t.Errorf("%s at %d: %v", k.Name, n, err)
			}
		}
	}
}
