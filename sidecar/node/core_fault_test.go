package node

import (
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outrider-project/outrider/sidecar/node/nodetest"
	"github.com/outrider-project/outrider/sidecar/node/zmq"
)

// coreFeedThroughFaults lets everything go wrong that can between the sidecar and
// a bitcoind, 5,000 times: ZeroMQ frames dropped, doubled, delayed, truncated and
// reordered, notifiers that die, counters that wrap, connections that are refused,
// cut at any byte, silent, slow or corrupt, a full work queue, refused credentials,
// answers that are no JSON or the wrong JSON, restarts on another tip,
// reorganisations of up to 20 blocks while nobody hears of them. Whatever happens,
// no event may be lost, doubled or out of order, and each time the faults end, chain
// and mempool must be the node's.
func coreFeedThroughFaults(t *testing.T, seed uint64) {
	want := 5000
	if testing.Short() {
		want = 250
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	var proxy *nodetest.Faults
	r := newCoreRig(t, nodetest.CoreOptions{Publish: [][]string{{"sequence", "hashblock"}, {"rawtx"}, {"rawblock", "hashtx"}}}, quick(),
		func(cfg *BitcoindConfig) {
			proxy = nodetest.NewFaults(t, cfg.Address, seed)
			cfg.Address = proxy.Addr()
			cfg.CallTimeout, cfg.BulkTimeout = 150*time.Millisecond, 150*time.Millisecond
		})
	r.core.Mine(130)
	r.ledger.awaitChain(t, r.core)
	heap := heapInUse()

	f := &coreFaults{core: r.core, proxy: proxy, rng: rng}
	calm := func() {
		proxy.Each(nil)
		r.core.Rewrite(nil)
		r.core.Misbehave(0, 0)
		for _, p := range r.core.Publishers() {
			p.Thaw()
		}
		r.ledger.awaitChain(t, r.core)
	}
	for round := 0; f.count() < want; round++ {
		proxy.Random(0.9*rng.Float64(), 1+rng.IntN(2000))
		r.core.Misbehave(rng.Uint64(), 6+rng.IntN(30), nodetest.AllZMQFaults()...)
		if rng.IntN(2) == 0 {
			r.core.Rewrite(spoilCore(rng.Uint64(), &f.spoilt))
		}
		for range 4 + rng.IntN(12) {
			f.disturb()
			if rng.IntN(3) == 0 {
				proxy.CutAll() // kept connections would have no faults but those of their first bytes
			}
			tick := time.NewTimer(time.Duration(rng.IntN(12)) * time.Millisecond)
			<-tick.C
		}
		if round%4 == 3 {
			calm()
		}
	}
	calm()
	r.ledger.check(t)
	t.Logf("%d faults, of them %d spoilt answers, %d of the node itself", f.count(), f.spoilt.Load(), f.own)
	for _, kind := range nodetest.AllZMQFaults() {
		if n := r.core.Count(kind); n < want/100 {
			t.Errorf("only %d messages had the fault %v", n, kind)
		}
	}
	if f.spoilt.Load() < int64(want/50) || f.own < want/50 || f.proxied() < want/50 {
		t.Errorf("only %d spoilt answers, %d faults of the node itself, %d of connections", f.spoilt.Load(), f.own, f.proxied())
	}
	status := r.feed.Status()
	t.Logf("%d blocks disconnected, %d mempool resyncs, drift %d, %d gaps, %d desyncs, %d missed blocks, %d dead notifiers",
		status.Disconnected, status.Resyncs, status.Drift,
		r.counter("outrider_node_zmq_gaps_total", ""), r.counter("outrider_feed_desyncs_total", ""),
		r.counter("outrider_feed_missed_blocks_total", ""), r.counter("outrider_node_zmq_dead_notifiers_total", ""))
	if now := heapInUse(); now > heap+32<<20 {
		t.Errorf("the heap grew from %d to %d KiB", heap>>10, now>>10)
	}
	if r.ledger.started != 1 || len(r.ledger.diverged) > 0 {
		t.Errorf("%d starts, %d divergences", r.ledger.started, len(r.ledger.diverged))
	}
}

// coreFaults are what goes wrong.
type coreFaults struct {
	core   *nodetest.Core
	proxy  *nodetest.Faults
	rng    *rand.Rand
	own    int          // of the node itself
	spoilt atomic.Int64 // answers
}

func (f *coreFaults) proxied() (n int) {
	for k := nodetest.Refuse; k <= nodetest.Dribble; k++ {
		n += f.proxy.Count(k)
	}
	return n
}

func (f *coreFaults) count() int {
	n := f.own + int(f.spoilt.Load()) + f.proxied()
	for _, kind := range nodetest.AllZMQFaults() {
		n += f.core.Count(kind)
	}
	return n
}

// disturb does something to the node that a client would rather not miss.
func (f *coreFaults) disturb() {
	rng := f.rng
	publishers := f.core.Publishers()
	p := publishers[rng.IntN(len(publishers))]
	switch rng.IntN(24) {
	case 0:
		f.proxy.CutAll()
		for _, p := range publishers {
			p.Cut()
		}
		depth := 1 + rng.IntN(20)
		f.core.Reorg(depth, depth+1)
	case 1:
		f.core.Restart(func() {
			depth := rng.IntN(20)
			f.core.Reorg(depth, rng.IntN(depth+2)) // shorter, too: it crashed
		})
	case 2:
		f.core.KillNotifier(zmq.Topics()[rng.IntN(len(zmq.Topics()))])
	case 3:
		p.SetCounter("sequence", -uint32(rng.IntN(5)))
	case 4:
		p.Cut()
	case 5:
		p.Freeze()
	case 6:
		p.Thaw()
		return
	case 7:
		f.core.DropConnections()
	case 8:
		f.core.Branch(rng.IntN(3), 1, nodetest.Invalid)
		return
	case 9, 10, 11:
		for txid := range f.core.Mempool() {
			f.core.RemoveTx(txid)
			break
		}
		return
	case 12, 13, 14, 15, 16, 17, 18, 19, 20:
		if _, height := f.core.Tip(); height < 130 {
			f.core.Mine(20) // it crashed too often: there is no mature coin
		}
		f.core.AddTxs(1 + rng.IntN(12))
		return
	case 21:
		f.core.MineConflicts(rng.IntN(3))
		return
	default:
		f.core.Mine(1 + rng.IntN(2))
		return
	}
	f.own++
}

// spoilCore returns a function that spoils some answers as bitcoind and what is
// between may spoil them, and counts them.
func spoilCore(seed uint64, n *atomic.Int64) func(string, nodetest.Answer) nodetest.Answer {
	other := spoil(seed, n)
	var calls atomic.Uint64
	return func(what string, a nodetest.Answer) nodetest.Answer {
		rng := rand.New(rand.NewPCG(seed+1, calls.Add(1)))
		if rng.IntN(3) > 0 {
			return other(what, a)
		}
		n.Add(1)
		switch rng.IntN(4) {
		case 0:
			return nodetest.Answer{Status: 503, Body: []byte("Work queue depth exceeded")}
		case 1:
			if strings.HasPrefix(what, "/") {
				return nodetest.Answer{Status: 404}
			}
			return nodetest.Answer{Status: 401}
		case 2:
			return nodetest.Answer{Status: 500, Body: []byte(`{"result":null,"error":{"code":-28,"message":"Loading block index…"},"id":1}`)}
		default:
			return nodetest.Answer{Status: 500, Body: []byte(`{"result":null,"error":{"code":-1,"message":"Block not available (pruned data)"},"id":1}`)}
		}
	}
}
