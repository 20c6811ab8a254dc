package utxocache

import (
	"bytes"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"
)

// check compares answers to the model.
func (w *world) check(m *moment, ops []wire.OutPoint, answers []Answer) {
	w.t.Helper()
	for i, op := range ops {
		a := answers[i]
		w.answers[a.State]++
		coin, unspent := m.coins[op]
		switch {
		case a.State == Unknown:
			if w.mustKnow {
				w.t.Fatalf("at %s: %s is unknown, must be known", m.tip, op)
			}
			if unspent && (coin.Height > w.base || w.told[telling{op, coin.Height}]) && w.cache.older.lost == 0 {
				w.t.Fatalf("at %s: %s is unknown, though no coin was lost", m.tip, op)
			}
			if a.Own || a.Coin.Script != nil || a.Coin.Value != 0 {
				w.t.Fatalf("at %s: %s is unknown, with %+v", m.tip, op, a)
			}
		case a.State == Absent && unspent, a.State == Unspent && !unspent:
			w.t.Fatalf("at %s: %s is %s, unspent is %t", m.tip, op, a.State, unspent)
		case a.State == Absent && !a.Own:
			w.t.Fatalf("at %s: %s is absent by the node's word", m.tip, op)
		case a.State == Unspent && !equalCoin(a.Coin, coin):
			w.t.Fatalf("at %s: %s is %+v, must be %+v", m.tip, op, a.Coin, coin)
		case a.State == Unspent && a.Own && coin.Height <= w.base, a.State == Unspent && !a.Own && !w.told[telling{op, coin.Height}]:
			w.t.Fatalf("at %s: %s of height %d is own %t, base %d", m.tip, op, coin.Height, a.Own, w.base)
		}
	}
}

func equalCoin(a, b Coin) bool {
	return a.Value == b.Value && a.Height == b.Height && a.Coinbase == b.Coinbase && bytes.Equal(a.Script, b.Script)
}

func (w *world) fetch(ops []wire.OutPoint) []Answer {
	w.t.Helper()
	w.calls++
	answers := make([]Answer, len(ops))
	if err := w.cache.Fetch(w.top().tip.Hash, ops, answers); err != nil {
		w.t.Fatal(err)
	}
	w.check(w.top(), ops, answers)
	return answers
}

// step makes one random move.
func (w *world) step() {
	w.t.Helper()
	switch w.src.IntN(24) {
	case 0, 1, 2, 3, 4:
		w.fetch(w.picks(1 + w.src.IntN(20)))
	case 5, 6, 7, 8, 9:
		for range 1 + w.src.IntN(120) {
			w.get(w.pick())
		}
	case 10, 11, 12:
		w.apply()
	case 13:
		w.reorg(1 + w.src.IntN(20))
	case 14:
		w.rememberRight()
	case 15:
		w.rememberWrong()
	case 16:
		w.branch()
	case 17:
		w.refuse()
	case 18:
		w.wrongTip()
	case 19:
		w.keepView()
	case 20, 21:
		w.askPast()
	case 22:
		w.resize()
	default:
		if w.chance(20) {
			w.tooDeep()
		}
		w.audit()
	}
}

func (w *world) get(op wire.OutPoint) {
	w.t.Helper()
	w.calls++
	a, tip := w.cache.Get(op)
	if tip != w.top().tip {
		w.t.Fatalf("Get answers as of %s, must be %s", tip, w.top().tip)
	}
	w.check(w.top(), []wire.OutPoint{op}, []Answer{a})
}

func (w *world) apply() {
	w.t.Helper()
	next := w.mine(w.top(), w.cache.Complete())
	next.before = w.fetch(next.touched)
	w.calls++
	if err := w.cache.Apply(next.block); err != nil {
		w.t.Fatal(err)
	}
	w.applied++
	w.chain = append(w.chain, next)
	w.ring = min(w.ring+1, w.cache.blocks)
	w.budgeted()
	if keep := w.cache.blocks + 25; len(w.chain) > 2*keep {
		w.chain = slices.Delete(w.chain, 0, len(w.chain)-keep)
	}
	for i, a := range w.fetch(next.touched) {
		if a.State == Unknown {
			w.t.Fatalf("%s is unknown after the block that changed it", next.touched[i])
		}
	}
}

