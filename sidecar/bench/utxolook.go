package bench

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/dgraph-io/ristretto/v2"

	"github.com/outrider-project/outrider/utxocache"
)

const (
	// mostHeld is how many coins are held in memory at most, three times: more
	// say nothing else, and a million take a gigabyte with what they are measured beside.
	mostHeld = 1_000_000
	// heldBlocks is how many blocks of them the cache's ring has.
	heldBlocks = 144
	// lookWindows is how often each figure of look-ups is measured in a round.
	lookWindows = 3
	// fewLooks is how many look-ups there are between two looks at the clock: they
	// take longer than a tick, the unit in which some systems tell how long a
	// thread ran.
	fewLooks = 48_000
)

// A lookBench is coins in memory: in the cache, half of them in its ring and half
// in its pages, and in what that is measured beside.
type lookBench struct {
	cache *utxocache.Cache
	tip   utxocache.Tip
	// ring and pages are what the cache holds where, and all is both, in random
	// order.
	ring, pages, all []wire.OutPoint
	plain            map[wire.OutPoint]utxocache.Coin
	alone            *ristretto.Cache[[]byte, *utxocache.Coin]
	// pageBytes, plainBytes and aloneBytes are what a coin takes in the pages, in
	// the map and in ristretto alone.
	pageBytes, plainBytes, aloneBytes float64
}

// heldOf returns how many of a number of coins are held in memory.
func heldOf(coins int) int { return min(coins, mostHeld) / 2 * 2 }

// newLookBench holds the coins of a set, mostHeld of them at most.
func newLookBench(set coinSet) (_ *lookBench, err error) {
	n := heldOf(int(set))
	b := &lookBench{plain: make(map[wire.OutPoint]utxocache.Coin)}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	coins := make([]utxocache.Coin, n)
	for i := range coins {
		op, c := set.outPoint(i), set.coin(i)
		if i >= n/2 {
			op.Index = 0 // of a transaction with one output
		}
		b.all = append(b.all, op)
		coins[i] = utxocache.Coin{Value: c.Value, Script: c.Script, Height: c.Height, Coinbase: c.Coinbase}
	}
	b.pages, b.ring = b.all[:n/2:n/2], b.all[n/2:]

	before := liveHeap()
	b.cache, err = utxocache.New(utxocache.Options{Blocks: heldBlocks, Bytes: int64(n/2)*160 + 1<<20})
	if err != nil {
		return nil, err
	}
	base := set.base()
	b.tip = utxocache.Tip{Hash: base.Hash, Height: base.Height}
	b.cache.Reset(b.tip, false)
	b.cache.Remember(b.tip.Hash, b.pages, coins[:n/2], false)
	after := liveHeap()
	b.pageBytes = (after - before) / float64(n/2)
	for i := range heldBlocks {
		if err := b.apply(coins, n/2+n/2*i/heldBlocks, n/2+n/2*(i+1)/heldBlocks); err != nil {
			return nil, err
		}
	}

	before = liveHeap()
	for i, op := range b.all {
		c := coins[i]
		c.Script = append([]byte(nil), c.Script...)
		b.plain[op] = c
	}
	after = liveHeap()
	b.plainBytes = (after - before) / float64(n)
	if err := b.fillAlone(coins); err != nil {
		return nil, err
	}
	b.aloneBytes = (liveHeap() - after) / float64(n)
	runtime.KeepAlive(coins)
	b.shuffle()
	return b, b.check()
}

// apply makes a block that creates the coins from first up to, and without, end.
// They get its height.
func (b *lookBench) apply(coins []utxocache.Coin, first, end int) error {
	block := utxocache.Block{
		Tip:  utxocache.Tip{Hash: chainhash.HashH(b.tip.Hash[:]), Height: b.tip.Height + 1},
		Prev: b.tip.Hash, Txs: []*wire.MsgTx{{}}, Txids: []chainhash.Hash{{}},
	}
	for i := first; i < end; i++ {
		c := &coins[i]
		c.Height, c.Coinbase = block.Height, false
		block.Txids = append(block.Txids, b.all[i].Hash)
		block.Txs = append(block.Txs, &wire.MsgTx{TxOut: []*wire.TxOut{{Value: c.Value, PkScript: c.Script}}})
	}
	if err := b.cache.Apply(block); err != nil {
		return err
	}
	b.tip = block.Tip
	return nil
}

