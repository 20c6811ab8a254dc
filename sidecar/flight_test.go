package sidecar

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sidecar/node"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
	"github.com/outrider-project/outrider/sigverify"
	"github.com/outrider-project/outrider/utxocache"
	"github.com/outrider-project/outrider/utxocache/coins"
)

// A pilot is a judge and its flight behind a feed of a fake btcd's, and what they
// reported.
type pilot struct {
	*judge
	dir   string
	depth atomic.Int64
	feed  *node.Feed
	ended chan struct{} // closed when neither feed nor flight runs any more

	mu      sync.Mutex // guards what follows
	reports []Report
	stands  node.Tip
	changed chan struct{} // closed and made anew with every report
}

// newPilot returns a pilot that does not fly yet, and begins with the block at
// height start.
func newPilot(t testing.TB, btcd *nodetest.Btcd, start uint32, depth int64) *pilot {
	t.Helper()
	p := &pilot{dir: t.TempDir(), changed: make(chan struct{})}
	p.depth.Store(depth)
	params, err := blockval.ParamsFor("regtest")
	if err != nil {
		t.Fatal(err)
	}
	n, err := node.NewBtcd(node.BtcdConfig{Address: btcd.Addr(), User: nodetest.User, Password: nodetest.Password, NoTLS: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	headers, _, err := node.OpenHeaders(filepath.Join(p.dir, "headers.dat"), params.Params, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = headers.Close() })
	left, err := openLeft(filepath.Join(p.dir, "left.dat"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = left.close() })
	cache, err := utxocache.New(utxocache.Options{Blocks: ringBlocks})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cache.Close)
	verifier := sigverify.New(sigverify.Options{})
	t.Cleanup(verifier.Close)
	p.judge = &judge{
		node: n, headers: headers, cache: cache, coins: coins.New(coins.Options{Cache: cache}), tip: reopenTip(t, filepath.Join(p.dir, "tip.dat")), left: left,
		ring: ringBlocks, log: slog.New(slog.DiscardHandler),
		validator: blockval.New(params, blockval.Options{Verifier: verifier}),
		evidence: &evidence{
			dir: filepath.Join(p.dir, "evidence"), bundles: 8, bytes: minEvidence, params: params,
			about:    func(context.Context) (v bundleVersions, n bundleNode) { return v, n },
			retrials: newRetrials(nil, slog.New(slog.DiscardHandler)), metrics: newEvidenceMetrics(perfcore.Discard),
		},
		report: p.hear, stand: func(tip node.Tip) { p.mu.Lock(); p.stands = tip; p.mu.Unlock() },
		metrics: newJudgeMetrics(perfcore.Discard), condemned: make(map[chainhash.Hash]struct{}),
	}
	p.stored = p.tip.tip
	rec := new(perfcore.Registry)
	p.flight = newFlight(p.judge, blockval.New(params, blockval.Options{Verifier: verifier, Workers: 1}), 4, &p.depth, 64<<20, rec)
	p.feed = node.NewFeed(n, headers, node.FeedOptions{
		Poll: 20 * time.Millisecond, Resync: 50 * time.Millisecond, Branches: time.Hour, Depth: ringBlocks, Start: &start,
	})
	p.trouble = p.feed.Trouble
	return p
}

func (p *pilot) hear(r Report) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reports = append(p.reports, r)
	close(p.changed)
	p.changed = make(chan struct{})
}

// fly runs the feed and the flight. What it returns ends them, and returns why
// they ended.
func (p *pilot) fly(t testing.TB) (land func() error) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	var err error
	wg.Go(func() {
		if err := p.flight.run(ctx); err != nil {
			cancel(err)
		}
	})
	wg.Go(func() { err = p.feed.Run(ctx, p.tip.tip, p.handle) })
	p.ended = make(chan struct{})
	go func() { defer close(p.ended); wg.Wait() }()
	land = func() error { cancel(nil); <-p.ended; return err }
	t.Cleanup(func() { _ = land() })
	return land
}

