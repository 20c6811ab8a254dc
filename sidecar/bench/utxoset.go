package bench

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math"
	"os"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/utxocache/coindb"
	"github.com/outrider-project/outrider/utxocache/corefile"
)

// A coinSet is so many coins, which are made when they are needed: the one at an
// index is the same each time, and they are in the order of a snapshot. Each is
// of another transaction.
type coinSet int

// base is the block as of which the coins are unspent.
func (s coinSet) base() coindb.Tip {
	return coindb.Tip{Hash: chainhash.HashH([]byte("base of the benchmark")), Height: 850_000}
}

// outPoint returns where the coin at an index is.
func (s coinSet) outPoint(i int) wire.OutPoint {
	h := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
	binary.BigEndian.PutUint64(h[:], uint64(i)*(math.MaxUint64/uint64(s)))
	return wire.OutPoint{Hash: h, Index: uint32(h[8]) % 4}
}

// coin returns the coin at an index. Its script is of one of the usual kinds.
func (s coinSet) coin(i int) corefile.Coin {
	h := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("coin"), uint64(i)))
	c := corefile.Coin{
		Value: int64(binary.BigEndian.Uint64(h[:]) % 10_000_000_000), Height: binary.BigEndian.Uint32(h[8:]) % s.base().Height,
		Script: scriptOf(h), Coinbase: h[12] == 0,
	}
	if i == 0 {
		c.Height = s.base().Height
	}
	return c
}

// scriptOf returns a locking script that h picks: four in ten are P2WPKH, three
// P2TR, two P2PKH and one P2SH.
func scriptOf(h [32]byte) []byte {
	switch kind := h[31] % 10; {
	case kind < 4:
		return append([]byte{0x00, 20}, h[:20]...)
	case kind < 7:
		return append([]byte{0x51, 32}, h[:]...)
	case kind < 9:
		return append(append([]byte{0x76, 0xa9, 20}, h[:20]...), 0x88, 0xac)
	default:
		return append(append([]byte{0xa9, 20}, h[:20]...), 0x87)
	}
}

// writeSnapshot writes the coins as dumptxoutset would.
func (s coinSet) writeSnapshot(path string) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w, err := corefile.NewSnapshotWriter(f, corefile.SnapshotHeader{Net: wire.TestNet, Base: s.base().Hash, Coins: uint64(s)})
	if err != nil {
		return err
	}
	for i := range int(s) {
		op := s.outPoint(i)
		if err := w.Write(&corefile.TxCoins{Txid: op.Hash, Coins: []corefile.TxCoin{{Vout: op.Index, Coin: s.coin(i)}}}); err != nil {
			return err
		}
	}
	return w.Close()
}

// scatter returns the index of the k-th coin in an order in which neighbours are
// far apart, and none comes twice.
func (s coinSet) scatter(k int) int {
	const prime = 1_000_000_007 // more than a set has, so that it divides none
	return int(uint64(k) * prime % uint64(s))
}

// asked returns the coins that are asked for in a round: the last of the order.
func (s coinSet) asked(round int) []int {
	indices := make([]int, blockSpends)
	for i := range indices {
		indices[i] = s.scatter(int(s) - 1 - round*blockSpends - i)
	}
	return indices
}

// block returns what the block of a round does: it spends the first coins of the
// order, all of them known, and creates coins that are not in the set.
func (s coinSet) block(round int, tip coindb.Tip) *coindb.Block {
	b := &coindb.Block{
		Tip:  coindb.Tip{Hash: chainhash.HashH(tip.Hash[:]), Height: tip.Height + 1},
		Prev: tip.Hash,
	}
	for i := range blockSpends {
		index := s.scatter(round*blockSpends + i)
		b.Spent, b.Known = append(b.Spent, s.outPoint(index)), append(b.Known, s.coin(index))
	}
	for i := range blockCreations {
		txid := sha256.Sum256(binary.BigEndian.AppendUint32(b.Hash[:], uint32(i/3)))
		c := s.coin(int(s) + round*blockCreations + i)
		c.Height, c.Coinbase = b.Height, i < 3
		b.Created = append(b.Created, coindb.CoinAt{OutPoint: wire.OutPoint{Hash: txid, Index: uint32(i % 3)}, Coin: c})
	}
	return b
}
