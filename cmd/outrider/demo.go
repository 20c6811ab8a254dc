package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/outrider-project/outrider/sidecar"
	"github.com/outrider-project/outrider/sidecar/demo"
)

// stopPatience bounds the orderly end of the demo's nodes.
const stopPatience = 20 * time.Second

func demoVerb(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	stdout = &lockedWriter{w: stdout}
	fs := flag.NewFlagSet("outrider demo", flag.ContinueOnError)
	var (
		btcd     = fs.String("btcd", "", "btcd `program` (default: beside this one, or built from its module)")
		http     = fs.String("http", sidecar.DefaultConfig().HTTP, "`host:port` of the dashboard, API and metrics")
		interval = fs.Duration("interval", 2*time.Second, "`time` between blocks")
		blocks   = fs.Int("blocks", 0, "end after this `number` of blocks of traffic (default: when interrupted)")
		seed     = fs.Uint64("seed", 1, "what decides keys, transactions and choices, a `number`")
	)
	if err := parse(fs, args, stderr); err != nil {
		return err
	}
	if *interval < 0 || *blocks < 0 {
		return &usageError{errors.New("--interval and --blocks must not be negative")}
	}
	dir, err := os.MkdirTemp("", "outrider-demo-")
	if err != nil {
		return err
	}
	err = runDemo(ctx, demoOptions{dir: dir, btcd: *btcd, http: *http, interval: *interval, blocks: *blocks, seed: *seed}, stdout, stderr)
	return errors.Join(err, os.RemoveAll(dir))
}

// A lockedWriter lets goroutines write whole lines to w.
type lockedWriter struct {
	mu sync.Mutex // held during a write to w
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

type demoOptions struct {
	dir, btcd, http string
	interval        time.Duration
	blocks          int
	seed            uint64
}

// runDemo starts the nodes, rides beside the first of them, and keeps them
// busy until ctx ends.
func runDemo(ctx context.Context, o demoOptions, stdout, stderr io.Writer) (err error) {
	fmt.Fprintln(stdout, "finding or building btcd …")
	program, err := demo.FindBtcd(ctx, o.btcd)
	if err != nil {
		return interrupted(ctx, err)
	}
	fmt.Fprintln(stdout, "starting three btcd nodes on a regtest network of their own …")
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	network, err := demo.StartNetwork(ctx, demo.Config{Btcd: program, Dir: o.dir, Seed: o.seed, Log: log})
	if err != nil {
		return interrupted(ctx, err)
	}
	defer func() {
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopPatience)
		defer cancel()
		err = errors.Join(err, network.Stop(stopCtx))
	}()

	at := network.Nodes[0].RPC
	cfg := sidecar.DefaultConfig()
	cfg.Datadir, cfg.HTTP = filepath.Join(o.dir, "outrider"), o.http
	cfg.Node = sidecar.NodeConfig{Address: at.Address, User: at.User, Password: at.Password, Certificate: at.Certificate}
	first := uint32(0)
	cfg.Start, cfg.Branches, cfg.Nice = &first, time.Second, 0
	judged := lastJudged{changed: make(chan struct{})}
	s, err := sidecar.New(cfg, log, func(r sidecar.Report) {
		printReport(stdout, &r)
		if r.NodeValid {
			judged.set(r.Verdict.Hash.String())
		}
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "riding beside %s; dashboard at http://%s; end with Ctrl-C\n", at.Address, s.Addr())

	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	var riding error
	wg.Go(func() { defer cancel(); riding = s.Run(ctx) })
	driving := drive(ctx, network, &o, stdout)
	if driving == nil && ctx.Err() == nil {
		tip := network.Tip()
		if driving = judged.await(ctx, tip.Hash.String()); driving == nil {
			fmt.Fprintf(stdout, "that was all, and all is judged up to block %d\n", tip.Height)
		}
	}
	cancel()
	wg.Wait()
	return errors.Join(riding, interrupted(ctx, driving))
}

// lastJudged is the block of the best chain that was judged last.
type lastJudged struct {
	mu      sync.Mutex // guards what follows
	hash    string
	changed chan struct{} // closed, and replaced, when hash is another
}

func (l *lastJudged) set(hash string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hash = hash
	close(l.changed)
	l.changed = make(chan struct{})
}

// judgePatience bounds the wait for the last verdict.
const judgePatience = 30 * time.Second

// await waits until the block with this hash is the one that was judged last.
func (l *lastJudged) await(ctx context.Context, hash string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, judgePatience, fmt.Errorf("block %s was not judged within %v", hash, judgePatience))
	defer cancel()
	for {
		l.mu.Lock()
		last, changed := l.hash, l.changed
		l.mu.Unlock()
		if last == hash {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// interrupted returns nil for an error that is only ctx's end.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// drive makes blocks of traffic, and a reorganisation now and then.
func drive(ctx context.Context, network *demo.Network, o *demoOptions, stdout io.Writer) error {
	if err := network.Bootstrap(ctx); err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(o.seed, 0))
	for n := 1; ; n++ {
		var err error
		if n%8 == 0 {
			depth := 1 + uint32(rng.IntN(3))
			fmt.Fprintf(stdout, "reorganisation: a branch of %d blocks overtakes the last %d\n", depth+1, depth)
			_, err = network.Reorg(ctx, depth)
		} else {
			_, err = network.Step(ctx)
		}
		if err != nil || n == o.blocks {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(o.interval):
		}
	}
}

// printReport writes the line of one block.
func printReport(w io.Writer, r *sidecar.Report) {
	v := &r.Verdict
	took := r.Took
	if r.CatchUp {
		s := v.Stages
		took = s.Parse + s.Lookup + s.Rules + s.Scripts
	}
	says := "both call it valid"
	switch {
	case r.Outcome != sidecar.Agree:
		says = r.Reason
	case !r.NodeValid:
		says = "both call it invalid: " + v.Err.Error()
	}
	fmt.Fprintf(w, "block %6d  %4d transactions  %5d inputs  %5d signatures  %8.1f ms  %-9s  %s\n",
		v.Height, v.Transactions, v.Inputs, v.Signatures, float64(took.Microseconds())/1e3, r.Outcome, says)
}
