package node

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"math/big"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"golang.org/x/crypto/chacha20"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/sidecar/node/nodetest"
	"github.com/outrider-project/outrider/sidecar/node/zmq"
	"github.com/outrider-project/outrider/testvectors"
	"github.com/outrider-project/outrider/utxocache/corefile"
)

// A replay plays a recording: a fake node that stands as the real one did, and
// the messages that it published.
type replay struct {
	rec      *nodetest.BitcoindRecording
	fake     *nodetest.Bitcoind
	pub      *nodetest.Publisher
	messages []nodetest.ZMQMessage
	start    chainhash.Hash // the tip before the first message

	tip     chainhash.Hash
	mempool map[chainhash.Hash]bool
	next    uint64
}

func newReplay(t *testing.T) *replay {
	t.Helper()
	p := &replay{rec: bitcoindRecording(t), mempool: make(map[chainhash.Hash]bool), next: 1}
	var err error
	p.messages, err = nodetest.DecodeZMQRecording(testvectors.LoadFixture(t, "bitcoind/zmq.jsonl.zst", "the feed against a real node's notifications"))
	if err != nil {
		t.Fatal(err)
	}
	p.fake = nodetest.NewBitcoind(t, p.rec, nodetest.BitcoindOptions{})
	p.pub = nodetest.NewPublisher(t, nodetest.PublisherOptions{})
	var notifiers []nodetest.Notifier
	for _, topic := range zmq.Topics() {
		notifiers = append(notifiers, nodetest.Notifier{Topic: topic, Address: p.pub.Address()})
	}
	p.fake.SetNotifiers(notifiers)
	for _, m := range p.messages {
		if m.Topic == zmq.TopicSequence {
			first := sequenceOf(t, m)
			p.start = chainhash.Hash(p.rec.Blocks[first.Hash][4:36])
			break
		}
	}
	p.moveTo(t, p.start)
	p.fake.ForgetBranches()
	p.fake.SetMempoolAt(nil, p.next)
	return p
}

func sequenceOf(t *testing.T, m nodetest.ZMQMessage) zmq.Sequence {
	t.Helper()
	s, err := zmq.DecodeSequence(m.Body)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (p *replay) moveTo(t *testing.T, tip chainhash.Hash) {
	p.fake.MoveTo(t, tip)
	p.tip = tip
}

// stand makes the node stand as it did when it published m.
func (p *replay) stand(t *testing.T, m nodetest.ZMQMessage) {
	t.Helper()
	if m.Topic != zmq.TopicSequence {
		return
	}
	s := sequenceOf(t, m)
	switch s.Label {
	case zmq.BlockConnected:
		p.moveTo(t, s.Hash)
		block, err := blockval.Parse(p.rec.Blocks[s.Hash])
		if err != nil {
			t.Fatal(err)
		}
		for _, txid := range block.Txids {
			if p.mempool[txid] {
				p.next++
				delete(p.mempool, txid)
			}
		}
	case zmq.BlockDisconnected:
		p.moveTo(t, chainhash.Hash(p.rec.Blocks[s.Hash][4:36]))
	case zmq.TxAdded:
		p.mempool[s.Hash] = true
		p.next = s.MempoolSequence + 1
	case zmq.TxRemoved:
		delete(p.mempool, s.Hash)
		p.next = s.MempoolSequence + 1
	}
	p.fake.SetMempoolAt(slices.Collect(maps.Keys(p.mempool)), p.next)
}

// A journal is a Handler that writes every event down, and keeps the coins.
type journal struct {
	mu      sync.Mutex
	events  []string
	chain   []chainhash.Hash
	pool    map[chainhash.Hash]bool
	coins   map[wire.OutPoint]corefile.Coin
	undo    []map[wire.OutPoint]corefile.Coin
	changed chan struct{}
}

func newJournal() *journal {
	return &journal{
		pool: make(map[chainhash.Hash]bool), coins: make(map[wire.OutPoint]corefile.Coin),
		changed: make(chan struct{}, 1),
	}
}

func (j *journal) handle(_ context.Context, ev Event) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch ev := ev.(type) {
	case Started:
		j.chain = []chainhash.Hash{ev.Hash}
	case Connected:
		j.events = append(j.events, fmt.Sprintf("C %v", ev.Hash))
		j.chain = append(j.chain, ev.Hash)
		j.connect(ev)
	case Disconnected:
		j.events = append(j.events, fmt.Sprintf("D %v", ev.Hash))
		j.chain = j.chain[:len(j.chain)-1]
		maps.Copy(j.coins, j.undo[len(j.undo)-1])
		maps.DeleteFunc(j.coins, func(_ wire.OutPoint, c corefile.Coin) bool { return c.Height == ev.Height })
		j.undo = j.undo[:len(j.undo)-1]
	case MempoolAdded:
		j.events = append(j.events, fmt.Sprintf("A %v", ev.Txid))
		j.pool[ev.Txid] = true
	case MempoolRemoved:
		j.events = append(j.events, fmt.Sprintf("R %v", ev.Txid))
		delete(j.pool, ev.Txid)
	}
	select {
	case j.changed <- struct{}{}:
	default:
	}
	return nil
}

