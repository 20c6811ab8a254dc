package coindb

import (
	"bytes"
	"fmt"
	"math"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/utxocache/corefile"
)

// An undoRecord is what a block did, which is enough to undo it, and to tell
// what it did to the MuHash. Its numbers are VARINTs:
//
//	hash(32) prev(32) restored created
//
// where each of the two is the coins of some transactions:
//
//	transactions: for each txid(32), coins: for each vout, size, coin
//
// Restored are the coins that the block spent, and those that it overwrote; in
// a database that is not complete, those that it had. Created are those that it
// created and did not spend. Both are sorted, and name no outpoint twice. An
// outpoint in both was overwritten.
type undoRecord struct {
	hash, prev        chainhash.Hash
	restored, created []rawCoin
}

// A rawCoin is a coin as its key's value has it.
type rawCoin struct {
	op    wire.OutPoint
	value []byte
}

// append appends the record's encoding.
func (u *undoRecord) append(dst []byte) []byte {
	dst = append(dst, u.hash[:]...)
	dst = append(dst, u.prev[:]...)
	return appendRawCoins(appendRawCoins(dst, u.restored), u.created)
}

// room returns a bound of the size of the record's encoding, not far above it.
func (u *undoRecord) room() int {
	const number = 5 // what a VARINT of 32 bits takes at most
	n := 2*chainhash.HashSize + 2*number
	for _, coins := range [][]rawCoin{u.restored, u.created} {
		for i := range coins {
			if n += 2*number + len(coins[i].value); begins(coins, i) {
				n += chainhash.HashSize + number
			}
		}
	}
	return n
}

// begins reports whether the coin at i is the first of its transaction.
func begins(coins []rawCoin, i int) bool {
	return i == 0 || coins[i-1].op.Hash != coins[i].op.Hash
}

// appendRawCoins appends coins, which are sorted.
func appendRawCoins(dst []byte, coins []rawCoin) []byte {
	var txs uint64
	for i := range coins {
		if begins(coins, i) {
			txs++
		}
	}
	dst = corefile.AppendVarInt(dst, txs)
	for len(coins) > 0 {
		n := 1
		for n < len(coins) && !begins(coins, n) {
			n++
		}
		dst = append(dst, coins[0].op.Hash[:]...)
		dst = corefile.AppendVarInt(dst, uint64(n))
		for i := range coins[:n] {
			dst = corefile.AppendVarInt(dst, uint64(coins[i].op.Index))
			dst = corefile.AppendVarInt(dst, uint64(len(coins[i].value)))
			dst = append(dst, coins[i].value...)
		}
		coins = coins[n:]
	}
	return dst
}

// decodeUndo decodes b, which is one record and nothing after it. The values
// of its coins are parts of b, and are not decoded.
func decodeUndo(b []byte) (*undoRecord, error) {
	var u undoRecord
	d := undoDecoder{b}
	if err := d.record(&u); err != nil {
		return nil, fmt.Errorf("undo record, %d bytes before its end: %w", len(d.b), err)
	}
	return &u, nil
}

// undoHashes returns the hash of the block of which b is the undo record, and of
// the one before it.
func undoHashes(b []byte) (hash, prev chainhash.Hash, err error) {
	if len(b) < 2*chainhash.HashSize {
		return hash, prev, fmt.Errorf("%w: an undo record of %d bytes", ErrCorrupt, len(b))
	}
	copy(hash[:], b)
	copy(prev[:], b[chainhash.HashSize:])
	return hash, prev, nil
}

// An undoDecoder decodes what is left of a record.
type undoDecoder struct{ b []byte }

func (d *undoDecoder) take(n int) ([]byte, error) {
	if n > len(d.b) {
		return nil, corefile.ErrTruncated
	}
	b := d.b[:n:n]
	d.b = d.b[n:]
	return b, nil
}

func (d *undoDecoder) hash(h *chainhash.Hash) error {
	b, err := d.take(chainhash.HashSize)
	copy(h[:], b)
	return err
}

func (d *undoDecoder) number() (uint64, error) {
	n, used, err := corefile.DecodeVarInt(d.b)
	if err == nil {
		d.b = d.b[used:]
	}
	return n, err
}

// count decodes the number of parts that follow, which take size bytes each at
// least, or are bytes themselves.
func (d *undoDecoder) count(size int) (int, error) {
	n, err := d.number()
	if err == nil && n > uint64(len(d.b)/size) {
		err = corefile.ErrTruncated
	}
	return int(n), err
}

func (d *undoDecoder) record(u *undoRecord) (err error) {
	if err = d.hash(&u.hash); err != nil {
		return err
	}
	if err = d.hash(&u.prev); err != nil {
		return err
	}
	if u.restored, err = d.coins(); err != nil {
		return err
	}
	if u.created, err = d.coins(); err != nil {
		return err
	}
	if len(d.b) > 0 {
		return fmt.Errorf("%w: more after its end", corefile.ErrMalformed)
	}
	return nil
}

// These are the least sizes of a coin in a record, and of a transaction with
// one.
const (
	minRawCoin = 1 + 1
	minRawTx   = chainhash.HashSize + 1 + minRawCoin
)

func (d *undoDecoder) coins() ([]rawCoin, error) {
	txs, err := d.count(minRawTx)
	if err != nil {
		return nil, err
	}
	coins := make([]rawCoin, 0, txs)
	var last, txid chainhash.Hash
	for i := range txs {
		if err := d.hash(&txid); err != nil {
			return nil, err
		}
		if i > 0 && bytes.Compare(txid[:], last[:]) <= 0 {
			return nil, fmt.Errorf("%w: transactions out of order", corefile.ErrMalformed)
		}
		last = txid
		n, err := d.count(minRawCoin)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return nil, fmt.Errorf("%w: a transaction without coins", corefile.ErrMalformed)
		}
		for least := uint64(0); n > 0; n-- {
			vout, err := d.number()
			if err != nil {
				return nil, err
			}
			if vout < least || vout > math.MaxUint32 {
				return nil, fmt.Errorf("%w: outputs out of order", corefile.ErrMalformed)
			}
			least = vout + 1
			size, err := d.count(1)
			if err != nil {
				return nil, err
			}
			value, err := d.take(size)
			if err != nil {
				return nil, err
			}
			coins = append(coins, rawCoin{wire.OutPoint{Hash: txid, Index: uint32(vout)}, value})
		}
	}
	return coins, nil
}
