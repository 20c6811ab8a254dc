package sidecar_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval"
	"github.com/outrider-project/outrider/sidecar"
	"github.com/outrider-project/outrider/sidecar/demo"
	"github.com/outrider-project/outrider/sidecar/node"
	"github.com/outrider-project/outrider/sidecar/web"
)

// A coinCheck compares a sidecar's answers about coins with its node's.
type coinCheck struct {
	sidecar *sidecar.Sidecar
	node    unspender
	seen    map[wire.OutPoint]bool
	blocks  [][]wire.OutPoint // the outpoints of each block that was compared
	unspent int               // answers that there is such a coin
	gone    int               // answers that there is none
	pending int               // answers on top of the mempool
}

// An unspender is a node that tells of unspent coins.
type unspender interface {
	node.Node
	node.Unspender
}

func newCoinCheck(s *sidecar.Sidecar, n unspender) *coinCheck {
	return &coinCheck{sidecar: s, node: n, seen: make(map[wire.OutPoint]bool)}
}

// dialBtcd returns the btcd at an endpoint.
func dialBtcd(t *testing.T, at demo.Endpoint) *node.Btcd {
	t.Helper()
	certificate, err := os.ReadFile(at.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	n, err := node.NewBtcd(node.BtcdConfig{Address: at.Address, User: at.User, Password: at.Password, Certificate: certificate})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n
}

// checkBlock compares what the two say of every outpoint of a block.
func (c *coinCheck) checkBlock(t *testing.T, hash chainhash.Hash) {
	t.Helper()
	c.check(t, c.addBlock(t, hash))
}

// addBlock returns the outpoints of a block, which count as seen from now on.
func (c *coinCheck) addBlock(t *testing.T, hash chainhash.Hash) []wire.OutPoint {
	t.Helper()
	raw, err := c.node.Block(t.Context(), hash)
	if err != nil {
		t.Fatal(err)
	}
	b, err := blockval.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	var ops []wire.OutPoint
	for i, tx := range b.Msg.Transactions {
		for _, in := range tx.TxIn {
			if i > 0 {
				ops = append(ops, in.PreviousOutPoint)
			}
		}
		for n := range tx.TxOut {
			ops = append(ops, wire.OutPoint{Hash: b.Txids[i], Index: uint32(n)})
		}
	}
	for _, op := range ops {
		c.seen[op] = true
	}
	c.blocks = append(c.blocks, ops)
	return ops
}

// checkMempool compares what the two say, on top of the mempool, of every outpoint of
// its transactions, once the sidecar has heard of them.
func (c *coinCheck) checkMempool(t *testing.T) {
	t.Helper()
	txids, err := c.node.Mempool(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	raws, err := c.node.Transactions(t.Context(), txids)
	if err != nil {
		t.Fatal(err)
	}
	n, ok := c.node.(node.MempoolUnspender)
	if !ok {
		t.Fatalf("a %T cannot tell of its mempool", c.node)
	}
	var ops []wire.OutPoint
	for i, raw := range raws {
		var tx wire.MsgTx
		if err := tx.Deserialize(bytes.NewReader(raw)); err != nil {
			t.Fatal(err)
		}
		for _, in := range tx.TxIn {
			ops = append(ops, in.PreviousOutPoint)
		}
		for n := range tx.TxOut {
			ops = append(ops, wire.OutPoint{Hash: txids[i], Index: uint32(n)})
		}
	}
	told, tip, err := n.UnspentInMempool(t.Context(), ops)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		wrong := ""
		for i, op := range ops {
			got, err := c.sidecar.Coin(t.Context(), op, true)
			if want := &told[i]; err != nil || got.Tip.Hash != tip.Hash.String() || got.Unspent == want.Missing ||
				got.Unspent && (got.Value != want.Value || got.Height != want.Height) {
				wrong = fmt.Sprintf("coin %s: the sidecar says %+v (%v), the node %+v", op, got, err, want)
			}
		}
		if wrong == "" {
			c.pending += len(ops)
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(wrong)
		}
	}
}

// checkLast compares what the two say of every outpoint of the last blocks, more of
// them than a reorganisation takes off.
func (c *coinCheck) checkLast(t *testing.T) {
	t.Helper()
	c.check(t, slices.Concat(c.blocks[max(0, len(c.blocks)-demo.MaxReorg-2):]...))
}

// checkAll compares what the two say of every outpoint that was ever seen.
func (c *coinCheck) checkAll(t *testing.T) {
	t.Helper()
	ops := make([]wire.OutPoint, 0, len(c.seen))
	for op := range c.seen {
		ops = append(ops, op)
	}
	c.check(t, ops)
}

func (c *coinCheck) check(t *testing.T, ops []wire.OutPoint) {
	t.Helper()
	told, tip, err := c.node.Unspent(t.Context(), ops)
	if err != nil {
		t.Fatal(err)
	}
	for i, op := range ops {
		got := c.ask(t, op, tip)
		want := &told[i]
		script, err := hex.DecodeString(got.Script)
		if err != nil || got.Unspent == want.Missing || !got.Own || got.Unspent && (got.Value != want.Value || got.Height != want.Height ||
			got.Coinbase != want.Coinbase || !bytes.Equal(script, want.Script)) {
			t.Fatalf("coin %s at %v: the sidecar says %+v, the node %+v", op, tip, got, want)
		}
		if got.Unspent {
			c.unspent++
		} else {
			c.gone++
		}
	}
}

// ask asks the sidecar, which may be a moment behind.
func (c *coinCheck) ask(t *testing.T, op wire.OutPoint, tip node.Tip) web.Coin {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		got, err := c.sidecar.Coin(t.Context(), op, false)
		if err == nil && got.Tip.Hash == tip.Hash.String() {
			return got
		}
		if time.Now().After(deadline) {
			t.Fatalf("coin %s: the sidecar answers as of %v (%v), the node as of %v", op, got.Tip, err, tip)
		}
	}
}

// tell says how much was compared, which must be something.
func (c *coinCheck) tell(t *testing.T) {
	t.Helper()
	t.Logf("%d outpoints: %d answers of coins, %d of none, %d on top of the mempool", len(c.seen), c.unspent, c.gone, c.pending)
	if c.unspent < 1000 || c.gone < 1000 {
		t.Error("too few coins were compared")
	}
}
