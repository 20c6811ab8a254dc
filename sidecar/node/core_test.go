package node

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
	"github.com/outrider-project/outrider/sidecar/node/zmq"
)

// coreRig is a feed that follows a fake bitcoind.
type coreRig struct {
	core     *nodetest.Core
	node     *Bitcoind
	headers  *Headers
	feed     *Feed
	ledger   *ledger
	registry *perfcore.Registry
	stop     func() error
}

// publications are ways to configure bitcoind's notifiers.
var publications = map[string][][]string{
	"everything at one address": {zmq.Topics()},
	"an address for each":       {{"sequence"}, {"hashblock"}, {"rawblock"}, {"hashtx"}, {"rawtx"}},
	"sequence alone":            {{"sequence"}},
	"sequence and rawtx apart":  {{"sequence", "hashblock"}, {"rawtx"}},
	"hashblock alone":           {{"hashblock"}},
	"rawblock and rawtx":        {{"rawblock", "rawtx"}},
	"transactions alone":        {{"hashtx", "rawtx"}},
	"nothing":                   nil,
}

func newCoreRig(t *testing.T, co nodetest.CoreOptions, fo FeedOptions, change func(*BitcoindConfig)) *coreRig {
	t.Helper()
	r := &coreRig{core: nodetest.NewCore(t, co), ledger: newLedger(), registry: new(perfcore.Registry)}
	r.headers, _ = openHeaders(t, filepath.Join(t.TempDir(), "headers.dat"))
	cfg := BitcoindConfig{
		Address: r.core.Addr(), CookieFile: r.core.CookieFile(), Recorder: r.registry,
		CallTimeout: time.Second, BulkTimeout: time.Second, RetryDelay: time.Millisecond,
		SurveyInterval: 30 * time.Millisecond,
		Subscription: zmq.Options{
			HandshakeTimeout: time.Second, PingInterval: 100 * time.Millisecond, PingTimeout: 200 * time.Millisecond,
			ReconnectDelay: time.Millisecond, MaxReconnectDelay: 20 * time.Millisecond,
		},
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	if r.node, err = NewBitcoind(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.node.Close)
	fo.Recorder = r.registry
	r.feed = NewFeed(r.node, r.headers, fo)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = r.feed.Run(ctx, nil, r.ledger.handle)
	}()
	r.stop = func() error { cancel(); <-done; return err }
	t.Cleanup(func() { _ = r.stop() })
	return r
}

// counter returns the sum of a counter's series, of those with the label value
// if it is not empty.
func (r *coreRig) counter(name, value string) uint64 {
	var n uint64
	for _, s := range r.registry.Series() {
		if s.Metric.Name == name && (value == "" || slices.Contains(s.Metric.Labels, value)) {
			n += s.Counter.Value()
		}
	}
	return n
}

// awaitCounter waits until a counter has grown above n.
func (r *coreRig) awaitCounter(t *testing.T, name, value string, n uint64) {
	t.Helper()
	for deadline := time.Now().Add(patience); r.counter(name, value) <= n; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%s %s does not grow above %d", name, value, n)
		}
	}
}

// awaitSteps waits until the feed follows the node's steps.
func (r *coreRig) awaitSteps(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(patience); !r.feed.Status().Sequenced; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("the feed does not follow the node's steps")
		}
	}
}

// settle waits until the feed follows the node's steps and has nothing of before
// under way: until a transaction came as a step.
func (r *coreRig) settle(t *testing.T) {
	t.Helper()
	for {
		r.awaitSteps(t)
		before := r.feed.Status().Resyncs
		r.core.AddTxs(1)
		r.ledger.awaitChain(t, r.core)
		if s := r.feed.Status(); s.Sequenced && s.Resyncs == before {
			return
		}
	}
}

// Whatever bitcoind publishes, and with REST or without, chain and mempool are
// the node's.
func TestCoreFeed(t *testing.T) {
	for name, publish := range publications {
		for _, noREST := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, REST %v", name, !noREST), func(t *testing.T) {
				t.Parallel()
				r := newCoreRig(t, nodetest.CoreOptions{
					BitcoindOptions: nodetest.BitcoindOptions{NoREST: noREST}, Publish: publish,
				}, quick(), nil)
				r.core.Mine(110)
				r.ledger.awaitChain(t, r.core)
				for i := range 6 {
					r.core.AddTxs(1 + i)
					for txid := range r.core.Mempool() {
						r.core.RemoveTx(txid)
						break
					}
					r.ledger.awaitChain(t, r.core)
					r.core.Mine(1)
					r.core.AddTxs(1)
					r.core.Reorg(i, i+1)
					r.ledger.awaitChain(t, r.core)
				}
				r.ledger.check(t)
			})
		}
	}
}

