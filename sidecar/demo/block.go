package demo

import (
	"bytes"
	"io"
	"maps"
	"slices"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// keptBlocks is how many blocks below the tip stay in memory: the reorganisation
// depth and the span of the median time past lie well within.
const keptBlocks = 64

// A Block is a mined block.
type Block struct {
	Tip
	Msg *wire.MsgBlock
	// Txs are the block's transactions without the coinbase.
	Txs []*Tx
	// Created are the coins that the block makes, the coinbase's first. The
	// block itself may spend some of them.
	Created []Coin

	parent *Block // nil at the genesis block and below the blocks that are kept
	// spent are the coins as they were before this block spent them, without
	// those that it made itself.
	spent []Coin
}

// Raw returns the serialised block.
func (b *Block) Raw() []byte {
	raw, err := serialize(b.Msg.Serialize)
	if err != nil {
		panic("a block of our own does not serialise: " + err.Error())
	}
	return raw
}

// serialize returns what write writes.
func serialize(write func(io.Writer) error) ([]byte, error) {
	var buf bytes.Buffer
	err := write(&buf)
	return buf.Bytes(), err
}

// ancestor returns the block depth below b, or nil if it is not kept.
func (b *Block) ancestor(depth uint32) *Block {
	for range depth {
		if b == nil {
			return nil
		}
		b = b.parent
	}
	return b
}

// forget lets go of the blocks that are keptBlocks below b.
func (b *Block) forget() {
	if last := b.ancestor(keptBlocks); last != nil {
		last.parent = nil
	}
}

// medianTimePast returns the median time of b and the ten blocks below it, in
// Unix seconds: what the next block's time has to exceed, and the time that lock
// times count by (BIP113).
func (b *Block) medianTimePast() int64 {
	var times []int64
	for a := b; a != nil && len(times) < 11; a = a.parent {
		times = append(times, a.Msg.Header.Timestamp.Unix())
	}
	slices.Sort(times)
	return times[len(times)/2]
}

// A ledger is the wallet's unspent coins as of a block.
type ledger struct {
	tip   *Block
	coins map[wire.OutPoint]Coin
}

// clone returns a copy.
func (l *ledger) clone() *ledger {
	coins := make(map[wire.OutPoint]Coin, len(l.coins))
	maps.Copy(coins, l.coins)
	return &ledger{tip: l.tip, coins: coins}
}

// has reports whether all coins that tx spends exist.
func (l *ledger) has(tx *Tx) bool {
	for _, c := range tx.Spent {
		if _, ok := l.coins[c.OutPoint]; !ok {
			return false
		}
	}
	return true
}

// apply spends the coins that tx spends and adds those that it makes.
func (l *ledger) apply(tx *Tx) {
	l.spend(tx)
	l.add(tx.Created)
}

// spend takes out the coins that tx spends and returns them.
func (l *ledger) spend(tx *Tx) []Coin {
	spent := make([]Coin, len(tx.Spent))
	for i, c := range tx.Spent {
		spent[i] = l.coins[c.OutPoint]
		delete(l.coins, c.OutPoint)
	}
	return spent
}

// add puts coins in.
func (l *ledger) add(coins []Coin) {
	for _, c := range coins {
		l.coins[c.OutPoint] = c
	}
}

// connect applies b, which follows the tip and spends only coins that exist.
func (l *ledger) connect(b *Block) {
	l.add(b.Created)
	own := make(map[chainhash.Hash]bool, len(b.Txs))
	for _, tx := range b.Txs {
		for _, c := range l.spend(tx) {
			if !own[c.Hash] {
				b.spent = append(b.spent, c)
			}
		}
		own[tx.Hash] = true
	}
	l.tip = b
}

// disconnect takes the tip back.
func (l *ledger) disconnect() {
	b := l.tip
	for _, c := range b.Created {
		delete(l.coins, c.OutPoint)
	}
	l.add(b.spent)
	l.tip = b.parent
}

// newLedger returns the ledger of the genesis block, whose coinbase nobody can
// spend.
func newLedger() *ledger {
	return &ledger{tip: genesis(), coins: make(map[wire.OutPoint]Coin)}
}
