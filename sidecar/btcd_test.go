package sidecar_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/sidecar"
	"github.com/outrider-project/outrider/sidecar/demo"
)

// reports collects what a sidecar reports.
type reports struct {
	mu      sync.Mutex // guards what follows
	byHash  map[chainhash.Hash]sidecar.Report
	all     []sidecar.Report
	changed chan struct{} // closed at every report
	ended   chan struct{} // closed when the sidecar has ended
}

func newReports() *reports {
	return &reports{byHash: make(map[chainhash.Hash]sidecar.Report), changed: make(chan struct{}), ended: make(chan struct{})}
}

func (r *reports) add(rep sidecar.Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byHash[rep.Verdict.Hash] = rep
	r.all = append(r.all, rep)
	close(r.changed)
	r.changed = make(chan struct{})
}

// forget makes await wait for another report on a block.
func (r *reports) forget(hash chainhash.Hash) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.byHash, hash)
}

// await waits for the report on a block.
func (r *reports) await(t *testing.T, what string, hash chainhash.Hash) sidecar.Report {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		r.mu.Lock()
		rep, ok := r.byHash[hash]
		changed := r.changed
		r.mu.Unlock()
		if ok {
			return rep
		}
		select {
		case <-changed:
		case <-r.ended:
			t.Fatalf("the sidecar ended before it judged %s, %v", what, hash)
		case <-deadline:
			t.Fatalf("waited in vain for the verdict on %s, %v", what, hash)
		}
	}
}

// TestBesideRealNodes rides beside a real btcd through 300 blocks of traffic
// of every kind, reorganisations of 1 to 20 blocks and invalid blocks of every
// kind that btcd keeps, and demands the same verdict on every one of them, and
// after each step the same answer about every coin that its blocks made or spent.
func TestBesideRealNodes(t *testing.T) {
	if testing.Short() {
		t.Skip("not checked with -short: agreement with a real btcd")
	}
	ctx := t.Context()
	btcd, err := demo.FindBtcd(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	network, err := demo.StartNetwork(ctx, demo.Config{Btcd: btcd, Dir: t.TempDir(), Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := network.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	got := newReports()
	s, stop := rideBeside(t, network.Nodes[0].RPC, got)
	coins := newCoinCheck(s, dialBtcd(t, network.Nodes[0].RPC))
	if err := network.Bootstrap(ctx); err != nil {
		t.Fatal(err)
	}
	stored := storedKinds()
	depth := uint32(0)
	for step := 1; step <= 300; step++ {
		if _, err := network.Step(ctx); err != nil {
			t.Fatal(err)
		}
		got.await(t, "a block", network.Tip().Hash)
		coins.checkBlock(t, network.Tip().Hash)
		if step%25 == 0 {
			t.Logf("step %d, height %d", step, network.Tip().Height)
		}
		switch {
		case step%15 == 0 && depth < demo.MaxReorg:
			depth++
			if _, err := network.Reorg(ctx, depth); err != nil {
				t.Fatal(err)
			}
			got.await(t, "the tip after a reorganisation", network.Tip().Hash)
			coins.checkLast(t)
		case step%15 == 7 && len(stored) > 0:
			submitInvalid(t, network, got, stored[0], uint32(step%4))
			stored = stored[1:]
		}
	}
	for _, kind := range stored {
		submitInvalid(t, network, got, kind, 1)
	}
	got.await(t, "the last tip", network.Tip().Hash)
	checkAll(t, got, network.Tip().Height)
	coins.checkAll(t)
	coins.tell(t)
	invalidate(t, network, got)
	_ = stop() // the cleanup tells of its error
}

// invalidate has the node's operator invalidate the tip, which the sidecar must
// not take for the node's own verdict.
func invalidate(t *testing.T, network *demo.Network, got *reports) {
	t.Helper()
	tip := network.Tip()
	got.forget(tip.Hash)
	if err := network.Nodes[0].Invalidate(t.Context(), tip.Hash); err != nil {
		t.Fatal(err)
	}
	rep := got.await(t, "the invalidated tip", tip.Hash)
	if rep.NodeValid || rep.Outcome != sidecar.Undecided || !strings.Contains(rep.Reason, "invalidateblock") {
		t.Errorf("an invalidated tip: %s, %q", rep.Outcome, rep.Reason)
	}
}

// rideBeside runs a sidecar from the first block on, beside a btcd. The function
// that it returns ends it.
func rideBeside(t *testing.T, at demo.Endpoint, got *reports) (s *sidecar.Sidecar, stop func() error) {
	t.Helper()
	return ride(t, sidecar.NodeConfig{Address: at.Address, User: at.User, Password: at.Password, Certificate: at.Certificate}, got)
}

// ride runs a sidecar from the first block on, in full mode. The function that it
// returns ends it, and so does the end of the test.
func ride(t *testing.T, node sidecar.NodeConfig, got *reports) (s *sidecar.Sidecar, stop func() error) {
	t.Helper()
	first := uint32(0)
	cfg := sidecar.DefaultConfig()
	cfg.Datadir, cfg.HTTP, cfg.Start, cfg.Nice = t.TempDir(), "127.0.0.1:0", &first, 0
	cfg.Node, cfg.Branches, cfg.UTXOMode = node, 100*time.Millisecond, sidecar.UTXOFull
	return rideWith(t, cfg, got)
}

// rideWith is ride with a configuration.
func rideWith(t *testing.T, cfg sidecar.Config, got *reports) (s *sidecar.Sidecar, stop func() error) {
	t.Helper()
	s, err := sidecar.New(cfg, slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo})), got.add)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { defer close(got.ended); err = s.Run(ctx) }()
	stop = func() error { cancel(); <-got.ended; return err }
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return s, stop
}

