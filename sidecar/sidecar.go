// Package sidecar wires the parts into one program that rides beside a Bitcoin
// node: the feed tells what the node's chain does, the judge validates every
// block with its own engine and compares verdicts, the cache keeps the coins,
// and the web server tells of it all. It is the only package that knows them
// all, and it holds no rule of Bitcoin.
//
// One [Sidecar.Run] owns every goroutine: it starts the parts, the first to
// fail stops the rest, all are joined, and what must survive is synced last.
package sidecar

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/perfcore/collect"
	"github.com/outrider-project/outrider/sidecar/bitvm"
	"github.com/outrider-project/outrider/sidecar/bob"
	"github.com/outrider-project/outrider/sidecar/node"
	"github.com/outrider-project/outrider/sidecar/perf"
	"github.com/outrider-project/outrider/sidecar/web"
	"github.com/outrider-project/outrider/sigverify"
	"github.com/outrider-project/outrider/utxocache"
	"github.com/outrider-project/outrider/utxocache/coins"
)

// ringBlocks is how far back everything reaches: by how many blocks the coins can
// be taken back, how many are fetched again after a start, how deep a branch may
// fork to be judged, and how far below the node's tip a sidecar without a stored
// tip starts. It is two days. 288 times mainnet's block 866,342 (8,000 inputs,
// 10,300 outputs) measure 610 MiB of live coins, and close to 1 GiB resident with
// the garbage collector's share.
const ringBlocks = 288

// leastBlocks is how many of them the coins are kept of where memory is short: a day,
// and more blocks than are ever in flight.
const leastBlocks = 144

// A Sidecar is a configured sidecar.
type Sidecar struct {
	cfg      Config
	log      *slog.Logger
	onReport func(Report)
	node     node.Node
	registry *perfcore.Registry
	tuning   tuning
	perf     *perf.Performance // nil where it is off
	bob      *bob.Watch        // nil unless it is configured
	claims   claims
	bridges  *bitvm.Watch // nil unless there are any to watch
	web      *web.Server
	set      atomic.Pointer[coins.Set] // nil until the node's chain is followed
	parts    atomic.Pointer[[]tuned]   // with knobs, while it is

	status status
}

// New returns a sidecar that is ready to run: the node's certificate is read
// and the HTTP address taken, so that what can fail early does. onReport, if
// not nil, hears of every verdict, in order, and must return quickly. The
// caller runs the sidecar once, or closes it.
func New(cfg Config, log *slog.Logger, onReport func(Report)) (*Sidecar, error) {
	s, err := unserved(cfg, new(perfcore.Registry), log)
	if err != nil {
		return nil, err
	}
	s.onReport = onReport
	s.web, err = web.New(web.Config{
		Address: cfg.HTTP, AllowRemote: cfg.HTTPAllowRemote, Hosts: cfg.HTTPHosts,
		Registry: s.registry, Source: &s.status, Coins: s, Perf: s.perfHandler(), Log: s.log,
	})
	if err != nil {
		s.node.Close()
		return nil, err
	}
	return s, nil
}

// unserved returns a sidecar without a web server.
func unserved(cfg Config, registry *perfcore.Registry, log *slog.Logger) (*Sidecar, error) {
	s := &Sidecar{cfg: cfg, log: cmp.Or(log, slog.New(slog.DiscardHandler)), registry: registry}
	s.tuning.flight.Store(int64(cfg.FlightBlocks))
	s.tuning.mempoolShare.Store(int64(cfg.MempoolShare))
	s.tuning.elastic.Store(int64(cfg.ElasticFloor))
	s.status.begin(cfg)
	node.FeedDown(s.registry).Set(1)
	var err error
	if s.node, err = attach(cfg.Node, s.registry, s.log); err != nil {
		return nil, err
	}
	if s.perf, err = s.newPerformance(); err != nil {
		s.node.Close()
		return nil, err
	}
	if cfg.BOB.Enabled() {
		if s.bob, err = bob.New(cfg.BOB, s.node, s.registry); err != nil {
			s.node.Close()
			return nil, err
		}
		s.status.watch(s.bob)
	}
	if cfg.BitVM.Enabled() {
		if cfg.BitVM.Key != "" {
			cfg.BitVM.Claims = s.Claims().Verify
		}
		if s.bridges, err = bitvm.New(cfg.BitVM, s.node, s.registry, s.log, nil); err != nil {
			s.node.Close()
			return nil, err
		}
		s.status.bridge(s.bridges)
	}
	return s, nil
}

