package sidecar

import (
	"context"
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/arbiter"
	"github.com/outrider-project/outrider/perfcore/heap"
	"github.com/outrider-project/outrider/sidecar/perf"
	"github.com/outrider-project/outrider/utxocache"
	"github.com/outrider-project/outrider/utxocache/coindb"
	"github.com/outrider-project/outrider/utxocache/coins"
)

// outpoints returns n outpoints whose txids are spread like real ones.
func outpoints(seed uint64, n int) []wire.OutPoint {
	r := rand.New(rand.NewPCG(seed, 4))
	ops := make([]wire.OutPoint, n)
	for i := range ops {
		for j := 0; j < chainhash.HashSize; j += 8 {
			binary.LittleEndian.PutUint64(ops[i].Hash[j:], r.Uint64())
		}
	}
	return ops
}

// A tenement is a tenancy of real parts, without a node.
type tenement struct {
	*tenancy
	set   *coins.Set
	tip   utxocache.Tip
	asked *asking
}

// newTenement returns one whose cache, database and headroom may have so many bytes.
func newTenement(t *testing.T, reg *perfcore.Registry, cache, db, headroom int64) *tenement {
	t.Helper()
	limit := cache + db + headroom
	b := &tenement{tenancy: &tenancy{limit: limit, unit: unitOf(limit)}, asked: newAsking(reg), tip: utxocache.Tip{Height: 9}}
	b.blocks = newBlockRatio(limit, b.unit)
	b.tenancy.coins = newCoinRatio(cache, b.unit, reg)
	var err error
	if b.db, err = coindb.Open(filepath.Join(t.TempDir(), "coins"), coindb.Options{Memory: db, MemTable: 64 << 10, Refer: b.blocks.refer, MinFree: 1}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.db.Close() })
	if err := b.db.Reset(coindb.Tip(b.tip), false); err != nil {
		t.Fatal(err)
	}
	b.cache, err = utxocache.New(utxocache.Options{Budget: cache, Recorder: reg, Refer: b.tenancy.coins.refer})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.cache.Close)
	b.cache.Reset(b.tip, false)
	b.set = coins.New(coins.Options{Cache: b.cache, DB: b.db, Recorder: reg})
	g, err := heap.New(heap.Config{Limit: 4 << 30, Headroom: headroom, OffHeap: b.db.OffHeap})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Release)
	b.watch(b.set, b.asked, reg)
	b.govern(g)
	return b
}

// ask looks all outpoints up, in order.
func (b *tenement) ask(t *testing.T, ops []wire.OutPoint) {
	t.Helper()
	if err := b.set.Fetch(b.tip.Hash, ops, make([]utxocache.Answer, len(ops))); err != nil {
		t.Fatal(err)
	}
}

// tenant returns the tenant of a knob, and its lease.
func (b *tenement) tenant(t *testing.T, knob string) arbiter.Tenant {
	t.Helper()
	all := b.memory(b.Knobs()).Tenants
	i := slices.IndexFunc(all, func(x arbiter.Tenant) bool { return x.Knob == knob })
	if i < 0 {
		t.Fatalf("%s has no tenant", knob)
	}
	return all[i]
}

