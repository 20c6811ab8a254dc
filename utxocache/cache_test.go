package utxocache

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/perfcore"
)

func TestNewRefusesSizes(t *testing.T) {
	for _, opts := range []Options{{Blocks: -1}, {Bytes: -1}, {Blocks: MaxBlocks + 1}} {
		if c, err := New(opts); err == nil {
			c.Close()
			t.Errorf("New(%+v) made a cache", opts)
		}
	}
}

// A cache at no tip, new or closed, answers nothing and takes nothing.
func TestAtNoTip(t *testing.T) {
	closed := newCache(t, Options{})
	closed.Reset(Tip{Hash: hashOf(1)}, true)
	apply(t, closed, blockOn(Tip{Hash: hashOf(1)}, 2, testTx{id: 3, scripts: outs(1)}))
	closed.Close()
	closed.Close()
	closed.Reset(Tip{Hash: hashOf(1)}, true)
	for name, c := range map[string]*Cache{"new": newCache(t, Options{}), "closed": closed} {
		if tip, ok := c.Tip(); ok || tip != (Tip{}) || c.Complete() {
			t.Errorf("%s: stands at %s", name, tip)
		}
		if a, tip := c.Get(out(3, 0)); a.State != Unknown || tip != (Tip{}) {
			t.Errorf("%s: Get answers %+v as of %s", name, a, tip)
		}
		c.Remember(chainhash.Hash{}, []wire.OutPoint{out(3, 0)}, []Coin{{Value: 1}}, false)
		_, branchErr := c.Branch(Tip{})
		for call, err := range map[string]error{
			"Fetch":      c.Fetch(chainhash.Hash{}, nil, nil),
			"Apply":      c.Apply(blockOn(Tip{}, 1, testTx{id: 4})),
			"Disconnect": c.Disconnect(Tip{}),
			"Branch":     branchErr,
		} {
			if !errors.Is(err, ErrTip) {
				t.Errorf("%s: %s: %v", name, call, err)
			}
		}
	}
}

func TestFetchNamesBothTips(t *testing.T) {
	c := newCache(t, Options{})
	c.Reset(Tip{Hash: hashOf(1), Height: 812345}, false)
	err := c.Fetch(hashOf(2), []wire.OutPoint{out(3, 0)}, make([]Answer, 1))
	if !errors.Is(err, ErrTip) || !strings.Contains(err.Error(), "812345 "+hashOf(1).String()) ||
		!strings.Contains(err.Error(), hashOf(2).String()) {
		t.Errorf("Fetch at another tip: %v", err)
	}
}

