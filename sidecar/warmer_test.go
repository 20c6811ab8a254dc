package sidecar

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sidecar/node"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
	"github.com/outrider-project/outrider/sidecar/web"
	"github.com/outrider-project/outrider/utxocache"
	"github.com/outrider-project/outrider/utxocache/coins"
)

// awaitWarming waits until ok says of the status's mempool that it is the one.
func (r *rider) awaitWarming(t *testing.T, what string, ok func(*web.Warming) bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; runtime.Gosched() {
		s := r.status(t)
		if ok(&s.Mempool.Warming) {
			return
		}
		if time.Now().After(deadline) {
			_, metrics := r.get(t, "/metrics")
			var dropped []string
			for line := range strings.Lines(metrics) {
				if strings.HasPrefix(line, "outrider_mempool_unverified_total") && !strings.HasSuffix(line, " 0\n") {
					dropped = append(dropped, line)
				}
			}
			t.Fatalf("waited in vain for %s: %+v, %q", what, s.Mempool, dropped)
		}
	}
}

// awaitVerified waits until so many transactions have been verified since the
// start, and none waits.
func (r *rider) awaitVerified(t *testing.T, what string, n uint64) {
	t.Helper()
	r.awaitWarming(t, what, func(w *web.Warming) bool { return w.Verified >= n && w.Waiting == 0 })
}

// The transactions of a block have been verified when it comes: those that the
// node told of whole, those that it told the ids of, those that a block brought back
// that left the chain, and those that come after the node has started anew.
func TestWarmerIsReadyForTheBlock(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{})
	r.cfg.MempoolShare = 100
	r.btcd.Mine(110)
	r.btcd.AddTxs(12) // the resync tells their ids
	r.run(t)
	r.awaitVerified(t, "the transactions from before the start", 12)
	r.btcd.AddTxs(20) // these spend from each other
	r.awaitVerified(t, "those that came since", 32)
	mine := func(what string) {
		t.Helper()
		r.btcd.Mine(1)
		r.awaitTip(t)
		r.awaitWarming(t, what, func(w *web.Warming) bool { return w.Share == 1 && w.Refused == 0 })
	}
	mine("the block with them")
	r.btcd.Mine(1)
	r.btcd.Reorg(2, 3) // they are in the mempool again
	r.awaitTip(t)
	r.awaitVerified(t, "those that came back", 64)
	mine("the block with those that came back")
	if _, metrics := r.get(t, "/metrics"); !strings.Contains(metrics, "outrider_block_preverified_ratio 1\n") ||
		!strings.Contains(metrics, "outrider_mempool_waiting_transactions 0\n") {
		t.Error("the metrics say otherwise")
	}
	r.btcd.AddTxs(5)
	r.awaitVerified(t, "those before the node's restart", 69)
	r.btcd.Restart(nil)
	r.btcd.Mine(1) // none of them
	r.awaitTip(t)
	for deadline := time.Now().Add(patience); r.status(t).Mempool.Transactions > 0; {
		if time.Now().After(deadline) {
			t.Fatal("the node's restart is not noticed")
		}
	}
	// What comes while the sidecar is finding the node again may be left to its block.
	before := r.status(t).Mempool.Warming.Verified
	another, deadline := time.NewTicker(50*time.Millisecond), time.After(patience)
	defer another.Stop()
	for r.status(t).Mempool.Warming.Verified == before {
		select {
		case <-another.C:
			r.btcd.AddTxs(1)
		case <-deadline:
			t.Fatal("nothing is verified ahead after the node's restart")
		}
	}
	r.btcd.Mine(1)
	r.awaitTip(t)
	r.checkAgreement(t)
	if _, metrics := r.get(t, "/metrics"); !strings.Contains(metrics, "outrider_mempool_refused_total 0\n") {
		t.Error("the metrics say that scripts failed")
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

// Coins that only the node knows are asked for when the transaction comes, and not
// again when its block does.
func TestWarmerFetchesCoinsAhead(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{})
	r.btcd.Mine(120)
	middle := uint32(115)
	r.cfg.Start = &middle
	r.run(t)
	r.awaitTip(t)
	r.btcd.AddTxs(3) // of the oldest coinbases
	r.awaitVerified(t, "their scripts", 3)
	asked := r.btcd.Calls("gettxout")
	others := r.btcd.Calls("getrawtransaction")
	r.btcd.Mine(1)
	if rep := r.awaitTip(t); rep.Outcome != Agree || rep.Verdict.Prevouts != blockval.Node {
		t.Errorf("%s on the word of %q", rep.Outcome, rep.Verdict.Prevouts)
	}
	again := r.btcd.Calls("gettxout") - asked + r.btcd.Calls("getrawtransaction") - others
	if asked == 0 || again != 0 {
		t.Errorf("the node was asked for %d coins, and %d times when the block came", asked, again)
	}
}

