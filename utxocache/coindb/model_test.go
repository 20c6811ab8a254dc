package coindb

import (
	"context"
	"crypto/sha256"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// A world drives a database and a model side by side.
type world struct {
	t     *testing.T
	chain *chain
	fs    *vfs.MemFS
	db    *DB
	opts  Options
	// kept is how many blocks the database must be able to undo.
	kept int
	// hashed is the height up to which the MuHash must be known.
	hashed int64
	// hashedForGood is what hashed was at the last change that is on the disk.
	hashedForGood int64
	complete      bool
	indexed       bool
	// views are open, with what they must show.
	views []viewed
	steps map[string]int
}

type viewed struct {
	view *View
	at   moment
}

func (w *world) open() {
	w.t.Helper()
	w.opts.fs = w.fs
	var err error
	if w.db, err = Open("coins", w.opts); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) close() {
	w.t.Helper()
	w.closeViews()
	must(w.t, w.db.Close())
}

func (w *world) closeViews() {
	w.t.Helper()
	for _, v := range w.views {
		compare(w.t, v.view, &v.at)
		must(w.t, v.view.Close())
	}
	w.views = nil
}

func (w *world) apply() {
	w.t.Helper()
	before := w.chain.top().coins
	b := w.chain.mine()
	if w.chain.chance(2) {
		known := *b
		w.know(&known, before)
		b = &known
	}
	must(w.t, w.db.Apply(b))
	w.kept = min(w.kept+1, w.opts.UndoBlocks)
	if w.hashed < int64(w.chain.top().tip.Height)-int64(w.opts.UndoBlocks) {
		w.hashed = -1
	}
	w.hashedForGood = w.hashed
}

// know fills in some of the coins that b spends. A caller may know what a database
// that is not complete never had.
func (w *world) know(b *Block, coins map[wire.OutPoint]Coin) {
	b.Known = make([]Coin, len(b.Spent))
	for i, op := range b.Spent {
		coin, ok := coins[op]
		if !ok { // the block creates it, or nobody
			coin = Coin{Value: 1, Height: 1}
		}
		if !w.chain.chance(4) {
			b.Known[i] = coin
		}
	}
}

func (w *world) undo() {
	w.t.Helper()
	if w.kept == 0 {
		mustFail(w.t, w.db.Undo(w.chain.top().tip), ErrTooDeep)
		return
	}
	must(w.t, w.db.Undo(w.chain.undo().tip))
	w.kept--
	w.hashed = min(w.hashed, int64(w.chain.top().tip.Height))
	w.hashedForGood = w.hashed
}

// hash compares the MuHash with that of the model's coins, at the tip and where
// it was before.
func (w *world) hash() {
	w.t.Helper()
	if w.hashed < 0 {
		_, _, err := w.db.MuHash(w.t.Context())
		mustFail(w.t, err, ErrNoMuHash)
		must(w.t, w.db.Rehash(w.t.Context(), nil))
		w.hashedForGood = int64(w.chain.top().tip.Height)
	}
	compareHash(w.t, w.db, w.chain.top())
	w.hashed = int64(w.chain.top().tip.Height)
	for i := range min(w.kept, 3) {
		m := w.chain.moments[len(w.chain.moments)-1-i]
		got, err := w.db.MuHashAt(m.tip)
		if want := m.hash(); err == nil && got != want {
			w.t.Fatalf("at %s: the MuHash is %s, must be %s", m.tip, got, want)
		}
	}
	_, err := w.db.MuHashAt(Tip{w.chain.hash(), w.chain.top().tip.Height})
	mustFail(w.t, err, ErrNoMuHash)
}

// refuse makes changes that must change nothing.
func (w *world) refuse() {
	w.t.Helper()
	top := w.chain.top().tip
	mustFail(w.t, w.db.Undo(Tip{w.chain.hash(), top.Height}), ErrTip)
	mustFail(w.t, w.db.Undo(Tip{top.Hash, top.Height + 1}), ErrTip)
	b := w.chain.mine()
	w.chain.undo()
	wrong := *b
	wrong.Prev = w.chain.hash()
	mustFail(w.t, w.db.Apply(&wrong), ErrTip)
	wrong = *b
	wrong.Height++
	mustFail(w.t, w.db.Apply(&wrong), ErrTip)
	wrong = *b
	wrong.Spent = append(slices.Clone(b.Spent), wire.OutPoint{Hash: w.chain.hash()})
	if w.complete {
		mustFail(w.t, w.db.Apply(&wrong), ErrMissing)
	}
	twice := wrong.Spent[len(wrong.Spent)-1]
	wrong.Spent = append(wrong.Spent, twice)
	if err := w.db.Apply(&wrong); err == nil {
		w.t.Fatal("a block that spends a coin twice was applied")
	}
	wrong = *b
	wrong.Created = append(slices.Clone(b.Created), b.Created[0])
	if err := w.db.Apply(&wrong); err == nil {
		w.t.Fatal("a block that creates a coin twice was applied")
	}
	compareDB(w.t, w.db, w.chain.top())
}

// crash drops what was not synchronised, or some of it.
func (w *world) crash() {
	w.t.Helper()
	clone := w.fs.CrashClone(vfs.CrashCloneCfg{
		UnsyncedDataPercent: w.chain.rng.IntN(3) * 50,
		RNG:                 rand.New(rand.NewPCG(w.chain.rng.Uint64(), 0)),
	})
	w.close()
	w.fs = clone
	w.open()
	if w.hashed < 0 {
		return
	}
	// The MuHash of the last blocks may be lost, and is made again.
	last, err := w.db.lastHash(w.db.pebble)
	must(w.t, err)
	if at := int64(last.tip.Height); at > w.hashed || at < w.hashedForGood {
		w.t.Fatalf("after a crash the MuHash is of %s, must be between %d and %d", last.tip, w.hashedForGood, w.hashed)
	}
	w.hashed = int64(last.tip.Height)
}

// look asks for coins of all times, in batches and one by one.
func (w *world) look() {
	w.t.Helper()
	v, err := w.db.View()
	must(w.t, err)
	top := w.chain.top()
	var ops []wire.OutPoint
	for _, m := range w.chain.moments[max(0, len(w.chain.moments)-20):] {
		if m.block == nil {
			continue
		}
		ops = append(ops, m.block.Spent...)
		for _, c := range m.block.Created {
			ops = append(ops, c.OutPoint, wire.OutPoint{Hash: c.OutPoint.Hash, Index: c.OutPoint.Index + 1})
		}
	}
	w.chain.rng.Shuffle(len(ops), func(i, j int) { ops[i], ops[j] = ops[j], ops[i] })
	answers := make([]Answer, len(ops))
	must(w.t, v.GetBatch(ops, answers))
	for i, op := range ops {
		want, exists := top.coins[op]
		if a := answers[i]; a.Found != exists || !equalCoin(a.Coin, want) {
			w.t.Fatalf("at %s: GetBatch of %s is %+v, must be %t %+v", top.tip, op, a, exists, want)
		}
		if coin, found, err := v.Get(op); err != nil || found != exists || !equalCoin(coin, want) {
			w.t.Fatalf("at %s: Get of %s is %+v, %t, %v, must be %t %+v", top.tip, op, coin, found, err, exists, want)
		}
	}
	must(w.t, v.Close())
}

// view opens a view that lives for a while.
func (w *world) view() {
	w.t.Helper()
	if len(w.views) > 3 {
		w.closeViews()
	}
	v, err := w.db.View()
	must(w.t, err)
	w.views = append(w.views, viewed{v, *w.chain.top()})
}

// index takes a step towards the index of scripts, builds the rest of it, or
// removes it.
func (w *world) index() {
	w.t.Helper()
	switch {
	case w.indexed:
		w.indexed = false
		must(w.t, w.db.DropIndex())
	case w.chain.chance(3):
		w.indexed = true
		last := 0.0
		must(w.t, w.db.BuildIndex(w.t.Context(), func(share float64) {
			if share < last || share > 1 {
				w.t.Errorf("progress from %g to %g", last, share)
			}
			last = share
		}))
		if last != 1 {
			w.t.Errorf("progress ends at %g", last)
		}
	default:
		next, err := w.db.indexStep()
		must(w.t, err)
		w.indexed = next == nil
	}
}

// scripts compares the index with the model.
func (w *world) scripts() {
	w.t.Helper()
	v, err := w.db.View()
	must(w.t, err)
	defer func() { must(w.t, v.Close()) }()
	top := w.chain.top()
	if !w.indexed {
		for _, err := range v.ByScript([32]byte{}) {
			mustFail(w.t, err, ErrNoIndex)
		}
		return
	}
	byScript := make(map[[32]byte][]ScriptCoin)
	for op, c := range top.coins {
		h := sha256.Sum256(c.Script)
		byScript[h] = append(byScript[h], ScriptCoin{op, c.Height})
	}
	if m := w.chain.moments[max(0, len(w.chain.moments)-4)]; m.block != nil {
		for _, c := range m.block.Created { // some are spent
			h := sha256.Sum256(c.Coin.Script)
			byScript[h] = append(byScript[h], []ScriptCoin{}...)
		}
	}
	entries := 0
	for h, want := range byScript {
		slices.SortFunc(want, func(a, b ScriptCoin) int { return compareOps(a.OutPoint, b.OutPoint) })
		var got []ScriptCoin
		for c, err := range v.ByScript(h) {
			must(w.t, err)
			got = append(got, c)
		}
		if !slices.Equal(got, want) {
			w.t.Fatalf("at %s: script %x is at %v, must be at %v", top.tip, h, got, want)
		}
		entries += len(got)
	}
	if entries != len(top.coins) {
		w.t.Fatalf("at %s: %d coins in the index, must be %d", top.tip, entries, len(top.coins))
	}
}

func (w *world) step() {
	w.t.Helper()
	names := []string{
		"apply", "apply", "apply", "apply", "apply", "apply", "undo", "reorg", "look", "refuse",
		"view", "crash", "reopen", "compare", "index", "index", "scripts", "scripts", "hash", "hash", "check", "compact", "memory", "reset",
	}
	name := names[w.chain.rng.IntN(len(names))]
	w.steps[name]++
	switch name {
	case "apply":
		w.apply()
	case "undo":
		w.undo()
	case "reorg":
		depth := min(w.kept, 1+w.chain.rng.IntN(8))
		for range depth {
			w.undo()
		}
		for range depth + 1 {
			w.apply()
		}
	case "look":
		w.look()
	case "refuse":
		w.refuse()
	case "view":
		w.view()
	case "crash":
		w.crash()
	case "reopen":
		w.close()
		w.open()
	case "compare":
		compareDB(w.t, w.db, w.chain.top())
	case "index":
		w.index()
	case "hash":
		w.hash()
	case "scripts":
		w.scripts()
	case "check":
		w.check()
	case "compact":
		must(w.t, w.db.Compact(w.t.Context()))
	case "memory":
		bytes := int64(w.chain.rng.IntN(4) << 20)
		must(w.t, w.db.SetMemory(bytes))
		if got := w.db.Memory(); got != bytes {
			w.t.Fatalf("memory %d, set %d", got, bytes)
		}
	case "reset":
		if w.chain.chance(8) {
			w.reset()
		}
	}
}

func (w *world) reset() {
	w.t.Helper()
	w.chain.moments = []moment{{tip: Tip{w.chain.hash(), w.chain.rng.Uint32N(1000)}, coins: map[wire.OutPoint]Coin{}}}
	w.chain.coinbases = nil
	must(w.t, w.db.Reset(w.chain.top().tip, w.complete))
	w.kept, w.indexed, w.hashed = 0, false, int64(w.chain.top().tip.Height)
	w.hashedForGood = w.hashed
}

func (w *world) check() {
	w.t.Helper()
	report, err := w.db.Check(context.Background())
	must(w.t, err)
	if len(report.Problems) > 0 {
		w.t.Fatalf("at %s: %q", w.chain.top().tip, report.Problems)
	}
	if report.Coins != uint64(len(w.chain.top().coins)) || report.UndoRecords != w.kept {
		w.t.Fatalf("at %s: Check counts %+v, must be %d coins, %d undo records",
			w.chain.top().tip, report, len(w.chain.top().coins), w.kept)
	}
}

func TestModel(t *testing.T) {
	for name, w := range map[string]*world{
		"complete, undo 20":    {complete: true, opts: Options{UndoBlocks: 20, indexStep: 5, MemTable: 64 << 10, Memory: 1 << 20}},
		"complete, undo 1":     {complete: true, opts: Options{UndoBlocks: 1, MemTable: 1 << 20}},
		"incomplete, undo 6":   {opts: Options{UndoBlocks: 6, indexStep: 20, MemTable: 64 << 10, Readers: 1}},
		"incomplete, undo 100": {opts: Options{UndoBlocks: 100, MemTable: 256 << 10, Readers: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w.t, w.chain, w.fs, w.steps = t, newChain(seedOf(t)), vfs.NewCrashableMem(), make(map[string]int)
			w.chain.unknown = !w.complete
			w.open()
			mustFail(t, w.db.Apply(w.chain.mine()), ErrNoTip)
			_, err := w.db.View()
			mustFail(t, err, ErrNoTip)
			w.reset()
			steps := 1000
			if testing.Short() {
				steps = 100
			}
			for range steps {
				w.step()
			}
			w.close()
			t.Log(w.steps)
		})
	}
}