func TestApply(t *testing.T) {
	genesis := Tip{Hash: hashOf(100)}
	first := blockOn(genesis, 1,
		testTx{id: 1, scripts: [][]byte{{0x51}, {opReturn}, largestScript, tooLargeScript, nil, {0x00, opReturn}}},
		testTx{id: 2, scripts: outs(2)},
	)
	coinbase := testTx{id: 3, scripts: outs(1)}
	tests := map[string]struct {
		txs  []testTx
		want map[wire.OutPoint]State
		err  string // part of the error; the block then changes nothing
	}{
		"spendable and unspendable outputs": {
			txs: []testTx{coinbase},
			want: map[wire.OutPoint]State{
				out(1, 0): Unspent, out(1, 1): Absent, out(1, 2): Unspent, out(1, 3): Absent,
				out(1, 4): Unspent, out(1, 5): Unspent, out(1, 6): Absent, out(3, 0): Unspent,
			},
		},
		"spent": {
			txs:  []testTx{coinbase, {id: 4, spends: []wire.OutPoint{out(2, 1)}, scripts: outs(1)}},
			want: map[wire.OutPoint]State{out(2, 0): Unspent, out(2, 1): Absent, out(4, 0): Unspent},
		},
		"created and spent": {
			txs: []testTx{coinbase,
				{id: 4, spends: []wire.OutPoint{out(2, 0)}, scripts: outs(2)},
				{id: 5, spends: []wire.OutPoint{out(4, 1)}, scripts: outs(1)}},
			want: map[wire.OutPoint]State{out(2, 0): Absent, out(4, 0): Unspent, out(4, 1): Absent, out(5, 0): Unspent},
		},
		"spent and created again": {
			txs: []testTx{coinbase,
				{id: 4, spends: []wire.OutPoint{out(2, 0)}},
				{id: 2, spends: []wire.OutPoint{out(1, 0)}, scripts: outs(1)}},
			want: map[wire.OutPoint]State{out(2, 0): Unspent, out(1, 0): Absent},
		},
		"overwritten and spent": {
			txs: []testTx{{id: 1, scripts: outs(1)},
				{id: 4, spends: []wire.OutPoint{out(1, 0)}, scripts: outs(1)}},
			want: map[wire.OutPoint]State{out(1, 0): Absent, out(1, 2): Unspent, out(4, 0): Unspent},
		},
		"the zero outpoint": {
			txs:  []testTx{{scripts: outs(1)}, {id: 5, spends: []wire.OutPoint{out(0, 0)}}},
			want: map[wire.OutPoint]State{out(0, 0): Absent},
		},
		"spends a coin that never was": {
			txs: []testTx{coinbase,
				{id: 4, spends: []wire.OutPoint{out(2, 0)}},
				{id: 5, spends: []wire.OutPoint{out(2, 1), out(9, 7)}}},
			err: "transaction 2 input 1: spends an absent coin: " + out(9, 7).String(),
		},
		"spends an unspendable output": {
			txs: []testTx{coinbase, {id: 4, spends: []wire.OutPoint{out(1, 1)}}},
			err: "transaction 1 input 0: spends an absent coin: " + out(1, 1).String(),
		},
		"spends a coin of a later transaction": {
			txs: []testTx{coinbase,
				{id: 4, spends: []wire.OutPoint{out(5, 0)}},
				{id: 5, spends: []wire.OutPoint{out(2, 0)}, scripts: outs(1)}},
			err: "transaction 1 input 0: spends an absent coin",
		},
		"spends a coin twice": {
			txs: []testTx{coinbase,
				{id: 4, spends: []wire.OutPoint{out(2, 0)}},
				{id: 5, spends: []wire.OutPoint{out(2, 0)}}},
			err: "transaction 2 input 0: spends an absent coin: " + out(2, 0).String(),
		},
		"spends its own coin twice": {
			txs: []testTx{coinbase,
				{id: 4, spends: []wire.OutPoint{out(2, 0)}, scripts: outs(1)},
				{id: 5, spends: []wire.OutPoint{out(4, 0), out(4, 0)}}},
			err: "transaction 2 input 1: spends an absent coin: " + out(4, 0).String(),
		},
		"has no transactions": {err: "0 transactions"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCache(t, Options{})
			c.Reset(genesis, true)
			apply(t, c, first)
			touched := []wire.OutPoint{out(1, 0), out(2, 0), out(2, 1), out(4, 0), out(5, 0), out(9, 7)}
			before := make([]Answer, len(touched))
			if err := c.Fetch(first.Hash, touched, before); err != nil {
				t.Fatal(err)
			}

			block := blockOn(first.Tip, 2, test.txs...)
			err := c.Apply(block)
			switch {
			case test.err == "" && err != nil:
				t.Fatal(err)
			case test.err == "":
				for op, state := range test.want {
					want(t, c, op, state, true)
				}
				disconnect(t, c)
			case err == nil || !strings.Contains(err.Error(), test.err):
				t.Errorf("Apply: %v, must tell of %q", err, test.err)
			case strings.Contains(test.err, "absent") != errors.Is(err, ErrAbsent):
				t.Errorf("Apply: %v is another kind of error", err)
			}
			after := make([]Answer, len(touched))
			if err := c.Fetch(first.Hash, touched, after); err != nil {
				t.Fatal(err)
			}
			for i, op := range touched {
				if after[i].State != before[i].State || !equalCoin(after[i].Coin, before[i].Coin) {
					t.Errorf("%s was %+v, is %+v", op, before[i], after[i])
				}
			}
		})
	}
}

func TestApplyRefusesWhatDoesNotFollow(t *testing.T) {
	tip := Tip{Hash: hashOf(100), Height: 7}
	good := blockOn(tip, 1, testTx{id: 1, scripts: outs(1)})
	high, low, noIDs := good, good, good
	high.Height, low.Height = 9, 7
	noIDs.Txids = nil
	for name, b := range map[string]Block{"too high": high, "too low": low, "no ids": noIDs} {
		c := newCache(t, Options{})
		c.Reset(tip, true)
		if err := c.Apply(b); err == nil || tipOf(t, c) != tip {
			t.Errorf("%s: Apply: %v, at %s", name, err, tipOf(t, c))
		}
	}
}