// await waits until ok says of the reports so far that they are enough.
func (p *pilot) await(t testing.TB, what string, ok func([]Report) bool) []Report {
	t.Helper()
	for deadline := time.After(patience); ; {
		p.mu.Lock()
		reports, changed := slices.Clone(p.reports), p.changed
		p.mu.Unlock()
		if ok(reports) {
			return reports
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("waited in vain for %s; %d reports, the last %+v", what, len(reports), reports[max(len(reports)-1, 0):])
		}
	}
}

// awaitTip waits for the verdict on the node's tip.
func (p *pilot) awaitTip(t testing.TB, btcd *nodetest.Btcd) []Report {
	t.Helper()
	tip, _ := btcd.Tip()
	return p.await(t, "the verdict on the node's tip", func(reports []Report) bool {
		return len(reports) > 0 && reports[len(reports)-1].Verdict.Hash == tip
	})
}

// lines returns what reports say, but for times and places on this disk.
func lines(reports []Report) []string {
	all := make([]string, len(reports))
	for i := range reports {
		r := &reports[i]
		v := r.Verdict
		all[i] = fmt.Sprintf("%d %s %s valid=%v %q %v unchecked=%v %s txs=%d inputs=%d signatures=%d catchUp=%v evidence=%v",
			v.Height, v.Hash, r.Outcome, r.NodeValid, r.Reason, v.Err, v.Unchecked, v.Prevouts,
			v.Transactions, v.Inputs, v.Signatures, r.CatchUp, r.Evidence != "")
	}
	return all
}