// Addr returns the address that the web server listens on.
func (s *Sidecar) Addr() string { return s.web.Addr() }

// Status returns what the web server tells.
func (s *Sidecar) Status() web.Status { return s.status.Status() }

// ShowRelay has the status and its page tell of the demo's Bitcoin relay, too. The function
// is called for each request, must answer quickly, and is safe for concurrent use; nil
// is a relay that is not there yet.
func (s *Sidecar) ShowRelay(relay func() *web.DemoRelay) { s.status.showRelay(relay) }

// Close frees what New took, when the sidecar will not be run.
func (s *Sidecar) Close() error {
	s.claims.close()
	s.node.Close()
	return s.web.Close()
}

// Run follows the node until ctx ends, and returns nil then; or until a part
// fails, and returns why.
func (s *Sidecar) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer s.node.Close()

	if err := lowerPriority(s.cfg.Nice); err != nil {
		s.log.Warn("running at normal priority: the node may be slowed", "err", err)
	}
	parts := map[string]func(context.Context) error{"web": s.web.Run, "follow": s.follow}
	if s.bob != nil {
		parts["bob"] = s.bob.Run
	}
	results := make(chan error, len(parts)+1)
	var others, telling sync.WaitGroup
	begin := func(wg *sync.WaitGroup, name string, run func(context.Context) error) {
		wg.Go(func() {
			err := run(ctx)
			switch {
			case ctx.Err() != nil && errors.Is(err, context.Canceled):
				err = nil // it was told to stop
			case err != nil:
				err = fmt.Errorf("%s: %w", name, err)
			}
			cancel(err) // the first part to return stops the rest
			results <- err
		})
	}
	for name, run := range parts {
		begin(&others, name, run)
	}
	counted := make(chan struct{})
	if s.perf != nil { // it raises alerts of what the others count until they have ended
		begin(&telling, "perf", func(ctx context.Context) error { return s.perf.Run(ctx, s.Addr(), counted) })
	}
	others.Wait()
	s.claims.close()
	close(counted)
	telling.Wait()
	close(results)
	var errs []error
	for err := range results {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// A wiring is the parts that follow a node, put together.
type wiring struct {
	network  string
	elastic  *elastic
	stored   *node.Tip   // where to begin; nil if that is for the feed to say
	state    *chainstate // nil in cache mode
	share    *tenancy
	judge    *judge
	feed     *node.Feed
	warmer   *warmer
	memory   *memory
	comparer *comparer // nil where nothing is compared
}

// follow attaches to the node and judges its blocks until ctx ends.
func (s *Sidecar) follow(ctx context.Context) error {
	params, err := s.attach(ctx)
	if err != nil {
		return err
	}
	return s.wire(ctx, params, s.ride)
}

// wire puts together what follows a node on the network of params, has use work
// with it, and takes it apart.
func (s *Sidecar) wire(ctx context.Context, params *blockval.Params, use func(context.Context, *wiring) error) (err error) {
	network := params.Name
	dir := filepath.Join(s.cfg.Datadir, network)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	unlock, err := LockDir(dir)
	if err != nil {
		return err
	}
	defer unlock()
	headers, cut, err := node.OpenHeaders(filepath.Join(dir, "headers.dat"), params.Params, time.Now)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, headers.Close()) }()
	if cut > 0 {
		s.log.Warn("the end of the header chain was torn and is cut off; it will be fetched again", "records", cut)
	}
	tip, err := openTip(filepath.Join(dir, "tip.dat"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tip.close()) }()
	left, err := openLeft(filepath.Join(dir, "left.dat"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, left.close()) }()
	genesis, err := headers.Hash(0)
	if err != nil {
		return err
	}
	system := collect.Linux()
	limit, headroom := divide(s.cfg.MemoryLimit, s.cfg.UTXOBytes, system.Limit())
	if asked, _ := divide(s.cfg.MemoryLimit, s.cfg.UTXOBytes, 0); limit < asked {
		s.log.Warn("the machine, or a control group, has less memory than memory-limit lets the program take", "bytes", limit, "memory_limit", asked)
	}
	share := &tenancy{limit: s.cfg.UTXOBytes + headroom, unit: unitOf(s.cfg.UTXOBytes + headroom)}
	share.blocks = newBlockRatio(share.limit, share.unit)
	elastic := newElastic(&s.tuning.elastic, s.registry)
	state, err := s.openChainstate(ctx, network, node.Tip{Hash: genesis}, share.blocks.refer, elastic)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, state.close()) }()
	budget := s.cfg.UTXOBytes
	if state != nil {
		budget -= s.cfg.DBBytes
		share.db = state.db
	}
	share.coins = newCoinRatio(budget, share.unit, s.registry)
	cache, err := utxocache.New(utxocache.Options{
		Blocks: ringBlocks, LeastBlocks: leastBlocks, Budget: budget, Recorder: s.registry, Refer: share.coins.refer,
	})
	if err != nil {
		return err
	}
	defer cache.Close()
	share.cache = cache

	set := coins.New(coins.Options{Cache: cache, DB: state.follows(), Origin: origin(s.node), Recorder: s.registry})
	asked := newAsking(s.registry)
	share.watch(set, asked, s.registry)
	s.set.Store(set)
	defer s.set.Store(nil)
	stored := tip.tip
	if state != nil {
		state.set = set
		if stored, err = state.begin(headers, stored); err != nil {
			return err
		}
	}

	verifier := sigverify.New(sigverify.Options{
		Workers: s.cfg.Workers, Path: s.cfg.SigPath, RecheckEvery: s.cfg.SigRecheck,
		Recorder: s.registry, Log: s.log,
	})
	defer verifier.Close()
	s.status.verify(verifier)

	evidence := &evidence{
		dir: filepath.Join(dir, "evidence"), bundles: s.cfg.EvidenceBundles, bytes: s.cfg.EvidenceBytes,
		params: params, about: s.about, retrials: newRetrials(elastic, s.log), metrics: newEvidenceMetrics(s.registry),
	}
	if err := evidence.tidy(); err != nil {
		s.log.Error("the evidence of earlier differences could not be looked through", "err", err)
	}
	s.status.keep(evidence)
	j := &judge{
		node: s.node, headers: headers, cache: cache, coins: set, state: state, stored: stored, tip: tip, left: left, ring: ringBlocks, log: s.log,
		validator: blockval.New(params, blockval.Options{
			Verifier: verifier, Workers: s.cfg.Workers, Recorder: s.registry,
		}),
		evidence:  evidence,
		asked:     asked,
		report:    s.publish,
		stand:     s.status.stand,
		metrics:   newJudgeMetrics(s.registry),
		condemned: make(map[chainhash.Hash]struct{}),
	}
	early := newEarly(set, &s.tuning.prefetch, s.registry)
	feed := node.NewFeed(s.node, headers, node.FeedOptions{
		Fetched: early.look, Announced: func() { s.announce(elastic) }, Poll: s.cfg.Poll, Resync: s.cfg.Resync, Branches: s.cfg.Branches,
		Depth: ringBlocks, Start: s.cfg.Start, Recorder: s.registry, Log: s.log,
	})
	j.trouble = feed.Trouble
	if state != nil {
		state.trouble = feed.Trouble
	}
	// It is not the one that remembers transactions.
	aside := blockval.New(params, blockval.Options{Verifier: verifier, Workers: 1, SeenBytes: 1, Recorder: s.registry})
	workers := cmp.Or(s.cfg.Workers, runtime.GOMAXPROCS(0))
	j.flight = newFlight(j, aside, workers, &s.tuning.flight, s.cfg.FlightBytes, s.registry)
	w := newWarmer(j, workers, &s.tuning.mempoolShare, s.registry)
	w.budget.elastic = elastic
	s.status.follow(network, feed, w)
	s.status.hold(state)

	memory, err := newMemory(limit, headroom, state, system, s.registry, s.log)
	if err != nil {
		return err
	}
	share.govern(memory.governor)
	parts := []tuned{share, verifier, j.validator, feed}
	if n, ok := s.node.(tuned); ok {
		parts = append(parts, n)
	}
	s.parts.Store(&parts)
	defer s.parts.Store(nil)
	wired := &wiring{
		network: network, elastic: elastic, stored: stored, state: state, share: share,
		judge: j, feed: feed, warmer: w, memory: memory,
	}
	if n, ok := s.node.(node.CoinHasher); ok && state != nil && s.cfg.Compare != CompareOff {
		wired.comparer = &comparer{
			node: n, db: state.db, follows: func() bool { return state.follows() != nil }, headers: headers, every: s.cfg.CompareEvery, scan: s.cfg.Compare == CompareScan,
			told: s.status.compare, log: s.log, metrics: newCompareMetrics(s.registry),
		}
	}
	return use(ctx, wired)
}