// fillAlone gives ristretto a key for each coin. It drops what it has not worked
// off, and so is waited for.
func (b *lookBench) fillAlone(coins []utxocache.Coin) (err error) {
	b.alone, err = ristretto.NewCache(&ristretto.Config[[]byte, *utxocache.Coin]{
		NumCounters: 10 * int64(len(coins)), MaxCost: int64(len(coins)), BufferItems: 64, IgnoreInternalCost: true,
	})
	if err != nil {
		return err
	}
	key := make([]byte, chainhash.HashSize+4)
	for i := range b.all {
		c := coins[i]
		c.Script = append([]byte(nil), c.Script...)
		b.alone.Set(aloneKey(key, &b.all[i]), &c, 1)
		if i%8192 == 0 {
			b.alone.Wait()
		}
	}
	b.alone.Wait()
	return nil
}

func aloneKey(key []byte, op *wire.OutPoint) []byte {
	copy(key, op.Hash[:])
	for i := range 4 {
		key[chainhash.HashSize+i] = byte(op.Index >> (8 * i))
	}
	return key
}

// shuffle puts all outpoints in random orders, those of one coin far apart in
// memory from those of the next.
func (b *lookBench) shuffle() {
	rnd := rand.New(rand.NewPCG(1, 2))
	b.all = append([]wire.OutPoint(nil), b.all...)
	for _, ops := range [][]wire.OutPoint{b.ring, b.pages, b.all} {
		rnd.Shuffle(len(ops), func(i, j int) { ops[i], ops[j] = ops[j], ops[i] })
	}
}

// check returns an error unless the cache answers as the map does.
func (b *lookBench) check() error {
	for _, op := range b.all {
		want := b.plain[op]
		a, tip := b.cache.Get(op)
		if tip != b.tip || a.State != utxocache.Unspent || a.Coin.Value != want.Value || a.Coin.Height != want.Height ||
			string(a.Coin.Script) != string(want.Script) {
			return fmt.Errorf("the coin of %s is %+v, not %+v", op, a, want)
		}
	}
	return nil
}

func (b *lookBench) close() {
	if b.cache != nil {
		b.cache.Close()
	}
	if b.alone != nil {
		b.alone.Close()
	}
}

// liveHeap returns the bytes of the heap that are in use.
func liveHeap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

var errNoCoin = errors.New("a coin that is held was not found")

// looks returns a task that looks up the next of ops, one after the other. find
// reads the coin, too, and reports whether there is one.
func looks(ops []wire.OutPoint, find func(*wire.OutPoint) bool) task {
	at := 0
	return func(context.Context) (int, error) {
		found := true
		for range fewLooks {
			found = find(&ops[at]) && found
			if at++; at == len(ops) {
				at = 0
			}
		}
		if !found {
			return 0, errNoCoin
		}
		return fewLooks, nil
	}
}

func (b *lookBench) get(ops []wire.OutPoint) task {
	return looks(ops, func(op *wire.OutPoint) bool {
		a, _ := b.cache.Get(*op)
		return a.State == utxocache.Unspent
	})
}

func (b *lookBench) getPlain(ops []wire.OutPoint) task {
	return looks(ops, func(op *wire.OutPoint) bool {
		c, ok := b.plain[*op]
		return ok && c.Value >= 0
	})
}

func (b *lookBench) getAlone(ops []wire.OutPoint) task {
	key := make([]byte, chainhash.HashSize+4)
	return looks(ops, func(op *wire.OutPoint) bool {
		c, ok := b.alone.Get(aloneKey(key, op))
		return ok && c.Value >= 0
	})
}

// fetch returns a task that looks up the coins of one block after the other, each
// block's at once.
func (b *lookBench) fetch() task {
	answers, at := make([]utxocache.Answer, blockSpends), 0
	return func(context.Context) (int, error) {
		for range fewLooks / blockSpends {
			if at+blockSpends > len(b.all) {
				at = 0
			}
			if err := b.cache.Fetch(b.tip.Hash, b.all[at:at+blockSpends], answers); err != nil {
				return 0, err
			}
			at += blockSpends
			for i := range answers {
				if answers[i].State != utxocache.Unspent {
					return 0, errNoCoin
				}
			}
		}
		return fewLooks, nil
	}
}

// hashes returns a task that shares nothing with others of its kind.
func hashes() task {
	var sum [sha256.Size]byte
	return func(context.Context) (int, error) {
		for range fewLooks {
			sum = sha256.Sum256(sum[:])
		}
		return fewLooks, nil
	}
}

// allocations returns how many allocations a Get makes: the least of a few tries,
// for what else runs in the program may allocate too.
func (b *lookBench) allocations(ctx context.Context) (float64, error) {
	least := -1.0
	for range 5 {
		n := 0
		var before, after runtime.MemStats
		ring, pages := b.get(b.ring), b.get(b.pages)
		runtime.ReadMemStats(&before)
		for _, t := range []task{ring, pages} {
			few, err := t(ctx)
			if err != nil {
				return 0, err
			}
			n += few
		}
		runtime.ReadMemStats(&after)
		if each := float64(after.Mallocs-before.Mallocs) / float64(n); least < 0 || each < least {
			least = each
		}
	}
	return least, nil
}