// difference says how got differs from want first.
func difference(got, want []string) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("the first that differs is\n%s\nwant\n%s", got[i], want[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d, and no difference before", len(got), len(want))
}

// dawdle makes every block's second half take a while, by chance.
func (p *pilot) dawdle(t *testing.T) {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var mu sync.Mutex // guards rng
	rng := rand.New(rand.NewPCG(seed, 0))
	finish := p.flight.finish
	p.flight.finish = func(ctx context.Context, pending *blockval.Pending) (*blockval.Verdict, error) {
		mu.Lock()
		delay := time.Duration(rng.IntN(3000)) * time.Microsecond
		mu.Unlock()
		select {
		case <-time.After(delay):
		case <-ctx.Done():
		}
		return finish(ctx, pending)
	}
}

// spendFirst returns a transaction that spends the coinbase of the block at
// height, by a witness of this script.
func spendFirst(t testing.TB, btcd *nodetest.Btcd, height int, script ...byte) *wire.MsgTx {
	t.Helper()
	b, err := blockval.Parse(btcd.Block(btcd.Chain()[height]))
	if err != nil {
		t.Fatal(err)
	}
	coinbase := b.Msg.Transactions[0]
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(wire.NewTxIn(&wire.OutPoint{Hash: b.Txids[0]}, nil, wire.TxWitness{script}))
	tx.AddTxOut(wire.NewTxOut(coinbase.TxOut[0].Value-1000, coinbase.TxOut[0].PkScript))
	return tx
}

const opTrue, opNop = 0x51, 0x61

// spoilOne spoils one block, wherever it comes, the first times that it is asked
// for: each time in the same way.
func spoilOne(btcd *nodetest.Btcd, height, times int) {
	head := []byte(hex.EncodeToString(btcd.Block(btcd.Chain()[height])[:80]))
	var asked atomic.Int64
	btcd.Rewrite(func(method string, a nodetest.Answer) nodetest.Answer {
		if method == "getblock" && bytes.Contains(a.Body, head) && asked.Add(1) <= int64(times) {
			return spoilBlock(a)
		}
		return a
	})
}

// Whatever is in the middle of a catch-up, blocks in flight give the reports that
// blocks one after the other give, in the same order, and leave the same behind.
func TestFlightReportsAsOneAfterTheOther(t *testing.T) {
	for _, tt := range []struct {
		name  string
		o     nodetest.BtcdOptions
		start uint32
		build func(t *testing.T, btcd *nodetest.Btcd)
		setUp func(btcd *nodetest.Btcd) // before each of the two
		// want is the outcome of the block in the middle, and landed says that
		// blocks in flight are judged again for it.
		want   Outcome
		landed bool
	}{
		{name: "valid", build: func(_ *testing.T, btcd *nodetest.Btcd) { btcd.Mine(1) }, want: Agree},
		{name: "valid, with coins of the node", start: 105, build: func(_ *testing.T, btcd *nodetest.Btcd) {
			btcd.AddTxs(3)
			btcd.Mine(1)
		}, want: Agree},
		{name: "a script that fails", build: func(t *testing.T, btcd *nodetest.Btcd) {
			btcd.AddTx(spendFirst(t, btcd, 1, opTrue, opNop))
			btcd.Mine(1)
		}, want: Differ, landed: true},
		{name: "a script that fails, with coins of the node", start: 105, build: func(t *testing.T, btcd *nodetest.Btcd) {
			btcd.AddTx(spendFirst(t, btcd, 1, opTrue, opNop))
			btcd.AddTx(spendFirst(t, btcd, 2, opTrue))
			btcd.Mine(1)
		}, want: Differ, landed: true},
		{name: "a coinbase of too much", build: func(_ *testing.T, btcd *nodetest.Btcd) {
			btcd.AddTxs(1)
			btcd.MineOverpaid()
		}, want: Differ},
		{name: "a spoilt body", build: func(_ *testing.T, btcd *nodetest.Btcd) { btcd.Mine(1) },
			setUp: func(btcd *nodetest.Btcd) { spoilOne(btcd, 112, 2) }, want: Agree},
		{name: "a body that is always spoilt", build: func(_ *testing.T, btcd *nodetest.Btcd) { btcd.Mine(1) },
			setUp: func(btcd *nodetest.Btcd) { spoilOne(btcd, 112, 1<<30) }, want: Differ},
		{name: "coins that nobody knows", o: nodetest.BtcdOptions{NoTxIndex: true}, start: 105, build: func(t *testing.T, btcd *nodetest.Btcd) {
			btcd.AddTx(spendFirst(t, btcd, 1, opTrue))
			btcd.Mine(1)
		}, want: Undecided},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.o.NoTLS = true
			btcd := nodetest.NewBtcd(t, tt.o)
			btcd.Mine(111)
			tt.build(t, btcd) // block 112
			for i := range 10 {
				if tt.start == 0 {
					btcd.AddTx(spendFirst(t, btcd, 2+i, opTrue))
				}
				btcd.Mine(1)
			}
			var want []string
			var pilots []*pilot
			for _, depth := range []int64{1, 16} {
				if tt.setUp != nil {
					tt.setUp(btcd)
				}
				p := newPilot(t, btcd, tt.start, depth)
				p.dawdle(t)
				p.fly(t)
				reports := p.awaitTip(t, btcd)
				got := lines(reports)
				middle := slices.IndexFunc(reports, func(r Report) bool { return r.Verdict.Height == 112 })
				if depth == 1 {
					want = got
				}
				if !slices.Equal(got, want) || len(got) < 18 || middle < 0 || reports[middle].Outcome != tt.want {
					t.Errorf("%d in flight: block 112 is %q, want %q; %d reports, %s", depth,
						reports[max(middle, 0)].Outcome, tt.want, len(got), difference(got, want))
				}
				if again := p.flight.metrics.again.Value(); again > 0 != (tt.landed && depth > 1) {
					t.Errorf("%d in flight: %d blocks were judged again", depth, again)
				}
				pilots = append(pilots, p)
			}
			// The next block finds the coins as they should be.
			btcd.Rewrite(nil)
			if !tt.o.NoTxIndex {
				btcd.AddTxs(3)
			}
			btcd.Mine(1)
			first, second := lines(pilots[0].awaitTip(t, btcd)), lines(pilots[1].awaitTip(t, btcd))
			if !slices.Equal(first, second) {
				t.Errorf("after the block behind the catch-up: %s", difference(second, first))
			}
		})
	}
}