// A feed that hears every step gives each of them, in order and at once: it does
// not ask for the tip or the mempool.
func TestCoreFeedFollowsSteps(t *testing.T) {
	o := quick()
	o.Poll, o.Resync, o.Branches = time.Hour, time.Hour, time.Hour
	r := newCoreRig(t, nodetest.CoreOptions{Publish: publications["everything at one address"]}, o, nil)
	r.core.Mine(120)
	r.settle(t)
	resyncs, asked := r.feed.Status().Resyncs, r.core.Calls("getblockchaininfo")
	desyncs := r.counter("outrider_feed_desyncs_total", "")
	for depth := 1; depth <= 20; depth++ {
		r.core.AddTxs(3)
		r.ledger.awaitChain(t, r.core)
		r.core.Mine(1)
		r.ledger.awaitChain(t, r.core)
		r.ledger.mu.Lock()
		r.ledger.events = nil
		tip := int(r.ledger.tip().Height)
		r.ledger.mu.Unlock()
		r.core.Reorg(depth, depth+1)
		r.ledger.awaitChain(t, r.core)
		var want []string
		for i := range depth {
			want = append(want, fmt.Sprintf("D%d", tip-i))
		}
		for i := range depth + 1 {
			want = append(want, fmt.Sprintf("C%d", tip-depth+1+i))
		}
		r.ledger.mu.Lock()
		if got := r.ledger.events; !slices.Equal(got, want) {
			t.Errorf("depth %d: events %v, want %v", depth, got, want)
		}
		r.ledger.mu.Unlock()
	}
	r.ledger.check(t)
	if got := r.feed.Status(); got.Resyncs != resyncs || got.Best != got.Tip || !got.Sequenced {
		t.Errorf("%d resyncs, best %v, tip %v, sequenced %v", got.Resyncs-resyncs, got.Best, got.Tip, got.Sequenced)
	}
	if n := r.core.Calls("getblockchaininfo") - asked; n > 0 {
		t.Errorf("the tip was asked for %d times", n)
	}
	if n := r.counter("outrider_feed_desyncs_total", "") - desyncs; n > 0 {
		t.Errorf("the steps did not add up %d times", n)
	}
	if r.ledger.raws == 0 {
		t.Error("no transaction came with its bytes")
	}
}

// Blocks that a block's conflicts precede, and blocks with transactions that
// nobody heard of: the numbers that are missing are explained by the blocks.
func TestCoreFeedExplainsNumbers(t *testing.T) {
	o := quick()
	o.Poll, o.Resync, o.Branches = time.Hour, time.Hour, time.Hour
	r := newCoreRig(t, nodetest.CoreOptions{Publish: publications["sequence alone"]}, o, nil)
	r.core.Mine(120)
	r.settle(t)
	resyncs := r.feed.Status().Resyncs
	for range 10 {
		r.core.AddTxs(8)
		r.core.MineConflicts(3)
		r.core.AddTxs(2)
		r.ledger.awaitChain(t, r.core)
	}
	r.ledger.check(t)
	if n := r.feed.Status().Resyncs - resyncs; n > 0 {
		t.Errorf("%d resyncs", n)
	}
}

// A message that is lost, doubled or out of order shows in the counters, and
// costs a comparison and nothing else.
func TestCoreFeedSeesGaps(t *testing.T) {
	for _, f := range []nodetest.ZMQFault{nodetest.ZMQDrop, nodetest.ZMQDouble, nodetest.ZMQSwap} {
		for _, what := range []string{"transactions", "blocks"} {
			t.Run(fmt.Sprintf("%v %s", f, what), func(t *testing.T) {
				o := quick()
				o.Poll, o.Resync, o.Branches = time.Hour, time.Hour, time.Hour
				r := newCoreRig(t, nodetest.CoreOptions{Publish: publications["sequence alone"]}, o, nil)
				r.core.Mine(110)
				r.awaitSteps(t)
				r.core.AddTxs(1) // the first message that is heard may have any counter
				for range 5 {
					r.awaitSteps(t)
					r.ledger.awaitChain(t, r.core)
					gaps := r.counter("outrider_node_zmq_gaps_total", "sequence")
					r.core.Publisher("sequence").Fault(f)
					if what == "blocks" {
						r.core.Mine(3)
					} else {
						r.core.AddTxs(3)
					}
					r.awaitCounter(t, "outrider_node_zmq_gaps_total", "sequence", gaps)
					r.ledger.awaitChain(t, r.core)
				}
				r.ledger.check(t)
			})
		}
	}
}