// storedKinds returns the kinds of invalid block that btcd keeps.
func storedKinds() []demo.InvalidKind {
	var kinds []demo.InvalidKind
	for _, k := range demo.InvalidKinds() {
		if k.Stored() {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

// submitInvalid has the node refuse a block, depth below the tip, and checks
// that the sidecar refuses it too, and for the right reason.
func submitInvalid(t *testing.T, network *demo.Network, got *reports, kind demo.InvalidKind, depth uint32) {
	t.Helper()
	above := min(depth, 1)
	br, err := network.SubmitInvalid(t.Context(), 0, kind, depth, above)
	if err != nil {
		t.Fatal(err)
	}
	rep := got.await(t, "an invalid block ("+kind.String()+")", br.Blocks[br.At].Hash)
	if rep.NodeValid || rep.Outcome != sidecar.Agree || rep.Verdict.Err == nil || string(rep.Verdict.Err.Rule) != kind.Reason() {
		t.Errorf("%v: %s, %v, want %s", kind, rep.Outcome, rep.Verdict.Err, kind.Reason())
	}
}

// checkAll fails the test unless every verdict agreed, on the sidecar's own
// word for the coins, and no block of the chain went without.
func checkAll(t *testing.T, got *reports, height uint32) {
	t.Helper()
	got.mu.Lock()
	defer got.mu.Unlock()
	heights := make(map[uint32]bool)
	signatures := 0
	for _, rep := range got.all {
		v := &rep.Verdict
		if rep.Outcome != sidecar.Agree || v.Valid() && v.Prevouts != blockval.Own && v.Inputs > 0 {
			t.Errorf("block %d %v: %s on the word of %q: %s", v.Height, v.Hash, rep.Outcome, v.Prevouts, rep.Reason)
		}
		heights[v.Height] = heights[v.Height] || rep.NodeValid
		signatures += v.Signatures
	}
	for h := uint32(1); h <= height; h++ {
		if !heights[h] {
			t.Errorf("no verdict on a block of height %d", h)
		}
	}
	t.Logf("%d verdicts, %d signatures, up to height %d", len(got.all), signatures, height)
}