func (j *journal) connect(ev Connected) {
	spent := make(map[wire.OutPoint]corefile.Coin)
	for i, tx := range ev.Block.Msg.Transactions {
		for _, in := range tx.TxIn {
			if c, ok := j.coins[in.PreviousOutPoint]; ok {
				spent[in.PreviousOutPoint] = c
				delete(j.coins, in.PreviousOutPoint)
			}
		}
		for n, out := range tx.TxOut {
			if txscript.IsUnspendable(out.PkScript) {
				continue
			}
			j.coins[wire.OutPoint{Hash: ev.Block.Txids[i], Index: uint32(n)}] = corefile.Coin{
				Value: out.Value, Script: out.PkScript, Height: ev.Height, Coinbase: i == 0,
			}
		}
		delete(j.pool, ev.Block.Txids[i])
	}
	j.undo = append(j.undo, spent)
}

// await waits until ok, which is called with the journal locked.
func (j *journal) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		j.mu.Lock()
		done := ok()
		j.mu.Unlock()
		if done {
			return
		}
		select {
		case <-j.changed:
		case <-deadline:
			t.Fatalf("waited in vain for %s; %d events, the last ones %v", what, len(j.events), j.events[max(0, len(j.events)-5):])
		}
	}
}

// muhash is MuHash3072 of the coins, written from Bitcoin Core's crypto/muhash.cpp
// and kernel/coinstats.cpp over math/big.
func (j *journal) muhash() chainhash.Hash {
	j.mu.Lock()
	defer j.mu.Unlock()
	modulus := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 3072), big.NewInt(1103717))
	product := big.NewInt(1)
	for op, c := range j.coins {
		key := sha256.Sum256(corefile.AppendTxOutSer(nil, op, &c))
		stream, err := chacha20.NewUnauthenticatedCipher(key[:], make([]byte, chacha20.NonceSize))
		if err != nil {
			panic(err)
		}
		number := make([]byte, 384)
		stream.XORKeyStream(number, number)
		slices.Reverse(number)
		product.Mul(product, new(big.Int).SetBytes(number)).Mod(product, modulus)
	}
	little := product.FillBytes(make([]byte, 384))
	slices.Reverse(little)
	return chainhash.Hash(sha256.Sum256(little))
}