// disconnect undoes the tip, after which the cache must know as much of what
// the block changed as before it.
func (w *world) disconnect() {
	w.t.Helper()
	old := *w.top()
	w.calls++
	if err := w.cache.Disconnect(old.tip); err != nil {
		w.t.Fatal(err)
	}
	w.disconnected++
	w.ring--
	w.chain = w.chain[:len(w.chain)-1]
	for i, a := range w.fetch(old.touched) {
		before := old.before[i]
		switch {
		case a.State == before.State && a.Own == before.Own && equalCoin(a.Coin, before.Coin):
		case before.State == Unknown && a.State == Absent && old.created[old.touched[i]]:
		case before.State == Absent && a.State == Unknown && repeatsCoinbase(old.tip.Hash):
		default:
			w.t.Fatalf("%s was %+v before the block, is %+v after its disconnection", old.touched[i], before, a)
		}
		if a.State == Unknown && old.created[old.touched[i]] && !repeatsCoinbase(old.tip.Hash) {
			w.t.Fatalf("%s is unknown after its block was disconnected", old.touched[i])
		}
	}
}

func (w *world) reorg(depth int) {
	w.t.Helper()
	depth = min(depth, w.ring)
	for range depth {
		w.disconnect()
	}
	for range depth + w.src.IntN(2) {
		w.apply()
	}
}

// tooDeep disconnects until the cache refuses.
func (w *world) tooDeep() {
	w.t.Helper()
	if w.mustKnow && w.ring == 0 {
		return
	}
	depth := w.ring
	for range depth {
		w.disconnect()
	}
	w.calls++
	if err := w.cache.Disconnect(w.top().tip); !errors.Is(err, ErrTooDeep) {
		w.t.Fatalf("Disconnect below the ring: %v", err)
	}
	if w.mustKnow {
		for range depth {
			w.apply()
		}
		return
	}
	w.chain = w.chain[:len(w.chain)-min(w.src.IntN(5), len(w.chain)-1)]
	w.reset(w.top().tip.Height == 0)
}

// rememberRight tells the cache of coins as a node that stands at the tip.
func (w *world) rememberRight() {
	w.t.Helper()
	var ops []wire.OutPoint
	var coins []Coin
	for _, op := range w.picks(1 + w.src.IntN(20)) {
		if coin, ok := w.top().coins[op]; ok {
			ops, coins = append(ops, op), append(coins, coin)
			w.told[telling{op, coin.Height}] = true
		}
	}
	w.calls++
	w.cache.Remember(w.top().tip.Hash, ops, coins, false)
	w.fetch(ops)
}

// rememberWrong tells the cache of coins as of another tip, and of coins of
// the ring's blocks that never were.
func (w *world) rememberWrong() {
	w.t.Helper()
	w.calls += 2
	old := w.chain[w.src.IntN(len(w.chain))]
	if old.tip.Hash == w.top().tip.Hash {
		return
	}
	var ops []wire.OutPoint
	var coins []Coin
	for _, op := range w.picks(50) {
		if coin, ok := old.coins[op]; ok {
			ops, coins = append(ops, op), append(coins, coin)
		}
	}
	w.cache.Remember(old.tip.Hash, ops, coins, false)
	w.fetch(ops)

	if w.ring == 0 {
		return
	}
	op := wire.OutPoint{Hash: w.hash()}
	w.cache.Remember(w.top().tip.Hash, []wire.OutPoint{op}, []Coin{{Value: 1, Height: w.top().tip.Height}}, false)
	w.fetch([]wire.OutPoint{op})
}

