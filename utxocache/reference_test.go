package utxocache

import (
	"slices"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/perfcore"
)

// allSampled puts all outpoints into the sample of a cache that holds nothing yet.
func allSampled(c *Cache) { c.hasher.mask = ^uint64((1<<SampleShift - 1) << 2) }

// The events of a coin come in order, and with them where it was, how old it is and
// what it takes.
func TestReferences(t *testing.T) {
	var got []Reference
	reg := new(perfcore.Registry)
	c := newCache(t, Options{Blocks: 7, Recorder: reg, Refer: func(r Reference) { got = append(got, r) }})
	allSampled(c)
	c.Reset(Tip{Hash: hashOf(100)}, false)
	op := out(1, 0)
	k := keyOf(&op)
	hash := c.hasher.of(&k)
	ask := func(ops ...wire.OutPoint) {
		t.Helper()
		if err := c.Fetch(tipOf(t, c).Hash, ops, make([]Answer, len(ops))); err != nil {
			t.Fatal(err)
		}
	}
	step := func(what string, want ...Reference) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %+v, want %+v", what, got, want)
		}
		got = nil
	}
	const ringSize, pageSize = 64 + 1 + indexBytes, place + 4 + indexBytes

	c.Get(op)
	step("before it", Reference{Hash: hash, Event: NotFound})
	apply(t, c, blockOn(tipOf(t, c), 1, testTx{id: 1, scripts: outs(1)}))
	step("its block", Reference{Hash: hash, Event: Created, Bytes: ringSize})
	ask(op)
	c.Get(op)
	inRing := Reference{Hash: hash, Event: FoundInRing, Bytes: ringSize}
	step("in the ring", inRing, inRing)
	for range 6 {
		apply(t, c, blockOn(tipOf(t, c), 1, testTx{}))
	}
	c.Get(op)
	step("six blocks later", Reference{Hash: hash, Event: FoundInRing, Bytes: ringSize, Age: 6})
	apply(t, c, blockOn(tipOf(t, c), 1, testTx{}))
	ask(slices.Repeat([]wire.OutPoint{op}, lanes)...)
	inPages := Reference{Hash: hash, Event: FoundInPages, Bytes: pageSize, Age: 7}
	step("below the ring", slices.Repeat([]Reference{inPages}, lanes)...)

	fork := tipOf(t, c)
	branch, err := c.Branch(fork)
	if err != nil {
		t.Fatal(err)
	}
	if err := branch.Fetch([]wire.OutPoint{op}, make([]Answer, 1)); err != nil {
		t.Fatal(err)
	}
	step("from a branch", inPages)
	spend := blockOn(fork, 1, testTx{}, testTx{id: 2, spends: []wire.OutPoint{op}})
	apply(t, c, spend)
	step("spent", Reference{Hash: hash, Event: Spent})
	c.Get(op)
	step("after it", Reference{Hash: hash, Event: FoundAbsent})
	disconnect(t, c)
	step("disconnected")
	apply(t, c, blockOn(fork, 2, testTx{id: 3, scripts: outs(1)}, testTx{id: 4, spends: []wire.OutPoint{out(3, 0)}}))
	step("created and spent in one block")

	for labels, want := range map[[2]string]uint64{
		{"ring", "6"}: 3, {"ring", "144"}: 0, {"ristretto", "6"}: 0, {"ristretto", "144"}: lanes + 1, {"ristretto", "more"}: 0,
	} {
		for _, s := range reg.Series() {
			if s.Metric.Name == "outrider_utxo_found_total" && s.Metric.Labels[1] == labels[0] && s.Metric.Labels[3] == labels[1] &&
				s.Counter.Value() != want<<SampleShift {
				t.Errorf("%v: %d coins found, want %d times %d", labels, s.Counter.Value(), want, 1<<SampleShift)
			}
		}
	}
	metric(t, reg, "outrider_utxo_found_total", "more")
}

func TestAgeClasses(t *testing.T) {
	for blocks, want := range map[uint32]int{0: 0, 6: 0, 7: 1, 144: 1, 145: 2, 52_560: 5, 52_561: 6, 1 << 31: 6} {
		if got := ageOf(blocks); got != want {
			t.Errorf("%d blocks are class %d, want %d", blocks, got, want)
		}
	}
}

// The sample is one outpoint in 16, the same ones each time, and what their bytes
// come to is the sample's share of what is accounted.
func TestSample(t *testing.T) {
	const n = 32_000
	var bytes int
	var asked []uint64
	c := newCache(t, Options{Bytes: n * 120, Refer: func(r Reference) {
		asked = append(asked, r.Hash)
		if r.Event == FoundInPages {
			bytes += r.Bytes
		}
	}})
	c.Reset(Tip{Height: 900_000}, false)
	ops, coins := toldCoins(n)
	c.Remember(Tip{}.Hash, ops, coins, false)
	if err := c.Fetch(Tip{}.Hash, ops, make([]Answer, n)); err != nil {
		t.Fatal(err)
	}
	first := asked
	asked = nil
	for _, op := range ops {
		c.Get(op)
	}
	if !slices.Equal(first, asked) {
		t.Errorf("%d of the outpoints are in the sample, then %d", len(first), len(asked))
	}
	// Six standard deviations on either side.
	if share := float64(len(first)) * (1 << SampleShift) / n; share < 0.87 || share > 1.13 {
		t.Errorf("%d of %d are in the sample", len(first), n)
	}
	perCoin, accounted := float64(bytes/2)/float64(len(first)), float64(c.older.bytes)/n
	t.Logf("%.1f bytes a coin of the sample, %.1f accounted", perCoin, accounted)
	if perCoin < 0.9*accounted || perCoin > accounted {
		t.Errorf("%.1f bytes a coin of the sample, %.1f accounted", perCoin, accounted)
	}
}

// Neither those who observe nor those who do not make a look-up allocate.
func TestReferencesAllocateNothing(t *testing.T) {
	var referred int
	c := newCache(t, Options{Blocks: 1, Recorder: new(perfcore.Registry), Refer: func(Reference) { referred++ }})
	allSampled(c)
	c.Reset(Tip{Hash: hashOf(100)}, true)
	for i := range uint64(3) {
		apply(t, c, blockOn(tipOf(t, c), 1, testTx{id: i, scripts: outs(20)}))
	}
	tip, ops, answers := tipOf(t, c), []wire.OutPoint(nil), make([]Answer, 80)
	for i := range uint64(4) {
		for n := range uint32(20) {
			ops = append(ops, out(i, n))
		}
	}
	referred = 0
	allocs := testing.AllocsPerRun(100, func() {
		if err := c.Fetch(tip.Hash, ops, answers); err != nil {
			t.Error(err)
		}
		for _, op := range ops {
			c.Get(op)
		}
	})
	if allocs != 0 || referred != 101*2*len(ops) {
		t.Errorf("%v allocations, %d references", allocs, referred)
	}
}

func TestEventString(t *testing.T) {
	seen := make(map[string]bool)
	for e := FoundInRing; e <= Spent+1; e++ {
		if e.String() == "" || seen[e.String()] {
			t.Errorf("event %d is called %q", e, e)
		}
		seen[e.String()] = true
	}
	if Event(tierRing) != FoundInRing || Event(tierRistretto) != FoundInPages || Event(tierAbsent) != FoundAbsent || Event(tierUnknown) != NotFound {
		t.Error("tiers and events differ")
	}
}
