package node

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
	"github.com/outrider-project/outrider/sidecar/node/zmq"
)

// realRig is a feed that follows a real bitcoind.
type realRig struct {
	coreRig
	core *nodetest.RealCore
}

// followCore starts a feed of a real bitcoind's events.
func followCore(t *testing.T, core *nodetest.RealCore, o FeedOptions, change func(*BitcoindConfig)) *realRig {
	t.Helper()
	r := &realRig{core: core, coreRig: coreRig{ledger: newLedger(), registry: new(perfcore.Registry)}}
	r.headers, _ = openHeaders(t, filepath.Join(t.TempDir(), "headers.dat"))
	cfg := BitcoindConfig{
		Address: core.Addr(), CookieFile: core.CookieFile(), Recorder: r.registry,
		RetryDelay: 10 * time.Millisecond, SurveyInterval: 200 * time.Millisecond,
		Subscription: zmq.Options{ReconnectDelay: 10 * time.Millisecond, MaxReconnectDelay: 200 * time.Millisecond},
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	if r.node, err = NewBitcoind(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.node.Close)
	o.Recorder = r.registry
	r.feed = NewFeed(r.node, r.headers, o)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = r.feed.Run(ctx, nil, r.ledger.handle)
	}()
	r.stop = func() error { cancel(); <-done; return nil }
	t.Cleanup(func() { _ = r.stop() })
	return r
}

// notifiers returns the arguments of bitcoind that publish all topics, each at
// an address of its own or all at one.
func notifiers(t *testing.T, apart bool) (arguments []string) {
	address := nodetest.FreeZMQ(t)
	for _, topic := range zmq.Topics() {
		if apart {
			address = nodetest.FreeZMQ(t)
		}
		arguments = append(arguments, fmt.Sprintf("-zmqpub%s=%s", topic, address))
	}
	return arguments
}

const liveUnchecked = "the feed beside a live bitcoind: wallet traffic, replacement, a reorganisation by a second node, kill -9, an invalid block"

// TestRealCore runs the feed beside a live bitcoind.
func TestRealCore(t *testing.T) {
	program := nodetest.RealCoreProgram(t, liveUnchecked)
	socket := "unix:" + filepath.Join(t.TempDir(), "sequence")
	for name, arguments := range map[string][]string{
		"REST, ZeroMQ at one address":   append(notifiers(t, false), "-rest=1"),
		"ZeroMQ at an address for each": notifiers(t, true),
		"ZeroMQ by a Unix socket":       {"-zmqpubsequence=" + socket, "-rest=1"},
		"hashblock alone":               {"-zmqpubhashblock=" + nodetest.FreeZMQ(t)},
		"neither REST nor ZeroMQ":       nil,
	} {
		t.Run(name, func(t *testing.T) { testRealCore(t, program, arguments) })
	}
}

