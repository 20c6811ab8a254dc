package sidecar

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/utxocache/muhash"
)

// The part falls while goroutines wait, to its least, and rises again for work that wants
// more, and for no other.
func TestElastic(t *testing.T) {
	var least atomic.Int64
	least.Store(10)
	e := newElastic(&least, new(perfcore.Registry))
	steps := func(n int, waited float64, wanted bool) int64 {
		for range n {
			e.wanted.Store(wanted)
			e.step(waited)
		}
		return e.part.Load()
	}
	if got := steps(5, 0.5e-3, true); got != 100 {
		t.Errorf("while nobody waits the part is %d", got)
	}
	if got := steps(2, 20e-3, true); got >= 100 || got < 50 {
		t.Errorf("soon after others wait it is %d", got)
	}
	if got := steps(50, 20e-3, true); got != 10 {
		t.Errorf("while they wait it is %d", got)
	}
	if got := steps(50, 0, false); got != 10 {
		t.Errorf("for work that wants no more it is %d", got)
	}
	if got := steps(4, 0, true); got != 30 {
		t.Errorf("behind that it is %d", got)
	}
	if got := steps(50, 0, true); got != 100 {
		t.Errorf("in the end it is %d", got)
	}
	if got := e.metrics.part.Value(); got != 1 {
		t.Errorf("it is told to be %v", got)
	}
	if got := steps(1, 1, true); got != 80 {
		t.Errorf("when one goroutine waits for a second it is %d", got)
	}
	if fell, got := steps(5, 0, true), steps(1, 0, true); fell < 20 || got <= fell {
		t.Errorf("a quarter of a minute later it is %d, and then %d", fell, got)
	}
	least.Store(100)
	if got := steps(50, 1, true); got != 100 {
		t.Errorf("where nothing is taken it is %d", got)
	}
}

// Work takes that part of the time, and all of it while nobody waits.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var least atomic.Int64
		e := newElastic(&least, new(perfcore.Registry))
		p := e.pace(elasticEvidence)
		worked := func(piece time.Duration) time.Duration {
			var sum time.Duration
			for start := time.Now(); time.Since(start) < 100*time.Second; sum += piece {
				time.Sleep(piece)
				if err := p(t.Context(), piece); err != nil {
					t.Fatal(err)
				}
			}
			return sum
		}
		for _, piece := range []time.Duration{time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond, time.Second} {
			for _, part := range []int64{100, 50, 25, 5, 100} {
				e.set(part)
				worked(piece) // what was kept, and what is owed
				if got := worked(piece); got < time.Duration(part)*time.Second-piece || got > time.Duration(part+2)*time.Second+piece {
					t.Errorf("in pieces of %v, a part of %d is %v of 100 s", piece, part, got)
				}
			}
		}
		if n := e.metrics.pieces[elasticEvidence].Snapshot().Count; n < 1000 {
			t.Errorf("%d pieces are told", n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p(ctx, time.Hour); !errors.Is(err, context.Canceled) {
			t.Errorf("behind the end: %v", err)
		}
	})
	var nobody *elastic
	if nobody.pace(elasticEvidence) != nil {
		t.Error("who waits for nobody does")
	}
}

// No piece of work, however long it was, is waited for much longer than it took, and a
// share of the operator's is kept to all the same.
func TestElasticPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var least atomic.Int64
		e := newElastic(&least, perfcore.Discard)
		e.set(1)
		p := e.pace(elasticEvidence)
		for _, piece := range []time.Duration{10 * time.Second, 10 * time.Millisecond, time.Second, time.Minute} {
			time.Sleep(piece)
			began := time.Now()
			if err := p(t.Context(), piece); err != nil {
				t.Fatal(err)
			}
			if got := time.Since(began); got > elasticPatience+piece+2*budgetLook {
				t.Errorf("behind a piece of %v it waits %v", piece, got)
			}
		}
		var share atomic.Int64
		share.Store(10)
		b := budget{percent: &share, elastic: e}
		spent, began := time.Duration(0), time.Now()
		for range 20 {
			if err := b.wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			const piece = 5 * time.Second
			time.Sleep(piece)
			b.spend(piece)
			spent += piece
		}
		if err := b.wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); spent*100 > took*time.Duration(share.Load())+100*budgetBurst {
			t.Errorf("%v of %v are more than %d %%", spent, took, share.Load())
		}
		share.Store(0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := b.wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("of a share of nothing something may be spent: %v", err)
		}
	})
}

