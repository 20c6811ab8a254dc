package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/sidecar/node/nodetest"
)

// patience bounds the wait for something that is bound to happen.
const patience = 2 * time.Minute

// A ledger is a Handler that adds events up, and notes every one that does not
// fit those before it.
type ledger struct {
	mu       sync.Mutex
	start    Tip
	started  int
	chain    []chainhash.Hash // above start
	pool     map[chainhash.Hash]bool
	rejected []chainhash.Hash // the last block of each branch
	diverged []Diverged
	events   []string
	wrong    []string
	raws     int           // transactions that came with their bytes
	changed  chan struct{} // closed at every event

	// fail, if set, is asked before each event whether to fail it.
	fail func(Event) error
}

func newLedger() *ledger {
	return &ledger{pool: make(map[chainhash.Hash]bool), changed: make(chan struct{})}
}

func (l *ledger) tip() Tip {
	if n := len(l.chain); n > 0 {
		return Tip{l.chain[n-1], l.start.Height + uint32(n)}
	}
	return l.start
}

func (l *ledger) complain(format string, args ...any) {
	l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
}

func (l *ledger) handle(_ context.Context, ev Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		if err := l.fail(ev); err != nil {
			return err
		}
	}
	if l.started == 0 {
		if _, ok := ev.(Started); !ok {
			l.complain("%T before Started", ev)
		}
	}
	switch ev := ev.(type) {
	case Started:
		// A feed that resumes goes on where the one before it stopped.
		if l.started > 0 && ev.Tip != l.tip() {
			l.complain("resumed at %d, stopped at %d", ev.Height, l.tip().Height)
		}
		if l.started == 0 {
			l.start = ev.Tip
		}
		l.started++
		clear(l.pool)
		l.events = append(l.events, fmt.Sprintf("S%d", ev.Height))
	case Connected:
		if tip := l.tip(); ev.Height != tip.Height+1 || ev.Header.Prev() != tip.Hash {
			l.complain("connected %d on top of %d", ev.Height, tip.Height)
		}
		if ev.Block == nil || ev.Block.Hash != ev.Hash || ev.Header.Hash() != ev.Hash {
			l.complain("connected %d: its block is another", ev.Height)
		} else {
			for _, txid := range ev.Block.Txids {
				delete(l.pool, txid)
			}
		}
		l.chain = append(l.chain, ev.Hash)
		l.events = append(l.events, fmt.Sprintf("C%d", ev.Height))
	case Disconnected:
		if tip := l.tip(); ev.Tip != tip || len(l.chain) == 0 {
			l.complain("disconnected %d, the tip is %d", ev.Height, tip.Height)
			break
		}
		l.chain = l.chain[:len(l.chain)-1]
		l.events = append(l.events, fmt.Sprintf("D%d", ev.Height))
	case MempoolAdded:
		if l.pool[ev.Txid] {
			l.complain("added %v twice", ev.Txid)
		}
		l.pool[ev.Txid] = true
		if ev.Raw != nil {
			l.raws++
		}
	case MempoolRemoved:
		if !l.pool[ev.Txid] {
			l.complain("removed %v, which was not there", ev.Txid)
		}
		delete(l.pool, ev.Txid)
	case Rejected:
		if ev.Unfetched == "" && ev.Blocks[0].Header.Prev() != ev.Fork.Hash {
			l.complain("a rejected branch does not follow its fork")
		}
		l.rejected = append(l.rejected, ev.Blocks[len(ev.Blocks)-1].Hash)
	case Diverged:
		l.diverged = append(l.diverged, ev)
	}
	close(l.changed)
	l.changed = make(chan struct{})
	return nil
}

// await waits until the events so far satisfy ok, which is called with the
// ledger locked.
func (l *ledger) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		l.mu.Lock()
		done, changed := ok(), l.changed
		l.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			l.mu.Lock()
			defer l.mu.Unlock()
			last := l.events[max(0, len(l.events)-20):]
			t.Fatalf("waited in vain for %s; the tip is %v, %d in the mempool; last events %v", what, l.tip(), len(l.pool), last)
		}
	}
}

// A tree is what a fake node follows.
type tree interface {
	Chain() []chainhash.Hash
	Mempool() map[chainhash.Hash][]byte
}

// awaitChain waits until the events add up to the node's best chain and mempool.
func (l *ledger) awaitChain(t *testing.T, node tree) {
	t.Helper()
	chain, pool := node.Chain(), node.Mempool()
	l.await(t, "the node's chain and mempool", func() bool {
		if len(l.pool) != len(pool) || l.started == 0 {
			return false
		}
		for txid := range l.pool {
			if _, ok := pool[txid]; !ok {
				return false
			}
		}
		return slices.Equal(l.chain, chain[min(int(l.start.Height)+1, len(chain)):])
	})
}

