package node

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outrider-project/outrider/sidecar/node/nodetest"
)

// faultSeed returns OUTRIDER_SEED, or a random seed, and logs it.
func faultSeed(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("OUTRIDER_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("OUTRIDER_SEED=%d", seed)
	return seed
}

// TestFeedsThroughFaults has three feeds go through faults side by side, since they
// mostly wait. When they have ended, nothing of them may be left.
func TestFeedsThroughFaults(t *testing.T) {
	seed := faultSeed(t)
	goroutines := runtime.NumGoroutine()
	t.Run("all", func(t *testing.T) {
		for i, feed := range []struct {
			name string
			test func(*testing.T, uint64)
		}{
			{"bitcoind", coreFeedThroughFaults}, {"bitcoind", coreFeedThroughFaults}, {"btcd", btcdFeedThroughFaults},
		} {
			t.Run(feed.name, func(t *testing.T) {
				t.Parallel()
				feed.test(t, seed+uint64(i))
			})
		}
	})
	awaitGoroutines(t, goroutines)
}

// btcdFeedThroughFaults lets everything go wrong that can between the sidecar and
// a btcd, 2,000 times: connections that are refused, cut at any byte, silent, slow
// or corrupt, answers that are no JSON or the wrong JSON, restarts on another tip,
// reorganisations of up to 20 blocks while nobody hears of them. Whatever happens,
// no event may be lost, doubled or out of order, and each time the faults end,
// chain and mempool must be the node's. Only what happened counts: not the fault of
// a connection that ended before.
func btcdFeedThroughFaults(t *testing.T, seed uint64) {
	want := 2000
	if testing.Short() {
		want = 150
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	r := &rig{btcd: nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true}), ledger: newLedger()}
	proxy := nodetest.NewFaults(t, r.btcd.Addr(), seed)
	r.headers, _ = openHeaders(t, filepath.Join(t.TempDir(), "headers.dat"))
	r.attachWith(t, proxy.Addr(), 150*time.Millisecond)
	r.btcd.Mine(130)
	r.run(t, quick(), nil)
	r.ledger.awaitChain(t, r.btcd)
	heap := heapInUse()

	var own int               // faults that are not the proxy's
	var rewrites atomic.Int64 // answers that were spoilt
	count := func() int {
		n := own + int(rewrites.Load())
		for k := nodetest.Refuse; k <= nodetest.Dribble; k++ {
			n += proxy.Count(k)
		}
		return n
	}
	for round := 0; count() < want; round++ {
		proxy.Random(0.3+0.6*rng.Float64(), 1+rng.IntN(6000))
		if rng.IntN(2) == 0 {
			r.btcd.Rewrite(spoil(rng.Uint64(), &rewrites))
		}
		for range 2 + rng.IntN(6) {
			own += disturb(r, proxy, rng)
			tick := time.NewTimer(time.Duration(rng.IntN(20)) * time.Millisecond)
			<-tick.C
		}
		if round%4 == 3 {
			proxy.Each(nil)
			r.btcd.Rewrite(nil)
			proxy.CutAll()
			r.ledger.awaitChain(t, r.btcd)
		}
	}
	proxy.Each(nil)
	r.btcd.Rewrite(nil)
	r.ledger.awaitChain(t, r.btcd)
	r.ledger.check(t)
	t.Logf("%d faults, of them %d spoilt answers, %d of the node itself", count(), rewrites.Load(), own)
	few := want / 40
	for k := nodetest.Refuse; k <= nodetest.Dribble; k++ {
		if proxy.Count(k) < few {
			t.Errorf("the fault %v happened only %d times", k, proxy.Count(k))
		}
	}
	if int(rewrites.Load()) < few || own < few {
		t.Errorf("only %d spoilt answers, %d faults of the node itself", rewrites.Load(), own)
	}
	status := r.feed.Status()
	t.Logf("%d blocks disconnected, %d mempool resyncs, drift %d", status.Disconnected, status.Resyncs, status.Drift)
	if now := heapInUse(); now > heap+32<<20 {
		t.Errorf("the heap grew from %d to %d KiB", heap>>10, now>>10)
	}
	if r.ledger.started != 1 || len(r.ledger.diverged) > 0 {
		t.Errorf("%d starts, %d divergences", r.ledger.started, len(r.ledger.diverged))
	}
}

// disturb does something to the node that a client would rather not miss, and
// returns 1 if it is a fault. What only a connected client can suffer is none
// while the feed is not attached.
func disturb(r *rig, proxy *nodetest.Faults, rng *rand.Rand) int {
	btcd, attached := r.btcd, 0
	if r.feed.Status().Attached {
		attached = 1
	}
	switch rng.IntN(12) {
	case 0:
		proxy.CutAll()
		depth := 1 + rng.IntN(20)
		btcd.Reorg(depth, depth+1)
		return 1
	case 1:
		btcd.Restart(func() {
			depth := rng.IntN(20)
			btcd.Reorg(depth, rng.IntN(depth+2)) // shorter, too: it crashed
		})
		return 1
	case 2:
		btcd.Notify([]byte(`{"jsonrpc":"1.0","method":"blockconnected","params":[]`))
		return attached
	case 3:
		btcd.DropConnections()
		return attached
	case 4, 5:
		for txid := range btcd.Mempool() {
			btcd.RemoveTx(txid)
			break
		}
	case 6:
		btcd.Branch(rng.IntN(3), 1, nodetest.Invalid)
	case 7, 8, 9:
		if _, height := btcd.Tip(); height < 130 {
			btcd.Mine(20) // it crashed too often: there is no mature coin
		}
		btcd.AddTxs(1 + rng.IntN(4))
	default:
		btcd.Mine(1 + rng.IntN(2))
	}
	return 0
}

// spoil returns a function that spoils some answers, and counts those that are
// then others.
func spoil(seed uint64, n *atomic.Int64) func(string, nodetest.Answer) nodetest.Answer {
	var calls atomic.Uint64
	return func(_ string, a nodetest.Answer) nodetest.Answer {
		rng := rand.New(rand.NewPCG(seed, calls.Add(1)))
		if rng.IntN(3) > 0 {
			return a
		}
		whole := a
		switch rng.IntN(7) {
		case 0:
			a.Body = a.Body[:rng.IntN(len(a.Body)+1)]
		case 1:
			a.Body = []byte(`{"result":null,"error":null,"id":1}`)
		case 2:
			a.Status, a.Body = 503, []byte("503 Too busy.  Try again later.")
		case 3:
			a.Body = fmt.Appendf(nil, `{"result":%d,"error":null,"id":%d}`, rng.Int64(), rng.IntN(100))
		case 4:
			a.Body = []byte(`{"result":null,"error":{"code":-5,"message":"not here"},"id":1}`)
		case 5:
			if len(a.Body) > 0 {
				a.Body = append([]byte(nil), a.Body...)
				a.Body[rng.IntN(len(a.Body))] ^= 1 << rng.IntN(7)
			}
		case 6:
			a.Body = []byte("[]")
		}
		if a.Status != whole.Status || !bytes.Equal(a.Body, whole.Body) {
			n.Add(1)
		}
		return a
	}
}

// heapInUse returns the bytes of live objects.
func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// awaitGoroutines waits until no more than n goroutines are left.
func awaitGoroutines(t *testing.T, n int) {
	t.Helper()
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > n; runtime.Gosched() {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines are left over:\n%s", runtime.NumGoroutine()-n, buf[:runtime.Stack(buf, true)])
		}
	}
}
