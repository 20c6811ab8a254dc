package nodetest

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// CoreOptions are what a Core can be made different in.
type CoreOptions struct {
	BitcoindOptions
	// Publish says which topics share an address; nil publishes nothing.
	Publish [][]string
	// HighWater is that of every notifier; 0 is no bound.
	HighWater int
}

// A Core is a bitcoind on regtest whose chain and mempool the test moves: the
// calls of a Bitcoind, the steps of a Tree, and notifiers that tell of them as
// Bitcoin Core's do (src/zmq, validationinterface.cpp). An answer never lags
// behind a notification that was sent.
type Core struct {
	*Bitcoind
	Tree

	tb         testing.TB
	publishers []*Publisher
	addresses  map[string]*Publisher // by topic
	dead       map[string]bool
	starts     int
}

// NewCore starts a Core whose chain is the genesis block, and stops it when the
// test ends.
func NewCore(tb testing.TB, o CoreOptions) *Core {
	tb.Helper()
	first := genesis()
	rec := &BitcoindRecording{
		Chain:  []chainhash.Hash{first.hash},
		Blocks: map[chainhash.Hash][]byte{first.hash: first.raw},
	}
	c := &Core{
		Bitcoind: NewBitcoind(tb, rec, o.BitcoindOptions), tb: tb,
		addresses: make(map[string]*Publisher), dead: make(map[string]bool),
	}
	c.info = map[string]json.RawMessage{"chain": json.RawMessage(`"regtest"`)}
	for _, topics := range o.Publish {
		p := NewPublisher(tb, PublisherOptions{HighWater: o.HighWater})
		c.publishers = append(c.publishers, p)
		for _, topic := range topics {
			c.addresses[topic] = p
		}
	}
	c.plant(c)
	c.announce()
	return c
}

// Close ends all connections and waits for the node's goroutines.
func (c *Core) Close() {
	c.Bitcoind.Close()
	for _, p := range c.publishers {
		p.Close()
	}
}

// Publisher returns the publisher of a topic.
func (c *Core) Publisher(topic string) *Publisher { return c.addresses[topic] }

// Publishers returns all publishers.
func (c *Core) Publishers() []*Publisher { return c.publishers }

// announce sets what getzmqnotifications says.
func (c *Core) announce() {
	var list []Notifier
	for _, topic := range []string{"hashblock", "hashtx", "rawblock", "rawtx", "sequence"} {
		if p := c.addresses[topic]; p != nil && !c.dead[topic] {
			list = append(list, Notifier{topic, p.Address()})
		}
	}
	c.SetNotifiers(list)
}

// KillNotifier is what a failed publication does: bitcoind publishes nothing
// more of the topic, and no longer names it, until it is started anew.
func (c *Core) KillNotifier(topic string) {
	c.Tree.mu.Lock()
	defer c.Tree.mu.Unlock()
	c.dead[topic] = true
	c.announce()
}

// Restart kills the node, runs change while nobody can connect (it may move the
// chain; nobody is told of it), and starts it again with an empty mempool,
// other credentials, and counters and numbers from the beginning.
func (c *Core) Restart(change func()) {
	c.listener.refuse(true)
	c.listener.dropAll()
	for _, p := range c.publishers {
		p.Refuse(true)
		p.Restart()
	}
	if change != nil {
		change()
	}
	c.Tree.mu.Lock()
	clear(c.Tree.mempool)
	clear(c.dead)
	c.starts++
	c.Bitcoind.mu.Lock()
	c.Bitcoind.mempool, c.nextChange = nil, 1
	c.Bitcoind.mu.Unlock()
	c.announce()
	c.SetCookie(c.tb, fmt.Sprintf("start %d", c.starts))
	c.Tree.mu.Unlock()
	for _, p := range c.publishers {
		p.Restart()
		p.Refuse(false)
	}
	c.listener.refuse(false)
}

// publish publishes a message, unless the topic has no notifier that lives.
func (c *Core) publish(topic string, body []byte) {
	if p := c.addresses[topic]; p != nil && !c.dead[topic] {
		p.Publish(topic, body)
	}
}

// displayed returns a hash as bitcoind publishes it.
func displayed(hash chainhash.Hash) []byte {
	slices.Reverse(hash[:])
	return hash[:]
}

func (c *Core) publishTx(tx *wire.MsgTx) {
	c.publish("hashtx", displayed(tx.TxHash()))
	c.publish("rawtx", serializeTx(tx))
}

// A change is one of the mempool, which sequence tells of.
type change struct {
	txid   chainhash.Hash
	label  byte // A or R
	number uint64
	tx     *wire.MsgTx
}

func (c *Core) publishChange(ch change) {
	if ch.tx != nil {
		c.publishTx(ch.tx)
	}
	body := append(displayed(ch.txid), ch.label)
	c.publish("sequence", binary.LittleEndian.AppendUint64(body, ch.number))
}

