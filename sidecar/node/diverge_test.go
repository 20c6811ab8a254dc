package node

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
)

// ageLastHeader returns a function that makes the last header of getheaders'
// answers claim a time long past, as often as left says.
func ageLastHeader(t *testing.T, left *atomic.Int64) func(string, nodetest.Answer) nodetest.Answer {
	return func(method string, a nodetest.Answer) nodetest.Answer {
		if method != "getheaders" || left.Add(-1) < 0 {
			return a
		}
		var body map[string]any
		if err := json.Unmarshal(a.Body, &body); err != nil {
			t.Errorf("getheaders: %v", err)
			return a
		}
		headers, _ := body["result"].([]any)
		if len(headers) == 0 {
			return a
		}
		last := headers[len(headers)-1].(string)
		headers[len(headers)-1] = last[:68*2] + "01000000" + last[72*2:]
		a.Body, _ = json.Marshal(body)
		return a
	}
}

// A header that breaks a rule is the alarm, once, and the feed stays where it
// is until the node leaves that chain.
func TestFeedDiverges(t *testing.T) {
	r := newRig(t, quick())
	r.btcd.Mine(30)
	r.ledger.awaitChain(t, r.btcd)
	var left atomic.Int64
	left.Store(1 << 40)
	r.btcd.Rewrite(ageLastHeader(t, &left))
	r.btcd.Mine(1)
	r.ledger.await(t, "the alarm", func() bool { return len(r.ledger.diverged) > 0 })
	// Further looks at the same header are no further alarms.
	awaitCalls(t, r.btcd, "getheaders", 6)
	r.btcd.Rewrite(nil)
	r.ledger.awaitChain(t, r.btcd)
	r.ledger.check(t)
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	if len(r.ledger.diverged) != 1 {
		t.Fatalf("%d alarms for one header", len(r.ledger.diverged))
	}
	d := r.ledger.diverged[0]
	if d.Fork.Height != 30 || d.Bad.Height != 31 || d.Err.Rule != header.TimeTooOld && d.Err.Rule != header.HighHash {
		t.Errorf("got %+v, %v", d, d.Err)
	}
}

// awaitCalls waits until the node has been asked n times more.
func awaitCalls(t *testing.T, btcd *nodetest.Btcd, method string, n int) {
	t.Helper()
	for deadline, before := time.Now().Add(patience), btcd.Calls(method); btcd.Calls(method) < before+n; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("nobody calls %s", method)
		}
	}
}

// A header that came spoilt once is asked for again, and is no alarm.
func TestFeedIsNotFooledByASpoiltHeader(t *testing.T) {
	r := newRig(t, quick())
	r.btcd.Mine(30)
	r.ledger.awaitChain(t, r.btcd)
	for range 4 {
		var left atomic.Int64
		left.Store(1)
		r.btcd.Rewrite(ageLastHeader(t, &left))
		r.btcd.Mine(1)
		r.ledger.awaitChain(t, r.btcd)
		if left.Load() > 0 {
			t.Fatal("no header was spoilt")
		}
	}
	r.ledger.check(t)
	if len(r.ledger.diverged) > 0 {
		t.Errorf("alarms %v", r.ledger.diverged)
	}
}

// A block that is in the future by this machine's clock is waited for.
func TestFeedWaitsForItsClock(t *testing.T) {
	r := &rig{btcd: nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true}), ledger: newLedger()}
	hashes := r.btcd.Mine(5)
	raw := r.btcd.Block(hashes[4])
	last := header.Header(raw[:header.Size])
	var clock atomic.Int64
	clock.Store(int64(last.Time()) - 2*60*60 - 1)
	var err error
	r.headers, _, err = OpenHeaders(filepath.Join(t.TempDir(), "headers.dat"), regtest(t), func() time.Time { return time.Unix(clock.Load(), 0) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.headers.Close() })
	r.attach(t, r.btcd.Addr())
	r.run(t, quick(), nil)
	for deadline := time.Now().Add(patience); ; {
		if err := r.feed.Status().Err; errors.Is(err, header.TimeTooNew) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the feed does not say that a block is in the future")
		}
		runtime.Gosched()
	}
	clock.Add(1)
	r.ledger.awaitChain(t, r.btcd)
	if len(r.ledger.diverged) > 0 {
		t.Errorf("alarms %v", r.ledger.diverged)
	}
	r.ledger.check(t)
}

