package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/outrider-project/outrider/sidecar"
	"github.com/outrider-project/outrider/sidecar/demo"
	"github.com/outrider-project/outrider/sidecar/web"
)

// stopPatience bounds the orderly end of the demo's nodes.
const stopPatience = 20 * time.Second

func demoVerb(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	stdout = &lockedWriter{w: stdout}
	fs := flag.NewFlagSet("outrider demo", flag.ContinueOnError)
	var (
		btcd     = fs.String("btcd", "", "btcd `program` (default: beside this one, or built from its module)")
		http     = fs.String("http", sidecar.DefaultConfig().HTTP, "`host:port` of the dashboard, API and metrics")
		l2       = fs.String("l2", "127.0.0.1:0", "`host:port`, of the loopback, of the JSON-RPC of the Ethereum chain that has the Bitcoin relay; port 0 is a free one")
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
	err = runDemo(ctx, demoOptions{dir: dir, btcd: *btcd, http: *http, l2: *l2, interval: *interval, blocks: *blocks, seed: *seed}, stdout, stderr)
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
	dir, btcd string
	http, l2  string
	interval  time.Duration
	blocks    int
	seed      uint64
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
	told := lastHash{changed: make(chan struct{})}
	relay, err := demo.NewRelay(demo.RelayConfig{Report: func(s demo.RelayState) {
		printRelay(stdout, &s)
		told.set(s.Hash.String())
	}})
	if err != nil {
		return err
	}
	l2, err := net.Listen("tcp", o.l2)
	if err != nil {
		return &usageError{fmt.Errorf("--l2: %w", err)}
	}
	defer l2.Close() // if it was not handed on
	network, err := demo.StartNetwork(ctx, demo.Config{Btcd: program, Dir: o.dir, Seed: o.seed, Follow: relay.Follow, Log: log})
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
	judged := lastHash{changed: make(chan struct{})}
	s, err := sidecar.New(cfg, log, func(r sidecar.Report) {
		printReport(stdout, &r)
		if r.NodeValid {
			judged.set(r.Verdict.Hash.String())
		}
	})
	if err != nil {
		return err
	}
	s.ShowRelay(relayShown(relay, l2.Addr()))
	fmt.Fprintf(stdout, "riding beside %s; dashboard at http://%s; a Bitcoin relay on an Ethereum chain at http://%s; end with Ctrl-C\n",
		at.Address, s.Addr(), l2.Addr())

	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	var riding, telling error
	wg.Go(func() { defer cancel(); riding = s.Run(ctx) })
	wg.Go(func() { defer cancel(); telling = relay.Run(ctx, l2) })
	driving := drive(ctx, network, &o, stdout)
	if driving == nil && ctx.Err() == nil {
		tip := network.Tip()
		driving = cmp.Or(judged.await(ctx, "judged", tip.Hash.String()), told.await(ctx, "told to the relay", tip.Hash.String()))
		if driving == nil {
			fmt.Fprintf(stdout, "that was all, and all is judged, and told to the relay, up to block %d\n", tip.Height)
		}
	}
	cancel()
	wg.Wait()
	return errors.Join(riding, telling, interrupted(ctx, driving))
}

// lastHash is the block of the best chain that was judged last, or told to the relay.
type lastHash struct {
	mu      sync.Mutex // guards what follows
	hash    string
	changed chan struct{} // closed, and replaced, when hash is another
}

func (l *lastHash) set(hash string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hash = hash
	close(l.changed)
	l.changed = make(chan struct{})
}

// lastPatience bounds the wait for the last block.
const lastPatience = 30 * time.Second

// await waits until the block with this hash is the last; done is what is done with it
// then.
func (l *lastHash) await(ctx context.Context, done, hash string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, lastPatience, fmt.Errorf("block %s was not %s within %v", hash, done, lastPatience))
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

// printRelay writes the line of what the relay was told.
func printRelay(w io.Writer, s *demo.RelayState) {
	if s.Headers == 0 {
		fmt.Fprintf(w, "relay %6d  deployed as %#x in block %d of chain %d, with block %d of Bitcoin\n", s.Height, s.Address, s.Block, s.ChainID, s.First)
		return
	}
	fmt.Fprintf(w, "relay %6d  %4d headers  %8d gas  %8.1f ms after its block, in block %d of chain %d; Bitcoin is at %d, %d ahead\n",
		s.Height, s.Headers, s.Gas, float64(s.Took.Microseconds())/1e3, s.Block, s.ChainID, s.Bitcoin, s.Behind)
}

// relayShown tells the dashboard of the relay, whose chain answers at l2.
func relayShown(relay *demo.Relay, l2 net.Addr) func() *web.DemoRelay {
	return func() *web.DemoRelay {
		s, ok := relay.State()
		if !ok {
			return nil
		}
		return &web.DemoRelay{
			ChainID: s.ChainID, RPC: "http://" + l2.String(), Address: fmt.Sprintf("%#x", s.Address),
			BlockID:       web.BlockID{Height: s.Height, Hash: s.Hash.String()},
			BitcoinHeight: s.Bitcoin, Behind: s.Behind,
		}
	}
}