// A lookFigure is the rows of one kind of look-up, one for each anchor: measured
// in turns with all of them, on one thread, by the time that this had a processor.
type lookFigure struct {
	name, unit string
	// seconds is how many units a second is, and looks how many look-ups the value
	// is of.
	seconds, looks float64
	tasks          []task // ours, then the anchors'
	anchors        []string
	values         [][]float64
}

// measure measures all once, in another order each time.
func (f *lookFigure) measure(ctx context.Context, round int) error {
	if f.values == nil {
		f.values = make([][]float64, len(f.tasks))
	}
	for i := range f.tasks {
		which := (i + round) % len(f.tasks)
		rate, err := perSecond(ctx, f.tasks[which:which+1], true)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		f.values[which] = append(f.values[which], f.looks*f.seconds/rate)
	}
	return nil
}

func (f *lookFigure) rows() (rows []Row) {
	ours := median(f.values[0])
	for i, anchor := range f.anchors {
		rows = append(rows, lessIsBetter(f.name, ours, f.unit, anchor, median(f.values[i+1])))
	}
	return rows
}

// A scalingFigure is scaling/get: how many times as many look-ups two goroutines do
// in a second that passed as one does, beside how many times as many hashes.
type scalingFigure struct {
	bench        *lookBench
	ours, theirs []float64
}

func (f *scalingFigure) measure(ctx context.Context, round int) error {
	half := len(f.bench.all) / 2
	looks := []task{f.bench.get(f.bench.all[:half]), f.bench.get(f.bench.all[half:])}
	work := [][]task{looks, looks[:1], {hashes(), hashes()}, {hashes()}}
	rates := make([]float64, len(work))
	for i := range work {
		which := (i + round) % len(work)
		var err error
		if rates[which], err = perSecond(ctx, work[which], false); err != nil {
			return fmt.Errorf("scaling/get: %w", err)
		}
	}
	f.ours, f.theirs = append(f.ours, rates[0]/rates[1]), append(f.theirs, rates[2]/rates[3])
	return nil
}

func (f *scalingFigure) rows() []Row {
	return []Row{moreIsBetter("scaling/get", median(f.ours), string(relative), hashesAnchor, median(f.theirs))}
}

// The anchors of look-ups.
const (
	mapAnchor   = "Go map"
	aloneAnchor = "ristretto alone"
)

// figures returns what is to be measured.
func (b *lookBench) figures() []utxoFigure {
	single := func(name string, ops []wire.OutPoint) *lookFigure {
		return &lookFigure{
			name: name, unit: "ns", seconds: 1e9, looks: 1, anchors: []string{mapAnchor, aloneAnchor},
			tasks: []task{b.get(ops), b.getPlain(ops), b.getAlone(ops)},
		}
	}
	figures := []utxoFigure{
		single("get/ring", b.ring), single("get/ristretto", b.pages),
		&lookFigure{
			name: "get/block8000/warm", unit: "ms", seconds: 1e3, looks: blockSpends, anchors: []string{mapAnchor},
			tasks: []task{b.fetch(), b.getPlain(b.all)},
		},
	}
	if runtime.GOMAXPROCS(0) > 1 {
		figures = append(figures, &scalingFigure{bench: b})
	}
	return figures
}

// rowsOfBytes returns the rows of bytes/coin.
func (b *lookBench) rowsOfBytes() []Row {
	return []Row{
		lessIsBetter("bytes/coin", b.pageBytes, "bytes", aloneAnchor, b.aloneBytes),
		lessIsBetter("bytes/coin", b.pageBytes, "bytes", mapAnchor, b.plainBytes),
	}
}

// measureLooks returns the rows of look-ups in memory, and the allocations of a Get.
// It leaves nothing in memory.
func measureLooks(ctx context.Context, set coinSet, rounds int) (rows []Row, allocations float64, err error) {
	b, err := newLookBench(set)
	if err != nil {
		return nil, 0, err
	}
	defer b.close()
	figures := b.figures()
	for round := range rounds * lookWindows {
		for _, f := range figures {
			if err := f.measure(ctx, round); err != nil {
				return nil, 0, err
			}
		}
	}
	for _, f := range figures {
		rows = append(rows, f.rows()...)
	}
	allocations, err = b.allocations(ctx)
	return append(rows, b.rowsOfBytes()...), allocations, err
}