func TestCoinFields(t *testing.T) {
	c := newCache(t, Options{})
	c.Reset(Tip{Hash: hashOf(100), Height: 49}, false)
	script := []byte{1, 2, 3}
	b := blockOn(tipOf(t, c), 1, testTx{id: 1, scripts: [][]byte{script, {4}}}, testTx{id: 2, scripts: [][]byte{{5}}})
	apply(t, c, b)
	script[0] = 9
	b.Txs[0].TxOut[1].PkScript[0] = 9
	for op, coin := range map[wire.OutPoint]Coin{
		out(1, 0): {Value: 1, Script: []byte{1, 2, 3}, Height: 50, Coinbase: true},
		out(1, 1): {Value: 2, Script: []byte{4}, Height: 50, Coinbase: true},
		out(2, 0): {Value: 1, Script: []byte{5}, Height: 50},
	} {
		if a, tip := c.Get(op); !equalCoin(a.Coin, coin) || tip != b.Tip {
			t.Errorf("%s is %+v as of %s, must be %+v as of %s", op, a.Coin, tip, coin, b.Tip)
		}
	}
}

// A block's outputs did not exist before it, but for the two blocks that BIP30
// exempts: of those the cache cannot say.
func TestDisconnectIncomplete(t *testing.T) {
	exempt, err := chainhash.NewHashFromStr("00000000000743f190a18c5577a3c2d2a1f610ae9601ac046a38084ccb7cd721")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		hash    chainhash.Hash
		created State
	}{
		"a block":     {hashOf(101), Absent},
		"block 91880": {*exempt, Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCache(t, Options{})
			c.Reset(Tip{Hash: hashOf(100), Height: 91879}, false)
			script := []byte{7}
			c.Remember(hashOf(100), []wire.OutPoint{out(7, 0)}, []Coin{{Value: 5, Script: script, Height: 3}}, false)
			script[0] = 8
			b := blockOn(tipOf(t, c), 1,
				testTx{id: 1, scripts: outs(1)},
				testTx{id: 2, spends: []wire.OutPoint{out(7, 0), out(8, 0)}, scripts: outs(1)})
			b.Hash = test.hash
			apply(t, c, b)
			want(t, c, out(7, 0), Absent, true)
			want(t, c, out(8, 0), Absent, true)
			want(t, c, out(1, 0), Unspent, true)
			disconnect(t, c)
			want(t, c, out(1, 0), test.created, test.created == Absent)
			want(t, c, out(7, 0), Unspent, false)
			want(t, c, out(8, 0), Unknown, false)
			if a, _ := c.Get(out(7, 0)); !equalCoin(a.Coin, Coin{Value: 5, Script: []byte{7}, Height: 3}) {
				t.Errorf("the spent coin came back as %+v", a.Coin)
			}
		})
	}
}

// What a disconnection brought back stays in the ring: a ristretto without
// room cannot lose it until the ring has moved on.
func TestDisconnectLosesNothing(t *testing.T) {
	c := newCache(t, Options{Blocks: 3, Bytes: onePage})
	c.Reset(Tip{Hash: hashOf(100)}, true)
	apply(t, c, blockOn(tipOf(t, c), 1, testTx{id: 1, scripts: outs(1)}))
	for i := range uint64(3) {
		apply(t, c, blockOn(tipOf(t, c), 1, testTx{id: 10 + i}))
	}
	apply(t, c, blockOn(tipOf(t, c), 1, testTx{id: 20}, testTx{id: 21, spends: []wire.OutPoint{out(1, 0)}, scripts: outs(3)}))
	disconnect(t, c)
	want(t, c, out(1, 0), Unspent, true)
	want(t, c, out(21, 2), Absent, true)
	disconnect(t, c)
	disconnect(t, c)
	if err := c.Disconnect(tipOf(t, c)); !errors.Is(err, ErrTooDeep) {
		t.Fatalf("Disconnect below the ring: %v", err)
	}
	want(t, c, out(1, 0), Unspent, true)
	want(t, c, out(21, 2), Absent, true)
	if !c.Complete() {
		t.Error("a disconnection lost a coin")
	}
	for i := range uint64(4) {
		apply(t, c, blockOn(tipOf(t, c), 2, testTx{id: 30 + i, scripts: outs(coinsPerPage + 1)}))
	}
	if n := len(inRing(c.view.Load())); n != 3*(coinsPerPage+1) || c.Complete() {
		t.Errorf("%d outpoints in the ring, complete %t; what was brought back must leave it", n, c.Complete())
	}
}

