package sidecar

import (
	"net/http"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
	"github.com/outrider-project/outrider/sidecar/perf"
)

// spendingBlock returns a block whose transactions spend ops, and an output of
// the block itself.
func spendingBlock(ops []wire.OutPoint) *blockval.Block {
	b := &blockval.Block{Msg: new(wire.MsgBlock), Txids: []chainhash.Hash{{1}, {2}, {3}}}
	coinbase, one, two := wire.NewMsgTx(2), wire.NewMsgTx(2), wire.NewMsgTx(2)
	coinbase.AddTxIn(&wire.TxIn{PreviousOutPoint: wire.OutPoint{Index: wire.MaxPrevOutIndex}})
	two.AddTxIn(&wire.TxIn{PreviousOutPoint: wire.OutPoint{Hash: b.Txids[1]}})
	for i, op := range ops {
		tx := []*wire.MsgTx{one, two}[i%2]
		tx.AddTxIn(&wire.TxIn{PreviousOutPoint: op})
	}
	b.Msg.Transactions = []*wire.MsgTx{coinbase, one, two}
	return b
}

// What a block spends of others is looked up on disk before its turn, as far as the knob
// says.
func TestEarly(t *testing.T) {
	const mib = 1 << 20
	reg := new(perfcore.Registry)
	b := newTenement(t, reg, 16*mib, 32*mib, 16*mib)
	var most atomic.Int64
	e := newEarly(b.set, &most, reg)
	ops := outpoints(3, 100)
	block := spendingBlock(ops)
	for _, tt := range []struct {
		most int64
		want uint64
	}{{0, 0}, {30, 30}, {4096, 100}} {
		most.Store(tt.most)
		before, _ := b.set.Below()
		total := e.total.Value()
		e.look(t.Context(), block)
		after, _ := b.set.Below()
		if got := after - before; got != tt.want || e.total.Value()-total != tt.want {
			t.Errorf("with %d inputs %d coins were looked up, and %d counted", tt.most, got, e.total.Value()-total)
		}
	}
	// The curve of the coins in memory would have them twice.
	many := outpoints(5, 4096)
	e.look(t.Context(), spendingBlock(many))
	if _, n := b.tenancy.coins.sampler.Curve(); n != 0 {
		t.Errorf("%d early look-ups are in the sample of the curve", n)
	}
	b.ask(t, many)
	if _, n := b.tenancy.coins.sampler.Curve(); n == 0 {
		t.Error("no look-up is in the sample of the curve")
	}
	got := spentOutside(block, 1000)
	slices.SortFunc(got, func(a, b wire.OutPoint) int { return slices.Compare(a.Hash[:], b.Hash[:]) })
	slices.SortFunc(ops, func(a, b wire.OutPoint) int { return slices.Compare(a.Hash[:], b.Hash[:]) })
	if !slices.Equal(got, ops) {
		t.Errorf("the block spends %d outpoints of others, want %d", len(got), len(ops))
	}
}

// In a running sidecar the knob makes blocks that are fetched ahead look their coins up,
// and verdicts are the same; so it is with every other knob of the fetching.
func TestFetchingKnobs(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{})
	r.cfg.UTXOMode = UTXOFull
	r.btcd.Mine(110)
	r.run(t)
	r.awaitTip(t)
	c := r.dialPerf(t)
	for name, value := range map[string]int64{
		"sidecar.prefetch": 4096, "node.ahead": 16, "node.calls": 2, "node.poll": 1000, "node.resync": 10_000, "node.branches": 5000,
		"coindb.readers": 1, "utxocache.ring": 10, "cpu.elastic": 10,
	} {
		if err := c.Post(t.Context(), "pin", perf.PinRequest{Knob: name, Value: value}, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	early := func() float64 {
		for _, s := range r.s.registry.Series() {
			if s.Metric.Name == "outrider_coins_early_total" {
				return float64(s.Counter.Value())
			}
		}
		t.Fatal("coins that are looked up early are not counted")
		return 0
	}
	// Blocks that cannot be had for a while are then fetched ahead of their turns.
	for range 3 {
		r.btcd.Rewrite(func(method string, a nodetest.Answer) nodetest.Answer {
			if method == "getblock" {
				a = nodetest.Answer{Status: http.StatusServiceUnavailable}
			}
			return a
		})
		for range 10 {
			r.btcd.AddTxs(10)
			r.btcd.Mine(1)
		}
		r.btcd.Rewrite(nil)
		r.awaitTip(t)
	}
	if early() == 0 {
		t.Error("no coin was looked up before its block's turn")
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	r.checkAgreement(t)
}