// What a node tells as of another tip than the sidecar's verifies scripts, and is not
// remembered: the block's coins are asked for again.
func TestWarmerKeepsNothingOfAnotherTip(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{})
	r.btcd.Mine(120)
	middle := uint32(115)
	r.cfg.Start = &middle
	r.run(t)
	tip := r.awaitTip(t).Verdict.Hash.String()
	elsewhere := strings.Repeat("5", len(tip))
	var moved atomic.Bool // once coins are asked for
	r.btcd.Rewrite(func(method string, a nodetest.Answer) nodetest.Answer {
		coins := method == "batch" && bytes.Contains(a.Body, []byte(`"bestblock"`))
		if coins {
			moved.Store(true)
		}
		if coins || method == "getbestblock" && moved.Load() {
			a.Body = bytes.ReplaceAll(a.Body, []byte(tip), []byte(elsewhere))
		}
		return a
	})
	r.btcd.AddTxs(3) // of the oldest coinbases
	r.awaitVerified(t, "their scripts", 3)
	r.btcd.Rewrite(nil)
	if !moved.Load() {
		t.Fatal("the node was not asked for coins")
	}
	asked := r.btcd.Calls("gettxout") + r.btcd.Calls("getrawtransaction")
	r.btcd.Mine(1)
	if rep := r.awaitTip(t); rep.Outcome != Agree || rep.Verdict.Prevouts != blockval.Node {
		t.Errorf("%s on the word of %q", rep.Outcome, rep.Verdict.Prevouts)
	}
	if again := r.btcd.Calls("gettxout") + r.btcd.Calls("getrawtransaction") - asked; again == 0 {
		t.Error("coins of another tip were remembered")
	}
}

// A bitcoind without an index that tells ids only is asked for the transactions, and
// for what they spend.
func TestWarmerBesideCore(t *testing.T) {
	r := newCoreRider(t, nodetest.CoreOptions{
		BitcoindOptions: nodetest.BitcoindOptions{NoTxIndex: true}, Publish: [][]string{{"sequence"}},
	})
	r.core.Mine(120)
	middle := uint32(115)
	r.cfg.Start = &middle
	r.core.AddTxs(2)
	r.run(t)
	r.awaitTip(t)
	r.core.AddTxs(30) // of the oldest coinbases, and of each other
	r.awaitVerified(t, "their scripts", 32)
	if n := r.core.Calls("batch"); n < 2 {
		t.Errorf("the node was asked %d times", n)
	}
	r.core.Mine(1)
	if rep := r.awaitTip(t); rep.Outcome != Agree || rep.Verdict.Prevouts != blockval.Node {
		t.Errorf("%s on the word of %q: %s", rep.Outcome, rep.Verdict.Prevouts, rep.Reason)
	}
	r.awaitWarming(t, "the block", func(w *web.Warming) bool { return w.Share == 1 })
}

