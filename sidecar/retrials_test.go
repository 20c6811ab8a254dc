package sidecar

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sidecar/node"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
	"github.com/outrider-project/outrider/testvectors"
	"github.com/outrider-project/outrider/utxocache"
)

// While a bundle is judged again verdicts are given and other bundles written; when
// the program is stopped meanwhile, all of them are there, and can be judged.
func TestNothingWaitsForARetrial(t *testing.T) {
	btcd := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	btcd.Mine(110)
	p := newPilot(t, btcd, 0, 1)
	tried := make(chan string, maxRetrials)
	p.evidence.retrials.try = func(ctx context.Context, dir string, workers int, at pace) (*Retrial, error) {
		tried <- dir
		<-ctx.Done() // as long as that
		return retry(ctx, dir, workers, at)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var beside sync.WaitGroup
	beside.Go(func() { p.evidence.run(ctx) })
	land := p.fly(t)
	p.awaitTip(t, btcd)
	var bundles []string
	for range 3 {
		btcd.AddTxs(2)
		bad := btcd.MineOverpaid()
		p.awaitTip(t, btcd)
		btcd.Mine(1)
		reports := p.awaitTip(t, btcd)
		differ, agree := reports[len(reports)-2], reports[len(reports)-1]
		if differ.Verdict.Hash != bad || differ.Outcome != Differ || differ.Evidence == "" || agree.Outcome != Agree {
			t.Fatalf("%s, evidence %q; then %s", differ.Outcome, differ.Evidence, agree.Outcome)
		}
		bundles = append(bundles, differ.Evidence)
	}
	if first := <-tried; first != bundles[0] {
		t.Errorf("%s is judged again first, want %s", first, bundles[0])
	}
	for _, dir := range bundles {
		if b := readVerdict(t, dir); b.Again.Failure != untried {
			t.Errorf("%s says of being judged again: %+v", dir, b.Again)
		}
	}
	stop()
	beside.Wait()
	if err := land(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if b := readVerdict(t, bundles[0]); b.Again.Failure != stopped || b.Again.Same || b.Again.Unchecked == nil {
		t.Errorf("the one that was interrupted says: %+v", b.Again)
	}
	for _, dir := range bundles {
		r, err := JudgeEvidence(t.Context(), dir)
		if err != nil || !r.Same || r.Now.Rule != string(blockval.BadCoinbaseAmount) {
			t.Errorf("%s, judged again: %+v (%v)", dir, r, err)
		}
	}
}

// A bundle is whole where the program was told to stop before it was written.
func TestEvidenceOfTheLastMoment(t *testing.T) {
	x := aTrial(t)
	e := newEvidence(t, filepath.Join(t.TempDir(), "evidence"), 2, 1<<30)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	dir, err := e.keep(ctx, &Report{Verdict: blockval.Verdict{Hash: x.Hash, Height: x.Height}, Outcome: Differ}, []exhibit{x})
	if err != nil {
		t.Fatal(err)
	}
	if b := readVerdict(t, dir); b.Again.Failure != untried || len(b.Blocks[0].LeftOut) != 0 {
		t.Errorf("verdict.json: %+v", b)
	}
	if r, err := JudgeEvidence(t.Context(), dir); err != nil || !r.Same {
		t.Errorf("judged again: %+v (%v)", r, err)
	}
}

// What judging a bundle again says is in it: the verdict and whether it is the same
// one, or why there is none.
func TestRetrialIsNoted(t *testing.T) {
	x := aTrial(t)
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T, e *evidence, dir string)
		verdict string
		same    bool
		failure string
		logged  string
	}{
		{"the same", func(*testing.T, *evidence, string) {}, "valid", true, "", "leads to the same verdict"},
		{"out of time", func(_ *testing.T, e *evidence, _ string) {
			e.retrials.within = time.Millisecond
			e.retrials.try = func(ctx context.Context, dir string, workers int, p pace) (*Retrial, error) {
				<-ctx.Done()
				return retry(ctx, dir, workers, p)
			}
		}, "", false, "within 1ms", "was not judged again"},
		{"that it is to wait no longer", func(_ *testing.T, e *evidence, _ string) {
			e.retrials.pace = func(context.Context, time.Duration) error { return errors.New("it waits no longer") }
		}, "", false, "it waits no longer", "was not judged again"},
		{"a spoilt block", func(t *testing.T, _ *evidence, dir string) {
			content, err := pack([]byte("no block"))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, blockFile(x.Height)), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "invalid", false, "", "THE EVIDENCE LEADS TO ANOTHER VERDICT"},
		{"headers that are gone", func(t *testing.T, _ *evidence, dir string) {
			if err := os.Remove(filepath.Join(dir, headersFile)); err != nil {
				t.Fatal(err)
			}
		}, "", false, headersFile, "was not judged again"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var logged lockedBuffer
			e := newEvidence(t, filepath.Join(t.TempDir(), "evidence"), 1, 1<<30)
			e.retrials.log = slog.New(slog.NewTextHandler(&logged, nil))
			dir, err := e.keep(t.Context(), &Report{Verdict: blockval.Verdict{Hash: x.Hash, Height: x.Height}, Outcome: Differ}, []exhibit{x})
			if err != nil {
				t.Fatal(err)
			}
			tt.prepare(t, e, dir)
			before := readVerdict(t, dir)
			e.tryAgain(t.Context(), <-e.retrials.waiting)
			b := readVerdict(t, dir)
			if a := b.Again; a.Verdict != tt.verdict || a.Same != tt.same || !strings.Contains(a.Failure, tt.failure) || (a.Failure == "") != (tt.failure == "") {
				t.Errorf("it says: %+v", a)
			}
			if !strings.Contains(logged.String(), tt.logged) {
				t.Errorf("the log is\n%s", logged.String())
			}
			if b.Again = before.Again; b.Hash != before.Hash || !b.Written.Equal(before.Written) || len(b.Blocks) != len(before.Blocks) || !b.Outrider.same(&before.Outrider) {
				t.Errorf("verdict.json was\n%+v\nand is\n%+v", before, b)
			}
			if files, err := fs.Glob(os.DirFS(dir), "*"); err != nil || len(files) != 4 && tt.failure != headersFile {
				t.Errorf("its files are %q (%v)", files, err)
			}
		})
	}
}