// However long each block takes, verdicts are in order; none is given before its
// block is finished, the stored tip is at the last one before, and no more blocks
// are in flight than are allowed. No event comes after the last block.
func TestFlightIsInOrder(t *testing.T) {
	btcd := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	btcd.Mine(110)
	for i := range 30 {
		btcd.AddTxs(1 + i%7)
		btcd.Mine(1)
	}
	p := newPilot(t, btcd, 0, 5)
	p.flight.bytes = 3000 // of some 250 to 1,800 bytes
	p.dawdle(t)
	var mu sync.Mutex // guards what follows
	finished := make(map[uint32]bool)
	most, largest, single := 0, int64(0), int64(0)
	finish := p.flight.finish
	p.flight.finish = func(ctx context.Context, pending *blockval.Pending) (*blockval.Verdict, error) {
		v, err := finish(ctx, pending)
		if err != nil {
			return v, err
		}
		p.flight.mu.Lock()
		n, size := len(p.flight.queue), p.flight.size
		p.flight.mu.Unlock()
		mu.Lock()
		defer mu.Unlock()
		finished[v.Height] = true
		most, largest = max(most, n), max(largest, size)
		return v, err
	}
	p.report = func(r Report) {
		mu.Lock()
		done := finished[r.Verdict.Height]
		mu.Unlock()
		stored := reopenTip(t, filepath.Join(p.dir, "tip.dat")).tip
		p.mu.Lock()
		stands := p.stands
		p.mu.Unlock()
		if !done || stored == nil || stored.Height+1 != r.Verdict.Height || stands != *stored {
			t.Errorf("block %d: finished %v, the stored tip is %v, and everything said to be done up to %v", r.Verdict.Height, done, stored, stands)
		}
		p.hear(r)
	}
	land := p.fly(t)
	reports := p.awaitTip(t, btcd)
	for i, r := range reports {
		if r.Verdict.Height != uint32(i+1) || r.Outcome != Agree {
			t.Errorf("report %d is on block %d: %s", i+1, r.Verdict.Height, r.Outcome)
		}
	}
	if err := p.flight.land(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, hash := range btcd.Chain() {
		single = max(single, int64(len(btcd.Block(hash))))
	}
	if most != 5 || largest > 3000 || single > 3000 {
		t.Errorf("%d blocks of %d bytes were in flight, want 5 and at most 3000; the largest has %d", most, largest, single)
	}
	if n := p.flight.metrics.blocks.Value(); n != 0 {
		t.Errorf("%v blocks are said to be in flight at the end", n)
	}
	if err := land(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A block that is larger than all may be together flies alone.
func TestFlightTakesALargeBlock(t *testing.T) {
	btcd := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	btcd.Mine(20)
	p := newPilot(t, btcd, 0, 16)
	p.flight.bytes = 1
	var most atomic.Int64
	finish := p.flight.finish
	p.flight.finish = func(ctx context.Context, pending *blockval.Pending) (*blockval.Verdict, error) {
		p.flight.mu.Lock()
		most.Store(max(most.Load(), int64(len(p.flight.queue))))
		p.flight.mu.Unlock()
		return finish(ctx, pending)
	}
	p.fly(t)
	p.awaitTip(t, btcd)
	if most.Load() != 1 {
		t.Errorf("%d blocks were in flight", most.Load())
	}
}

// The depth is a knob that counts from the next block on.
func TestFlightDepthIsAKnob(t *testing.T) {
	s, err := New(newRider(t, nodetest.BtcdOptions{}).cfg, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	knobs := s.Knobs()
	i := slices.IndexFunc(knobs, func(k perfcore.Knob) bool { return k.Name == "sidecar.flight" })
	if i < 0 || knobs[i].Read() != 16 {
		t.Fatalf("knobs: %+v", knobs)
	}
	for _, n := range knobs[i].Ladder {
		if err := errors.Join(knobs[i].Check(), knobs[i].Set(t.Context(), n)); err != nil || s.tuning.flight.Load() != n {
			t.Errorf("set to %d: %d (%v)", n, s.tuning.flight.Load(), err)
		}
	}

	btcd := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	btcd.Mine(40)
	p := newPilot(t, btcd, 0, 4)
	finish := p.flight.finish
	var flown atomic.Int64
	p.flight.finish = func(ctx context.Context, pending *blockval.Pending) (*blockval.Verdict, error) {
		if flown.Add(1) == 10 {
			p.depth.Store(1)
		}
		return finish(ctx, pending)
	}
	p.fly(t)
	if n := len(p.awaitTip(t, btcd)); n != 40 || flown.Load() > 10+4 {
		t.Errorf("%d reports, %d blocks flew", n, flown.Load())
	}
}

// A node that does not tell of coins holds up the block that needs them, and no
// verdict before it; meanwhile the sidecar says why.
func TestFlightWaitsForCoins(t *testing.T) {
	btcd := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	btcd.Mine(115)
	btcd.AddTx(spendFirst(t, btcd, 1, opTrue))
	btcd.Mine(5) // from block 116 on
	btcd.Rewrite(func(method string, a nodetest.Answer) nodetest.Answer {
		if method == "batch" {
			a.Body = []byte("[]")
		}
		return a
	})
	p := newPilot(t, btcd, 106, 16)
	p.dawdle(t)
	p.fly(t)
	p.await(t, "the verdicts before it", func(r []Report) bool { return len(r) == 10 })
	for deadline := time.Now().Add(patience); p.feed.Status().Err == nil; {
		if time.Now().After(deadline) {
			t.Fatal("nobody says why it waits")
		}
	}
	if reports := p.await(t, "them", func([]Report) bool { return true }); len(reports) != 10 {
		t.Fatalf("%d reports", len(reports))
	}
	btcd.Rewrite(nil)
	for _, r := range p.awaitTip(t, btcd) {
		if r.Outcome != Agree {
			t.Errorf("block %d: %s: %s", r.Verdict.Height, r.Outcome, r.Reason)
		}
	}
}

// The alarm for a block is raised though the node does not answer for the coins
// of one behind it.
func TestAlarmDoesNotWaitForTheNextBlock(t *testing.T) {
	btcd := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	btcd.Mine(115)
	btcd.AddTx(spendFirst(t, btcd, 1, opTrue, opNop))
	bad := btcd.Mine(1)[0]
	btcd.AddTx(spendFirst(t, btcd, 2, opTrue))
	btcd.Mine(3)
	p := newPilot(t, btcd, 106, 16)
	hanging, end := make(chan struct{}), make(chan struct{})
	defer close(end)
	var batches atomic.Int64
	btcd.Rewrite(func(method string, a nodetest.Answer) nodetest.Answer {
		if method == "batch" && bytes.Contains(a.Body, []byte(hex.EncodeToString(coinbaseOf(btcd, 2)))) && batches.Add(1) == 1 {
			close(hanging)
			<-end
		}
		return a
	})
	finish := p.flight.finish
	p.flight.finish = func(ctx context.Context, pending *blockval.Pending) (*blockval.Verdict, error) {
		v, err := finish(ctx, pending)
		if err == nil && !v.Valid() {
			<-hanging // the next block has begun to ask
		}
		return v, err
	}
	p.fly(t)
	reports := p.await(t, "the alarm", func(r []Report) bool { return len(r) > 10 })
	if r := reports[10]; r.Outcome != Differ || r.Verdict.Hash != bad {
		t.Errorf("block %d: %s", r.Verdict.Height, r.Outcome)
	}
	p.awaitTip(t, btcd)
}

// coinbaseOf returns the coinbase of the block at height, serialised without
// witness.
func coinbaseOf(btcd *nodetest.Btcd, height int) []byte {
	b, err := blockval.Parse(btcd.Block(btcd.Chain()[height]))
	if err != nil {
		panic(err)
	}
	var buf bytes.Buffer
	if err := b.Msg.Transactions[0].SerializeNoWitness(&buf); err != nil {
		panic(err)
	}
	return buf.Bytes()
}

// A block whose scripts could not be verified is judged again.
func TestFlightJudgesAgainWhatFailed(t *testing.T) {
	btcd := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	btcd.Mine(40)
	p := newPilot(t, btcd, 0, 8)
	finish := p.flight.finish
	var flown atomic.Int64
	p.flight.finish = func(ctx context.Context, pending *blockval.Pending) (*blockval.Verdict, error) {
		if flown.Add(1)%9 == 0 {
			return nil, errors.New("no memory")
		}
		return finish(ctx, pending)
	}
	p.fly(t)
	reports := p.awaitTip(t, btcd)
	for i, r := range reports {
		if r.Verdict.Height != uint32(i+1) || r.Outcome != Agree {
			t.Errorf("report %d is on block %d: %s", i+1, r.Verdict.Height, r.Outcome)
		}
	}
	if len(reports) != 40 || p.flight.metrics.again.Value() == 0 {
		t.Errorf("%d reports, %d blocks judged again", len(reports), p.flight.metrics.again.Value())
	}
}

// A reorganisation waits for the blocks in flight.
func TestFlightLandsBeforeAReorganisation(t *testing.T) {
	btcd := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	btcd.Mine(30)
	p := newPilot(t, btcd, 0, 16)
	finish := p.flight.finish
	held := make(chan struct{})
	var once sync.Once
	p.flight.finish = func(ctx context.Context, pending *blockval.Pending) (*blockval.Verdict, error) {
		<-held
		return finish(ctx, pending)
	}
	defer once.Do(func() { close(held) })
	p.fly(t)
	if err := p.flight.await(t.Context(), func() bool { return len(p.flight.queue) == 16 }); err != nil {
		t.Fatal(err)
	}
	btcd.Reorg(20, 21)
	if reports := p.await(t, "them", func([]Report) bool { return true }); len(reports) != 0 {
		t.Fatalf("%d reports on blocks that are not finished", len(reports))
	}
	once.Do(func() { close(held) })
	var heights []uint32
	for _, r := range p.awaitTip(t, btcd) {
		if r.Outcome != Agree {
			t.Errorf("block %d: %s: %s", r.Verdict.Height, r.Outcome, r.Reason)
		}
		heights = append(heights, r.Verdict.Height)
	}
	if heights[0] != 1 || heights[len(heights)-1] != 31 || len(heights) < 31 {
		t.Errorf("reports on blocks %v", heights)
	}
}

// When it is told to stop, and when the tip cannot be stored, all ends, and what
// is stored is the last block with a verdict.
func TestFlightEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		fail bool
	}{{"told to stop", false}, {"a disk that fails", true}} {
		t.Run(tt.name, func(t *testing.T) {
			btcd := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
			btcd.Mine(30)
			p := newPilot(t, btcd, 0, 16)
			finish := p.flight.finish
			reached := make(chan struct{})
			p.flight.finish = func(ctx context.Context, pending *blockval.Pending) (*blockval.Verdict, error) {
				v, err := finish(ctx, pending)
				if err == nil && v.Height >= 20 && !tt.fail {
					if v.Height == 20 {
						close(reached)
					}
					<-ctx.Done() // the verdict comes too late
				}
				return v, err
			}
			p.report = func(r Report) {
				if tt.fail && r.Verdict.Height == 20 {
					_ = p.tip.file.Close()
				}
				p.hear(r)
			}
			land := p.fly(t)
			given := 19
			if tt.fail {
				given = 20 // of which the last one's tip is not stored
				select {
				case <-p.ended: // nobody tells the feed to end but the flight
				case <-time.After(patience):
					t.Fatal("it goes on")
				}
			} else {
				<-reached
				p.await(t, "block 19", func(r []Report) bool { return len(r) == 19 })
			}
			err := land()
			if tt.fail != errors.Is(err, os.ErrClosed) {
				t.Errorf("it ended with %v", err)
			}
			stored := reopenTip(t, filepath.Join(p.dir, "tip.dat")).tip
			if stored == nil || stored.Height != 19 || p.stands != *stored {
				t.Errorf("stored is %v, done is %v, want block 19", stored, p.stands)
			}
			if len(p.reports) != given {
				t.Errorf("%d reports, want %d", len(p.reports), given)
			}
		})
	}
}

// A verdict that comes with the end of the flight is too late, each time.
func TestVerdictAtTheEnd(t *testing.T) {
	b := &flown{done: make(chan struct{})}
	close(b.done)
	if err := b.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 {
		if err := b.wait(ctx); !errors.Is(err, context.Canceled) {
			t.Fatalf("it is given: %v", err)
		}
	}
}