// What comes late, and is in the snapshot of the mempool that was made meanwhile,
// is passed over.
func TestCoreFeedPassesOverWhatItKnows(t *testing.T) {
	o := quick()
	o.Poll, o.Branches = time.Hour, time.Hour
	r := newCoreRig(t, nodetest.CoreOptions{Publish: publications["sequence alone"]}, o, func(cfg *BitcoindConfig) {
		cfg.Subscription.PingInterval, cfg.Subscription.PingTimeout = 20*time.Second, 20*time.Second
	})
	r.core.Mine(110)
	r.settle(t)
	desyncs := r.counter("outrider_feed_desyncs_total", "")
	r.core.Publisher("sequence").Freeze()
	r.core.AddTxs(20)
	r.ledger.awaitChain(t, r.core) // by the size of the mempool
	r.awaitSteps(t)
	r.core.Publisher("sequence").Thaw()
	r.core.AddTxs(1)
	r.ledger.awaitChain(t, r.core)
	r.ledger.check(t)
	if n := r.counter("outrider_feed_desyncs_total", "") - desyncs; n != 1 {
		t.Errorf("the steps did not add up %d times, want once", n)
	}
}

// Watch says where notifications are missing, between those that came.
func TestCoreWatchTellsOfGaps(t *testing.T) {
	for _, tt := range []struct {
		fault nodetest.ZMQFault
		want  []HintKind // for three transactions of which the second goes wrong
	}{
		{nodetest.ZMQDrop, []HintKind{HintTxAdded, HintMissed, HintTxAdded}},
		{nodetest.ZMQDouble, []HintKind{HintTxAdded, HintTxAdded, HintMissed, HintTxAdded, HintTxAdded}},
		{nodetest.ZMQSwap, []HintKind{HintTxAdded, HintMissed, HintTxAdded, HintMissed, HintTxAdded}},
	} {
		t.Run(tt.fault.String(), func(t *testing.T) {
			core := nodetest.NewCore(t, nodetest.CoreOptions{Publish: publications["sequence alone"]})
			core.Mine(110)
			cfg := bitcoindConfig(core.Bitcoind)
			cfg.SurveyInterval = time.Hour
			node, err := NewBitcoind(cfg)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(node.Close)
			ctx, cancel := context.WithCancel(t.Context())
			hints := make(chan Hint)
			done := make(chan error, 1)
			go func() { done <- node.Watch(ctx, hints) }()
			defer cancel()
			next := func() Hint {
				t.Helper()
				select {
				case h := <-hints:
					return h
				case <-time.After(patience):
					t.Fatal("no hint comes")
					return Hint{}
				}
			}
			if h := next(); h.Kind != HintConnected || !h.Sequenced {
				t.Fatalf("the first hint is %+v", h)
			}
			core.AddTxs(1)
			core.Publisher("sequence").Fault(tt.fault)
			core.AddTxs(2)
			for i, want := range tt.want {
				if h := next(); h.Kind != want || !h.Sequenced {
					t.Errorf("hint %d is %+v, want kind %d", i, h, want)
				}
			}
			cancel()
			for err == nil {
				select {
				case <-hints:
				case err = <-done:
				}
			}
			if err != context.Canceled {
				t.Errorf("Watch() = %v", err)
			}
		})
	}
}

// A notifier that died is found out, said, and done without until the node is
// started anew.
func TestCoreFeedOutlivesNotifiers(t *testing.T) {
	for _, name := range []string{"everything at one address", "an address for each"} {
		t.Run(name, func(t *testing.T) {
			r := newCoreRig(t, nodetest.CoreOptions{Publish: publications[name]}, quick(), nil)
			r.core.Mine(110)
			r.awaitSteps(t)
			r.ledger.awaitChain(t, r.core)
			for i, topic := range []string{"sequence", "hashblock", "rawblock"} {
				r.core.KillNotifier(topic)
				r.awaitCounter(t, "outrider_node_zmq_dead_notifiers_total", "", uint64(i))
				r.core.Mine(2)
				r.core.AddTxs(1)
				r.ledger.awaitChain(t, r.core)
			}
			if r.feed.Status().Sequenced {
				t.Error("the feed follows the steps of a dead notifier")
			}
			r.core.Restart(func() { r.core.Mine(1) })
			r.awaitSteps(t)
			r.core.Mine(1)
			r.core.AddTxs(1)
			r.ledger.awaitChain(t, r.core)
			r.ledger.check(t)
		})
	}
}