// The bids follow from what was asked of real parts: nothing is known at first; then the
// curve of the coins says what room they need, and misses cost what the database took.
func TestBids(t *testing.T) {
	const mib = 1 << 20
	b := newTenement(t, new(perfcore.Registry), 16*mib, 32*mib, 16*mib)
	coin, block := b.tenant(t, "utxocache.budget"), b.tenant(t, "coindb.memory")
	if bid := coin.Bid(b.unit, 64); !strings.HasPrefix(bid.Why, "too little was asked") {
		t.Errorf("before anything was asked the bid is %+v", bid)
	}
	ops := outpoints(1, 40_000)
	b.blocks.resize(300_000)
	for range 10 {
		b.ask(t, ops)
	}
	bid := b.tenancy.coins.bid(b.unit, 64, 4*mib, time.Hour)
	if bid.Why != "" || bid.Penalty < 100 || bid.Penalty > 1e6 || bid.References <= 0 {
		t.Errorf("the coins bid %q, a penalty of %.0f ns and %.0f references a second", bid.Why, bid.Penalty, bid.References)
	}
	// 40,000 coins of 100 bytes need 4 MB, of which a third more are a budget's.
	if few, enough := bid.Miss[3], bid.Miss[8]; few < 0.9 || enough > 0.2 || bid.Miss[0] != 1 {
		t.Errorf("the curve of the coins is %v", bid.Miss)
	}
	if bid.Error <= 0 || bid.Saved[8] < bid.Saved[3] {
		t.Errorf("the coins save %v, with an error of %v", bid.Saved, bid.Error)
	}
	// That what was not filled yet is good for nothing is known when it has settled.
	if big := coin.Bid(b.unit, 64); !strings.Contains(big.Why, "were asked for") {
		t.Errorf("with 16 MiB the bid is %q", big.Why)
	}
	if old := b.tenancy.coins.bid(b.unit, 64, 16*mib, 0); old.Why != "" {
		t.Errorf("with 16 MiB that have settled the bid is %q", old.Why)
	}
	coin.Fade() // which is not due
	if same := b.tenancy.coins.bid(b.unit, 64, 4*mib, time.Hour); !slices.Equal(same.Miss, bid.Miss) {
		t.Errorf("the curve of the coins has changed to %v", same.Miss)
	}
	b.tenancy.coins.fade()
	if faded := coin.Bid(b.unit, 64); faded.Penalty != bid.Penalty && (faded.Penalty < bid.Penalty/10 || faded.Penalty > 10*bid.Penalty) {
		t.Errorf("the penalty was %.0f, and is %.0f", bid.Penalty, faded.Penalty)
	}

	for range 10 {
		b.tenancy.coins.fade()
	}
	// That nothing is asked for any more does not say that the memory is good for nothing.
	if idle := b.tenancy.coins.bid(b.unit, 64, 4*mib, 0); !strings.HasPrefix(idle.Why, "too little was asked") {
		t.Errorf("after a long time the bid is %q", idle.Why)
	}

	// There are no tables, so that nothing was read of them.
	if bid := block.Bid(b.unit, 64); !strings.HasPrefix(bid.Why, "what a miss costs") || bid.References <= 0 {
		t.Errorf("the database bids %+v", bid)
	}
	b.blocks.missed = func() (float64, time.Duration) { return 1000, 1000 * 50 * time.Microsecond }
	// 300,000 coins are in 17 MB of tables, all of which are asked for again and again, and
	// ten coins of a block one after the other: those hit whatever there is.
	bid = b.blocks.bid(b.unit, 64, 16*mib, 0)
	if bid.Why != "" || bid.Penalty != 50_000 || bid.Miss[4] < 0.08 || bid.Miss[12] > 0.15 || bid.Miss[24] > 0.03 {
		t.Errorf("the database bids %q, %v at %.0f", bid.Why, bid.Miss, bid.Penalty)
	}
	for knob, least := range map[string]int64{"utxocache.budget": mib, "coindb.memory": 16 * mib, "go.headroom": 16 * mib} {
		x := b.tenant(t, knob)
		if got := x.Least(); got < least || got > 200*mib || x.Most < 16*mib || x.Most > b.limit || x.Held() < 0 {
			t.Errorf("%s needs %d bytes, may have %d and has %d", knob, got, x.Most, x.Held())
		}
	}
}

// The collector bids what it costs, up to what GOGC wishes for; then the cache's bid pays
// for marking it.
func TestHeadroomBid(t *testing.T) {
	const mib = 1 << 20
	b := newTenement(t, new(perfcore.Registry), 16*mib, 32*mib, 64*mib)
	head := b.tenant(t, "go.headroom")
	if bid := head.Bid(b.unit, 64); bid.Why == "" {
		t.Errorf("before any cycle the bid is %+v", bid)
	}
	keep := make([][]byte, 4096)
	for i := range 200_000 {
		keep[i%len(keep)] = make([]byte, 4096)
	}
	for range 3 {
		for i := range 20_000 {
			keep[i%len(keep)] = make([]byte, 4096)
		}
		runtime.GC()
	}
	bid := head.Bid(b.unit, 64)
	_, _, most := b.governor.Room()
	wished := int(min((most+b.unit-1)/b.unit, 64))
	if bid.Why != "" || bid.Miss != nil || bid.Error <= 0 || bid.Saved[wished] <= bid.Saved[2] || bid.Saved[64] != bid.Saved[wished] {
		t.Errorf("with %d units wished for the bid is %+v", wished, bid)
	}
	saved := arbiter.Bid{Saved: []float64{0, 1e9, 1e9}}
	b.chargeHeap(&saved, b.unit, mib)
	if saved.Saved[0] != 0 || saved.Saved[1] >= 1e9 || saved.Saved[2] >= saved.Saved[1] {
		t.Errorf("a cache that has to be marked bids %v", saved.Saved)
	}
	free := arbiter.Bid{Saved: []float64{0, 1e9, 1e9}}
	b.chargeHeap(&free, b.unit, most)
	if free.Saved[2] != 1e9 {
		t.Errorf("where GOGC says when to collect it bids %v", free.Saved)
	}
	head.Fade()
	head.Fade()
	if bid := head.Bid(b.unit, 64); bid.Why == "" {
		t.Errorf("without a cycle since the last decision but one: %+v", bid)
	}
	if len(keep[0]) == 0 {
		t.Error("nothing is live")
	}
}

