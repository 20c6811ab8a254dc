package blockval

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval/script"
)

const (
	// chunk is how many inputs a worker takes at a time to collect from.
	chunk = 64
	// batchSize is how many checks a worker collects before it verifies them. More
	// would leave the cache, and fewer be handed over too often.
	batchSize = 1024
	// pacedSize is batchSize for checks that can wait: 128 by the scalar code, each of them
	// checked again by independent code, take some 70 ms.
	pacedSize = 128
	// pacedTime is from how long a run of scripts one by one is a piece of work.
	pacedTime = 10 * time.Millisecond
)

// batchSize returns how many checks a worker collects before it verifies them.
func (v *Validator) batchSize() int {
	if v.pace != nil {
		return pacedSize
	}
	return batchSize
}

// A stint is a piece of a worker's work, from when it began.
type stint time.Time

// end ends a stint that took so long or longer, and returns when the next may begin, or
// why there is to be none.
func (s *stint) end(ctx context.Context, v *Validator, least time.Duration) error {
	if v.pace == nil {
		return nil
	}
	took := time.Since(time.Time(*s))
	if took < least {
		return nil
	}
	err := v.pace(ctx, took)
	*s = stint(time.Now())
	return err
}

// A worker collects the checks of inputs and verifies them, with memory of its
// own, which it keeps from block to block.
type worker struct {
	machine *script.Machine
	batch   script.Batch
	valid   []bool
	tally
}

// A tally is what a worker found.
type tally struct {
	// undecided are the inputs that only an exact run decides.
	undecided []int
	// signatures counts those that the inputs present, and fresh those of them that
	// were not verified before.
	signatures, fresh int
	// kinds counts the inputs by kind.
	kinds [kinds]uint64
	// remembered counts the inputs of transactions that were verified before.
	remembered int
}

func (t *tally) reset() { *t = tally{undecided: t.undecided[:0]} }

// add adds what u has.
func (t *tally) add(u *tally) {
	t.undecided = append(t.undecided, u.undecided...)
	t.signatures += u.signatures
	t.fresh += u.fresh
	for k, n := range u.kinds {
		t.kinds[k] += n
	}
}

// scripts checks the scripts of every input. Each worker collects the checks of
// some inputs and verifies them in batches while the others do the same; what that
// leaves undecided runs exactly. The input reported is the first of the block that
// fails.
func (c *check) scripts(ctx context.Context) (*RuleError, error) {
	for {
		falls := c.v.falls()
		rule, err := c.scriptsOnce(ctx, falls)
		if err != nil || c.v.falls() == falls {
			return rule, err
		}
		// What verified some of the signatures has lost its trust.
	}
}