// branch judges blocks on an ancestor, and sees the view end with the tip.
func (w *world) branch() {
	w.t.Helper()
	depth := w.src.IntN(w.ring + 1)
	at := w.chain[len(w.chain)-1-depth]
	b, err := w.cache.Branch(at.tip)
	if err != nil {
		w.t.Fatal(err)
	}
	changed := w.picks(10)
	for _, m := range w.chain[len(w.chain)-depth:] {
		changed = append(changed, m.touched...)
	}
	for range 1 + w.src.IntN(4) {
		answers := make([]Answer, len(changed))
		if err := b.Fetch(changed, answers); err != nil {
			w.t.Fatal(err)
		}
		w.check(&at, changed, answers)
		next := w.mine(&at, w.cache.Complete())
		if err := b.Apply(next.block); err != nil {
			w.t.Fatal(err)
		}
		at, changed = next, append(changed, next.touched...)
		w.calls += 2
	}
	w.fetch(changed)
	if w.chance(2) {
		w.apply()
	} else {
		w.reorg(1)
		w.apply()
	}
	if err := b.Fetch(changed, make([]Answer, len(changed))); !errors.Is(err, ErrTip) {
		w.t.Fatalf("Fetch from a branch of another tip: %v", err)
	}
	if err := b.Apply(w.mine(&at, false).block); !errors.Is(err, ErrTip) {
		w.t.Fatalf("Apply to a branch of another tip: %v", err)
	}
}

// refuse offers a block that spends an absent coin in its last transaction.
func (w *world) refuse() {
	w.t.Helper()
	next := w.mine(w.top(), w.cache.Complete())
	last := next.block.Txs[len(next.block.Txs)-1]
	op := w.pick()
	switch a, _ := w.cache.Get(op); {
	case len(last.TxIn) > 0 && len(next.block.Txs) > 1 && w.chance(2):
		op = last.TxIn[0].PreviousOutPoint
	case a.State != Absent || slices.Contains(next.block.Txids, op.Hash):
		return
	}
	tx := &wire.MsgTx{TxIn: []*wire.TxIn{{PreviousOutPoint: op}}}
	next.block.Txs = append(next.block.Txs, tx)
	next.block.Txids = append(next.block.Txids, w.hash())
	before := w.fetch(next.touched)
	w.calls++
	if err := w.cache.Apply(next.block); !errors.Is(err, ErrAbsent) {
		w.t.Fatalf("a block that spends %s, which is absent: %v", op, err)
	}
	for i, a := range w.fetch(next.touched) {
		if a.State != before[i].State || a.Own != before[i].Own || !equalCoin(a.Coin, before[i].Coin) {
			w.t.Fatalf("a refused block changed %s from %+v to %+v", next.touched[i], before[i], a)
		}
	}
}

// wrongTip makes every call that names a tip with another one.
func (w *world) wrongTip() {
	w.t.Helper()
	w.calls += 4
	other := Tip{Hash: w.hash(), Height: w.top().tip.Height}
	next := w.mine(w.top(), false)
	next.block.Prev = other.Hash
	_, branchErr := w.cache.Branch(other)
	for call, err := range map[string]error{
		"Fetch":      w.cache.Fetch(other.Hash, w.picks(1), make([]Answer, 1)),
		"Apply":      w.cache.Apply(next.block),
		"Disconnect": w.cache.Disconnect(other),
		"Branch":     branchErr,
	} {
		if !errors.Is(err, ErrTip) {
			w.t.Fatalf("%s at another tip: %v", call, err)
		}
	}
}

// budgeted lets the budget, if there is one, decide how many of the blocks that the
// ring may have it does have.
func (w *world) budgeted() {
	w.t.Helper()
	if w.size.Budget == 0 {
		return
	}
	n := len(w.cache.view.Load().ring) - 1
	if n > w.ring || n < min(w.ring, w.size.LeastBlocks) {
		w.t.Fatalf("%d blocks in the ring, where %d may be", n, w.ring)
	}
	w.ring = n
}

// rebudget changes the budget. It cannot be held where the least number of blocks
// takes more.
func (w *world) rebudget() {
	w.t.Helper()
	w.calls++
	bytes := w.size.Budget * 4 >> w.src.IntN(5)
	err := w.cache.SetBudget(bytes)
	w.budgeted()
	m := w.cache.Memory()
	if (err != nil) != (m.Total() > bytes) || err != nil && (w.ring > w.size.LeastBlocks || m.Pages > 0) {
		w.t.Fatalf("a budget of %d: %d blocks in %+v: %v", bytes, w.ring, m, err)
	}
	w.audit()
}

