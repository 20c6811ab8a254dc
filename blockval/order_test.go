package blockval

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// everyWay validates a block on one worker, on two and on many, whole and in halves.
// The verdicts must be one but for the times, and it returns that.
func everyWay(tb testing.TB, c *testChain, raw []byte, at At) *Verdict {
	tb.Helper()
	b, _ := Parse(raw)
	var first *Verdict
	for _, workers := range []int{1, 2, 8} {
		v := c.validator(tb, Options{Workers: workers, SeenBytes: 1})
		whole, err := v.Check(tb.Context(), b, at)
		if err != nil {
			tb.Fatalf("check on %d workers: %v", workers, err)
		}
		p, err := v.Begin(tb.Context(), b, at)
		if err != nil {
			tb.Fatalf("begin on %d workers: %v", workers, err)
		}
		halves, err := p.Finish(tb.Context())
		if err != nil {
			tb.Fatalf("finish on %d workers: %v", workers, err)
		}
		for way, got := range map[string]*Verdict{"whole": whole, "in halves": halves} {
			got.Stages = Stages{}
			if first == nil {
				first = got
			}
			if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", first) {
				tb.Fatalf("%s on %d workers: %+v\nfirst: %+v", way, workers, got, first)
			}
		}
	}
	return first
}

// breakage breaks one rule of a block of five transactions: before it commits to
// them, or afterwards.
type breakage struct {
	rule          Rule
	before, after func(d *draft)
}

// breakages are in the order in which their rules are checked. What the coins decide
// is broken in later and later transactions, and the scripts in the first of all.
var breakages = []breakage{
	{rule: BadMerkleRoot, after: func(d *draft) { d.msg.Header.MerkleRoot[3] ^= 1 }},
	{rule: MultipleCoinbases, before: func(d *draft) {
		d.msg.Transactions[5].TxIn[0].PreviousOutPoint = wire.OutPoint{Index: wire.MaxPrevOutIndex}
	}},
	{rule: NegativeOutput, before: func(d *draft) { d.msg.Transactions[2].TxOut[0].Value = -1 }},
	{rule: DuplicateInputs, before: func(d *draft) {
		d.msg.Transactions[4].AddTxIn(d.msg.Transactions[4].TxIn[0])
	}},
	{rule: NonFinal, before: func(d *draft) {
		tx := d.msg.Transactions[4]
		tx.LockTime, tx.TxIn[0].Sequence = d.c.height(), 0
	}},
	{rule: BadCoinbaseHeight, before: func(d *draft) { d.coinbase().TxIn[0].SignatureScript[0] ^= 3 }},
	{rule: BadWitnessCommitment, after: func(d *draft) {
		d.coinbase().TxOut[1].PkScript[20] ^= 1
		d.root()
	}},
	{rule: MissingInputs, before: func(d *draft) { d.msg.Transactions[2].TxIn[0].PreviousOutPoint.Hash[7] ^= 1 }},
	{rule: ImmatureCoinbase, before: func(d *draft) {
		op := d.msg.Transactions[3].TxIn[0].PreviousOutPoint
		coin := d.c.coins[op]
		coin.Coinbase, coin.Height = true, d.c.height()-99
		d.c.coins[op] = coin
	}},
	{rule: InBelowOut, before: func(d *draft) { d.msg.Transactions[4].TxOut[0].Value = 1000 }},
	{rule: TooManySigOps, before: func(d *draft) {
		// A cost of 79,920 that the transaction tells itself, and 96 that the coin does.
		tx := d.msg.Transactions[5]
		tx.TxOut[0].PkScript = bytes.Repeat([]byte{txscript.OP_CHECKMULTISIG}, 999)
		script := bytes.Repeat([]byte{txscript.OP_16, txscript.OP_CHECKMULTISIG}, 6)
		op := tx.TxIn[0].PreviousOutPoint
		coin := d.c.coins[op]
		coin.Script = p2wsh(script)
		d.c.coins[op] = coin
		tx.TxIn[0].Witness = wire.TxWitness{script}
	}},
	{rule: BadCoinbaseAmount, before: func(d *draft) { d.coinbase().TxOut[0].Value += 1e9 }},
	{rule: BadScript, before: func(d *draft) {
		op := d.msg.Transactions[1].TxIn[0].PreviousOutPoint
		coin := d.c.coins[op]
		coin.Script = []byte{txscript.OP_FALSE}
		d.c.coins[op] = coin
	}},
}