func TestRemember(t *testing.T) {
	floor := Tip{Hash: hashOf(100), Height: 10}
	c := newCache(t, Options{Blocks: 5})
	c.Reset(floor, false)
	tell := func(at chainhash.Hash, id uint64, height uint32) wire.OutPoint {
		c.Remember(at, []wire.OutPoint{out(id, 0), out(id, 0)}, slices.Repeat([]Coin{{Value: 9, Height: height}}, 2), false)
		return out(id, 0)
	}
	spent, kept, late := tell(floor.Hash, 1, 10), tell(floor.Hash, 2, 10), out(3, 0)
	apply(t, c, blockOn(floor, 1, testTx{id: 11, scripts: outs(1)}, testTx{id: 12, spends: []wire.OutPoint{spent, late}}))
	top := tipOf(t, c)

	tell(floor.Hash, 3, 10) // another tip
	tell(top.Hash, 3, 10)   // spent by our own block
	tell(floor.Hash, 4, 10) // another tip
	tell(top.Hash, 5, 11)   // not in our own block
	tell(top.Hash, 11, 11)  // ours already
	want(t, c, spent, Absent, true)
	want(t, c, late, Absent, true)
	want(t, c, kept, Unspent, false)
	want(t, c, out(4, 0), Unknown, false)
	want(t, c, out(5, 0), Unknown, false)
	want(t, c, out(11, 0), Unspent, true)
	if a, _ := c.Get(out(11, 0)); a.Coin.Value != 1 {
		t.Errorf("the node's word replaced our coin: %+v", a)
	}
	if c.older.lost != 0 {
		t.Errorf("%d coins lost", c.older.lost)
	}

	c.Reset(floor, true)
	tell(floor.Hash, 1, 0)
	want(t, c, out(1, 0), Absent, true)
}

func TestCompleteUntilForgotten(t *testing.T) {
	const forgets = coinsPerPage + 2
	c := newCache(t, Options{Blocks: 1, Bytes: onePage})
	c.Reset(Tip{Hash: hashOf(100)}, true)
	for i := range uint64(forgets + 1) {
		if i == forgets == c.Complete() {
			t.Errorf("complete is %t with %d coins below the ring, and room for %d", c.Complete(), i-1, coinsPerPage)
		}
		apply(t, c, blockOn(tipOf(t, c), 1, testTx{id: i, scripts: outs(1)}))
	}
	want(t, c, out(99, 0), Unknown, false)
	c.Reset(Tip{Hash: hashOf(101)}, true)
	want(t, c, out(99, 0), Absent, true)
	want(t, c, out(2, 0), Absent, true)
	c.Reset(Tip{Hash: hashOf(101)}, false)
	want(t, c, out(99, 0), Unknown, false)
}

