package nodetest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// regtest's rules, as far as a chain that nobody attacks needs them.
const (
	coinbaseMaturity = 100
	halvingInterval  = 150
	blockSpacing     = 10 * time.Minute
	txFee            = 1000
)

// anyoneCanSpend is the witness script of every coin: OP_TRUE.
var anyoneCanSpend = [1]byte{txscript.OP_TRUE}

// coinScript locks a coin to anyoneCanSpend (P2WSH), so that blocks with
// transactions carry witnesses and a witness commitment.
func coinScript() []byte {
	program := sha256.Sum256(anyoneCanSpend[:])
	return append([]byte{txscript.OP_0, txscript.OP_DATA_32}, program[:]...)
}

// A block is a node of the block tree.
type block struct {
	msg    *wire.MsgBlock
	raw    []byte
	hash   chainhash.Hash
	height int32
	parent *block
	// status is what getchaintips says of a branch that ends here.
	status BranchStatus
	// seen orders blocks by when the node learnt of them.
	seen int
}

// txid returns the id of the block's i-th transaction.
func (b *block) txid(i int) chainhash.Hash { return b.msg.Transactions[i].TxHash() }

// ancestor returns the block that is depth blocks below b.
func (b *block) ancestor(depth int) *block {
	for range depth {
		if b = b.parent; b == nil {
			panic("nodetest: the chain is not that deep")
		}
	}
	return b
}

// genesis returns regtest's first block.
func genesis() *block {
	msg := chaincfg.RegressionNetParams.GenesisBlock
	return &block{msg: msg, raw: serialize(msg), hash: msg.BlockHash(), status: ValidFork}
}

func serialize(msg *wire.MsgBlock) []byte {
	var buf bytes.Buffer
	if err := msg.Serialize(&buf); err != nil {
		panic(fmt.Sprintf("nodetest: serialize a block: %v", err))
	}
	return buf.Bytes()
}

func serializeTx(tx *wire.MsgTx) []byte {
	var buf bytes.Buffer
	if err := tx.Serialize(&buf); err != nil {
		panic(fmt.Sprintf("nodetest: serialize a transaction: %v", err))
	}
	return buf.Bytes()
}

// mine makes a block on top of parent that holds txs. It is valid by regtest's
// rules when txs are, unless reward asks for more than the subsidy. extra makes
// it different from its siblings.
func mine(parent *block, txs []*wire.MsgTx, extra uint64, reward int64) *block {
	return mineAt(parent, txs, extra, reward, parent.msg.Header.Timestamp.Add(blockSpacing))
}

// mineAt is mine with the block's time.
func mineAt(parent *block, txs []*wire.MsgTx, extra uint64, reward int64, at time.Time) *block {
	height := parent.height + 1
	all := append([]*wire.MsgTx{coinbase(height, extra, reward)}, txs...)
	if len(txs) > 0 {
		commitWitnesses(all)
	}
	msg := &wire.MsgBlock{
		Header: wire.BlockHeader{
			Version:    0x20000000,
			PrevBlock:  parent.hash,
			MerkleRoot: blockchain.CalcMerkleRoot(utilTxs(all), false),
			Timestamp:  at,
			Bits:       chaincfg.RegressionNetParams.PowLimitBits,
		},
		Transactions: all,
	}
	target := blockchain.CompactToBig(msg.Header.Bits)
	hash := msg.BlockHash()
	for blockchain.HashToBig(&hash).Cmp(target) > 0 {
		msg.Header.Nonce++
		hash = msg.BlockHash()
	}
	return &block{msg: msg, raw: serialize(msg), hash: hash, height: height, parent: parent, status: ValidFork}
}

func subsidy(height int32) int64 {
	return 50 * btcutil.SatoshiPerBitcoin >> min(height/halvingInterval, 63)
}

// coinbase pays the subsidy plus reward; its script holds the height (BIP34)
// and extra.
func coinbase(height int32, extra uint64, reward int64) *wire.MsgTx {
	script, err := txscript.NewScriptBuilder().AddInt64(int64(height)).
		AddData(binary.BigEndian.AppendUint64(nil, extra)).Script()
	if err != nil {
		panic(fmt.Sprintf("nodetest: coinbase script: %v", err))
	}
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(wire.NewTxIn(wire.NewOutPoint(&chainhash.Hash{}, wire.MaxPrevOutIndex), script, nil))
	tx.AddTxOut(wire.NewTxOut(subsidy(height)+reward, coinScript()))
	return tx
}

// commitWitnesses adds the witness commitment to the coinbase txs[0] (BIP141).
func commitWitnesses(txs []*wire.MsgTx) {
	var nonce [32]byte
	txs[0].TxIn[0].Witness = wire.TxWitness{nonce[:]}
	root := blockchain.CalcMerkleRoot(utilTxs(txs), true)
	commitment := chainhash.DoubleHashB(append(root[:], nonce[:]...))
	script := append(slices.Clone(blockchain.WitnessMagicBytes), commitment...)
	txs[0].AddTxOut(wire.NewTxOut(0, script))
}

func utilTxs(txs []*wire.MsgTx) []*btcutil.Tx {
	wrapped := make([]*btcutil.Tx, len(txs))
	for i, tx := range txs {
		wrapped[i] = btcutil.NewTx(tx)
	}
	return wrapped
}

// A coin is a spendable output.
type coin struct {
	op    wire.OutPoint
	value int64
}

// spend makes a transaction that splits a coin into two.
func spend(c coin) *wire.MsgTx {
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(wire.NewTxIn(&c.op, nil, wire.TxWitness{anyoneCanSpend[:]}))
	half := (c.value - txFee) / 2
	tx.AddTxOut(wire.NewTxOut(half, coinScript()))
	tx.AddTxOut(wire.NewTxOut(c.value-txFee-half, coinScript()))
	return tx
}

// coins returns the outputs that a transaction in the block after tip can
// spend, oldest first.
func coins(tip *block) []coin {
	var chain []*block
	for b := tip; b.parent != nil; b = b.parent {
		chain = append(chain, b)
	}
	slices.Reverse(chain)
	var order []coin
	spent := make(map[wire.OutPoint]bool)
	for _, b := range chain {
		for i, tx := range b.msg.Transactions {
			for _, in := range tx.TxIn {
				spent[in.PreviousOutPoint] = true
			}
			if i == 0 && tip.height+1-b.height < coinbaseMaturity {
				continue
			}
			txid := tx.TxHash()
			for n, out := range tx.TxOut {
				if out.Value > 10*txFee {
					order = append(order, coin{wire.OutPoint{Hash: txid, Index: uint32(n)}, out.Value})
				}
			}
		}
	}
	return slices.DeleteFunc(order, func(c coin) bool { return spent[c.op] })
}
