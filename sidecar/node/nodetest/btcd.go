package nodetest

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
)

// The credentials that a Btcd accepts.
const (
	User     = "outrider"
	Password = "correct horse battery staple"
)

// BtcdOptions are what a Btcd can be made different in. The zero value is a
// btcd with TLS and a transaction index.
type BtcdOptions struct {
	// NoTLS serves plain HTTP, as btcd's --notls does, so that a proxy can
	// meddle with the bytes.
	NoTLS bool
	// NoTxIndex leaves out the transaction index, as btcd does by default.
	NoTxIndex bool
	// MaxClients is btcd's --rpcmaxclients: how many calls may be open at once
	// before the next is refused with 503. Default 10.
	MaxClients int
}

// A Btcd is a btcd on regtest, as far as its RPC server can tell: JSON-RPC over
// HTTPS and websocket on a loopback port, with answers of the real one's shape
// (testdata has recordings, and a test compares). Behind it is a tree of real
// blocks and a mempool, which the test moves with the methods below:
//
//	node := nodetest.NewBtcd(t, nodetest.BtcdOptions{})
//	node.Mine(100)                    // a chain with a coin that can be spent
//	node.AddTxs(3)                    // three transactions enter the mempool
//	node.Reorg(2, 3)                  // the top 2 blocks give way to 3 others
//	node.Branch(1, 2, nodetest.Invalid)
//	node.Restart(func() { node.Reorg(20, 21) })
//
// Notifications go out in btcd's order, a step at a time: between two of them a
// client may see any of the states on the way. All methods are safe for
// concurrent use.
type Btcd struct {
	opts     BtcdOptions
	listener *gateListener
	server   *http.Server
	cert     []byte
	done     sync.WaitGroup

	Tree // its mu guards what follows, too

	closed  bool
	rewrite func(method string, a Answer) Answer
	calls   map[string]int
	open    int // HTTP calls being served
	clients map[*wsClient]bool
	// subscribed is closed, and replaced, at every change of a subscription.
	subscribed chan struct{}
}

// An Answer is what an HTTP call is answered with.
type Answer struct {
	Status int
	Body   []byte
}

// NewBtcd starts a btcd whose chain is the genesis block, and stops it when the
// test ends.
func NewBtcd(tb testing.TB, opts BtcdOptions) *Btcd {
	tb.Helper()
	if opts.MaxClients == 0 {
		opts.MaxClients = 10
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("nodetest: %v", err)
	}
	b := &Btcd{
		opts:       opts,
		listener:   newGateListener(inner),
		calls:      make(map[string]int),
		clients:    make(map[*wsClient]bool),
		subscribed: make(chan struct{}),
	}
	b.plant(b)
	b.serve(tb)
	tb.Cleanup(b.Close)
	return b
}

// Close stops the node and waits for everything that it started. It may be
// called twice.
func (b *Btcd) Close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.listener.gate.open()
	b.server.Close()
	b.listener.dropAll()
	b.done.Wait()
}

// enter counts a goroutine that serves a connection in, unless the node is
// closed; b.done.Done counts it out.
func (b *Btcd) enter() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.done.Add(1)
	return true
}

// Addr returns the host and port of the RPC server.
func (b *Btcd) Addr() string { return b.listener.Addr().String() }

// Certificate returns the server's certificate in PEM; nil with NoTLS.
func (b *Btcd) Certificate() []byte { return b.cert }

// Pause freezes the process, as SIGSTOP does: connections are accepted by the
// kernel, and then nothing more happens until Resume or Restart.
func (b *Btcd) Pause() { b.listener.gate.shut() }

// Resume ends a Pause.
func (b *Btcd) Resume() { b.listener.gate.open() }

// DropConnections cuts every connection, as a kill -9 does.
func (b *Btcd) DropConnections() { b.listener.dropAll() }

// Restart kills the node, runs change while nobody can connect (it may call the
// methods that move the chain; nobody is told of it), and starts it again with
// the same chain and an empty mempool, as btcd has after a start.
func (b *Btcd) Restart(change func()) {
	b.listener.refuse(true)
	b.listener.dropAll()
	b.listener.gate.open()
	b.mu.Lock()
	clear(b.mempool)
	clear(b.clients)
	b.mu.Unlock()
	if change != nil {
		change()
	}
	b.mu.Lock()
	clear(b.mempool)
	b.mu.Unlock()
	b.listener.refuse(false)
}

// Rewrite lets f replace the answer of every HTTP call from now on: method is
// that of the call, or "batch". A nil f ends it.
func (b *Btcd) Rewrite(f func(method string, a Answer) Answer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rewrite = f
}

// Calls returns how often a method was called, by whatever transport.
func (b *Btcd) Calls(method string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calls[method]
}

func (b *Btcd) subscribers() int {
	n := 0
	for c := range b.clients {
		if c.blocks && c.txs {
			n++
		}
	}
	return n
}

// WaitSubscribers waits until exactly n websocket clients have subscribed to
// blocks and to transactions, or ctx ends.
func (b *Btcd) WaitSubscribers(ctx context.Context, n int) error {
	for {
		b.mu.Lock()
		now, changed := b.subscribers(), b.subscribed
		b.mu.Unlock()
		if now == n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Notify sends msg to every websocket client as it is.
func (b *Btcd) Notify(msg []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.clients {
		c.queue(msg)
	}
}