func TestMetrics(t *testing.T) {
	reg := new(perfcore.Registry)
	c := newCache(t, Options{Blocks: 1, Bytes: onePage, Recorder: reg})
	c.Reset(Tip{Hash: hashOf(100)}, true)
	for i := range uint64(3) {
		apply(t, c, blockOn(tipOf(t, c), 1, testTx{id: i, scripts: outs(coinsPerPage / 2)}))
	}
	ask := func(ops ...wire.OutPoint) {
		t.Helper()
		if err := c.Fetch(tipOf(t, c).Hash, ops, make([]Answer, len(ops))); err != nil {
			t.Fatal(err)
		}
	}
	ask(out(2, 0), out(1, 0), out(50, 0))
	check := func(name, label string, got, want float64) {
		t.Helper()
		if got != want {
			t.Errorf("%s %s is %v, must be %v", name, label, got, want)
		}
	}
	counter := func(name, label string, want float64) {
		t.Helper()
		check(name, label, float64(metric(t, reg, name, label).Counter.Value()), want)
	}
	gauge := func(name, label string, want float64) {
		t.Helper()
		check(name, label, metric(t, reg, name, label).Gauge.Value(), want)
	}
	counter("outrider_utxo_lookups_total", "ring", 1)
	counter("outrider_utxo_lookups_total", "ristretto", 1)
	counter("outrider_utxo_lookups_total", "absent", 1)
	counter("outrider_utxo_lookups_total", "unknown", 0)
	gauge("outrider_utxo_coins", "ring", coinsPerPage/2)
	gauge("outrider_utxo_coins", "ristretto", coinsPerPage)
	gauge("outrider_utxo_bytes", "ristretto", onePage-coinsPerPage*indexBytes)
	gauge("outrider_utxo_bytes", "index", float64(c.Memory().Index))
	const few, many = coinsPerPage / 2 * 65, coinsPerPage/2*65 + 100 // entries and scripts
	if v := metric(t, reg, "outrider_utxo_bytes", "ring").Gauge.Value(); v < few || v > many {
		t.Errorf("%d coins in the ring take %v bytes", coinsPerPage/2, v)
	}
	counter("outrider_utxo_forgotten_total", "", 0)

	apply(t, c, blockOn(tipOf(t, c), 1, testTx{id: 3}))
	ask(out(50, 0))
	counter("outrider_utxo_lookups_total", "unknown", 1)
	forgotten := float64(metric(t, reg, "outrider_utxo_forgotten_total", "").Counter.Value())
	if forgotten != coinsPerPage && forgotten != coinsPerPage/2 {
		t.Errorf("%v coins forgotten: a page of %d, or of %d, must be", forgotten, coinsPerPage, coinsPerPage/2)
	}
	gauge("outrider_utxo_coins", "ristretto", 3*coinsPerPage/2-forgotten)
	disconnect(t, c)
	check("applied", "", float64(metric(t, reg, "outrider_utxo_apply_seconds", "").Timer.Snapshot().Count), 4)
	check("disconnected", "", float64(metric(t, reg, "outrider_utxo_disconnect_seconds", "").Timer.Snapshot().Count), 1)

	c.Reset(Tip{}, false)
	gauge("outrider_utxo_coins", "ristretto", 0)
	gauge("outrider_utxo_bytes", "ristretto", 0)
	counter("outrider_utxo_forgotten_total", "", forgotten)
}

// A sample of single look-ups is measured, and stands for all.
func TestMetricsOfGet(t *testing.T) {
	reg := new(perfcore.Registry)
	c := newCache(t, Options{Recorder: reg})
	c.Reset(Tip{Hash: hashOf(100)}, true)
	apply(t, c, blockOn(tipOf(t, c), 1, testTx{id: 1, scripts: outs(1)}))
	const calls = 1000 * sampleGets
	for range calls {
		c.Get(out(1, 0))
	}
	counted := metric(t, reg, "outrider_utxo_lookups_total", "ring").Counter.Value()
	timed := metric(t, reg, "outrider_utxo_lookup_seconds", "ring").Timer.Snapshot()
	// Six standard deviations on either side.
	if counted < calls*8/10 || counted > calls*12/10 || timed.Count*sampleGets != counted || timed.Sum == 0 {
		t.Errorf("%d calls count as %d, %d were measured and took %s", calls, counted, timed.Count, timed.Sum)
	}
}

// The bubble fails the test if a goroutine outlives the cache.
func TestCloseEndsGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Options{Blocks: 1, Bytes: 1 << 16})
		if err != nil {
			t.Fatal(err)
		}
		c.Reset(Tip{}, true)
		var w workload
		for range 20 {
			apply(t, c, w.block(tipOf(t, c), 10, 2, 3))
		}
		c.Close()
	})
}

