package watch_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/bitvm/watch"
	"github.com/outrider-project/outrider/bitvm/watch/watchtest"
)

// A chain is a best chain in memory. Its first block is that at height first.
type chain struct {
	first  uint32
	blocks []*watch.Block
	all    map[chainhash.Hash]*watch.Block
	mined  uint64
	lost   bool // blocks are not to be had
}

func newChain(first uint32) *chain {
	return &chain{first: first, all: make(map[chainhash.Hash]*watch.Block)}
}

func (c *chain) next() uint32 { return c.first + uint32(len(c.blocks)) }

func (c *chain) tip() watch.Tip {
	if len(c.blocks) == 0 {
		return watch.Tip{Height: c.first - 1}
	}
	return c.blocks[len(c.blocks)-1].Tip
}

// mine adds a block with the transactions behind a coinbase, and returns it.
func (c *chain) mine(txs ...*wire.MsgTx) *watch.Block {
	c.mined++
	coinbase := wire.NewMsgTx(2)
	coinbase.AddTxIn(wire.NewTxIn(&wire.OutPoint{Index: 0xffffffff}, binary.LittleEndian.AppendUint64(nil, c.mined), nil))
	coinbase.AddTxOut(wire.NewTxOut(50e8, watchtest.Anyone()))
	msg := &wire.MsgBlock{Transactions: append([]*wire.MsgTx{coinbase}, txs...)}
	msg.Header.PrevBlock = c.tip().Hash
	msg.Header.Nonce = uint32(c.mined)
	b := watch.NewBlock(msg, c.next())
	c.blocks = append(c.blocks, b)
	c.all[b.Hash] = b
	return b
}

// drop takes the last block off, and returns it.
func (c *chain) drop() *watch.Block {
	b := c.blocks[len(c.blocks)-1]
	c.blocks = c.blocks[:len(c.blocks)-1]
	return b
}

func (c *chain) Best(context.Context) (watch.Tip, error) { return c.tip(), nil }

func (c *chain) BlockHash(_ context.Context, height uint32) (chainhash.Hash, error) {
	if height < c.first || height >= c.next() {
		return chainhash.Hash{}, fmt.Errorf("there is no block %d", height)
	}
	return c.blocks[height-c.first].Hash, nil
}

func (c *chain) Block(_ context.Context, tip watch.Tip) (*watch.Block, error) {
	if b := c.all[tip.Hash]; b != nil && !c.lost {
		return b, nil
	}
	return nil, fmt.Errorf("block %d is pruned", tip.Height)
}

// A scene is a bridge, a chain, and a watcher that follows it.
type scene struct {
	t      *testing.T
	bridge *watchtest.Bridge
	chain  *chain
	w      *watch.Watcher
	events []watch.Event
}

// first is the height of the first block of tests.
const first = 1000

func newScene(t *testing.T, g *watch.Graph, o watch.Options) *scene {
	t.Helper()
	s := &scene{t: t, bridge: watchtest.New(t, g, "regtest", "one"), chain: newChain(first)}
	if o.Blocks == nil {
		o.Blocks = s.chain
	}
	o.Event = func(e watch.Event) { s.events = append(s.events, e) }
	s.w = watch.New(o)
	for i, tx := range g.Transactions {
		if len(tx.Inputs) == 0 {
			s.bridge.Fund(tx.Name, watchtest.Coin{Outpoint: wire.OutPoint{Hash: chainhash.Hash{1, byte(i)}}, Value: 50e8})
		}
	}
	if err := s.w.Add(s.bridge.Instance(first)); err != nil {
		t.Fatal(err)
	}
	return s
}

// mine mines transactions of the graph by their names, and has the watcher see them.
func (s *scene) mine(names ...string) *watch.Block {
	s.t.Helper()
	var txs []*wire.MsgTx
	for _, n := range names {
		txs = append(txs, s.bridge.Tx(n))
	}
	return s.connect(txs...)
}

func (s *scene) connect(txs ...*wire.MsgTx) *watch.Block {
	s.t.Helper()
	b := s.chain.mine(txs...)
	if err := s.w.Connect(s.t.Context(), b); err != nil {
		s.t.Fatal(err)
	}
	return b
}

// idle mines empty blocks until the next has a height.
func (s *scene) idle(next uint32) {
	s.t.Helper()
	for s.chain.next() < next {
		s.connect()
	}
}

// undo takes n blocks off.
func (s *scene) undo(n int) {
	s.t.Helper()
	for range n {
		b := s.chain.drop()
		if err := s.w.Disconnect(b.Tip, b.Prev); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *scene) status() watch.Status { return s.w.Status()[0] }

// tx returns the status of a transaction.
func (s *scene) tx(name string) watch.TransactionStatus {
	s.t.Helper()
	for _, tx := range s.status().Transactions {
		if tx.Name == name {
			return tx
		}
	}
	s.t.Fatalf("there is no transaction %s", name)
	return watch.TransactionStatus{}
}

// claimed brings BitVM2 to the block with assert_final, each transaction in a block of
// its own, and returns the height of that one.
func (s *scene) claimed() uint32 {
	for _, names := range [][]string{
		{"peg_in_deposit"}, {"peg_in_confirm"}, {"peg_out_confirm"}, {"kick_off_1"}, {"start_time"}, {"kick_off_2", "challenge"},
		nil, {"assert_initial"}, {"assert_commit_1"}, {"assert_commit_2"}, {"assert_final"},
	} {
		s.mine(names...)
	}
	return s.chain.tip().Height
}
