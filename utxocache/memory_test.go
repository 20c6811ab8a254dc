package utxocache

import (
	"testing"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/perfcore"
)

// within checks that a cache with a budget keeps to what that has for it, but for what
// the last block added to the index.
func within(t testing.TB, c *Cache) {
	t.Helper()
	if got, most := c.Memory().Total(), c.budget.total(); got > most+most/50 {
		t.Fatalf("%d bytes are accounted for, the budget has %d", got, most)
	}
}

// wantIndex checks that the index has little that names nothing.
func wantIndex(t testing.TB, c *Cache) {
	t.Helper()
	n := c.older.coins
	for _, l := range c.view.Load().layers {
		if l != nil {
			n += len(l.entries)
		}
	}
	if m := c.Memory(); m.Index > int64(n)*indexBytes+32<<10 {
		t.Errorf("the index takes %d bytes for %d outpoints", m.Index, n)
	}
}

// All parts together keep to one budget, at each block, in which the ring has a
// quarter; a smaller one holds when it has been set, and what is left is right.
func TestBudget(t *testing.T) {
	const budget = 4 << 20
	reg := new(perfcore.Registry)
	c := newCache(t, Options{Blocks: 288, LeastBlocks: 3, Budget: budget, Recorder: reg})
	c.Reset(Tip{Hash: hashOf(0)}, true)
	var w workload
	blocks := func(n, txs int) {
		t.Helper()
		for range n {
			apply(t, c, w.block(tipOf(t, c), txs, 1, 3))
			within(t, c)
		}
	}
	right := func() {
		t.Helper()
		answers := make([]Answer, len(w.coins))
		if err := c.Fetch(tipOf(t, c).Hash, w.coins, answers); err != nil {
			t.Fatal(err)
		}
		for i, a := range answers {
			if a.State == Absent || c.Complete() && a.State != Unspent {
				t.Fatalf("%s is %s", w.coins[i], a.State)
			}
		}
	}
	ring := func() int { return len(c.view.Load().ring) - 1 }

	blocks(60, 10)
	if !c.Complete() || ring() != 60 {
		t.Errorf("%d blocks in the ring, all known: %t", ring(), c.Complete())
	}
	blocks(400, 60)
	if m := c.Memory(); c.Complete() || m.Total() < budget/2 || m.Ring > budget/4 || m.Ring < budget/8 || m.Pages < budget/4 || m.Index == 0 {
		t.Errorf("a full budget of %d is %+v", budget, m)
	}
	for range 40 {
		blocks(1, 60)
		if m := c.Memory(); m.Ring > budget/4 || m.Ring < budget/8 {
			t.Errorf("the ring of a full budget of %d takes %d", budget, m.Ring)
		}
	}
	m := c.Memory()
	for tier, want := range map[string]int64{"ring": m.Ring, "ristretto": m.Pages, "index": m.Index} {
		if got := metric(t, reg, "outrider_utxo_bytes", tier).Gauge.Value(); got != float64(want) {
			t.Errorf("%s takes %v bytes, must be %d", tier, got, want)
		}
	}
	right()
	was := ring()
	if err := c.SetBudget(budget / 4); err != nil {
		t.Fatal(err)
	}
	within(t, c)
	wantIndex(t, c)
	if ring() >= was || ring() < 3 {
		t.Errorf("%d blocks in the ring, there were %d", ring(), was)
	}
	right()
	blocks(40, 60)
	if err := c.SetBudget(growth * budget); err != nil {
		t.Fatal(err)
	}
	blocks(100, 60)
	right()
	if m := c.Memory(); m.Total() < budget/2 {
		t.Errorf("four budgets hold %+v", m)
	}
}

// No budget takes the least number of blocks from the ring.
func TestBudgetLeavesTheLeastBlocks(t *testing.T) {
	c := newCache(t, Options{Blocks: 10, LeastBlocks: 3, Budget: 1 << 20})
	if err := c.SetBudget(1 << 21); err != nil { // at no tip
		t.Error(err)
	}
	c.Reset(Tip{Hash: hashOf(0)}, true)
	var w workload
	for range 8 {
		apply(t, c, w.block(tipOf(t, c), 200, 1, 3))
	}
	err := c.SetBudget(1 << 10)
	if n := len(c.view.Load().ring) - 1; err == nil || n != 3 {
		t.Errorf("a budget of a kilobyte: %v, and %d blocks in the ring", err, n)
	}
	if m := c.Memory(); m.Pages != 0 || m.Total() < 3*800*65 {
		t.Errorf("a budget of a kilobyte is %+v", m)
	}
	for range 3 {
		disconnect(t, c)
	}
	if err := c.SetBudget(1 << 20); err != nil {
		t.Error(err)
	}
	within(t, c)
}

func TestBudgetRefuses(t *testing.T) {
	for _, opts := range []Options{
		{Budget: -1}, {Budget: 1, LeastBlocks: -1}, {Budget: 1, Blocks: 5, LeastBlocks: 6},
	} {
		if c, err := New(opts); err == nil {
			c.Close()
			t.Errorf("New(%+v) made a cache", opts)
		}
	}
	if err := newCache(t, Options{}).SetBudget(1 << 20); err == nil {
		t.Error("a cache without a budget takes one")
	}
	c := newCache(t, Options{Budget: 1 << 20})
	for _, bytes := range []int64{-1, 0, growth<<20 + 1} {
		if err := c.SetBudget(bytes); err == nil {
			t.Errorf("a budget of %d was taken", bytes)
		}
	}
	c.Reset(Tip{}, true)
	c.Close()
	if m := c.Memory(); m.Total() > 1000 {
		t.Errorf("a closed cache takes %+v", m)
	}
	if a, _ := c.Get(wire.OutPoint{}); a.State != Unknown {
		t.Errorf("a closed cache answers %s", a.State)
	}
}