// check fails the test for every event that did not fit.
func (l *ledger) check(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.wrong {
		t.Error(w)
	}
}

// rig is a feed that follows a fake btcd.
type rig struct {
	btcd    *nodetest.Btcd
	node    *Btcd
	headers *Headers
	feed    *Feed
	ledger  *ledger
	stop    func() error // ends the feed and returns why it ended
	wait    func() error // waits for its end, which something else brings
}

// quick are options that make a feed look often.
func quick() FeedOptions {
	start := uint32(0)
	return FeedOptions{Poll: 20 * time.Millisecond, Resync: 50 * time.Millisecond, Branches: 20 * time.Millisecond, Start: &start}
}

func newRig(t *testing.T, o FeedOptions) *rig {
	t.Helper()
	btcd := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	r := &rig{btcd: btcd, ledger: newLedger()}
	r.headers, _ = openHeaders(t, filepath.Join(t.TempDir(), "headers.dat"))
	r.attach(t, btcd.Addr())
	r.run(t, o, nil)
	return r
}

// attach makes a client of the node at addr.
func (r *rig) attach(t *testing.T, addr string) {
	t.Helper()
	r.attachWith(t, addr, time.Second)
}

// attachWith makes a client that waits at most timeout for an answer.
func (r *rig) attachWith(t *testing.T, addr string, timeout time.Duration) {
	t.Helper()
	var err error
	r.node, err = NewBtcd(BtcdConfig{
		Address: addr, User: nodetest.User, Password: nodetest.Password, NoTLS: true,
		CallTimeout: timeout, BulkTimeout: timeout, RetryDelay: time.Millisecond,
		PingInterval: timeout, PingTimeout: timeout,
		ReconnectDelay: time.Millisecond, MaxReconnectDelay: 20 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.node.Close)
}

// run starts the feed from stored on.
func (r *rig) run(t *testing.T, o FeedOptions, stored *Tip) {
	t.Helper()
	r.feed = NewFeed(r.node, r.headers, o)
	r.follow(t, stored)
}

// follow runs the rig's feed from stored on.
func (r *rig) follow(t *testing.T, stored *Tip) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = r.feed.Run(ctx, stored, r.ledger.handle)
	}()
	r.wait = func() error { <-done; return err }
	r.stop = func() error { cancel(); return r.wait() }
	t.Cleanup(func() { _ = r.stop() })
}

func TestFeedFollowsTheChain(t *testing.T) {
	r := newRig(t, quick())
	r.btcd.Mine(110)
	r.ledger.awaitChain(t, r.btcd)
	if err := r.btcd.WaitSubscribers(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		r.btcd.AddTxs(i)
		r.ledger.awaitChain(t, r.btcd)
		r.btcd.Mine(1)
		r.ledger.awaitChain(t, r.btcd)
	}
	if got := r.feed.Status(); got.Tip != got.Best || got.Err != nil || !got.Attached || got.Resyncs == 0 {
		t.Errorf("status: %+v", got)
	}
	r.ledger.check(t)
}

// A block that notifications tell of is announced, once, and the tip is not.
func TestFeedAnnounces(t *testing.T) {
	announced := 0
	tip := Tip{Hash: chainhash.Hash{1}, Height: 7}
	f := &follower{Feed: NewFeed(nil, nil, FeedOptions{Announced: func() { announced++ }}), tip: tip}
	for i, step := range []struct {
		told chainhash.Hash
		want int
	}{{chainhash.Hash{2}, 1}, {chainhash.Hash{2}, 1}, {tip.Hash, 1}, {chainhash.Hash{3}, 2}} {
		f.note(map[chainhash.Hash]time.Time{step.told: time.Now()})
		if announced != step.want {
			t.Errorf("notification %d: %d blocks were announced, want %d", i+1, announced, step.want)
		}
	}
}

