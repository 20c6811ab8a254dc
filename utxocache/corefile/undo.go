package corefile

import (
	"fmt"
)

// A BlockUndo is what a block spends: for each of its transactions but the
// coinbase, in their order, the coin of each input.
//
// Files that Bitcoin Core before 0.15 wrote tell the height and the coinbase
// flag only of the last coin of a transaction that was spent. The others have
// Height 0, which no coin that can be spent has, and Coinbase false: both are
// to be had from elsewhere.
type BlockUndo [][]Coin

// AppendBlockUndo appends u as Bitcoin Core's CBlockUndo: a CompactSize of
// transactions, for each a CompactSize of coins, and for each coin what
// AppendCoin appends, with a zero after the first VARINT if the height is not
// 0. No block has so many transactions or inputs that their numbers exceed
// MaxCompactSize; with more of them it would not decode.
func AppendBlockUndo(dst []byte, u BlockUndo) []byte {
	dst = AppendCompactSize(dst, uint64(len(u)))
	for _, coins := range u {
		dst = AppendCompactSize(dst, uint64(len(coins)))
		for i := range coins {
			c := &coins[i]
			dst = AppendVarInt(dst, uint64(c.code()))
			if c.Height > 0 {
				dst = append(dst, 0)
			}
			dst = appendTxOut(dst, c)
		}
	}
	return dst
}

// commonUndoCoin is about what a coin of an undo record takes. It serves to
// guess how much memory the coins need.
const commonUndoCoin = 30

// DecodeBlockUndo decodes b, which is one CBlockUndo and nothing after it. The
// coins and their scripts lie in a few large pieces of memory that they keep
// alive together; no part of b is kept.
//
// Where the height is not 0, a VARINT that is read and dropped follows it: in
// files that Bitcoin Core before 0.15 wrote it is the version of the transaction
// that created the coin.
func DecodeBlockUndo(b []byte) (BlockUndo, error) {
	txs, size, err := DecodeCompactSize(b)
	if err == nil && txs > uint64(len(b)-size) {
		err = ErrTruncated
	}
	if err != nil {
		return nil, fmt.Errorf("undo: number of transactions: %w", err)
	}
	d := undoDecoder{
		b: b, at: size,
		coins:   make([]Coin, 0, len(b)/commonUndoCoin+1),
		scripts: make(scripts, 0, len(b)),
	}
	ends := make([]int, txs)
	for i := range ends {
		if err := d.tx(); err != nil {
			return nil, fmt.Errorf("undo: transaction %d at byte %d: %w", i+1, d.at, err)
		}
		ends[i] = len(d.coins)
	}
	if d.at != len(b) {
		return nil, fmt.Errorf("undo: %w", malformed("%d bytes after the last coin", len(b)-d.at))
	}
	undo, from := make(BlockUndo, txs), 0
	for i, end := range ends {
		undo[i] = d.coins[from:end:end]
		from = end
	}
	return undo, nil
}

// An undoDecoder decodes the transactions of a CBlockUndo.
type undoDecoder struct {
	b       []byte
	at      int // what comes next in b
	coins   []Coin
	scripts scripts
}

// tx decodes the coins of one transaction.
func (d *undoDecoder) tx() error {
	n, size, err := DecodeCompactSize(d.b[d.at:])
	if err != nil {
		return err
	}
	d.at += size
	for range n {
		p, size, err := parseCoin(d.b[d.at:], true)
		if err != nil {
			return err
		}
		var c Coin
		if err := p.decode(&c, d.scripts.take(p.script.size())); err != nil {
			return err
		}
		d.coins = append(d.coins, c)
		d.at += size
	}
	return nil
}