// Where goroutines wait for a processor, work that can wait gets its least part, by what
// the runtime says; and all of the time again when none does.
func TestElasticYields(t *testing.T) {
	var least atomic.Int64
	least.Store(25)
	e := newElastic(&least, perfcore.Discard)
	e.every = 20 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	var loops sync.WaitGroup
	defer loops.Wait()
	defer cancel()
	loops.Go(func() { e.run(ctx) })

	spin := func(d time.Duration) {
		for began := time.Now(); time.Since(began) < d; {
		}
	}
	var worked atomic.Int64 // nanoseconds
	loops.Go(func() {
		for p := e.pace(elasticEvidence); ; {
			began := time.Now()
			spin(2 * time.Millisecond)
			took := time.Since(began)
			worked.Add(int64(took))
			if p(ctx, took) != nil {
				return
			}
		}
	})
	reaches := func(part int64) {
		t.Helper()
		for deadline := time.Now().Add(patience); e.part.Load() != part; runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatalf("the part is %d, and does not come to %d", e.part.Load(), part)
			}
			<-time.After(e.every)
		}
	}
	reaches(100)

	busy, calm := context.WithCancel(ctx)
	defer calm()
	var others sync.WaitGroup
	for range 4 * runtime.GOMAXPROCS(0) {
		others.Go(func() {
			for busy.Err() == nil {
				spin(2 * time.Millisecond)
				runtime.Gosched()
			}
		})
	}
	reaches(25)
	<-time.After(time.Second) // what was kept before
	before, began := worked.Load(), time.Now()
	<-time.After(2 * time.Second)
	share := float64(worked.Load()-before) / float64(time.Since(began))
	if part := e.part.Load(); part != 25 || share > 0.35 {
		t.Errorf("while others wait it works for %.2f of the time, of a part of %d", share, part)
	}
	calm()
	others.Wait()
	reaches(100)
}

// All coins that are hashed, and nobody else at work: that keeps nobody waiting, itself
// among them. Other programs do, so that two seconds in a row of many have to be calm.
func TestElasticAlone(t *testing.T) {
	if runtime.GOMAXPROCS(0) < 2 {
		t.Skip("that work which can wait leaves a processor free was not checked: there is one only")
	}
	var least atomic.Int64
	least.Store(25)
	e := newElastic(&least, perfcore.Discard)
	e.every = 50 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	var loops sync.WaitGroup
	defer loops.Wait()
	defer cancel()
	loops.Go(func() { e.run(ctx) })
	loops.Go(func() {
		var set muhash.Set
		var batch muhash.Batch
		for element := make([]byte, 60); batch.Len() < 1<<14; element[batch.Len()%60]++ {
			batch.Insert(element)
		}
		for p := e.pace(elasticMuHash); ; {
			began := time.Now()
			set.Apply(&batch, elasticProcessors())
			if p(ctx, time.Since(began)) != nil {
				return
			}
		}
	})
	var means []int64 // of a second each
	calm := 0
	for deadline := time.Now().Add(patience); calm < 2 && time.Now().Before(deadline); {
		sum, n := int64(0), int64(0)
		for began := time.Now(); time.Since(began) < time.Second; n++ {
			<-time.After(e.every)
			sum += e.part.Load()
		}
		if calm++; sum/n < 95 {
			calm = 0
		}
		means = append(means, sum/n)
	}
	if calm < 2 {
		t.Errorf("alone it gets %d %% of its time", means)
	}
}

// A budget gets that part of its share, and says that it wants more.
func TestElasticBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var share, least atomic.Int64
		share.Store(50)
		b := budget{percent: &share, elastic: newElastic(&least, perfcore.Discard)}
		spent := func(d time.Duration) time.Duration {
			var sum time.Duration
			for start := time.Now(); time.Since(start) < d; {
				if err := b.wait(t.Context()); err != nil {
					t.Fatal(err)
				}
				const piece = 10 * time.Millisecond
				time.Sleep(piece)
				b.spend(piece)
				sum += piece
			}
			return sum
		}
		for _, tt := range []struct{ part, want int64 }{{100, 50}, {20, 10}, {0, 1}} {
			b.elastic.part.Store(tt.part)
			b.elastic.wanted.Store(false)
			spent(5 * time.Second) // what was kept
			if got := 100 * spent(100*time.Second) / (100 * time.Second); got < time.Duration(tt.want) || got > time.Duration(tt.want)+1 {
				t.Errorf("a part of %d of its share is %d %% of a core", tt.part, got)
			}
			if !b.elastic.wanted.Load() {
				t.Error("it does not want more")
			}
		}
	})
}