// ride has the parts judge the node's blocks until ctx ends.
func (s *Sidecar) ride(ctx context.Context, w *wiring) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer cancel(nil)
	beside.Go(func() {
		if err := w.judge.flight.run(ctx); err != nil {
			cancel(err) // the feed returns it
		}
	})
	beside.Go(func() { w.judge.evidence.run(ctx) })
	beside.Go(func() { w.warmer.run(ctx) })
	beside.Go(func() { w.elastic.run(ctx) })
	beside.Go(func() { w.share.coins.run(ctx) })
	beside.Go(func() { s.perform(ctx, w.network, w.feed, w.memory, w.share) })
	if w.state != nil {
		beside.Go(func() { w.share.blocks.run(ctx, w.state.count) })
		beside.Go(func() { w.state.run(ctx) })
	}
	if w.comparer != nil {
		beside.Go(func() { w.comparer.run(ctx) })
	}
	if s.bridges != nil {
		beside.Go(func() {
			if err := s.bridges.Run(ctx, w.network, filepath.Join(s.cfg.Datadir, w.network)); ctx.Err() == nil {
				cancel(fmt.Errorf("bitvm: %w", err)) // the feed returns it
			}
		})
	}
	if b, ok := s.node.(*node.Bitcoind); ok {
		beside.Go(func() { s.advisor(ctx, b) })
	}
	return w.feed.Run(ctx, w.stored, func(ctx context.Context, ev node.Event) error {
		if b, ok := ev.(node.Connected); ok {
			if !b.CatchUp { // as those that nobody has announced
				s.announce(w.elastic)
			}
			defer s.arrived(w.elastic)
		}
		if err := w.judge.handle(ctx, ev); err != nil {
			return err
		}
		w.warmer.hear(ev)
		if s.bridges != nil {
			s.bridges.Hear(ev)
		}
		return nil
	})
}

