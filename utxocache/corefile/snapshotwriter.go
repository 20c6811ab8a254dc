package corefile

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"slices"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// A SnapshotWriter writes a snapshot of the UTXO set as a stream. What it writes
// is byte for byte what Bitcoin Core would.
type SnapshotWriter struct {
	w     *bufio.Writer
	left  uint64
	last  chainhash.Hash
	began bool
	buf   []byte
}

// NewSnapshotWriter writes the header. The number of coins in it must be that of
// the coins that follow.
func NewSnapshotWriter(w io.Writer, header SnapshotHeader) (*SnapshotWriter, error) {
	s := &SnapshotWriter{w: bufio.NewWriterSize(w, 1<<16), left: header.Coins}
	if _, err := s.w.Write(AppendSnapshotHeader(nil, header)); err != nil {
		return nil, fmt.Errorf("write snapshot: %w", err)
	}
	return s, nil
}

// Write writes the coins of a transaction, and puts tx.Coins in the order of the
// file. Transactions are written in ascending order of their ids. An error that
// wraps ErrMalformed says that this one is not, has no coins, an output twice or
// more coins than the header left over; it was not written then.
func (s *SnapshotWriter) Write(tx *TxCoins) error {
	vout, twice := sortByVout(tx.Coins)
	switch n := len(tx.Coins); {
	case s.began && bytes.Compare(s.last[:], tx.Txid[:]) >= 0:
		return fmt.Errorf("write snapshot: %w", malformed("transaction %s after %s", tx.Txid, s.last))
	case n == 0 || uint64(n) > s.left:
		return fmt.Errorf("write snapshot: %w", malformed("%d coins of transaction %s, %d are left", n, tx.Txid, s.left))
	case twice:
		return fmt.Errorf("write snapshot: %w", malformed("output %d of transaction %s twice", vout, tx.Txid))
	}
	slices.SortFunc(tx.Coins, func(a, b TxCoin) int { return compareVarInt(a.Vout, b.Vout) })
	s.last, s.began = tx.Txid, true
	s.left -= uint64(len(tx.Coins))
	s.buf = append(s.buf[:0], tx.Txid[:]...)
	s.buf = AppendCompactSize(s.buf, uint64(len(tx.Coins)))
	for i := range tx.Coins {
		c := &tx.Coins[i]
		s.buf = AppendCompactSize(s.buf, uint64(c.Vout))
		s.buf = AppendCoin(s.buf, &c.Coin)
	}
	if _, err := s.w.Write(s.buf); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	return nil
}

// Close writes what is buffered. The error wraps ErrTruncated if coins are
// missing. It does not close the underlying writer.
func (s *SnapshotWriter) Close() error {
	if err := s.w.Flush(); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	if s.left > 0 {
		return fmt.Errorf("write snapshot: %w: %d coins are missing", ErrTruncated, s.left)
	}
	return nil
}