func testRealCore(t *testing.T, program string, arguments []string) {
	core := nodetest.NewRealCore(t, program, arguments...)
	other := nodetest.NewRealCore(t, program)
	core.Connect(other)
	core.Mine(110)
	o := quick()
	r := followCore(t, core, o, nil)
	r.ledger.awaitChain(t, core)
	sequenced := slices.ContainsFunc(arguments, func(a string) bool { return len(a) > 15 && a[:15] == "-zmqpubsequence" })
	settle := func() {
		t.Helper()
		if sequenced {
			r.awaitSteps(t)
		}
		r.ledger.awaitChain(t, core)
	}
	settle()

	// Wallet traffic of all kinds, and a replacement.
	for round := range 3 {
		for _, kind := range []string{"legacy", "p2sh-segwit", "bech32", "bech32m"} {
			core.Send(kind, 0.1)
		}
		replaced := core.Send("bech32", 0.5)
		core.Call(nil, "bumpfee", replaced)
		settle()
		core.Mine(1 + round)
		settle()
	}

	// A branch of the second node's overtakes the first one's.
	for depth := 1; depth <= 20; depth += 6 {
		awaitSameTip(t, core, other)
		core.Disconnect(other)
		core.Send("bech32m", 0.2)
		core.Mine(depth)
		settle()
		r.ledger.mu.Lock()
		r.ledger.events = nil
		tip := int(r.ledger.tip().Height)
		r.ledger.mu.Unlock()
		other.Mine(depth + 2)
		core.Connect(other)
		awaitSameTip(t, core, other)
		settle()
		var want []string
		for i := range depth {
			want = append(want, fmt.Sprintf("D%d", tip-i))
		}
		for i := range depth + 2 {
			want = append(want, fmt.Sprintf("C%d", tip-depth+1+i))
		}
		r.ledger.mu.Lock()
		if got := r.ledger.events; sequenced && !slices.Equal(got, want) {
			t.Errorf("depth %d: events %v, want %v", depth, got, want)
		}
		r.ledger.mu.Unlock()
	}

	// A block that bitcoind calls invalid.
	bad := core.SubmitInvalid()
	r.ledger.await(t, "the invalid block", func() bool { return slices.Contains(r.ledger.rejected, bad) })

	// The node is killed, and comes back with another chain.
	for range 2 {
		core.Send("bech32", 0.3)
		core.Mine(1)
		settle()
		core.Disconnect(other)
		core.Kill()
		other.Mine(4)
		core.Start()
		core.Connect(other)
		awaitSameTip(t, core, other)
		core.Send("bech32", 0.3)
		settle()
	}
	r.ledger.check(t)
	status := r.feed.Status()
	t.Logf("%d blocks disconnected, %d mempool resyncs, drift %d, %d gaps, %d desyncs, %d missed blocks",
		status.Disconnected, status.Resyncs, status.Drift, r.counter("outrider_node_zmq_gaps_total", ""),
		r.counter("outrider_feed_desyncs_total", ""), r.counter("outrider_feed_missed_blocks_total", ""))
}

// awaitSameTip waits until both nodes have the same best block.
func awaitSameTip(t *testing.T, a, b *nodetest.RealCore) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		var x, y string
		a.Call(&x, "getbestblockhash")
		b.Call(&y, "getbestblockhash")
		if x == y {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the nodes do not agree: %s and %s", x, y)
		}
	}
}

// A sleeper is a connection that is not read while asleep is locked.
type sleeper struct {
	net.Conn
	asleep *sync.RWMutex
}

func (c *sleeper) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p[:min(len(p), 512)])
	c.asleep.RLock()
	defer c.asleep.RUnlock()
	return n, err
}

// A subscriber that reads too slowly for bitcoind's default high-water mark
// loses messages of a large block, and every loss is detected.
func TestRealCoreSlowReader(t *testing.T) {
	program := nodetest.RealCoreProgram(t, "that no loss stays undetected with a slow reader and bitcoind's default high-water mark")
	// A Unix socket holds less than TCP does on loopback.
	socket := "unix:" + filepath.Join(t.TempDir(), "zmq")
	core := nodetest.NewRealCore(t, program, "-zmqpubsequence="+socket, "-zmqpubrawtx="+socket, "-rest=1")
	core.Mine(101)
	txs := core.Spendable(2001, 400)
	var asleep sync.RWMutex
	r := followCore(t, core, quick(), func(cfg *BitcoindConfig) {
		cfg.Subscription.PingTimeout = time.Minute
		cfg.Subscription.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &sleeper{conn, &asleep}, nil
		}
	})
	r.awaitSteps(t)
	r.ledger.awaitChain(t, core)
	for _, tx := range txs[:len(txs)-1] {
		core.Submit(tx)
	}
	r.ledger.awaitChain(t, core)
	asleep.Lock()
	core.Mine(1)
	asleep.Unlock()
	core.Submit(txs[len(txs)-1])
	r.ledger.awaitChain(t, core)
	r.ledger.check(t)
	gaps := r.counter("outrider_node_zmq_gaps_total", "")
	t.Logf("%d gaps, %d messages missed", gaps, r.counter("outrider_node_zmq_missed_total", ""))
	if gaps == 0 {
		t.Error("no message was lost: the reader was not slow")
	}
}