func TestFeedReorganisations(t *testing.T) {
	r := newRig(t, quick())
	r.btcd.Mine(120)
	r.ledger.awaitChain(t, r.btcd)
	for depth := 1; depth <= 20; depth++ {
		r.btcd.AddTxs(depth % 3)
		r.btcd.Mine(1)
		r.ledger.awaitChain(t, r.btcd)
		r.ledger.mu.Lock()
		r.ledger.events = nil
		tip := int(r.ledger.tip().Height)
		r.ledger.mu.Unlock()
		r.btcd.Reorg(depth, depth+1)
		r.ledger.awaitChain(t, r.btcd)
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
}

func TestFeedFollowsANodeThatFallsBack(t *testing.T) {
	r := newRig(t, quick())
	r.btcd.Mine(30)
	r.ledger.awaitChain(t, r.btcd)
	r.btcd.Reorg(10, 0) // as a node that lost its last blocks in a crash
	r.ledger.awaitChain(t, r.btcd)
	r.btcd.Mine(3)
	r.ledger.awaitChain(t, r.btcd)
	r.btcd.Reorg(12, 2)
	r.ledger.awaitChain(t, r.btcd)
	r.ledger.check(t)
}

func TestFeedStarts(t *testing.T) {
	height := func(h uint32) *uint32 { return &h }
	tests := []struct {
		name  string
		start *uint32
		depth uint32
		blank bool // the node has the genesis block only
		want  uint32
	}{
		{"below the tip", nil, 288, false, 12},
		{"below the tip, not so deep", nil, 7, false, 293},
		{"at a height", height(100), 0, false, 99},
		{"at the beginning", height(0), 0, false, 0},
		{"at the first block", height(1), 0, false, 0},
		{"above the tip", height(5000), 0, false, 300},
		{"on a new chain", nil, 288, true, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := quick()
			o.Start, o.Depth = tt.start, tt.depth
			r := &rig{btcd: nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true}), ledger: newLedger()}
			if !tt.blank {
				r.btcd.Mine(300)
			}
			r.headers, _ = openHeaders(t, filepath.Join(t.TempDir(), "headers.dat"))
			r.attach(t, r.btcd.Addr())
			r.run(t, o, nil)
			r.ledger.awaitChain(t, r.btcd)
			r.ledger.mu.Lock()
			defer r.ledger.mu.Unlock()
			if r.ledger.start.Height != tt.want {
				t.Errorf("started at %d, want %d", r.ledger.start.Height, tt.want)
			}
		})
	}
}

// A feed that is stopped anywhere, and started again from the tip that its
// handler stored, goes on as if nothing had been.
func TestFeedResumes(t *testing.T) {
	r := newRig(t, quick())
	r.btcd.Mine(40)
	r.ledger.awaitChain(t, r.btcd)
	for i := range 12 {
		if i%2 == 0 {
			r.btcd.Mine(4) // stop it in the midst of these
		}
		if err := r.stop(); err == nil {
			t.Fatal("a feed that was stopped ended without saying so")
		}
		switch i % 4 {
		case 0:
			r.btcd.Mine(3)
		case 1:
			r.btcd.Reorg(5, 6)
		case 2:
			r.btcd.Reorg(20, 21)
		case 3: // nothing happened meanwhile
		}
		stored := r.ledger.tip()
		r.run(t, quick(), &stored)
		r.ledger.await(t, "the feed to resume", func() bool { return r.ledger.started == i+2 })
		r.ledger.awaitChain(t, r.btcd)
	}
	r.ledger.check(t)
}

func TestFeedRejectedBranches(t *testing.T) {
	r := newRig(t, quick())
	r.btcd.Mine(30)
	r.ledger.awaitChain(t, r.btcd)
	want := map[chainhash.Hash]bool{}
	for i := range 5 {
		branch := r.btcd.Branch(i, 1+i%2, nodetest.Invalid)
		want[branch[len(branch)-1]] = true
		r.btcd.Branch(i, 1, nodetest.ValidFork)
	}
	r.ledger.await(t, "the rejected branches", func() bool { return len(r.ledger.rejected) >= len(want) })
	// Blocks that follow must not bring them again.
	r.btcd.Mine(5)
	r.ledger.awaitChain(t, r.btcd)
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	got := map[chainhash.Hash]bool{}
	for _, hash := range r.ledger.rejected {
		if got[hash] {
			t.Errorf("branch %v was given twice", hash)
		}
		got[hash] = true
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %d rejected branches, want %d", len(got), len(want))
	}
}

func TestFeedEndsWithItsHandlersError(t *testing.T) {
	r := newRig(t, quick())
	broken := errors.New("the disk is full")
	r.ledger.mu.Lock()
	r.ledger.fail = func(ev Event) error {
		if c, ok := ev.(Connected); ok && c.Height == 7 {
			return broken
		}
		return nil
	}
	r.ledger.mu.Unlock()
	r.btcd.Mine(10)
	deadline := time.AfterFunc(patience, func() { _ = r.stop() })
	defer deadline.Stop()
	if err := r.wait(); err != broken {
		t.Fatalf("the feed ended with %v", err)
	}
}
