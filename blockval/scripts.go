package blockval

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/sigverify"
)

// chunk is how many inputs a worker takes at a time to collect from.
const chunk = 128

// A harvest is what was collected from a chunk of inputs.
type harvest struct {
	// items are signatures, and inputs the inputs that each decides.
	items  []sigverify.Item
	inputs []int
	// rest are the inputs that were not recognised.
	rest []int
	// signatures counts those that the inputs present.
	signatures int
	// kinds counts the inputs by kind.
	kinds [kinds]uint64
}

// scripts checks the scripts of every input: the signatures of those that are
// recognised in one batch, then the others, and those whose signature failed, in
// the engine. The input reported is the first of the block that fails.
func (c *check) scripts(ctx context.Context) (*RuleError, error) {
	spends := c.spendTxs()
	harvests := make([]harvest, (len(c.coins)+chunk-1)/chunk)
	err := each(ctx, c.v.workers, len(harvests), func(i int) {
		harvests[i] = c.collect(spends, i*chunk, min((i+1)*chunk, len(c.coins)))
	})
	if err != nil {
		return nil, err
	}
	var all harvest
	all.items = make([]sigverify.Item, 0, len(c.coins))
	all.inputs = make([]int, 0, len(c.coins))
	for _, h := range harvests {
		all.items = append(all.items, h.items...)
		all.inputs = append(all.inputs, h.inputs...)
		all.rest = append(all.rest, h.rest...)
		all.signatures += h.signatures
		for k, n := range h.kinds {
			all.kinds[k] += n
		}
	}
	c.verdict.Signatures = all.signatures

	valid := make([]bool, len(all.items))
	if err := c.v.verifier.Verify(ctx, all.items, valid); err != nil {
		return nil, err
	}
	engine := all.rest
	for i, ok := range valid {
		if !ok {
			engine = append(engine, all.inputs[i])
		}
	}
	slices.Sort(engine)
	rule, err := c.execute(ctx, spends, engine)
	if err != nil {
		return nil, err
	}
	c.v.metrics.spent(&all.kinds)
	c.v.metrics.collected.Add(uint64(len(c.coins) - len(engine)))
	c.v.metrics.engine.Add(uint64(len(engine)))
	return rule, nil
}

// spendTxs puts each transaction beside what it spends; the coinbase beside
// nothing.
func (c *check) spendTxs() []spendTx {
	prevouts := make([]wire.TxOut, len(c.coins))
	for k := range c.coins {
		prevouts[k] = wire.TxOut{Value: c.coins[k].Value, PkScript: c.coins[k].Script}
	}
	txs := c.b.Msg.Transactions
	spends := make([]spendTx, len(txs))
	for i, tx := range txs {
		spends[i].tx = tx
		spends[i].prevouts = prevouts[c.first[i]:c.first[i+1]]
	}
	return spends
}

// place returns the transaction and the input in it that input k of the block
// is.
func (c *check) place(k int) (tx, input int) {
	next, _ := slices.BinarySearch(c.first, k+1) // the first that begins after k
	return next - 1, k - c.first[next-1]
}

// collect collects from the inputs from up to, but not including, to.
func (c *check) collect(spends []spendTx, from, to int) harvest {
	var h harvest
	i, _ := c.place(from)
	legacy := legacyHasher{t: &spends[i]}
	for k := from; k < to; k++ {
		for k >= c.first[i+1] {
			i++
			legacy = legacyHasher{t: &spends[i]}
		}
		t, j := &spends[i], k-c.first[i]
		h.signatures += t.signatures(j)
		h.kinds[kindOf(t.tx.TxIn[j], t.prevouts[j].PkScript)]++
		if item, ok := t.collect(j, &legacy); ok {
			h.items = append(h.items, item)
			h.inputs = append(h.inputs, k)
		} else {
			h.rest = append(h.rest, k)
		}
	}
	return h
}

// execute runs the inputs, which are in ascending order, in the engine, and
// returns the first that fails.
func (c *check) execute(ctx context.Context, spends []spendTx, inputs []int) (*RuleError, error) {
	fails := make([]error, len(inputs))
	// Inputs behind one that failed are not run. All before it are: they were
	// begun earlier.
	var end atomic.Int64
	end.Store(int64(len(inputs)))
	err := each(ctx, c.v.workers, len(inputs), func(n int) {
		if int64(n) > end.Load() {
			return
		}
		i, j := c.place(inputs[n])
		if fails[n] = spends[i].execute(j, c.flags); fails[n] != nil {
			end.Store(min(end.Load(), int64(n)))
		}
	})
	if err != nil {
		return nil, err
	}
	for n, fail := range fails {
		if fail != nil {
			i, j := c.place(inputs[n])
			return brokenAt(BadScript, i, j, "%v", fail), nil
		}
	}
	return nil, nil
}

// each calls f for 0 to n-1, in ascending order, on at most workers goroutines,
// and returns when all have ended. When ctx ends it calls no more, and returns
// ctx's error.
func each(ctx context.Context, workers, n int, f func(i int)) error {
	var next atomic.Int64
	work := func() {
		for ctx.Err() == nil {
			i := int(next.Add(1)) - 1
			if i >= n {
				return
			}
			f(i)
		}
	}
	var wg sync.WaitGroup
	for range min(workers, n) - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
	return ctx.Err()
}