// A node that cannot tell what a transaction spends leaves it to its block, and one
// whose scripts fail is counted: neither is an alarm.
func TestWarmerLeavesTheRestToTheBlock(t *testing.T) {
	r := newRider(t, nodetest.BtcdOptions{NoTxIndex: true})
	r.btcd.Rewrite(func(method string, a nodetest.Answer) nodetest.Answer {
		if method == "batch" && bytes.Contains(a.Body, []byte(`"bestblock"`)) { // of gettxout
			a = nodetest.Answer{Status: http.StatusInternalServerError}
		}
		return a
	})
	r.btcd.Mine(120)
	middle := uint32(20)
	r.cfg.Start = &middle
	r.run(t)
	r.awaitTip(t)
	bad := r.btcd.AddTx(spendFirst(t, r.btcd, 20, opTrue, opNop))
	r.awaitWarming(t, "the one that fails", func(w *web.Warming) bool { return w.Refused == 1 })
	r.btcd.AddTx(spendFirst(t, r.btcd, 1, opTrue))
	unknown := `outrider_mempool_unverified_total{reason="coins"} 1`
	for deadline := time.Now().Add(patience); ; {
		_, metrics := r.get(t, "/metrics")
		if strings.Contains(metrics, unknown) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the metrics lack %s", unknown)
		}
	}
	if s := r.status(t); s.Agreement.Differ+s.Agreement.Undecided != 0 || s.Mempool.Warming.Verified != 0 {
		t.Errorf("status: %+v", s.Agreement)
	}
	r.btcd.RemoveTx(bad)
	r.btcd.Mine(1)
	if rep := r.awaitTip(t); rep.Outcome != Undecided {
		t.Errorf("%s: %s", rep.Outcome, rep.Reason)
	}
}

// A bench is a warmer on coins that a judge has, whose events the test gives.
type bench struct {
	*warmer
	btcd *nodetest.Btcd
	stop func()
}

func newBench(t *testing.T, percent int64, change func(*warmer)) *bench {
	t.Helper()
	btcd := nodetest.NewBtcd(t, nodetest.BtcdOptions{NoTLS: true})
	btcd.Mine(105)
	p := newPilot(t, btcd, 0, 8)
	land := p.fly(t)
	p.awaitTip(t, btcd)
	if err := land(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	var share atomic.Int64
	share.Store(percent)
	b := &bench{warmer: newWarmer(p.judge, 2, &share, new(perfcore.Registry)), btcd: btcd}
	if change != nil {
		change(b.warmer)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() { b.run(ctx) })
	b.stop = func() { cancel(); wg.Wait() }
	t.Cleanup(b.stop)
	return b
}

// await waits until ok.
func (b *bench) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); runtime.Gosched() {
		if time.Now().After(deadline) {
			dropped := make(map[dropReason]uint64)
			for reason, n := range b.metrics.dropped {
				dropped[reason] = n.Value()
			}
			t.Fatalf("waited in vain for %s: %+v, dropped %v", what, b.counts(), dropped)
		}
	}
}

// added returns the event of a transaction that is told of whole.
func added(tx *wire.MsgTx) node.MempoolAdded {
	var buf bytes.Buffer
	if err := tx.Serialize(&buf); err != nil {
		panic(err)
	}
	return node.MempoolAdded{Txid: tx.TxHash(), Raw: buf.Bytes()}
}

// child returns a transaction that spends the first output of parent.
func child(parent *wire.MsgTx) *wire.MsgTx {
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(wire.NewTxIn(&wire.OutPoint{Hash: parent.TxHash()}, nil, wire.TxWitness{{opTrue}}))
	tx.AddTxOut(wire.NewTxOut(parent.TxOut[0].Value-1000, parent.TxOut[0].PkScript))
	return tx
}