// Of a flood of differences all have their bundle, and the last ones say that they are
// not judged again. A bundle that has made room meanwhile is no trouble.
func TestRetrialsAreBounded(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "evidence")
	e := newEvidence(t, dir, maxRetrials+2, 1<<30)
	for height := range uint32(maxRetrials + 1) {
		r, exhibits := anExhibit(height, 1000)
		path, err := e.keep(t.Context(), r, exhibits)
		if err != nil {
			t.Fatal(err)
		}
		want := untried
		if height == maxRetrials {
			want = crowded
		}
		if b := readVerdict(t, path); b.Again.Failure != want {
			t.Errorf("bundle %d says %q, want %q", height, b.Again.Failure, want)
		}
	}
	gone := <-e.retrials.waiting
	if err := os.RemoveAll(filepath.Join(dir, gone)); err != nil {
		t.Fatal(err)
	}
	e.tryAgain(t.Context(), gone)
	if _, err := os.Stat(filepath.Join(dir, gone)); err == nil {
		t.Error("a bundle that had gone is there again")
	}
	if heights, _ := bundlesIn(t, dir); len(heights) != maxRetrials {
		t.Errorf("there are %d bundles, want %d", len(heights), maxRetrials)
	}
}

// What a bundle may take is bounded by the work, and not by how long that is kept waiting,
// whatever an operator sets meanwhile.
func TestRetrialIsBoundByItsWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var least atomic.Int64
		e := newElastic(&least, perfcore.Discard)
		for _, tt := range []struct {
			pace   pace
			pieces int
			whole  bool
		}{
			{e.pace(elasticEvidence), 600, true}, {e.pace(elasticEvidence), 1300, false}, {nil, 1100, true}, {nil, 1300, false},
		} {
			e.set(100)
			ctx, at, end := bound(t.Context(), 20*time.Minute, tt.pace)
			var err error
			for i := 0; i < tt.pieces && err == nil; i++ {
				if i == 10 {
					e.set(5)
				}
				time.Sleep(time.Second)
				err = at(ctx, time.Second)
			}
			if whole := err == nil && ctx.Err() == nil; whole != tt.whole {
				t.Errorf("of %d seconds of work, within twenty minutes: %v, %v", tt.pieces, err, ctx.Err())
			}
			if end(); ctx.Err() == nil {
				t.Error("it does not end")
			}
		}
		ctx, _, end := bound(t.Context(), time.Minute, nil)
		defer end()
		time.Sleep(time.Minute + time.Second)
		if ctx.Err() == nil {
			t.Error("what never comes to the end of a piece goes on for ever")
		}
	})
}

// BenchmarkEvidence measures what the judge does for a bundle on a block of mainnet's
// shape, and what is done beside it, on one core.
func BenchmarkEvidence(b *testing.B) {
	made, err := testvectors.Generate(testvectors.Generation{Seed: 1})
	if err != nil {
		b.Fatal(err)
	}
	var chain header.Chain
	for _, h := range made.Headers {
		chain = append(chain, header.Header(h))
	}
	block, err := blockval.Parse(made.Block)
	if err != nil {
		b.Fatal(err)
	}
	x := exhibit{Tip: node.Tip{Hash: block.Hash, Height: made.Height}, header: block.Header, raw: made.Block, ancestors: chain, taken: true}
	x.told.knew = true
	spent := made.Spent
	for _, tx := range block.Msg.Transactions[1:] {
		for _, in := range tx.TxIn {
			if s := spent[0]; s.Height < made.Height {
				x.told.ops = append(x.told.ops, wire.OutPoint(in.PreviousOutPoint))
				x.told.answers = append(x.told.answers, utxocache.Answer{State: utxocache.Unspent, Own: true, Coin: utxocache.Coin{
					Value: s.Value, Script: s.Script, Height: s.Height, Coinbase: s.Coinbase,
				}})
			}
			spent = spent[1:]
		}
	}
	params, err := blockval.ParamsFor(made.Network)
	if err != nil {
		b.Fatal(err)
	}
	var kept, tried time.Duration
	for b.Loop() {
		e := &evidence{
			dir: filepath.Join(b.TempDir(), "evidence"), bundles: 1, bytes: 1 << 30, params: params,
			about:    func(context.Context) (v bundleVersions, n bundleNode) { return v, n },
			retrials: newRetrials(nil, slog.New(slog.DiscardHandler)),
		}
		began := time.Now()
		dir, err := e.keep(b.Context(), &Report{Verdict: blockval.Verdict{Hash: x.Hash, Height: x.Height}, Outcome: Differ}, []exhibit{x})
		if err != nil {
			b.Fatal(err)
		}
		kept += time.Since(began)
		began = time.Now()
		r, err := retry(b.Context(), dir, 1, nil)
		if err != nil || !r.Same {
			b.Fatalf("judged again: %+v (%v)", r, err)
		}
		tried += time.Since(began)
	}
	b.ReportMetric(kept.Seconds()/float64(b.N), "s-written")
	b.ReportMetric(tried.Seconds()/float64(b.N), "s-judged-again")
	b.ReportMetric(float64(len(made.Block)), "bytes")
}