// The knobs of the real parts go where the bids say, and never have more than there is.
func TestTenancy(t *testing.T) {
	const mib = 1 << 20
	reg := new(perfcore.Registry)
	b := newTenement(t, reg, 4*mib, 48*mib, 32*mib)
	b.tenancy.coins.missed = func() (float64, time.Duration) { return 1000, time.Second }
	b.blocks.missed = func() (float64, time.Duration) { return 1000, 10 * time.Millisecond }
	b.blocks.resize(1 << 20)
	ops := outpoints(2, 60_000)
	for range 10 {
		b.ask(t, ops)
	}
	datadir := t.TempDir()
	p, err := perf.New(perf.Config{
		Mode: perf.Optimize, Datadir: datadir, Registry: reg, Slice: time.Hour, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	knobs := b.Knobs()
	memory := b.memory(knobs)
	memory.Period, memory.Look = 20*time.Millisecond, 5*time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewServer(p.Handler())
	t.Cleanup(server.Close)
	dir := t.TempDir()
	var running sync.WaitGroup
	t.Cleanup(running.Wait)
	t.Cleanup(cancel)
	running.Go(func() {
		plant := perf.Plant{Network: "regtest", Dir: dir, Knobs: knobs, Memory: memory, Behind: func() (float64, bool) { return 0, true }}
		if err := p.Follow(ctx, plant); err != nil {
			t.Error(err)
		}
	})
	c, err := perf.Dial(datadir, server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	var curves perf.Curves
	deadline := time.After(patience)
	for {
		if err := c.Get(t.Context(), "curves", &curves); err == nil {
			if curves.Free < 0 {
				t.Fatalf("more is leased than there is: %+v", curves)
			}
			if coin := curves.Memories[0]; coin.Has == coin.Would && coin.Has > 6*mib {
				break
			}
		}
		select {
		case <-deadline:
			t.Fatalf("waited in vain for memory to move: %+v", curves)
		case <-time.After(10 * time.Millisecond):
		}
	}
	if err := c.Post(t.Context(), "freeze", perf.FreezeRequest{Why: "to look at it"}, nil); err != nil {
		t.Fatal(err)
	}
	// A move that had begun may still be there.
	read := make(map[string]int64)
	for agree := false; !agree; {
		if err := c.Get(t.Context(), "curves", &curves); err != nil {
			t.Fatal(err)
		}
		for _, k := range knobs {
			read[k.Name] = k.Read()
		}
		agree = !slices.ContainsFunc(curves.Memories, func(m perf.Share) bool { return read[m.Knob] != m.Has })
		select {
		case <-deadline:
			t.Fatalf("the leases are %+v, and the knobs read %v", curves.Memories, read)
		case <-time.After(10 * time.Millisecond):
		}
	}
	// 60,000 coins of 100 bytes are 6 MB, and a third more.
	if got := read["utxocache.budget"]; got < 8*mib || got > 12*mib {
		t.Errorf("the coins have %d bytes", got)
	}
	if got := read["coindb.memory"]; got != b.db.Memory() {
		t.Errorf("the database has %d bytes", got)
	}
	if sum := read["utxocache.budget"] + read["coindb.memory"] + read["go.headroom"]; sum > b.limit {
		t.Errorf("%d bytes are leased, of %d", sum, b.limit)
	}
}
