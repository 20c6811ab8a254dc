package coindb

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/utxocache/corefile"
)

// An undoRecord is what undoes a block:
//
//	hash(32) prev(32)
//	CompactSize of restored: for each outpoint(36), CompactSize, coin
//	CompactSize of created:  for each outpoint(36)
//
// Restored are the coins that the block spent, and those that it overwrote; in
// a database that is not complete, those that it had. Both lists are sorted,
// and name no outpoint twice. An outpoint in both was overwritten.
type undoRecord struct {
	hash, prev chainhash.Hash
	restored   []rawCoin
	created    []wire.OutPoint
}

// A rawCoin is a coin as its key's value has it.
type rawCoin struct {
	op    wire.OutPoint
	value []byte
}

func appendOutPoint(dst []byte, op wire.OutPoint) []byte {
	dst = append(dst, op.Hash[:]...)
	return binary.BigEndian.AppendUint32(dst, op.Index)
}

// append appends the record's encoding.
func (u *undoRecord) append(dst []byte) []byte {
	dst = append(dst, u.hash[:]...)
	dst = append(dst, u.prev[:]...)
	dst = corefile.AppendCompactSize(dst, uint64(len(u.restored)))
	for _, c := range u.restored {
		dst = appendOutPoint(dst, c.op)
		dst = corefile.AppendCompactSize(dst, uint64(len(c.value)))
		dst = append(dst, c.value...)
	}
	dst = corefile.AppendCompactSize(dst, uint64(len(u.created)))
	for _, op := range u.created {
		dst = appendOutPoint(dst, op)
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

// count decodes the number of parts that follow, which take size bytes each at
// least, or are bytes themselves.
func (d *undoDecoder) count(size int) (int, error) {
	n, used, err := corefile.DecodeCompactSize(d.b)
	if err != nil {
		return 0, err
	}
	d.b = d.b[used:]
	if n > uint64(len(d.b)/size) {
		return 0, corefile.ErrTruncated
	}
	return int(n), nil
}

func (d *undoDecoder) record(u *undoRecord) error {
	hashes, err := d.take(2 * chainhash.HashSize)
	if err != nil {
		return err
	}
	copy(u.hash[:], hashes)
	copy(u.prev[:], hashes[chainhash.HashSize:])
	n, err := d.count(outPointSize + 1)
	if err != nil {
		return err
	}
	u.restored = make([]rawCoin, n)
	var last []byte
	for i := range u.restored {
		if last, err = d.outPoint(&u.restored[i].op, last); err != nil {
			return err
		}
		size, err := d.count(1)
		if err != nil {
			return err
		}
		if u.restored[i].value, err = d.take(size); err != nil {
			return err
		}
	}
	if n, err = d.count(outPointSize); err != nil {
		return err
	}
	u.created = make([]wire.OutPoint, n)
	last = nil
	for i := range u.created {
		if last, err = d.outPoint(&u.created[i], last); err != nil {
			return err
		}
	}
	if len(d.b) > 0 {
		return fmt.Errorf("%w: more after its end", corefile.ErrMalformed)
	}
	return nil
}

// outPoint decodes an outpoint, which must sort after last, and returns its
// bytes.
func (d *undoDecoder) outPoint(op *wire.OutPoint, last []byte) ([]byte, error) {
	b, err := d.take(outPointSize)
	if err != nil {
		return nil, err
	}
	if last != nil && bytes.Compare(b, last) <= 0 {
		return nil, fmt.Errorf("%w: outpoints out of order", corefile.ErrMalformed)
	}
	*op = outPoint(b)
	return b, nil
}