// resize changes how much the cache may hold.
func (w *world) resize() {
	w.t.Helper()
	if w.size.Budget > 0 {
		w.rebudget()
		return
	}
	w.calls += 2
	blocks := max(w.size.Blocks>>w.src.IntN(3), 1)
	if err := w.cache.setBlocks(blocks); err != nil {
		w.t.Fatal(err)
	}
	w.ring = min(w.ring, blocks)
	// Where it has room for all, it stays so.
	if bytes := w.size.Bytes * 4 >> w.src.IntN(4); bytes > 0 {
		if err := w.cache.setBytes(bytes); err != nil {
			w.t.Fatal(err)
		}
	}
	w.audit()
}

// keepView takes the view as a slow reader does, and lets go of an old one.
func (w *world) keepView() {
	if len(w.past) > 30 {
		i := w.src.IntN(len(w.past))
		w.past = slices.Delete(w.past, i, i+1)
	}
	w.past = append(w.past, pastView{w.cache.view.Load(), *w.top(), w.base, maps.Clone(w.told), w.cache.older.lost > 0})
}

// askPast asks a view that was taken earlier, which must be right for its tip
// still, and know as much as it did.
func (w *world) askPast() {
	w.t.Helper()
	if len(w.past) == 0 {
		return
	}
	p := w.past[w.src.IntN(len(w.past))]
	if tip, ok := p.view.tip(); !ok || tip != p.moment.tip {
		w.t.Fatalf("the view of %s is as of %s", p.moment.tip, tip)
	}
	for _, op := range append(w.picks(20), p.moment.touched...) {
		k := keyOf(&op)
		a := p.view.look(&k).Answer
		coin, unspent := p.moment.coins[op]
		switch {
		case a.State == Unknown:
			if p.view.complete || unspent && !p.lost && (coin.Height > p.base || p.told[telling{op, coin.Height}]) {
				w.t.Fatalf("as of %s: %s is unknown by now", p.moment.tip, op)
			}
		case a.State == Absent && unspent, a.State == Unspent && !(unspent && equalCoin(a.Coin, coin)):
			w.t.Fatalf("as of %s: %s is %+v by now, unspent is %t", p.moment.tip, op, a, unspent)
		}
	}
}

// audit checks what the parts of the cache promise one another.
func (w *world) audit() {
	w.t.Helper()
	c := w.cache
	v := c.view.Load()
	coins := 0
	for k, a := range inRing(v) {
		f := v.look(&k)
		if !f.ring || f.State != a.State || f.Own != a.Own || !equalCoin(f.Coin, a.Coin) {
			w.t.Fatalf("%s is %+v in the ring, found %+v", k.outpoint(), a, f)
		}
		if _, p, _ := v.oldAt(&k, c.hasher.of(&k)); p != nil {
			w.t.Fatalf("%s is in the ring and in a page", k.outpoint())
		}
		if a.State == Unspent {
			coins++
		}
	}
	if len(v.ring) != w.ring+1 || coins != c.coins {
		w.t.Fatalf("%d blocks, %d coins in the ring; accounted %d, %d", len(v.ring)-1, coins, w.ring, c.coins)
	}
	listed := make(map[*layer]bool)
	for i, d := range v.ring {
		if (i == 0) != (d.layer == nil) {
			w.t.Fatalf("block %d of %d of the ring has a layer: %t", i, len(v.ring), d.layer != nil)
		}
		listed[d.layer], listed[d.carried] = true, true
	}
	for _, l := range v.layers {
		if !listed[l] && l != nil {
			w.t.Fatal("a layer is numbered, and no block's")
		}
		delete(listed, l)
	}
	delete(listed, nil)
	if len(listed) != 0 {
		w.t.Fatalf("%d layers have no number", len(listed))
	}
	w.auditOlder()
}