// Transactions that a block mines are never told of as removed, even if the
// node connects the block while the feed compares mempools.
func TestFeedMinedIsNotRemoved(t *testing.T) {
	o := quick()
	o.Poll, o.Resync = time.Hour, time.Millisecond
	r := newRig(t, o)
	r.btcd.Mine(110)
	r.ledger.awaitChain(t, r.btcd)
	if err := r.btcd.WaitSubscribers(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	var removed atomic.Int64
	r.ledger.mu.Lock()
	r.ledger.fail = func(ev Event) error {
		if _, ok := ev.(MempoolRemoved); ok {
			removed.Add(1)
		}
		return nil
	}
	r.ledger.mu.Unlock()
	for range 20 {
		r.btcd.AddTxs(3)
		r.ledger.awaitChain(t, r.btcd)
		// The node mines between the feed's questions for tip and mempool.
		var once atomic.Bool
		r.btcd.Rewrite(func(method string, a nodetest.Answer) nodetest.Answer {
			if method == "getbestblock" && once.CompareAndSwap(false, true) {
				r.btcd.Mine(1)
			}
			return a
		})
		r.btcd.AddTxs(1) // wakes the feed
		r.ledger.await(t, "the block", func() bool { return once.Load() })
		r.btcd.Rewrite(nil)
		r.ledger.awaitChain(t, r.btcd)
	}
	r.ledger.check(t)
	if n := removed.Load(); n > 0 {
		t.Errorf("%d mined transactions were told of as removed", n)
	}
}

// Notifications of transactions do not make the feed ask for the chain.
func TestFeedAsksLittle(t *testing.T) {
	o := quick()
	o.Poll, o.Resync, o.Branches = time.Hour, time.Hour, time.Hour
	r := newRig(t, o)
	r.btcd.Mine(110)
	if err := r.btcd.WaitSubscribers(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	r.btcd.Mine(1) // is heard of, whatever was missed before
	r.ledger.awaitChain(t, r.btcd)
	before := r.btcd.Calls("getbestblock")
	for range 50 {
		r.btcd.AddTxs(1)
		r.ledger.awaitChain(t, r.btcd)
	}
	if n := r.btcd.Calls("getbestblock") - before; n > 5 {
		t.Errorf("50 transactions made the feed ask for the tip %d times", n)
	}
}

// A rejected branch that cannot be judged is told of, and why.
func TestFeedTellsOfDeepBranches(t *testing.T) {
	o := quick()
	o.Depth = 10
	r := newRig(t, o)
	r.btcd.Mine(40)
	r.ledger.awaitChain(t, r.btcd)
	var got []Rejected
	r.ledger.mu.Lock()
	r.ledger.fail = func(ev Event) error {
		if e, ok := ev.(Rejected); ok {
			got = append(got, e)
		}
		return nil
	}
	r.ledger.mu.Unlock()
	r.btcd.Mine(1)
	r.ledger.awaitChain(t, r.btcd)
	awaitCalls(t, r.btcd, "getchaintips", 2) // it has looked before
	branch := r.btcd.Branch(20, 1, nodetest.Invalid)
	r.ledger.await(t, "the deep branch", func() bool { return len(got) > 0 })
	if e := got[0]; !strings.Contains(e.Unfetched, "deep") || e.Old || !slices.Equal([]chainhash.Hash{e.Blocks[0].Hash}, branch) {
		t.Errorf("got %+v", e)
	}
}

// Of a branch whose headers break a rule those up to the first that does are told
// of, with the rule, and no block is asked for.
func TestFeedTellsOfBrokenHeaders(t *testing.T) {
	r := newRig(t, quick())
	r.btcd.Mine(40)
	r.ledger.awaitChain(t, r.btcd)
	var got []Rejected
	r.ledger.mu.Lock()
	r.ledger.fail = func(ev Event) error {
		if e, ok := ev.(Rejected); ok {
			got = append(got, e)
		}
		return nil
	}
	r.ledger.mu.Unlock()
	asked := r.btcd.Calls("getblock")
	stale := r.btcd.Stale(3, 4)
	fork := Tip{r.btcd.Chain()[37], 37}
	r.ledger.await(t, "the branch", func() bool { return len(got) > 0 })
	awaitCalls(t, r.btcd, "getchaintips", 2) // it is not told of again
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	if len(got) != 1 {
		t.Fatalf("the branch is told of %d times", len(got))
	}
	e := got[0]
	if e.Broken == nil || e.Broken.Rule != header.TimeTooOld || e.Unfetched != "" || e.Fork != fork || len(e.Blocks) != 1 ||
		e.Blocks[0].Tip != (Tip{stale[0], 38}) || e.Blocks[0].Raw != nil {
		t.Errorf("got %+v", e)
	}
	if n := r.btcd.Calls("getblock"); n != asked {
		t.Errorf("%d blocks were asked for", n-asked)
	}
}

// Of a large branch so many bytes are fetched and no more, from its first block
// on, and the event says so.
func TestFeedBoundsABranch(t *testing.T) {
	r := &rig{btcd: nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true}), ledger: newLedger()}
	r.headers, _ = openHeaders(t, filepath.Join(t.TempDir(), "headers.dat"))
	r.attach(t, r.btcd.Addr())
	r.btcd.Mine(10)
	branch := r.btcd.Branch(2, 6, nodetest.Invalid)
	size := len(r.btcd.Block(branch[0]))
	var got []Rejected
	r.ledger.fail = func(ev Event) error {
		if e, ok := ev.(Rejected); ok {
			got = append(got, e)
		}
		return nil
	}
	r.runBounded(t, quick(), 3*size)
	r.ledger.await(t, "the branch", func() bool { return len(got) > 0 })
	for i, b := range got[0].Blocks {
		if fetched := b.Raw != nil; b.Hash != branch[i] || fetched != (i < 3) || b.Unfetched != (i >= 3) {
			t.Errorf("block %d: %d bytes, unfetched %v", i, len(b.Raw), b.Unfetched)
		}
	}
}

// runBounded is run for a feed that fetches at most so many bytes of a branch.
func (r *rig) runBounded(t *testing.T, o FeedOptions, limit int) {
	t.Helper()
	r.feed = NewFeed(r.node, r.headers, o)
	r.feed.maxBranch = limit
	r.follow(t, nil)
}
