package utxocache

import (
	"testing"
	"time"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/perfcore"
)

// Memory follows the knobs at once, and what is left is right.
func TestKnobs(t *testing.T) {
	reg := new(perfcore.Registry)
	c := newCache(t, Options{Blocks: 100, Bytes: 4 << 20, Recorder: reg})
	c.Reset(Tip{Hash: hashOf(0)}, true)
	var w workload
	for range 150 {
		apply(t, c, w.block(tipOf(t, c), 100, 2, 3))
	}
	gauge := func(tier string) float64 {
		t.Helper()
		return metric(t, reg, "outrider_utxo_bytes", tier).Gauge.Value()
	}
	set := func(k perfcore.Knob, n int64) {
		t.Helper()
		if err := k.Set(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	right := func(complete bool) {
		t.Helper()
		answers := make([]Answer, len(w.coins))
		if err := c.Fetch(tipOf(t, c).Hash, w.coins, answers); err != nil {
			t.Fatal(err)
		}
		for i, a := range answers {
			if a.State == Absent || complete && a.State != Unspent {
				t.Fatalf("%s is %s", w.coins[i], a.State)
			}
		}
		if c.Complete() != complete {
			t.Errorf("complete is %t", !complete)
		}
	}
	knobs := c.Knobs()
	for _, k := range knobs {
		if err := k.Check(); err != nil {
			t.Error(err)
		}
		if k.Carry != perfcore.Stateful || k.Settle < time.Hour {
			t.Errorf("%s carries %d over %v: what it sizes fills for days", k.Name, k.Carry, k.Settle)
		}
		if k.Read() != map[string]int64{"utxocache.blocks": 100, "utxocache.bytes": 4 << 20}[k.Name] {
			t.Errorf("%s is at %d", k.Name, k.Read())
		}
	}
	for what, err := range map[string]error{
		"no block": c.setBlocks(0), "too many blocks": c.setBlocks(MaxBlocks + 1),
		"no byte": c.setBytes(0), "too many bytes": c.setBytes(growth*4<<20 + 1),
	} {
		if err == nil {
			t.Errorf("a knob takes %s", what)
		}
	}
	blocks, bytes := knobs[0], knobs[1]
	ring := gauge("ring")
	set(blocks, 36)
	if now := gauge("ring"); now > ring/2 || len(c.view.Load().ring) != 37 {
		t.Errorf("36 blocks take %v bytes, 100 took %v", now, ring)
	}
	right(true)
	set(blocks, 288)
	right(true)
	for range 20 {
		apply(t, c, w.block(tipOf(t, c), 100, 2, 3))
	}
	if n := len(c.view.Load().ring); n != 57 {
		t.Errorf("the ring grew to %d blocks", n-1)
	}

	set(bytes, 1<<18)
	if now := gauge("ristretto"); now > 1<<18 || now < 1<<17 {
		t.Errorf("256 KiB below the ring take %v bytes", now)
	}
	right(false)
	set(bytes, 16<<20)
	coins := make([]Coin, len(w.coins))
	for i := range coins {
		coins[i] = Coin{Value: 1, Script: make([]byte, 22)}
	}
	c.Remember(tipOf(t, c).Hash, w.coins, coins, false)
	for _, op := range w.coins {
		if a, _ := c.Get(op); a.State != Unspent {
			t.Fatalf("%s is %s, though there is room again", op, a.State)
		}
	}
	if now := gauge("ristretto"); now > 16<<20 || now < 1<<18 {
		t.Errorf("16 MiB below the ring take %v bytes", now)
	}

	c.Close()
	set(bytes, 4<<20)
	set(blocks, 36)
	if a, _ := c.Get(wire.OutPoint{}); a.State != Unknown {
		t.Errorf("a closed cache answers %s", a.State)
	}
}

// A budget is one knob, in place of those of its parts; when it cannot be held, it is
// as it was.
func TestBudgetKnob(t *testing.T) {
	c := newCache(t, Options{Blocks: 10, LeastBlocks: 3, Budget: 1 << 20})
	knobs := c.Knobs()
	if len(knobs) != 2 || knobs[0].Name != "utxocache.budget" || knobs[0].Carry != perfcore.Stateful || knobs[0].Read() != 1<<20 {
		t.Fatalf("knobs %+v", knobs)
	}
	k := knobs[0]
	if err := k.Check(); err != nil {
		t.Error(err)
	}
	c.Reset(Tip{Hash: hashOf(0)}, true)
	var w workload
	for range 8 {
		apply(t, c, w.block(tipOf(t, c), 200, 1, 3))
	}
	if err := k.Set(t.Context(), 2<<20); err != nil {
		t.Error(err)
	}
	if err := k.Set(t.Context(), 1<<16); err == nil || k.Read() != 2<<20 {
		t.Errorf("three blocks in 64 KiB: %v, and reads %d", err, k.Read())
	}
	within(t, c)
	for _, n := range k.Ladder {
		if err := k.Set(t.Context(), n); (err == nil) != (n >= 1<<18) {
			t.Errorf("a budget of %d: %v", n, err)
		}
	}
}

// The knob says what share of the budget recent blocks may have: with less they leave the
// ring at once, with more it grows, and its least number of them stays whatever it is.
func TestRingKnob(t *testing.T) {
	c := newCache(t, Options{Blocks: 288, LeastBlocks: 3, Budget: 4 << 20})
	c.Reset(Tip{Hash: hashOf(0)}, true)
	var w workload
	fill := func() int {
		for range 60 {
			apply(t, c, w.block(tipOf(t, c), 60, 1, 3))
			within(t, c)
		}
		return len(c.view.Load().ring) - 1
	}
	ring := c.Knobs()[1]
	if ring.Name != "utxocache.ring" || ring.Read() != ringShare || ring.Check() != nil {
		t.Fatalf("the knob is %s at %d: %v", ring.Name, ring.Read(), ring.Check())
	}
	quarter := fill()
	if err := ring.Set(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	less := len(c.view.Load().ring) - 1
	if less >= quarter || less < 3 {
		t.Errorf("of %d blocks in the ring %d are left", quarter, less)
	}
	if err := ring.Set(t.Context(), 50); err != nil {
		t.Fatal(err)
	}
	if more := fill(); more <= quarter {
		t.Errorf("%d blocks are in the ring, and %d with half of the share", more, quarter)
	}
	for _, n := range []int64{0, 101} {
		if err := ring.Apply(t.Context(), n); err == nil || ring.Read() != 50 {
			t.Errorf("a share of %d per cent is taken: %v", n, err)
		}
	}
}