// scriptsOnce is scripts, by the word of a verifier that has fallen so often or more.
func (c *check) scriptsOnce(ctx context.Context, falls int) (*RuleError, error) {
	txs := c.spends()
	remembered := c.recall(txs, falls)
	var (
		next atomic.Int64
		mu   sync.Mutex // guards all
		all  tally
	)
	err := c.v.work(ctx, (len(c.coins)+chunk-1)/chunk, func(ctx context.Context, w *worker) error {
		piece := stint(time.Now())
		for ctx.Err() == nil {
			from := int(next.Add(chunk)) - chunk
			if from >= len(c.coins) {
				break
			}
			c.collect(w, txs, from, min(from+chunk, len(c.coins)))
			if len(w.batch.Items) >= c.v.batchSize() {
				if err := w.settle(ctx, c.v.verifier); err != nil {
					return err
				}
				if err := piece.end(ctx, c.v, 0); err != nil {
					return err
				}
			}
		}
		if err := w.finish(ctx, c.v.verifier); err != nil {
			return err
		}
		if err := piece.end(ctx, c.v, 0); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		all.add(&w.tally)
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(all.undecided)
	all.remembered = remembered
	c.ran = all
	return c.decide(ctx, txs, all.undecided)
}

// spends puts each transaction beside what it spends; the coinbase beside nothing.
func (c *check) spends() []script.Tx {
	c.prevouts = resized(c.prevouts, len(c.coins))
	for k := range c.coins {
		c.prevouts[k] = wire.TxOut{Value: c.coins[k].Value, PkScript: c.coins[k].Script}
	}
	n := len(c.b.Msg.Transactions)
	c.txs = slices.Grow(c.txs[:0], n)[:n]
	for i, tx := range c.b.Msg.Transactions {
		c.txs[i].Reset(tx, c.prevouts[c.first[i]:c.first[i+1]])
	}
	return c.txs
}

// recall notes the transactions whose scripts are known to succeed, and returns how
// many inputs they have.
func (c *check) recall(txs []script.Tx, falls int) (inputs int) {
	c.known = resized(c.known, len(txs))
	c.v.seen.has(c.b.Wtxids, txs, c.flags, falls, func(i int) {
		c.known[i] = true
		inputs += c.first[i+1] - c.first[i]
	})
	return inputs
}

// place returns the transaction and the input in it that input k of the block
// is.
func (c *check) place(k int) (tx, input int) {
	next, _ := slices.BinarySearch(c.first, k+1) // the first that begins after k
	return next - 1, k - c.first[next-1]
}

// collect collects from the inputs from up to, but not including, to.
func (c *check) collect(w *worker, txs []script.Tx, from, to int) {
	i, _ := c.place(from)
	for k := from; k < to; k++ {
		for k >= c.first[i+1] {
			i++
		}
		t, j := &txs[i], k-c.first[i]
		in, pkScript := t.Msg.TxIn[j], t.Prevouts[j].PkScript
		presented := signatures(in, pkScript)
		w.signatures += presented
		w.kinds[kindOf(in, pkScript)]++
		if c.known[i] {
			continue
		}
		w.fresh += presented
		if w.machine.Collect(t, j, c.flags, &w.batch, k) != script.OK {
			w.undecided = append(w.undecided, k)
		}
	}
}

// settle verifies what is in the batch.
func (w *worker) settle(ctx context.Context, v script.Verifier) error {
	n := len(w.batch.Items)
	w.valid = slices.Grow(w.valid[:0], n)[:n]
	if err := v.Verify(ctx, w.batch.Items, w.valid); err != nil {
		return err
	}
	w.undecided = w.batch.Settle(w.valid, w.undecided)
	return nil
}

// finish settles the batch until nothing is left in it.
func (w *worker) finish(ctx context.Context, v script.Verifier) error {
	for len(w.batch.Items) > 0 {
		if err := w.settle(ctx, v); err != nil {
			return err
		}
	}
	return nil
}

// decide runs the inputs, which are in ascending order, exactly, and returns the
// first that fails.
func (c *check) decide(ctx context.Context, txs []script.Tx, inputs []int) (*RuleError, error) {
	reasons := make([]script.Error, len(inputs))
	// Inputs behind one that failed are not run. All before it are: they were
	// begun earlier.
	var next, end atomic.Int64
	end.Store(int64(len(inputs)))
	err := c.v.work(ctx, len(inputs), func(ctx context.Context, w *worker) error {
		piece := stint(time.Now())
		for ctx.Err() == nil {
			n := next.Add(1) - 1
			if n >= end.Load() {
				break
			}
			i, j := c.place(inputs[n])
			reason, err := c.v.exactly(ctx, w.machine, &txs[i], j, c.flags)
			if err != nil {
				return err
			}
			if reasons[n] = reason; reason != script.OK {
				for now := end.Load(); n < now && !end.CompareAndSwap(now, n); now = end.Load() {
				}
			}
			if err := piece.end(ctx, c.v, pacedTime); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for n, reason := range reasons {
		if reason == script.OK {
			continue
		}
		i, j := c.place(inputs[n])
		return brokenAt(BadScript, i, j, "%v", reason), nil
	}
	return nil, nil
}

// exactly decides an input. The verifier's word suffices for scripts that succeed;
// that they fail is said only after a second run, of a machine that has seen nothing
// else, on the transaction as it came, with nothing but sigverify.Exact.
func (v *Validator) exactly(ctx context.Context, m *script.Machine, t *script.Tx, input int, flags script.Flags) (script.Error, error) {
	reason, err := m.Execute(ctx, t, input, flags, v.verifier)
	if err != nil || reason == script.OK {
		return reason, err
	}
	afresh := &script.Tx{Msg: t.Msg, Prevouts: t.Prevouts}
	again, err := script.NewMachine().Execute(ctx, afresh, input, flags, v.verifier.Exact())
	if err == nil && again != reason {
		v.metrics.disputed.Add(1)
	}
	return again, err
}

// work calls f on as many goroutines as the Validator has workers, but at most
// most, each with a worker of its own, and returns when all have ended: the first
// error that one returned, or ctx's. When one fails, the context of the others
// ends.
func (v *Validator) work(ctx context.Context, most int, f func(context.Context, *worker) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	run := func() {
		w := v.take()
		err := f(ctx, w)
		v.put(w)
		if err != nil {
			cancel(err)
		}
	}
	var wg sync.WaitGroup
	for range min(v.workers, most) - 1 {
		wg.Go(run)
	}
	if most > 0 {
		run()
	}
	wg.Wait()
	return notRule(context.Cause(ctx))
}

// take returns a worker that has nothing to do.
func (v *Validator) take() *worker {
	select {
	case w := <-v.idle:
		return w
	default:
		return &worker{machine: script.NewMachine()}
	}
}

// put takes a worker back. One that gave up in the middle of a batch is not kept, nor
// one that has grown.
func (v *Validator) put(w *worker) {
	if len(w.batch.Items) > 0 || cap(w.batch.Items) > 8*batchSize {
		return
	}
	w.reset()
	select {
	case v.idle <- w:
	default:
	}
}