// Children that come before their parents wait for them: for the transaction, be it
// verified or not, or for the block that holds it.
func TestWarmerWaitsForParents(t *testing.T) {
	b := newBench(t, 100, nil)
	family := []*wire.MsgTx{spendFirst(t, b.btcd, 1, opTrue)}
	for range 5 {
		family = append(family, child(family[len(family)-1]))
	}
	for i := len(family) - 1; i > 0; i-- {
		b.hear(added(family[i]))
		n := uint64(len(family) - 1 - i)
		b.await(t, "it to wait", func() bool { return b.metrics.orphans.Value() == 1 && b.metrics.verified.Value() == n })
	}
	b.hear(added(family[0]))
	b.await(t, "the family", func() bool { return b.metrics.verified.Value() == 6 && b.metrics.orphans.Value() == 0 })

	parent := spendFirst(t, b.btcd, 2, opTrue)
	b.hear(added(child(parent)))
	b.await(t, "the next to wait", func() bool { return b.metrics.orphans.Value() == 1 })
	b.mine(t, parent)
	b.await(t, "the child of a block's", func() bool { return b.metrics.verified.Value() == 7 && b.metrics.orphans.Value() == 0 })
	if n := b.metrics.share.Value(); n != 0 {
		t.Errorf("the share of a block with a stranger is %v", n)
	}
}

// mine has a block with these transactions follow the coins' tip.
func (b *bench) mine(t *testing.T, txs ...*wire.MsgTx) {
	t.Helper()
	for _, tx := range txs {
		b.btcd.AddTx(tx)
	}
	hash := b.btcd.Mine(1)[0]
	block, err := blockval.Parse(b.btcd.Block(hash))
	if err != nil {
		t.Fatal(err)
	}
	_, height := b.btcd.Tip()
	if err := b.cache.Apply(cacheBlock(block, uint32(height))); err != nil {
		t.Fatal(err)
	}
	b.hear(node.Connected{Tip: node.Tip{Hash: hash, Height: uint32(height)}, Block: block})
}

