package demo

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// blockVersion is the version of a block that signals nothing (BIP9).
const blockVersion = 0x20000000

// genesis returns the first block of regtest.
func genesis() *Block {
	p := &chaincfg.RegressionNetParams
	return &Block{Tip: Tip{Hash: *p.GenesisHash}, Msg: p.GenesisBlock}
}

// A miner builds regtest blocks. It is not safe for concurrent use.
type miner struct {
	wallet *wallet
	now    func() time.Time
	// extra makes every coinbase transaction another one.
	extra uint64
}

// mine mines a block of txs on parent at the present time, or later if the
// blocks below demand it. All of txs have to be valid there, in that order.
func (m *miner) mine(parent *Block, txs []*Tx) (*Block, error) {
	return m.mineAt(parent, txs, m.now())
}

// mineAt is mine at the given time.
func (m *miner) mineAt(parent *Block, txs []*Tx, at time.Time) (*Block, error) {
	b, err := m.assemble(parent, txs, at)
	if err != nil {
		return nil, fmt.Errorf("assemble block %d: %w", parent.Height+1, err)
	}
	commit(b.Msg)
	seal(b)
	return b, nil
}

// assemble makes a block that lacks its witness commitment, merkle root and
// proof of work. Its coinbase pays subsidy and fees to a coin whose kind follows
// from the height.
func (m *miner) assemble(parent *Block, txs []*Tx, at time.Time) (*Block, error) {
	height := parent.Height + 1
	past := parent.medianTimePast()
	value := blockchain.CalcBlockSubsidy(int32(height), &chaincfg.RegressionNetParams)
	for _, tx := range txs {
		value += tx.Fee
	}
	coinbase, coin, err := m.coinbase(height, value)
	if err != nil {
		return nil, err
	}
	b := &Block{
		Tip: Tip{Height: height}, Txs: txs, parent: parent,
		Msg: wire.NewMsgBlock(&wire.BlockHeader{
			Version: blockVersion, PrevBlock: parent.Hash,
			Timestamp: time.Unix(max(at.Unix(), past+1), 0),
			Bits:      chaincfg.RegressionNetParams.PowLimitBits,
		}),
	}
	b.Msg.Transactions = append(b.Msg.Transactions, coinbase)
	b.Created = append(b.Created, coin)
	for _, tx := range txs {
		b.Msg.Transactions = append(b.Msg.Transactions, tx.Msg)
		b.Created = append(b.Created, tx.Created...)
	}
	for i := range b.Created {
		b.Created[i].Height = height
		b.Created[i].past = past
	}
	return b, nil
}

// coinbase makes a coinbase transaction and the coin that it pays. The coin's
// outpoint is set by seal.
func (m *miner) coinbase(height uint32, value int64) (*wire.MsgTx, Coin, error) {
	m.extra++
	// BIP34: the height first.
	script, err := txscript.NewScriptBuilder().
		AddInt64(int64(height)).
		AddData(binary.LittleEndian.AppendUint64(nil, m.extra)).Script()
	if err != nil {
		return nil, Coin{}, err
	}
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(&wire.TxIn{
		PreviousOutPoint: wire.OutPoint{Index: wire.MaxPrevOutIndex},
		SignatureScript:  script,
		Sequence:         wire.MaxTxInSequenceNum,
	})
	out, coin, err := m.wallet.output(Payment{Kind: Kind(height % uint32(numKinds)), Value: value})
	if err != nil {
		return nil, Coin{}, err
	}
	tx.AddTxOut(out)
	coin.Coinbase = true
	return tx, coin, nil
}

// commit adds the witness commitment to the block's coinbase (BIP141).
func commit(msg *wire.MsgBlock) {
	coinbase := msg.Transactions[0]
	coinbase.TxIn[0].Witness = wire.TxWitness{make([]byte, blockchain.CoinbaseWitnessDataLen)}
	root := blockchain.CalcMerkleRoot(utilTxs(msg), true)
	commitment := chainhash.DoubleHashB(append(root[:], coinbase.TxIn[0].Witness[0]...))
	script := append(append([]byte{}, blockchain.WitnessMagicBytes...), commitment...)
	coinbase.AddTxOut(wire.NewTxOut(0, script))
}

// seal sets the block's merkle root, finds its proof of work, and sets what
// follows from them: its hash and its coinbase coin's outpoint.
func seal(b *Block) {
	b.Msg.Header.MerkleRoot = blockchain.CalcMerkleRoot(utilTxs(b.Msg), false)
	grind(b)
	b.Created[0].Hash = b.Msg.Transactions[0].TxHash()
}

// grind finds the block's proof of work, for which regtest takes two tries on
// average, and sets its hash.
func grind(b *Block) {
	target := blockchain.CompactToBig(b.Msg.Header.Bits)
	for {
		b.Hash = b.Msg.Header.BlockHash()
		if blockchain.HashToBig(&b.Hash).Cmp(target) <= 0 {
			return
		}
		b.Msg.Header.Nonce++
	}
}

// utilTxs wraps the block's transactions for the blockchain package.
func utilTxs(msg *wire.MsgBlock) []*btcutil.Tx {
	txs := make([]*btcutil.Tx, len(msg.Transactions))
	for i, tx := range msg.Transactions {
		txs[i] = btcutil.NewTx(tx)
	}
	return txs
}