func (w *world) auditOlder() {
	w.t.Helper()
	o, v := w.cache.older, w.cache.view.Load()
	held := make(map[uint64]bool)
	coins, bytes := 0, int64(0)
	for id, p := range v.pages {
		if p != o.pages[id] {
			w.t.Fatalf("page %d of the view is another than the writer's", id)
		}
		if p == nil {
			continue
		}
		held[uint64(id)] = true
		live := 0
		for offset, record := range p.records {
			if !p.has(offset, v.epoch) {
				continue
			}
			live++
			ref, k := pageRef(uint64(id), offset), key(record)
			if at, _, _ := v.oldAt(&k, w.cache.hasher.of(&k)); at != ref {
				w.t.Fatalf("%s is at %x in the pages, found at %x", k.outpoint(), ref, at)
			}
		}
		if live != p.live {
			w.t.Fatalf("%d coins in a page, accounted %d", live, p.live)
		}
		coins += live
		bytes += p.cost
	}
	o.cache.IterValues(func(id uint64) bool {
		if !held[id] {
			w.t.Fatalf("ristretto has page %d, which is gone", id)
		}
		delete(held, id)
		return false
	})
	if len(held) != 0 {
		w.t.Fatalf("%d pages are unknown to ristretto", len(held))
	}
	if room := o.cache.RemainingCost(); room < 0 || room != o.cache.MaxCost()-bytes {
		w.t.Fatalf("ristretto has room for %d bytes of %d with %d held", room, o.cache.MaxCost(), bytes)
	}
	if m := v.measure(o); m != v.memory || m.Pages != bytes-o.indexed {
		w.t.Fatalf("%+v in memory, accounted %+v", m, v.memory)
	}
	if coins != o.coins || bytes != o.bytes {
		w.t.Fatalf("%d coins, %d bytes in pages; accounted %d, %d", coins, bytes, o.coins, o.bytes)
	}
}

// seedOf returns the seed in UTXOCACHE_SEED, or a fresh one. A seed repeats the
// blocks and questions, but what ristretto evicts differs from run to run.
func seedOf(t testing.TB) uint64 {
	s := os.Getenv("UTXOCACHE_SEED")
	if s == "" {
		return rand.Uint64()
	}
	seed, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return seed
}

// A million operations, of which some ten thousand apply or undo blocks, give what a
// plain map does: in caches that hold all, or some, or nothing below the ring.
func TestModel(t *testing.T) {
	worlds := map[string]struct {
		worldOptions
		unknown, forgets bool // whether these must happen
	}{
		"from genesis, room for all": {worldOptions{Options{Blocks: 20}, true, true, 0}, false, false},
		"from genesis, room for 12":  {worldOptions{Options{Blocks: 20, Bytes: 3 * onePage}, true, false, 0}, true, true},
		"ring of one, room for 50":   {worldOptions{Options{Blocks: 1, Bytes: 12 * onePage}, true, false, 0}, true, true},
		"room for none":              {worldOptions{Options{Blocks: 3, Bytes: 1}, false, false, 0}, true, true},
		"one budget":                 {worldOptions{Options{Blocks: 20, LeastBlocks: 2, Budget: 1 << 16}, true, false, 0}, true, true},
		"room for all":               {worldOptions{Options{Blocks: 25}, false, false, 0}, true, false},
		"keys collide":               {worldOptions{Options{Blocks: 5}, true, true, 7 << 40}, false, false},
	}
	operations := 1_000_000
	if testing.Short() {
		operations = 80_000
	}
	for name, opts := range worlds {
		t.Run(name, func(t *testing.T) {
			seed := seedOf(t)
			t.Logf("UTXOCACHE_SEED=%d", seed)
			w := newWorld(t, rand.New(rand.NewPCG(seed, 0)), opts.worldOptions)
			forgot := false
			for w.calls < operations/len(worlds)+1 {
				w.step()
				forgot = forgot || w.cache.older.lost > 0
			}
			t.Logf("%d operations, %d blocks applied, %d disconnected; answers: %d unknown, %d unspent, %d absent",
				w.calls, w.applied, w.disconnected, w.answers[Unknown], w.answers[Unspent], w.answers[Absent])
			if forgot != opts.forgets || (w.answers[Unknown] > 0) != opts.unknown {
				t.Errorf("coins forgotten %t, must be %t; answers unknown %d", forgot, opts.forgets, w.answers[Unknown])
			}
			if w.answers[Unspent] == 0 || w.answers[Absent] == 0 {
				t.Error("one kind of answer never came")
			}
		})
	}
}