// A node that is started anew has other credentials, an empty mempool, and
// counts from the beginning; its chain may be another.
func TestCoreFeedOutlivesTheNode(t *testing.T) {
	r := newCoreRig(t, nodetest.CoreOptions{Publish: publications["everything at one address"]}, quick(), nil)
	r.core.Mine(130)
	for i := range 8 {
		r.awaitSteps(t)
		r.core.AddTxs(i)
		r.ledger.awaitChain(t, r.core)
		r.core.Restart(func() { r.core.Reorg(3*i, 3*i+i%2) })
		r.core.AddTxs(i % 3)
		r.core.Mine(i % 2)
		r.ledger.awaitChain(t, r.core)
	}
	r.ledger.check(t)
}

// A connection on which nothing comes any more is found out though nobody says
// that it ended.
func TestCoreFeedHalfOpen(t *testing.T) {
	o := quick()
	o.Poll, o.Resync, o.Branches = time.Hour, time.Hour, time.Hour
	r := newCoreRig(t, nodetest.CoreOptions{Publish: publications["sequence alone"]}, o, nil)
	r.core.Mine(110)
	r.awaitSteps(t)
	r.ledger.awaitChain(t, r.core)
	r.core.Publisher("sequence").Fault(nodetest.ZMQSilence)
	r.core.AddTxs(1)
	r.core.Mine(1)
	r.ledger.awaitChain(t, r.core)
	r.ledger.check(t)
}

// Counters wrap at 2^32.
func TestCoreFeedCounterWraps(t *testing.T) {
	o := quick()
	o.Poll, o.Resync, o.Branches = time.Hour, time.Hour, time.Hour
	r := newCoreRig(t, nodetest.CoreOptions{Publish: publications["sequence alone"]}, o, nil)
	r.core.Mine(110)
	r.core.Publisher("sequence").SetCounter("sequence", 1<<32-5)
	r.core.Mine(1) // a gap, unless it is the first that is heard
	r.awaitSteps(t)
	r.ledger.awaitChain(t, r.core)
	gaps := r.counter("outrider_node_zmq_gaps_total", "")
	r.core.AddTxs(10)
	r.core.Mine(2)
	r.ledger.awaitChain(t, r.core)
	r.ledger.check(t)
	if n := r.counter("outrider_node_zmq_gaps_total", "") - gaps; n > 0 {
		t.Errorf("%d gaps", n)
	}
}

// Addresses that are configured stand instead of those that the node names.
func TestCoreFeedConfiguredAddresses(t *testing.T) {
	o := quick()
	o.Poll, o.Resync, o.Branches = time.Hour, time.Hour, time.Hour
	hidden := nodetest.NewPublisher(t, nodetest.PublisherOptions{})
	r := newCoreRig(t, nodetest.CoreOptions{}, o, func(cfg *BitcoindConfig) {
		cfg.Notifiers = []Notifier{{Topic: "sequence", Address: hidden.Address()}}
	})
	// The node names an address that nobody can reach.
	r.core.SetNotifiers([]nodetest.Notifier{{Topic: "sequence", Address: "tcp://127.0.0.1:1"}})
	hidden.AwaitSubscriptions(t, 1)
	r.awaitSteps(t)
}

func TestBitcoindConfigNotifiers(t *testing.T) {
	valid := BitcoindConfig{Address: "127.0.0.1:1", CookieFile: "cookie"}
	for want, change := range map[string]func(*BitcoindConfig){
		"no topic \"blocks\"": func(c *BitcoindConfig) { c.Notifiers = []Notifier{{Topic: "blocks", Address: "tcp://127.0.0.1:2"}} },
		"begins with none":    func(c *BitcoindConfig) { c.Notifiers = []Notifier{{Topic: "sequence", Address: "127.0.0.1:2"}} },
		"ZeroMQ is off": func(c *BitcoindConfig) {
			c.NoZMQ, c.Notifiers = true, []Notifier{{Topic: "sequence", Address: "tcp://127.0.0.1:2"}}
		},
		"the duration -1s is negative": func(c *BitcoindConfig) { c.SurveyInterval = -time.Second },
	} {
		cfg := valid
		change(&cfg)
		if _, err := NewBitcoind(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