// build returns a block, and its chain, in which every one of these is broken.
func build(t *testing.T, broken ...breakage) (*testChain, []byte) {
	c := newTestChain(t, "regtest", 120)
	var txs []*wire.MsgTx
	for range 5 {
		txs = append(txs, pay([]*wire.TxIn{c.addCoin(100, anyone)}, 90))
	}
	d := c.draft(txs...)
	for _, b := range broken {
		if b.before != nil {
			b.before(d)
		}
	}
	d.commit().root()
	for _, b := range slices.Backward(broken) {
		if b.after != nil {
			b.after(d)
		}
	}
	return c, d.solve()
}

// firstOf returns which of breakages breaks that rule.
func firstOf(rule Rule) int {
	return slices.IndexFunc(breakages, func(b breakage) bool { return b.rule == rule })
}

// TestFirstBrokenRule breaks rules one by one and two at a time: the verdict names the
// one that Bitcoin Core comes to first, however much is done at once.
func TestFirstBrokenRule(t *testing.T) {
	c, raw := build(t)
	if got := everyWay(t, c, raw, c.at()); !got.Valid() || got.Prevouts != Own {
		t.Fatalf("with nothing broken: %+v", got)
	}
	for i, first := range breakages {
		for _, second := range breakages[i:] {
			both := []breakage{first}
			if second.rule != first.rule {
				both = append(both, second)
			}
			c, raw := build(t, both...)
			got := everyWay(t, c, raw, c.at())
			if got.Valid() || got.Err.Rule != first.rule {
				t.Errorf("%s and %s broken: %v", first.rule, second.rule, got.Err)
			}
			if needed := i >= firstOf(MissingInputs); needed != (got.Prevouts != "") {
				t.Errorf("%s and %s broken: prevouts %q", first.rule, second.rule, got.Prevouts)
			}
			if got.Signatures != 0 {
				t.Errorf("%s and %s broken: %d signatures", first.rule, second.rule, got.Signatures)
			}
		}
	}
}

// TestCoinsOfBrokenBlock has the coins of a block be unknown, or wait for as long as
// anybody wants to know: where a rule is broken for which they do not matter, that is
// the verdict, at once.
func TestCoinsOfBrokenBlock(t *testing.T) {
	failure := errors.New("disk on fire")
	for i, b := range breakages {
		needed := i >= firstOf(MissingInputs)
		c, raw := build(t, b)
		block, err := Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		for _, workers := range []int{1, 2} {
			left := 0
			at := c.at()
			at.Coins = failing{testCoins: c.coins, left: &left, err: failure}
			got, err := c.validator(t, Options{Workers: workers}).Check(t.Context(), block, at)
			switch {
			case needed && !errors.Is(err, failure):
				t.Errorf("%s on %d workers: verdict %+v, error %v, want %v", b.rule, workers, got, err, failure)
			case !needed && (err != nil || got.Err.Rule != b.rule || got.Prevouts != ""):
				t.Errorf("%s on %d workers: verdict %+v, error %v", b.rule, workers, got, err)
			}
		}
		if i > firstOf(DuplicateInputs) {
			continue // the coins are waited for before the chain is asked
		}
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			at := c.at()
			at.Coins = stalling{c.coins, true}
			began := time.Now()
			got, err := c.validator(t, Options{Workers: 2}).Check(ctx, block, at)
			if err != nil || got.Err.Rule != b.rule || time.Since(began) > 0 {
				t.Errorf("%s, after %v: verdict %+v, error %v", b.rule, time.Since(began), got, err)
			}
		})
	}
}