// follow starts a feed that follows the replay's node.
func (p *replay) follow(t *testing.T, o FeedOptions) (*journal, *Feed) {
	t.Helper()
	cfg := bitcoindConfig(p.fake)
	cfg.SurveyInterval = 50 * time.Millisecond
	cfg.Subscription.ReconnectDelay = time.Millisecond
	node, err := NewBitcoind(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(node.Close)
	headers, _ := openHeaders(t, filepath.Join(t.TempDir(), "headers.dat"))
	o.Recorder = new(perfcore.Registry)
	feed, j := NewFeed(node, headers, o), newJournal()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() { _ = feed.Run(ctx, nil, j.handle) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return j, feed
}

// awaitStart waits until the feed follows the steps from where they begin.
func (p *replay) awaitStart(t *testing.T, feed *Feed) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; runtime.Gosched() {
		if s := feed.Status(); s.Sequenced && s.Tip.Hash == p.start {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the feed does not follow the steps: %+v", feed.Status())
		}
	}
}

// recorded returns the events that the messages from the first on call for.
func (p *replay) recorded(t *testing.T) (events []string) {
	t.Helper()
	for _, m := range p.messages {
		if m.Topic == zmq.TopicSequence {
			s := sequenceOf(t, m)
			events = append(events, fmt.Sprintf("%c %v", byte(s.Label), s.Hash))
		}
	}
	return events
}

// Every message of the real node becomes an event, in its order: a reorganisation
// as D D C C C C, a replacement as R then A. The set of coins that the events add
// up to has the hash that the node told of its own.
func TestReplayStepByStep(t *testing.T) {
	p := newReplay(t)
	o := quick()
	o.Poll, o.Resync, o.Branches = time.Hour, time.Hour, time.Hour
	j, feed := p.follow(t, o)
	p.awaitStart(t, feed)
	j.mu.Lock()
	before, resyncs := len(j.events), feed.Status().Resyncs
	j.mu.Unlock()
	want := p.recorded(t)
	hashes := map[uint32]chainhash.Hash{}
	for n := range 2 {
		info := said[struct {
			Height uint32
			Muhash displayHash
		}](t, p.rec, n, "gettxoutsetinfo", `["muhash"]`)
		hashes[info.Height] = chainhash.Hash(info.Muhash)
	}
	done := 0
	for _, m := range p.messages {
		p.stand(t, m)
		p.pub.Send(m)
		if m.Topic != zmq.TopicSequence {
			continue
		}
		done++
		height := p.rec.Height(p.tip)
		if set, ok := hashes[height]; ok && sequenceOf(t, m).Label == zmq.BlockConnected {
			j.await(t, "a block of which the set's hash was told", func() bool { return len(j.events) >= before+done })
			if got := j.muhash(); got != set {
				t.Errorf("the coins of block %d have the hash %v, the node's %v", height, got, set)
			}
			delete(hashes, height)
		}
	}
	j.await(t, "the last message", func() bool { return len(j.events) >= before+len(want) })
	j.mu.Lock()
	defer j.mu.Unlock()
	if got := j.events[before:]; !slices.Equal(got, want) {
		for i := range got {
			if i >= len(want) || got[i] != want[i] {
				t.Fatalf("event %d of %d is %q, want %q of %d", i, len(got), got[i], want[min(i, len(want)-1)], len(want))
			}
		}
	}
	if len(hashes) > 0 {
		t.Errorf("the hashes of the sets %v were not compared", hashes)
	}
	if j.chain[len(j.chain)-1] != p.tip || !maps.Equal(j.pool, p.mempool) {
		t.Errorf("at the end the tip is %v, want %v; %d in the mempool, want %d", j.chain[len(j.chain)-1], p.tip, len(j.pool), len(p.mempool))
	}
	shapes := shapesOf(want)
	for _, shape := range []string{"DDAAAAAAAAAAAAAAAAACCCC", "RA"} {
		if !slices.ContainsFunc(shapes, func(s string) bool { return s == shape }) {
			t.Errorf("the recording has no %s: %v", shape, shapes)
		}
	}
	if n := feed.Status().Resyncs - resyncs; n > 0 {
		t.Errorf("the mempool was compared %d times: the steps did not add up", n)
	}
}

// shapesOf returns the runs of labels that begin with a D or an R.
func shapesOf(events []string) (shapes []string) {
	for i := 0; i < len(events); i++ {
		switch events[i][0] {
		case 'R':
			shapes = append(shapes, string([]byte{events[i][0], events[i+1][0]}))
		case 'D':
			var shape []byte
			for events[i][0] == 'D' || events[i][0] == 'A' {
				shape = append(shape, events[i][0])
				i++
			}
			for n := range 4 {
				shape = append(shape, events[i+n][0])
			}
			shapes = append(shapes, string(shape))
		}
	}
	return shapes
}

// The node may be any number of steps ahead of what it publishes: its answers
// are younger than its messages. Whatever the events are on the way, chain and
// mempool are the node's at the end.
func TestReplayNodeIsAhead(t *testing.T) {
	for _, ahead := range []int{1, 3, 10, 40, 1 << 20} {
		t.Run(fmt.Sprint(ahead), func(t *testing.T) {
			t.Parallel()
			p := newReplay(t)
			j, feed := p.follow(t, quick())
			p.awaitStart(t, feed)
			stood := 0
			for i, m := range p.messages {
				for ; stood < len(p.messages) && stood <= i+ahead; stood++ {
					p.stand(t, p.messages[stood])
				}
				p.pub.Send(m)
			}
			j.await(t, "the node's chain and mempool", func() bool {
				return j.chain[len(j.chain)-1] == p.tip && maps.Equal(j.pool, p.mempool)
			})
		})
	}
}
