package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sidecar/node"
	"github.com/outrider-project/outrider/sidecar/node/zmq"
)

// A feedRun is a feed of a bitcoind's events in this process, with a handler that
// only keeps accounts.
type feedRun struct {
	node     *node.Bitcoind
	headers  *node.Headers
	feed     *node.Feed
	registry perfcore.Registry
	account  account

	cancel context.CancelFunc
	wg     sync.WaitGroup
	ended  chan struct{} // closed when the feed has ended, and err says why
	err    error
}

const (
	// feedCheck is how often a feedRun compares its tip and the size of its
	// mempool with the node's: only so is a loss found that nothing follows.
	feedCheck = time.Second
	// feedRest is how long after the last of the traffic chain and mempool may
	// take to be the node's.
	feedRest = time.Minute
)

// runFeed starts a feed that keeps its headers in dir and subscribes to
// notifications so, and waits until it follows every step of the node.
func runFeed(ctx context.Context, core *coreNode, dir string, subscription zmq.Options) (*feedRun, error) {
	params, err := header.For("regtest")
	if err != nil {
		return nil, err
	}
	r := &feedRun{ended: make(chan struct{})}
	r.account.pool = make(map[chainhash.Hash]struct{})
	r.node, err = node.NewBitcoind(node.BitcoindConfig{
		Address: core.rpc, CookieFile: core.cookie(), Recorder: &r.registry, Subscription: subscription,
	})
	if err != nil {
		return nil, err
	}
	if r.headers, _, err = node.OpenHeaders(filepath.Join(dir, "headers.dat"), params, time.Now); err != nil {
		r.node.Close()
		return nil, err
	}
	r.feed = node.NewFeed(r.node, r.headers, node.FeedOptions{Poll: feedCheck, Resync: feedCheck, Recorder: &r.registry})
	ctx, r.cancel = context.WithCancel(ctx)
	r.wg.Go(func() {
		defer close(r.ended)
		r.err = r.feed.Run(ctx, nil, r.account.handle)
	})
	if _, err := r.settle(ctx, core); err != nil {
		return nil, errors.Join(err, r.stop())
	}
	if s := r.feed.Status(); !s.Sequenced {
		return nil, errors.Join(fmt.Errorf("the feed does not follow the node's steps: %+v", s), r.stop())
	}
	return r, nil
}

// stop ends the feed and waits for it.
func (r *feedRun) stop() error {
	r.cancel()
	r.wg.Wait()
	r.node.Close()
	return r.headers.Close()
}

// settle waits until the feed is in step with the node, and chain and mempool as
// its events have them are the node's; for feedRest at most. It returns in how
// many transactions and blocks they differ then.
func (r *feedRun) settle(ctx context.Context, core *coreNode) (differences int, err error) {
	for deadline := time.Now().Add(feedRest); ; {
		differences, err := r.differences(ctx, core)
		s := r.feed.Status()
		if err != nil || differences == 0 && s.Sequenced && s.Err == nil || time.Now().After(deadline) {
			return differences, err
		}
		select {
		case <-r.ended:
			return 0, fmt.Errorf("the feed ended: %w", r.err)
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// differences compares what the events so far add up to with the node.
func (r *feedRun) differences(ctx context.Context, core *coreNode) (int, error) {
	var best string
	var pool []string
	if err := core.call(ctx, &best, "getbestblockhash"); err != nil {
		return 0, err
	}
	if err := core.call(ctx, &pool, "getrawmempool"); err != nil {
		return 0, err
	}
	return r.account.differences(best, pool), nil
}

// timer returns the distribution of the feed's times from notification to event.
func (r *feedRun) timer(of string) perfcore.Distribution {
	for _, s := range r.registry.Series() {
		if s.Metric.Name == "outrider_feed_step_seconds" && slices.Contains(s.Metric.Labels, of) {
			return s.Timer.Snapshot()
		}
	}
	return perfcore.Distribution{}
}

// count returns the sum of the counters of a name, whatever their labels.
func (r *feedRun) count(name string) (n uint64) {
	for _, s := range r.registry.Series() {
		if s.Metric.Name == name {
			n += s.Counter.Value()
		}
	}
	return n
}

// An account is what the events of a feed add up to. It is safe for concurrent
// use.
type account struct {
	mu   sync.Mutex // guards what follows
	tip  node.Tip
	pool map[chainhash.Hash]struct{}
	// misfits counts the events that do not follow from those before.
	misfits int
}

// handle is a node.Handler. It never fails.
func (a *account) handle(_ context.Context, ev node.Event) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	expect := func(fits bool) {
		if !fits {
			a.misfits++
		}
	}
	switch ev := ev.(type) {
	case node.Started:
		a.tip = ev.Tip
	case node.Connected:
		expect(ev.Header.Prev() == a.tip.Hash && ev.Height == a.tip.Height+1)
		a.tip = ev.Tip
		if ev.Block != nil {
			for _, txid := range ev.Block.Txids {
				delete(a.pool, txid)
			}
		}
	case node.Disconnected:
		// Which block is below it only the next event of the chain shows: the
		// benchmark has no reorganisations.
		expect(false)
	case node.MempoolAdded:
		_, have := a.pool[ev.Txid]
		expect(!have)
		a.pool[ev.Txid] = struct{}{}
	case node.MempoolRemoved:
		_, have := a.pool[ev.Txid]
		expect(have)
		delete(a.pool, ev.Txid)
	}
	return nil
}

// differences returns how many events did not fit, plus in how many blocks and
// transactions the account differs from a node with that tip and mempool, whose
// hashes are in display order: 1 for another tip, however far.
func (a *account) differences(best string, pool []string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.misfits
	if a.tip.Hash.String() != best {
		n++
	}
	both := 0
	for _, s := range pool {
		txid, err := chainhash.NewHashFromStr(s)
		if err != nil {
			n++
			continue
		}
		if _, have := a.pool[*txid]; have {
			both++
		} else {
			n++
		}
	}
	return n + len(a.pool) - both
}

// A sleeper reads notifications, but not while asleep is locked.
type sleeper struct{ asleep sync.RWMutex }

// subscription returns how to subscribe as s. A publisher that does not seem to
// answer is given a minute.
func (s *sleeper) subscription() zmq.Options {
	return zmq.Options{Dial: s.dial, PingTimeout: time.Minute}
}

func (s *sleeper) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &sleepyConn{c, &s.asleep}, nil
}

// A sleepyConn is a sleeper's connection.
type sleepyConn struct {
	net.Conn
	asleep *sync.RWMutex
}

// Read implements io.Reader.
func (c *sleepyConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.asleep.RLock()
	defer c.asleep.RUnlock()
	return n, err
}