// A block that holds the parent, and comes after the coins were looked up and before
// the child waits, is not missed. What a block holds leaves.
func TestWarmerSeesABlockThatComesMeanwhile(t *testing.T) {
	var b *bench
	turns := make(chan func())
	b = newBench(t, 100, func(w *warmer) {
		verify := w.verify
		w.verify = func(ctx context.Context, tx *wire.MsgTx, prevouts []wire.TxOut) (bool, error) {
			select {
			case turn := <-turns:
				turn()
			case <-ctx.Done():
			}
			return verify(ctx, tx, prevouts)
		}
	})
	first, second, parent := spendFirst(t, b.btcd, 1, opTrue), spendFirst(t, b.btcd, 2, opTrue), spendFirst(t, b.btcd, 3, opTrue)
	b.hear(added(first))
	for _, turn := range []func(){
		func() { // the next two make one batch
			b.hear(added(second))
			b.hear(added(child(parent)))
		},
		func() { b.mine(t, first, parent) },
		func() {},
	} {
		select {
		case turns <- turn:
		case <-time.After(patience):
			t.Fatal("nothing more is verified")
		}
	}
	b.await(t, "the child", func() bool { return b.metrics.verified.Value() == 3 })
	if n := b.metrics.share.Value(); n != 0.5 {
		t.Errorf("the share of a block of two, one of them a stranger, is %v", n)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.overlay.get(first.TxHash()) != nil || b.overlay.get(second.TxHash()) == nil {
		t.Error("what is mined is still there, or what is not is gone")
	}
}

// What leaves the mempool leaves here, wherever it is; what cannot be verified is
// counted by why.
func TestWarmerForgetsAndCounts(t *testing.T) {
	held, hold := make(chan struct{}), make(chan struct{})
	var once sync.Once
	b := newBench(t, 100, func(w *warmer) {
		verify := w.verify
		w.verify = func(ctx context.Context, tx *wire.MsgTx, prevouts []wire.TxOut) (bool, error) {
			once.Do(func() { close(held); <-hold })
			if tx.LockTime == 13 {
				return false, errors.New("no memory")
			}
			return verify(ctx, tx, prevouts)
		}
	})
	b.hear(added(spendFirst(t, b.btcd, 1, opTrue)))
	<-held // and nothing moves until the end of the events
	var txs []*wire.MsgTx
	for i := range 3 {
		txs = append(txs, spendFirst(t, b.btcd, 2+i, opTrue))
		b.hear(added(txs[i]))
	}
	b.hear(node.MempoolRemoved{Txid: txs[1].TxHash()})
	b.hear(node.MempoolAdded{Txid: chainhash.Hash{1}})                         // the node does not have it
	b.hear(node.MempoolAdded{Txid: chainhash.Hash{2}, Raw: []byte{1}})         // is none
	b.hear(node.MempoolAdded{Txid: chainhash.Hash{3}, Raw: added(txs[0]).Raw}) // is another
	heavy := spendFirst(t, b.btcd, 5, opTrue)
	heavy.AddTxOut(wire.NewTxOut(0, make([]byte, maxWarmWeight/4)))
	b.hear(added(heavy))
	failing := spendFirst(t, b.btcd, 6, opTrue)
	failing.LockTime = 13
	b.hear(added(failing))
	none := child(txs[0])
	none.TxIn[0].PreviousOutPoint.Index = 7 // there is no such output
	b.hear(added(none))
	orphan := child(spendFirst(t, b.btcd, 7, opTrue))
	b.hear(added(orphan))
	if n := b.counts().Waiting; n != 9 {
		t.Errorf("%d transactions wait", n)
	}
	close(hold)
	want := map[dropReason]uint64{dropGone: 1, dropMalformed: 2, dropWeight: 1, dropError: 1, dropCoins: 1}
	b.await(t, "all", func() bool {
		for reason, n := range want {
			if b.metrics.dropped[reason].Value() != n {
				return false
			}
		}
		return b.metrics.verified.Value() == 3 && b.metrics.orphans.Value() == 1
	})
	for _, tx := range append(txs, heavy, failing, none, orphan, spendFirst(t, b.btcd, 1, opTrue)) {
		b.hear(node.MempoolRemoved{Txid: tx.TxHash()})
	}
	look := func(after time.Duration) pending {
		b.mu.Lock()
		defer b.mu.Unlock()
		p, _ := b.overlay.look(wire.OutPoint{}, time.Now().Add(after))
		return p
	}
	if p := look(2 * settling); p != pendingUnknown {
		t.Errorf("three transactions were never seen, and the mempool is known: %d", p)
	}
	for i := range byte(3) {
		b.hear(node.MempoolRemoved{Txid: chainhash.Hash{1 + i}})
	}
	if p := look(0); p != pendingUnknown {
		t.Errorf("nobody knows what three transactions touched that have just left, and the mempool says %d", p)
	}
	if p := look(2 * settling); p != pendingNothing {
		t.Errorf("an empty mempool says %d of an outpoint", p)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.overlay.bytes != 0 || b.orphans.txs.bytes != 0 || b.queue.bytes != 0 || len(b.overlay.byTxid)+len(b.overlay.spends)+len(b.overlay.missing)+len(b.overlay.unsure)+len(b.overlay.gone)+len(b.overlay.left) != 0 || len(b.orphans.children) != 0 {
		t.Errorf("an empty mempool takes %d, %d and %d bytes", b.overlay.bytes, b.orphans.txs.bytes, b.queue.bytes)
	}
}

// A flood is bounded in memory and in time, and does not hold up who tells of it.
func TestWarmerBoundsAFlood(t *testing.T) {
	const each = 10 * time.Millisecond // to verify one
	for _, percent := range []int64{0, 5, 25, 100} {
		t.Run(fmt.Sprintf("%d percent", percent), func(t *testing.T) {
			cache, err := utxocache.New(utxocache.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer cache.Close()
			synctest.Test(t, func(t *testing.T) {
				var share atomic.Int64
				share.Store(percent)
				j := &judge{cache: cache, coins: coins.New(coins.Options{Cache: cache}), validator: new(blockval.Validator)}
				w := newWarmer(j, 1, &share, new(perfcore.Registry))
				w.queue.limit, w.orphans.txs.limit = 1<<20, 1<<17
				var spent time.Duration
				w.verify = func(ctx context.Context, _ *wire.MsgTx, _ []wire.TxOut) (bool, error) {
					spent += each
					return true, sleep(ctx, each)
				}
				parent := wire.NewMsgTx(2)
				parent.AddTxOut(wire.NewTxOut(1e8, []byte{opTrue}))
				w.overlay.expect(parent.TxHash())
				w.overlay.put(parent.TxHash(), parent)
				ctx, cancel := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				wg.Go(func() { w.run(ctx) })
				began := time.Now()
				const flood, seconds = 20_000, 60
				for i := range flood {
					tx := child(parent)
					tx.LockTime = uint32(i)
					w.hear(added(tx))
				}
				if took := time.Since(began); took > 0 {
					t.Errorf("to tell of them took %v", took)
				}
				w.mu.Lock()
				held := w.queue.bytes
				w.mu.Unlock()
				waiting, full := w.counts().Waiting, w.metrics.dropped[dropFull].Value()+w.metrics.dropped[dropOff].Value()
				if n := uint64(waiting) + full; n > flood || n+warmBatch < flood || held > w.queue.limit || waiting == 0 != (percent == 0) {
					t.Errorf("%d wait in %d bytes, %d were left out", waiting, held, full)
				}
				time.Sleep(seconds * time.Second)
				cancel()
				wg.Wait()
				most := (seconds + 1) * time.Second * time.Duration(percent) / 100
				most = min(most, time.Duration(waiting+warmBatch)*each)
				if spent > most+each || spent < most*9/10 {
					t.Errorf("%v were spent in %d seconds, want %v at most, and not much less", spent, seconds, most)
				}
			})
		})
	}
}

// It ends at once whatever it is at: at nothing, without a budget, at a question to
// a node that does not answer, and at verifying.
func TestWarmerEnds(t *testing.T) {
	newBench(t, 25, nil).stop()

	b := newBench(t, 100, nil)
	b.percent.Store(1)
	for i := range 5 {
		b.hear(added(spendFirst(t, b.btcd, 1+i, opTrue)))
	}
	b.percent.Store(0)
	b.stop()

	b = newBench(t, 100, nil)
	b.btcd.Pause()
	b.hear(node.MempoolAdded{Txid: chainhash.Hash{1}})
	b.await(t, "the question", func() bool { return b.counts().Waiting == 0 })
	b.stop()

	at := make(chan struct{})
	b = newBench(t, 100, func(w *warmer) {
		w.verify = func(ctx context.Context, _ *wire.MsgTx, _ []wire.TxOut) (bool, error) {
			close(at)
			<-ctx.Done()
			return false, ctx.Err()
		}
	})
	b.hear(added(spendFirst(t, b.btcd, 1, opTrue)))
	<-at
	b.stop()
	if n := b.metrics.dropped[dropError].Value(); n != 0 {
		t.Error("to be told to stop counts as an error")
	}
}

// Queue, overlay and orphanage hold what they should, within their bounds, and
// account for it to the byte.
func TestMempoolHoldsAreBounded(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	id := func() chainhash.Hash { return chainhash.Hash{byte(rng.IntN(60))} }
	queue, over, orphans := newTxQueue(5000), newOverlay(5000), newOrphanage(5000)
	for range 20_000 {
		tx := &mempoolTx{id(), make([]byte, rng.IntN(700))}
		msg := &wire.MsgTx{TxOut: []*wire.TxOut{{PkScript: make([]byte, rng.IntN(700))}}}
		if rng.IntN(50) == 0 {
			tx.raw, msg.TxOut[0].PkScript = make([]byte, 5000), make([]byte, 5000) // larger than all
		}
		switch rng.IntN(4) {
		case 0:
			had, full := queue.byTxid[tx.txid] != nil, queue.bytes+tx.bytes() > 5000
			if queue.push(tx) == (full && !had) {
				t.Fatalf("push of %d bytes beside %d", tx.bytes(), queue.bytes)
			}
			over.put(tx.txid, msg)
			large := tx.bytes() > 5000
			if evicted := orphans.add(tx, id()); large && evicted != 1 || (orphans.txs.byTxid[tx.txid] == nil) != large {
				t.Fatalf("an orphan of %d bytes made %d go", tx.bytes(), evicted)
			}
		case 1:
			queue.remove(tx.txid)
			over.remove(tx.txid)
			orphans.remove(tx.txid)
		case 2:
			queue.pop()
		case 3:
			parent := id()
			want := len(orphans.children[parent])
			if got := len(orphans.release(parent)); got != want || orphans.children[parent] != nil {
				t.Fatalf("released %d of %d", got, want)
			}
		}
		var inQueue, inOver, inOrphans int64
		for e := queue.order.Front(); e != nil; e = e.Next() {
			inQueue += e.Value.(*mempoolTx).bytes()
		}
		for e := over.order.Front(); e != nil; e = e.Next() {
			inOver += e.Value.(*overlayTx).bytes
		}
		kin := 0
		for e := orphans.txs.order.Front(); e != nil; e = e.Next() {
			inOrphans += e.Value.(*mempoolTx).bytes()
		}
		for _, children := range orphans.children {
			kin += len(children)
		}
		switch {
		case inQueue != queue.bytes || inOver != over.bytes || inOrphans != orphans.txs.bytes:
			t.Fatal("the bytes do not add up")
		case max(inQueue, inOver, inOrphans) > 5000:
			t.Fatalf("%d, %d and %d bytes", inQueue, inOver, inOrphans)
		case len(queue.byTxid) != queue.len() || len(over.byTxid) != over.order.Len() || kin != orphans.txs.len() || kin != len(orphans.parent):
			t.Fatal("the maps do not fit the lists")
		}
	}
}

// Whatever bytes are told of as a transaction, they are verified, wait, or are
// counted.
func FuzzWarmerTakesAnyTransaction(f *testing.F) {
	parent := wire.NewMsgTx(2)
	parent.AddTxOut(wire.NewTxOut(1e8, []byte{opTrue}))
	f.Add(added(child(parent)).Raw)
	f.Add(added(parent).Raw)
	f.Add([]byte{2, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0x0f})
	cache, err := utxocache.New(utxocache.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(cache.Close)
	f.Fuzz(func(t *testing.T, raw []byte) {
		var share atomic.Int64
		share.Store(100)
		w := newWarmer(&judge{cache: cache, coins: coins.New(coins.Options{Cache: cache}), validator: new(blockval.Validator)}, 1, &share, perfcore.Discard)
		w.metrics = newWarmerMetrics(new(perfcore.Registry))
		w.verify = func(_ context.Context, tx *wire.MsgTx, prevouts []wire.TxOut) (bool, error) {
			return len(tx.TxIn) == len(prevouts), nil
		}
		w.overlay.expect(parent.TxHash())
		w.overlay.put(parent.TxHash(), parent)
		ev := node.MempoolAdded{Raw: raw}
		if tx, err := decodeTx(raw); err == nil {
			ev.Txid = tx.TxHash()
		}
		w.hear(ev)
		batch := w.take()
		if len(batch) != 1 {
			t.Fatalf("%d transactions wait", len(batch))
		}
		if raw == nil {
			return // would be asked for
		}
		w.warm(t.Context(), batch)
		outcomes := w.metrics.verified.Value() + uint64(w.orphans.txs.len())
		for _, n := range w.metrics.dropped {
			outcomes += n.Value()
		}
		if outcomes != 1 || w.metrics.refused.Value() != 0 {
			t.Errorf("%d outcomes, %d refused", outcomes, w.metrics.refused.Value())
		}
	})
}