func TestBranchErrors(t *testing.T) {
	c := newCache(t, Options{Blocks: 2})
	c.Reset(Tip{Hash: hashOf(100), Height: 5}, true)
	var tips []Tip
	for i := range uint64(4) {
		tips = append(tips, tipOf(t, c))
		apply(t, c, blockOn(tipOf(t, c), 1, testTx{id: i, scripts: outs(1)}))
	}
	above := tipOf(t, c)
	above.Height++
	for name, test := range map[string]struct {
		fork Tip
		want error
	}{
		"the tip":           {tipOf(t, c), nil},
		"the floor":         {tips[2], nil},
		"below the floor":   {tips[1], ErrTooDeep},
		"above the tip":     {above, ErrTip},
		"in another branch": {Tip{Hash: hashOf(1), Height: tips[3].Height}, ErrTip},
	} {
		b, err := c.Branch(test.fork)
		if !errors.Is(err, test.want) || err == nil && b.Tip() != test.fork {
			t.Errorf("%s: Branch: %v, must be %v", name, err, test.want)
		}
	}

	b, err := c.Branch(tips[3])
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Apply(blockOn(tips[2], 2, testTx{id: 9})); !errors.Is(err, ErrTip) {
		t.Errorf("a block on another block: %v", err)
	}
	last := out(3, 0) // created by the block above the fork
	if err := b.Apply(blockOn(tips[3], 2, testTx{id: 9}, testTx{id: 10, spends: []wire.OutPoint{last}})); !errors.Is(err, ErrAbsent) {
		t.Errorf("a block that spends a coin of another branch: %v", err)
	}
	side := blockOn(tips[3], 2, testTx{id: 9, scripts: outs(1)}, testTx{id: 10, spends: []wire.OutPoint{out(2, 0)}})
	if err := b.Apply(side); err != nil {
		t.Error(err)
	}
	if b.Tip() != side.Tip {
		t.Errorf("the branch is at %s, must be at %s", b.Tip(), side.Tip)
	}
	want(t, c, out(2, 0), Unspent, true)
	want(t, c, out(9, 0), Absent, true)
	want(t, c, last, Unspent, true)
}

func TestUnspendable(t *testing.T) {
	for _, test := range []struct {
		script []byte
		want   bool
	}{
		{nil, false},
		{[]byte{0x6a}, true},
		{[]byte{0x51, 0x6a}, false},
		{bytes.Repeat([]byte{0x51}, 10_000), false},
		{bytes.Repeat([]byte{0x51}, 10_001), true},
	} {
		if got := unspendable(test.script); got != test.want {
			t.Errorf("unspendable(%d bytes of %.2x) = %t", len(test.script), test.script, got)
		}
	}
}

func TestStateString(t *testing.T) {
	for state, want := range map[State]string{Unknown: "unknown", Unspent: "unspent", Absent: "absent"} {
		if state.String() != want {
			t.Errorf("state %d is %q, must be %q", state, state, want)
		}
	}
}

// A block that is withdrawn leaves every answer as it was before it, also where
// Disconnect says what only a valid block proves.
func TestWithdraw(t *testing.T) {
	for _, complete := range []bool{false, true} {
		c := newCache(t, Options{})
		c.Reset(Tip{Hash: hashOf(1)}, complete)
		apply(t, c, blockOn(tipOf(t, c), 2, testTx{id: 10, scripts: outs(3)}))
		var spends []wire.OutPoint
		if !complete {
			spends = append(spends, out(5, 0)) // not known
		}
		next := blockOn(tipOf(t, c), 3,
			testTx{id: 11, spends: append(spends, out(10, 0)), scripts: outs(2)},
			testTx{id: 12, spends: []wire.OutPoint{out(11, 0)}, scripts: outs(1)})
		ops := []wire.OutPoint{out(5, 0), out(10, 0), out(10, 1), out(11, 0), out(11, 1), out(12, 0), out(13, 0)}
		answers := func() []Answer {
			all := make([]Answer, len(ops))
			if err := c.Fetch(tipOf(t, c).Hash, ops, all); err != nil {
				t.Fatal(err)
			}
			return all
		}
		equal := func(a, b Answer) bool {
			return a.State == b.State && a.Own == b.Own && a.Coin.Value == b.Coin.Value && bytes.Equal(a.Coin.Script, b.Coin.Script)
		}
		before := answers()
		for range 2 {
			apply(t, c, next)
			if after := answers(); slices.EqualFunc(before, after, equal) {
				t.Fatal("the block changes nothing")
			}
			if err := c.Withdraw(tipOf(t, c)); err != nil {
				t.Fatal(err)
			}
			if after := answers(); !slices.EqualFunc(before, after, equal) {
				t.Errorf("complete %v: withdrawn, the answers are %+v, want %+v", complete, after, before)
			}
		}
		apply(t, c, next)
		if err := c.Disconnect(tipOf(t, c)); err != nil {
			t.Fatal(err)
		}
		if a, _ := c.Get(out(12, 0)); a.State != Absent {
			t.Errorf("complete %v: disconnected, what the block created is %v", complete, a.State)
		}
		if err := c.Withdraw(Tip{Hash: hashOf(9)}); !errors.Is(err, ErrTip) {
			t.Errorf("another block: %v", err)
		}
	}
}
