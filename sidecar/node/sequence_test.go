package node

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/outrider-project/outrider/sidecar/node/nodetest"
)

// More steps than the inbox holds are forgotten, and it says so.
func TestInboxForgetsSteps(t *testing.T) {
	b := newInbox()
	b.put(Hint{Kind: HintConnected, Sequenced: true})
	b.take()
	for i := range maxSteps + 1 {
		b.put(Hint{Kind: HintTxAdded, Sequenced: true, Sequence: uint64(i)})
	}
	m := b.take()
	if !m.sequenced || !m.chain || !m.resync || len(m.steps) != 1 || m.steps[0].Sequence != maxSteps {
		t.Errorf("sequenced %v, chain %v, resync %v, %d steps", m.sequenced, m.chain, m.resync, len(m.steps))
	}
	b.put(Hint{Kind: HintMissed, Sequenced: true})
	if m := b.take(); !m.sequenced || !m.resync || len(m.steps) != 0 {
		t.Errorf("after a gap: %+v", m)
	}
	b.put(Hint{Kind: HintLost})
	if m := b.take(); m.sequenced {
		t.Error("sequenced without a subscription")
	}
}

// The bytes of transactions that nobody asks for are held within bounds.
func TestRawTxsAreBounded(t *testing.T) {
	var r rawTxs
	id := func(i int) (h chainhash.Hash) {
		binary.LittleEndian.PutUint64(h[:], uint64(i))
		return h
	}
	for i := range 3 * maxRawTxs {
		r.put(id(i), make([]byte, 1))
		if i%2 == 0 && r.take(id(i)) == nil {
			t.Fatal("a transaction that was just put is not there")
		}
	}
	if len(r.order) > maxRawTxs || len(r.byTxid) > maxRawTxs || r.bytes != len(r.byTxid) {
		t.Errorf("%d in order, %d by id, %d bytes", len(r.order), len(r.byTxid), r.bytes)
	}
	for i := range 100 {
		r.put(id(-i-1), make([]byte, 1<<20))
	}
	if r.bytes > maxBufferedTxs || len(r.byTxid) != maxBufferedTxs>>20 {
		t.Errorf("%d bytes of %d transactions", r.bytes, len(r.byTxid))
	}
}

// A mempool of another size is a loss if nothing is heard in between, or if it
// stays so for long; else changes may be under way.
func TestWeigh(t *testing.T) {
	core := nodetest.NewCore(t, nodetest.CoreOptions{})
	core.Mine(110)
	core.AddTxs(3)
	node := newBitcoind(t, bitcoindConfig(core.Bitcoind))
	newFollower := func() *follower {
		return &follower{Feed: NewFeed(node, nil, FeedOptions{}), pool: make(map[chainhash.Hash]struct{}), steps: stepState{ok: true}}
	}
	// weigh weighs n times, with so many events before each, and returns after how
	// many the follower does not trust its steps any more.
	weigh := func(f *follower, n, events int) int {
		for i := range n {
			f.events += uint64(events)
			if err := f.weigh(t.Context(), node); err != nil {
				t.Fatal(err)
			}
			if !f.steps.ok {
				return i + 1
			}
		}
		return 0
	}
	if got := weigh(newFollower(), 3, 0); got != 2 {
		t.Errorf("without events, %d looks are enough, want 2", got)
	}
	if got := weigh(newFollower(), maxUnequal+2, 1); got != maxUnequal+1 {
		t.Errorf("with events, %d looks are enough, want %d", got, maxUnequal+1)
	}
	f := newFollower()
	for range 3 {
		if got := weigh(f, maxUnequal, 1); got != 0 {
			t.Errorf("with events, %d looks are enough", got)
		}
		for txid := range core.Mempool() {
			f.pool[txid] = struct{}{}
		}
		if got := weigh(f, 1, 0); got != 0 || f.resyncDue.Before(time.Now().Add(f.opt.Resync/2)) {
			t.Errorf("an equal mempool: %d looks are enough, the next is due in %v", got, time.Until(f.resyncDue))
		}
		clear(f.pool)
	}
}

// What is lost behind the last message shows in no counter: polls find it.
func TestCoreFeedFindsALostTail(t *testing.T) {
	o := quick()
	o.Branches = time.Hour
	r := newCoreRig(t, nodetest.CoreOptions{Publish: publications["sequence alone"]}, o, nil)
	r.core.Mine(110)
	for range 3 {
		r.awaitSteps(t)
		r.ledger.awaitChain(t, r.core)
		r.core.Publisher("sequence").Fault(nodetest.ZMQDrop)
		r.core.Mine(1)
		r.ledger.awaitChain(t, r.core)
		r.awaitSteps(t)
		r.core.Publisher("sequence").Fault(nodetest.ZMQDrop)
		r.core.AddTxs(1)
		r.ledger.awaitChain(t, r.core)
	}
	r.ledger.check(t)
	if r.counter("outrider_feed_missed_blocks_total", "") == 0 {
		t.Error("no missed block was counted")
	}
}