// number gives numbers to changes. Bitcoind.mu must be held.
func (c *Core) number(changes []change) []change {
	for i := range changes {
		changes[i].number = c.nextChange
		c.nextChange++
	}
	return changes
}

// removals are the changes that take txids out of the mempool.
func removals(txids []chainhash.Hash) []change {
	changes := make([]change, len(txids))
	for i, txid := range txids {
		changes[i] = change{txid: txid, label: 'R'}
	}
	return changes
}

// state takes the tree's state over into what the calls answer.
// Bitcoind.mu must be held.
func (c *Core) state() {
	c.Bitcoind.mempool = c.Bitcoind.mempool[:0:0]
	for _, tx := range c.mempoolTxs() {
		c.Bitcoind.mempool = append(c.Bitcoind.mempool, tx.TxHash())
	}
}

// stored implements steps.
func (c *Core) stored(blk *block) {
	c.Bitcoind.mu.Lock()
	defer c.Bitcoind.mu.Unlock()
	c.rec.Blocks[blk.hash] = blk.raw
	if blk.parent == nil {
		return
	}
	if blk.parent != c.best {
		delete(c.tips, blk.parent.hash)
	}
	c.tips[blk.hash] = uint32(blk.height)
	c.invalid[blk.hash] = blk.status == Invalid || blk.status == Refused
}

// connected implements steps. The numbers of the mined transactions are used up
// in silence, before those of the transactions that the block throws out.
func (c *Core) connected(blk *block, mined int, thrownOut []chainhash.Hash) {
	c.Bitcoind.mu.Lock()
	c.chain = append(slices.Clone(c.chain), blk.hash)
	delete(c.tips, blk.parent.hash)
	c.tips[blk.hash] = uint32(blk.height)
	for _, tx := range blk.msg.Transactions {
		c.txs[tx.TxHash()] = &recordedTx{serializeTx(tx), blk.hash}
	}
	c.state()
	c.nextChange += uint64(mined)
	changes := c.number(removals(thrownOut))
	c.Bitcoind.mu.Unlock()
	for _, ch := range changes {
		c.publishChange(ch)
	}
	for _, tx := range blk.msg.Transactions {
		c.publishTx(tx)
	}
	c.publish("sequence", append(displayed(blk.hash), 'C'))
}

// settled implements steps.
func (c *Core) settled(blk *block) {
	c.publish("hashblock", displayed(blk.hash))
	c.publish("rawblock", blk.raw)
}

// disconnected implements steps.
func (c *Core) disconnected(blk *block, returned []*wire.MsgTx, thrownOut []chainhash.Hash) {
	changes := removals(thrownOut)
	for _, tx := range returned {
		changes = append(changes, change{txid: tx.TxHash(), label: 'A', tx: tx})
	}
	c.Bitcoind.mu.Lock()
	c.chain = slices.Clone(c.chain[:len(c.chain)-1])
	c.tips[blk.parent.hash] = uint32(blk.parent.height)
	for _, tx := range returned {
		c.txs[tx.TxHash()] = &recordedTx{raw: serializeTx(tx)}
	}
	c.state()
	c.number(changes)
	c.Bitcoind.mu.Unlock()
	for _, tx := range blk.msg.Transactions {
		c.publishTx(tx)
	}
	c.publish("sequence", append(displayed(blk.hash), 'D'))
	for _, ch := range changes {
		c.publishChange(ch)
	}
}

// added implements steps.
func (c *Core) added(tx *wire.MsgTx) {
	c.Bitcoind.mu.Lock()
	c.txs[tx.TxHash()] = &recordedTx{raw: serializeTx(tx)}
	c.state()
	changes := c.number([]change{{txid: tx.TxHash(), label: 'A', tx: tx}})
	c.Bitcoind.mu.Unlock()
	c.publishChange(changes[0])
}

// removed implements steps.
func (c *Core) removed(txids []chainhash.Hash) {
	c.Bitcoind.mu.Lock()
	c.state()
	changes := c.number(removals(txids))
	c.Bitcoind.mu.Unlock()
	for _, ch := range changes {
		c.publishChange(ch)
	}
}

// Misbehave makes one of oneIn messages of every publisher go wrong, in one of
// the ways that are given, as seed has it; 0 ends it.
func (c *Core) Misbehave(seed uint64, oneIn int, faults ...ZMQFault) {
	for i, p := range c.publishers {
		p.Misbehave(seed+uint64(i), oneIn, faults...)
	}
}

// Count returns how many messages went wrong in this way.
func (c *Core) Count(f ZMQFault) int {
	n := 0
	for _, p := range c.publishers {
		n += p.Count(f)
	}
	return n
}
