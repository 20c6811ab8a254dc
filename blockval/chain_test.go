package blockval

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval/header"
)

// easyBits is regtest's target: every second hash is below it.
const easyBits = 0x207fffff

// A testChain is a chain of headers whose blocks are trivial to find, and what
// its coins are said to be at the tip.
type testChain struct {
	p       *Params
	headers header.Chain
	coins   testCoins
	now     time.Time
}

// testCoins is a view of the coins. It plays a complete one: what is not in it
// does not exist.
type testCoins map[wire.OutPoint]Coin

func (c testCoins) Prevouts(_ context.Context, ops []wire.OutPoint, coins []Coin) (Source, error) {
	for i, op := range ops {
		coin, ok := c[op]
		coin.Missing = !ok
		coins[i] = coin
	}
	return Own, nil
}

func (c testCoins) Unspent(_ context.Context, ops []wire.OutPoint) (first int, known bool, err error) {
	return slices.IndexFunc(ops, func(op wire.OutPoint) bool { _, ok := c[op]; return ok }), true, nil
}

// newTestChain returns a chain for a block at the given height, with the rules
// of network, but regtest's easy target, and a block every ten minutes.
func newTestChain(tb testing.TB, network string, height uint32) *testChain {
	tb.Helper()
	p, err := ParamsFor(network)
	if err != nil {
		tb.Fatal(err)
	}
	regtest, err := header.For("regtest")
	if err != nil {
		tb.Fatal(err)
	}
	p.PowLimit, p.NoRetargeting, p.AllowMinDifficulty = regtest.PowLimit, true, false
	binary.LittleEndian.PutUint32(p.Genesis[72:], easyBits)
	c := &testChain{p: p, headers: header.Chain{p.Genesis}, coins: testCoins{}}
	for h := uint32(1); h < height; h++ {
		c.extend(p.Genesis.Time() + 600*h)
	}
	c.now = time.Unix(int64(c.tip().Time())+600, 0)
	return c
}

func (c *testChain) tip() *header.Header { return &c.headers[len(c.headers)-1] }

// extend appends an empty header.
func (c *testChain) extend(at uint32) {
	h := wire.BlockHeader{Version: 4, PrevBlock: c.tip().Hash(), Timestamp: time.Unix(int64(at), 0), Bits: easyBits}
	c.headers = append(c.headers, c.solve(&h))
}

// solve finds a nonce for h.
func (c *testChain) solve(h *wire.BlockHeader) header.Header {
	for {
		raw := rawHeader(h)
		if c.p.CheckProofOfWork(&raw) == nil {
			return raw
		}
		h.Nonce++
	}
}

func rawHeader(h *wire.BlockHeader) header.Header {
	var buf bytes.Buffer
	if err := h.Serialize(&buf); err != nil {
		panic(err)
	}
	return header.Header(buf.Bytes())
}

func (c *testChain) height() uint32 { return uint32(len(c.headers)) }

func (c *testChain) at() At { return At{Height: c.height(), Ancestors: c.headers, Coins: c.coins} }

func (c *testChain) validator(tb testing.TB, o Options) *Validator {
	tb.Helper()
	if o.Now == nil {
		o.Now = func() time.Time { return c.now }
	}
	return open(tb, c.p, o)
}

// addCoin adds a coin, old enough to be spent, and returns an input that spends
// it with an empty script.
func (c *testChain) addCoin(value int64, script []byte) *wire.TxIn {
	op := wire.OutPoint{Hash: chainhash.HashH(binary.LittleEndian.AppendUint32([]byte("coin"), uint32(len(c.coins))))}
	c.coins[op] = Coin{Value: value, Script: script, Height: 1}
	return &wire.TxIn{PreviousOutPoint: op, Sequence: wire.MaxTxInSequenceNum}
}

// anyone is a script that everyone can spend with an empty one.
var anyone = []byte{txscript.OP_TRUE}

// pay returns a transaction that spends the inputs and creates coins of these
// values that anyone can spend.
func pay(ins []*wire.TxIn, values ...int64) *wire.MsgTx {
	tx := wire.NewMsgTx(2)
	tx.TxIn = ins
	for _, v := range values {
		tx.AddTxOut(&wire.TxOut{Value: v, PkScript: anyone})
	}
	return tx
}

// A draft is a block in the making.
type draft struct {
	c   *testChain
	msg wire.MsgBlock
}

// draft returns the next block with these transactions after its coinbase,
// whose coins must be known, and with a witness commitment.
func (c *testChain) draft(txs ...*wire.MsgTx) *draft {
	coinbase := wire.NewMsgTx(2)
	coinbase.AddTxIn(&wire.TxIn{
		PreviousOutPoint: wire.OutPoint{Index: wire.MaxPrevOutIndex},
		SignatureScript:  append(heightPush(c.height()), 1, 0),
		Witness:          wire.TxWitness{make([]byte, 32)},
		Sequence:         wire.MaxTxInSequenceNum,
	})
	coinbase.AddTxOut(&wire.TxOut{Value: c.p.subsidy(c.height()), PkScript: anyone})
	coinbase.AddTxOut(&wire.TxOut{PkScript: append([]byte(commitmentHeader), make([]byte, 32)...)})
	d := &draft{c: c}
	d.msg.Header = wire.BlockHeader{
		Version: 4, PrevBlock: c.tip().Hash(), Bits: easyBits,
		Timestamp: time.Unix(int64(c.tip().Time())+600, 0),
	}
	d.msg.Transactions = append([]*wire.MsgTx{coinbase}, txs...)
	return d
}

func (d *draft) coinbase() *wire.MsgTx { return d.msg.Transactions[0] }

// btcdRoot returns the merkle root of txs by btcd, of the ids with or without
// witnesses.
func btcdRoot(txs []*wire.MsgTx, witness bool) chainhash.Hash {
	wrapped := make([]*btcutil.Tx, len(txs))
	for i, tx := range txs {
		wrapped[i] = btcutil.NewTx(tx)
	}
	return blockchain.CalcMerkleRoot(wrapped, witness)
}

// commit makes the coinbase commit to the witnesses.
func (d *draft) commit() *draft {
	root := btcdRoot(d.msg.Transactions, true)
	sum := chainhash.DoubleHashB(append(root[:], make([]byte, 32)...))
	out := d.coinbase().TxOut
	out[len(out)-1].PkScript = append([]byte(commitmentHeader), sum...)
	return d
}

// root sets the merkle root.
func (d *draft) root() *draft {
	d.msg.Header.MerkleRoot = btcdRoot(d.msg.Transactions, false)
	return d
}

// solve finds a nonce, and returns the block's bytes.
func (d *draft) solve() []byte {
	d.c.solve(&d.msg.Header)
	return d.bytes()
}

// seal commits to everything, finds a nonce, and returns the block's bytes.
func (d *draft) seal() []byte { return d.commit().root().solve() }

func (d *draft) bytes() []byte {
	var buf bytes.Buffer
	if err := d.msg.Serialize(&buf); err != nil {
		panic(err)
	}
	return buf.Bytes()
}

// p2sh returns the script of an output that script can spend.
func p2sh(script []byte) []byte {
	return append(append([]byte{txscript.OP_HASH160, 20}, address.Hash160(script)...), txscript.OP_EQUAL)
}

// p2wsh returns the script of an output that script can spend.
func p2wsh(script []byte) []byte {
	sum := sha256.Sum256(script)
	return append([]byte{txscript.OP_0, 32}, sum[:]...)
}