// The runtime tells how long goroutines wait for a processor.
func TestWaits(t *testing.T) {
	var w waits
	w.slowest()
	ready := make(chan struct{})
	for range 1000 {
		go func() { ready <- struct{}{} }()
		<-ready
	}
	if got := w.slowest(); got <= 0 || got > 1 {
		t.Errorf("the slowest of 1000 goroutines waited for %v s", got)
	}
	if len(w.before) == 0 {
		t.Error("nothing is remembered")
	}
}

// What can wait follows the operator's setting and the knob: the mempool's scripts,
// evidence that is judged again, and coins that are hashed afresh.
func TestWhatCanWait(t *testing.T) {
	first := uint32(0)
	cfg := DefaultConfig()
	if cfg.ElasticFloor >= 100 {
		t.Errorf("with %d %% of it, nothing waits unless an operator asks for it", cfg.ElasticFloor)
	}
	cfg.Datadir, cfg.Start, cfg.UTXOMode, cfg.ElasticFloor = t.TempDir(), &first, UTXOFull, 30
	cfg.Node = NodeConfig{Kind: KindBtcd, Address: "127.0.0.1:1", NoTLS: true, User: "nobody", Password: "nothing"}
	s, err := unserved(cfg, new(perfcore.Registry), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.node.Close()
	params, err := blockval.ParamsFor("regtest")
	if err != nil {
		t.Fatal(err)
	}
	x := aTrial(t)
	err = s.wire(t.Context(), params, func(ctx context.Context, w *wiring) error {
		for _, k := range s.Knobs() {
			if k.Name != "cpu.elastic" {
				continue
			}
			if got := k.Read(); got != 30 {
				t.Errorf("the knob is at %d", got)
			}
			if err := k.Set(ctx, 50); err != nil || w.elastic.least.Load() != 50 {
				t.Errorf("the least part is %d (%v)", w.elastic.least.Load(), err)
			}
		}
		if w.warmer.budget.elastic != w.elastic {
			t.Error("the mempool's scripts wait for nobody")
		}
		pieces := func(work elasticWork) uint64 { return w.elastic.metrics.pieces[work].Snapshot().Count }
		if err := w.state.db.Rehash(ctx, nil); err != nil || pieces(elasticMuHash) == 0 {
			t.Errorf("all coins are hashed in %d pieces (%v)", pieces(elasticMuHash), err)
		}
		e := w.judge.evidence
		dir, err := e.keep(ctx, &Report{Verdict: blockval.Verdict{Hash: x.Hash, Height: x.Height}, Outcome: Differ}, []exhibit{x})
		if err != nil {
			return err
		}
		e.tryAgain(ctx, <-e.retrials.waiting)
		if pieces(elasticEvidence) == 0 || !readVerdict(t, dir).Again.Same {
			t.Errorf("evidence is judged again in %d pieces: %+v", pieces(elasticEvidence), readVerdict(t, dir).Again)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// While a block is at hand work that can wait gets the least part at once, and behind it what it had;
// if nobody says that it has arrived, half a minute later.
func TestElasticBeforeABlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var least, share atomic.Int64
		least.Store(25)
		share.Store(80)
		e := newElastic(&least, new(perfcore.Registry))
		b := budget{percent: &share, elastic: e}
		check := func(when string, part int64) {
			t.Helper()
			if got := e.now(); got != part || int64(b.share()) != 80*part/100 || e.metrics.part.Value() != float64(part)/100 {
				t.Errorf("%s the part is %d, of which a budget has %d, and it is told to be %v; want %d", when, got, b.share(), e.metrics.part.Value(), part)
			}
		}
		check("at first", 100)
		e.announce()
		check("while a block is at hand", 25)
		e.wanted.Store(true)
		e.step(0)
		check("however little others wait,", 25)
		e.arrived()
		check("behind the block", 100)
		e.announce()
		time.Sleep(elasticBlock - time.Nanosecond)
		check("while it does not come", 25)
		time.Sleep(time.Nanosecond)
		e.step(0)
		check("half a minute later", 100)
		least.Store(100)
		e.announce()
		check("where nothing is to be taken away", 100)
	})
}
