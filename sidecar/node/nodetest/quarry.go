package nodetest

import (
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// A Taker is a real node that is handed blocks.
type Taker interface {
	// SubmitBlock hands over a serialised block. It returns why the node
	// refuses it, in the node's words, or "" if it does not.
	SubmitBlock(raw []byte) (refusal string)
}

// SubmitBlock implements Taker, with Bitcoin Core's reject reason, or the
// message of an RPC error. A block off the best chain, about which nothing is
// said yet, is not refused.
func (c *RealCore) SubmitBlock(raw []byte) (refusal string) {
	var why *string
	switch err := c.call(&why, "submitblock", hex.EncodeToString(raw)); {
	case err != nil:
		return err.Error()
	case why == nil || *why == "inconclusive":
		return ""
	}
	return *why
}

// SubmitBlock implements Taker.
func (b *RealBtcd) SubmitBlock(raw []byte) (refusal string) {
	b.tb.Helper()
	var why *string
	if message := b.Try(&why, "submitblock", hex.EncodeToString(raw)); message != "" {
		return message
	}
	if why == nil {
		return ""
	}
	return *why
}

// A Quarry is a regtest chain of its own making on a real node. It builds blocks
// on the tip that keep every rule, or break just one (see Breaches). Whoever
// uses it submits them, and calls Extend for those that the node takes.
type Quarry struct {
	tip *block
	// start is the time of the first block after the genesis block's: btcd
	// enforces P2SH by the time, from 2012 on.
	start time.Time
	// coins can be spent with an empty script; the first next are taken.
	coins []coin
	next  int
	extra uint64
}

const (
	// quarryCoins is how many coins a Quarry begins with, each of coinValue.
	quarryCoins = 200
	coinValue   = 100_000
)

// anyone is the script of an output that an empty script can spend.
func anyone() []byte { return []byte{txscript.OP_TRUE} }

// NewQuarry returns a Quarry on the genesis block, and the first blocks to
// submit to a node that has no other: after them there are coins to spend.
func NewQuarry(tb testing.TB) (*Quarry, [][]byte) {
	tb.Helper()
	q := &Quarry{tip: genesis(), start: time.Now().Add(-30 * 24 * time.Hour).Truncate(time.Second)}
	var first [][]byte
	for range coinbaseMaturity {
		first = append(first, q.Next(tb))
	}
	source := q.tip.ancestor(coinbaseMaturity - 1)
	fan := wire.NewMsgTx(2)
	fan.AddTxIn(wire.NewTxIn(&wire.OutPoint{Hash: source.txid(0)}, nil, wire.TxWitness{anyoneCanSpend[:]}))
	for range quarryCoins {
		fan.AddTxOut(wire.NewTxOut(coinValue, anyone()))
	}
	first = append(first, q.Extend(tb, q.draft(fan).seal()))
	for i := range fan.TxOut {
		q.coins = append(q.coins, coin{wire.OutPoint{Hash: fan.TxHash(), Index: uint32(i)}, coinValue})
	}
	return q, first
}

// Extend makes raw, a valid block on the tip, the tip, and returns it.
func (q *Quarry) Extend(tb testing.TB, raw []byte) []byte {
	tb.Helper()
	var msg wire.MsgBlock
	if err := msg.Deserialize(hex.NewDecoder(strings.NewReader(hex.EncodeToString(raw)))); err != nil {
		tb.Fatalf("nodetest: decode a block: %v", err)
	}
	q.tip = &block{msg: &msg, raw: raw, hash: msg.BlockHash(), height: q.tip.height + 1, parent: q.tip}
	return raw
}

// Height returns the height of the tip, Tip its hash.
func (q *Quarry) Height() uint32 { return uint32(q.tip.height) }

// Tip returns the hash of the tip.
func (q *Quarry) Tip() chainhash.Hash { return q.tip.hash }

// Reorg makes the block that is depth below the tip the tip, and returns one
// block more than that for a node to switch to.
func (q *Quarry) Reorg(tb testing.TB, depth int) (branch [][]byte) {
	tb.Helper()
	q.tip = q.tip.ancestor(depth)
	for range depth + 1 {
		branch = append(branch, q.Next(tb))
	}
	return branch
}

// Next makes an empty valid block on the tip the tip, and returns it.
func (q *Quarry) Next(tb testing.TB) []byte {
	tb.Helper()
	return q.Extend(tb, q.draft().seal())
}

// Repeat returns a block on the tip that has the coinbase of the block at height
// again. That breaks BIP34, or where that is not in force BIP30, while the
// coinbase is unspent.
func (q *Quarry) Repeat(height uint32) []byte {
	d := q.draft()
	d.msg.Transactions[0] = q.tip.ancestor(int(q.tip.height) - int(height)).msg.Transactions[0].Copy()
	return d.root().solve()
}

// Early returns an empty block on the tip whose time is so much before the
// tip's.
func (q *Quarry) Early(before time.Duration) []byte {
	d := q.draft()
	d.msg.Header.Timestamp = q.tip.msg.Header.Timestamp.Add(-before)
	return d.seal()
}

// input returns an input that spends a coin of coinValue, which no block has
// been built with that the node took.
func (q *Quarry) input() *wire.TxIn {
	c := q.coins[q.next]
	q.next++
	return wire.NewTxIn(&c.op, nil, nil)
}

// A draft is a block in the making.
type draft struct {
	msg    *wire.MsgBlock
	parent *block
}

// draft returns a block on the tip with these transactions, which is neither
// committed nor mined.
func (q *Quarry) draft(txs ...*wire.MsgTx) *draft {
	q.extra++
	at := q.tip.msg.Header.Timestamp.Add(blockSpacing)
	if q.tip.parent == nil {
		at = q.start
	}
	return &draft{parent: q.tip, msg: &wire.MsgBlock{
		Header: wire.BlockHeader{
			Version: 0x20000000, PrevBlock: q.tip.hash, Bits: chaincfg.RegressionNetParams.PowLimitBits,
			Timestamp: at,
		},
		Transactions: append([]*wire.MsgTx{coinbase(q.tip.height+1, q.extra, 0)}, txs...),
	}}
}

func (d *draft) coinbase() *wire.MsgTx { return d.msg.Transactions[0] }

// commit adds the witness commitment.
func (d *draft) commit() *draft {
	commitWitnesses(d.msg.Transactions)
	return d
}

// root sets the merkle root.
func (d *draft) root() *draft {
	d.msg.Header.MerkleRoot = chainhash.Hash{}
	if len(d.msg.Transactions) > 0 {
		d.msg.Header.MerkleRoot = blockchain.CalcMerkleRoot(utilTxs(d.msg.Transactions), false)
	}
	return d
}

// solve mines the block and returns it.
func (d *draft) solve() []byte { return d.mine(true) }

// mine finds a nonce that is proof of work, or one that is none.
func (d *draft) mine(work bool) []byte {
	target := blockchain.CompactToBig(d.msg.Header.Bits)
	for ; ; d.msg.Header.Nonce++ {
		hash := d.msg.BlockHash()
		if (blockchain.HashToBig(&hash).Cmp(target) <= 0) == work {
			return serialize(d.msg)
		}
	}
}

// seal commits to everything and mines the block.
func (d *draft) seal() []byte { return d.commit().root().solve() }

// medianTime returns the median time past of the parent.
func (d *draft) medianTime() time.Time {
	var times []time.Time
	for b := d.parent; b != nil && len(times) < 11; b = b.parent {
		times = append(times, b.msg.Header.Timestamp)
	}
	slices.SortFunc(times, time.Time.Compare)
	return times[len(times)/2]
}

// pay returns a transaction that spends the inputs and creates coins of these
// values that an empty script can spend.
func pay(ins []*wire.TxIn, values ...int64) *wire.MsgTx {
	tx := wire.NewMsgTx(2)
	tx.TxIn = ins
	for _, v := range values {
		tx.AddTxOut(wire.NewTxOut(v, anyone()))
	}
	return tx
}