// announce tells those that make way for a block that one is at hand, and arrived that it is done
// with.
func (s *Sidecar) announce(e *elastic) { e.announce(); s.perf.Announce() }
func (s *Sidecar) arrived(e *elastic)  { e.arrived(); s.perf.Arrived() }

// attach waits until the node answers and returns what the rules take from its
// network.
func (s *Sidecar) attach(ctx context.Context) (*blockval.Params, error) {
	delay := 100 * time.Millisecond
	for said := ""; ; {
		told, err := networkOf(ctx, s.node)
		if err == nil {
			params, err := s.cfg.params(told)
			if err != nil {
				return nil, err
			}
			attrs := []any{"kind", s.cfg.Node.kind(), "node", s.cfg.Node.Address, "network", params.Name}
			if told.name == signet {
				attrs = append(attrs, "signet_challenge", hex.EncodeToString(params.SignetChallenge))
			}
			s.log.Info("attached", attrs...)
			if s.cfg.guesses(told) {
				s.log.Warn("the node does not tell which signet it is on: blocks are judged by the default signet's challenge; set signet-challenge if it is on another", "node", s.cfg.Node.Address)
			}
			return params, nil
		}
		s.status.trouble(err)
		if reason := reasonOf(err); reason != said {
			said = reason
			s.log.Warn("the node does not answer; trying again until it does", "node", s.cfg.Node.Address, "err", reason)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(delay):
		}
		delay = min(2*delay, 5*time.Second)
	}
}

// reasonOf returns what err says, without the ports of a broken connection: they
// are others each time.
func reasonOf(err error) string {
	said := err.Error()
	if broken, ok := errors.AsType[*net.OpError](err); ok {
		said = strings.Replace(said, broken.Error(), broken.Op+": "+broken.Err.Error(), 1)
	}
	return said
}

// about tells what judges, and beside which node. A btcd is asked for its name, for
// a moment.
func (s *Sidecar) about(ctx context.Context) (bundleVersions, bundleNode) {
	const moment = 2 * time.Second
	told := s.status.Status()
	v, n := thisMachine(), bundleNode{Kind: told.Node.Kind, Agent: told.Node.Agent}
	v.Signatures = told.Signatures.Path
	if btcd, ok := s.node.(*node.Btcd); ok {
		ctx, cancel := context.WithTimeout(ctx, moment)
		defer cancel()
		n.Agent, _ = btcd.Agent(ctx) // the alarm does not wait for it
	}
	return v, n
}

// publish tells of a verdict.
func (s *Sidecar) publish(r Report) {
	s.status.add(r)
	if s.onReport != nil {
		s.onReport(r)
	}
}
