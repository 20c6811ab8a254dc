package corefile

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// A SnapshotHeader is what a snapshot of the UTXO set begins with.
type SnapshotHeader struct {
	Net wire.BitcoinNet
	// Base is the block as of which the coins are unspent.
	Base chainhash.Hash
	// Coins is their number.
	Coins uint64
}

const (
	// SnapshotHeaderSize is the size of an encoded SnapshotHeader.
	SnapshotHeaderSize = len(snapshotMagic) + 2 + 4 + chainhash.HashSize + 8

	snapshotMagic   = "utxo\xff"
	snapshotVersion = 2
)

// AppendSnapshotHeader appends h as SnapshotMetadata of Bitcoin Core's
// node/utxo_snapshot.h, version 2.
func AppendSnapshotHeader(dst []byte, h SnapshotHeader) []byte {
	dst = append(dst, snapshotMagic...)
	dst = binary.LittleEndian.AppendUint16(dst, snapshotVersion)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(h.Net))
	dst = append(dst, h.Base[:]...)
	return binary.LittleEndian.AppendUint64(dst, h.Coins)
}

// DecodeSnapshotHeader decodes the header in the first SnapshotHeaderSize bytes
// of b. The error wraps ErrMagic if this is no snapshot, and ErrMalformed if it
// is one of another version.
func DecodeSnapshotHeader(b []byte) (SnapshotHeader, error) {
	if known := b[:min(len(b), len(snapshotMagic))]; string(known) != snapshotMagic[:len(known)] {
		return SnapshotHeader{}, fmt.Errorf("snapshot: %w: %x", ErrMagic, known)
	}
	if len(b) < SnapshotHeaderSize {
		return SnapshotHeader{}, fmt.Errorf("snapshot: header: %w", ErrTruncated)
	}
	b = b[len(snapshotMagic):]
	if version := binary.LittleEndian.Uint16(b); version != snapshotVersion {
		return SnapshotHeader{}, fmt.Errorf("snapshot: %w", malformed("version %d", version))
	}
	return SnapshotHeader{
		Net:   wire.BitcoinNet(binary.LittleEndian.Uint32(b[2:])),
		Base:  chainhash.Hash(b[6:38]),
		Coins: binary.LittleEndian.Uint64(b[38:]),
	}, nil
}

// A TxCoin is an unspent output of a transaction that is known from elsewhere.
type TxCoin struct {
	Vout uint32
	Coin
}

// TxCoins are the unspent outputs of one transaction.
type TxCoins struct {
	Txid  chainhash.Hash
	Coins []TxCoin
}

// Sort puts the coins into ascending order of Vout. With that done to each
// transaction, all coins of a snapshot are in ascending order of Txid followed by
// Vout in big-endian bytes, which they need not be in the file.
func (tx *TxCoins) Sort() { sortByVout(tx.Coins) }

const (
	// maxTxOuts bounds the bytes that the outputs of a transaction take in it.
	// They are a part of its block that weighs four times its size.
	maxTxOuts = 1_000_000
	// minTxOut is the least that an output takes: a value and the length of the
	// script.
	minTxOut = 9
	// maxVout bounds the index of an output.
	maxVout = maxTxOuts/minTxOut - 1
	// maxSnapshotCoin is more than any coin takes in a snapshot: output index,
	// height, amount, length of the script, and the script.
	maxSnapshotCoin = 5 + 5 + maxVarIntSize + 5 + MaxScriptSize
)

// errScriptTooLong says that a coin can never be spent. Bitcoin Core has no such
// coins.
var errScriptTooLong = malformed("a script of more than %d bytes", MaxScriptSize)

// A SnapshotReader reads a snapshot of the UTXO set as a stream. Its memory is
// bounded by the outputs that a transaction of a block can have, whatever the
// stream holds.
//
// It refuses what Bitcoin Core would not write: another version, a wrong number
// of coins, bytes after the last one, transactions that are not in ascending
// order of their ids, a coin twice, outputs that no block has room for, and coins
// above the height of LimitHeight. The file has no checksum: the coins are worth
// nothing until the SetHasher's sum is one that is known for the header's base.
//
// The stream may be a pipe that dumptxoutset is writing into: it is read from the
// start to the end once, and for a coin the reader waits until some 10 KB after it
// or the end are there.
type SnapshotReader struct {
	header SnapshotHeader
	limit  uint32 // of heights
	r      *bufio.Reader
	at     int64  // bytes read
	coins  uint64 // coins read
	tx     TxCoins
	vouts  []uint32
	mem    scripts
	err    error
}

// NewSnapshotReader reads the header of a snapshot of the network. The error
// wraps ErrMagic if the snapshot is of another one.
func NewSnapshotReader(r io.Reader, net wire.BitcoinNet) (*SnapshotReader, error) {
	s := &SnapshotReader{r: bufio.NewReaderSize(r, 1<<16), limit: MaxHeight}
	b, readErr := s.r.Peek(SnapshotHeaderSize)
	h, err := DecodeSnapshotHeader(b)
	switch {
	case errors.Is(err, ErrTruncated) && readErr != io.EOF:
		return nil, fmt.Errorf("snapshot: header: %w", readErr)
	case err != nil:
		return nil, err
	case h.Net != net:
		return nil, fmt.Errorf("snapshot: %w: the network is %s, not %s", ErrMagic, h.Net, net)
	}
	s.header = h
	s.skip(SnapshotHeaderSize)
	return s, nil
}

// LimitHeight has Next refuse coins that were created above a height, as Bitcoin
// Core does. It is that of the header's base, which is not in the file.
func (s *SnapshotReader) LimitHeight(height uint32) { s.limit = height }

// Header returns the snapshot's header.
func (s *SnapshotReader) Header() SnapshotHeader { return s.header }

// Next returns the coins of the next transaction, in the order of the file. They
// and their scripts are good until the next call; until then they are the
// caller's, who may sort them. After the last it returns io.EOF, once it is
// certain that nothing follows. Any other error wraps ErrTruncated, ErrMalformed
// or the error of the underlying reader. An error stays.
//
// The order of a transaction's coins in a file of Bitcoin Core is that of the
// VARINTs of the output indices, byte by byte: from 16,512 outputs on it is not
// the order of the indices.
func (s *SnapshotReader) Next() (*TxCoins, error) {
	if s.err == nil {
		s.err = s.next()
	}
	if s.err != nil {
		return nil, s.err
	}
	return &s.tx, nil
}

func (s *SnapshotReader) next() error {
	if s.coins == s.header.Coins {
		return s.end()
	}
	ordered, err := s.readTx()
	if err != nil {
		return fmt.Errorf("snapshot: coin %d of %d at byte %d: %w", s.coins+1, s.header.Coins, s.at, err)
	}
	if ordered {
		return nil
	}
	if err := s.checkTwice(); err != nil {
		return fmt.Errorf("snapshot: coins up to %d of %d, before byte %d: %w", s.coins, s.header.Coins, s.at, err)
	}
	return nil
}

// end returns io.EOF if the stream ends here.
func (s *SnapshotReader) end() error {
	switch _, err := s.r.Peek(1); {
	case err == nil:
		return fmt.Errorf("snapshot: %w", malformed("more after the last of %d coins, at byte %d", s.coins, s.at))
	case errors.Is(err, io.EOF):
		return io.EOF
	default:
		return fmt.Errorf("snapshot: after the last coin: %w", err)
	}
}

// readTx reads the coins of one transaction, and reports whether their indices
// ascend.
func (s *SnapshotReader) readTx() (ordered bool, err error) {
	var n uint64
	err = s.decode(chainhash.HashSize+9, func(b []byte) (int, error) {
		if len(b) < chainhash.HashSize {
			return 0, ErrTruncated
		}
		txid := chainhash.Hash(b)
		if s.coins > 0 && bytes.Compare(s.tx.Txid[:], txid[:]) >= 0 {
			return 0, malformed("transaction %s after %s", txid, s.tx.Txid)
		}
		var size int
		var err error
		n, size, err = DecodeCompactSize(b[chainhash.HashSize:])
		s.tx.Txid = txid
		return chainhash.HashSize + size, err
	})
	switch {
	case err != nil:
		return false, err
	case n == 0 || n > maxVout+1:
		return false, malformed("%d coins of transaction %s", n, s.tx.Txid)
	case n > s.header.Coins-s.coins:
		return false, malformed("%d coins of transaction %s, more than there are left", n, s.tx.Txid)
	}
	s.tx.Coins = s.tx.Coins[:0]
	s.mem.reset()
	room := maxTxOuts
	ordered = true
	for i := range n {
		if err := s.readCoin(&room); err != nil {
			return false, err
		}
		ordered = ordered && (i == 0 || s.tx.Coins[i-1].Vout < s.tx.Coins[i].Vout)
	}
	return ordered, nil
}

// readCoin reads one coin and takes what it needs in its transaction from room.
func (s *SnapshotReader) readCoin(room *int) error {
	return s.decode(maxSnapshotCoin, func(b []byte) (int, error) {
		vout, size, err := DecodeCompactSize(b)
		if err != nil {
			return 0, err
		}
		p, n, err := parseCoin(b[size:], false)
		if err != nil {
			return 0, err
		}
		if p.script.tooLong {
			return 0, errScriptTooLong
		}
		if height := p.code >> 1; height > s.limit {
			return 0, malformed("output %d of transaction %s: created at height %d, above %d", vout, s.tx.Txid, height, s.limit)
		}
		length := p.script.size()
		*room -= minTxOut + length
		if vout > maxVout || *room < 0 {
			return 0, malformed("output %d of transaction %s: no block has room for it", vout, s.tx.Txid)
		}
		coin := TxCoin{Vout: uint32(vout)}
		if err := p.decode(&coin.Coin, s.mem.take(length)); err != nil {
			return 0, err
		}
		s.tx.Coins = append(s.tx.Coins, coin)
		s.coins++
		return size + n, nil
	})
}

// checkTwice returns an error if an output is there twice.
func (s *SnapshotReader) checkTwice() error {
	s.vouts = s.vouts[:0]
	for i := range s.tx.Coins {
		s.vouts = append(s.vouts, s.tx.Coins[i].Vout)
	}
	slices.Sort(s.vouts)
	if len(slices.Compact(s.vouts)) < len(s.tx.Coins) {
		return malformed("an output of transaction %s twice", s.tx.Txid)
	}
	return nil
}

// decode calls f with the next bytes, ahead of them unless the stream ends
// sooner, and skips as many as it took.
func (s *SnapshotReader) decode(ahead int, f func([]byte) (int, error)) error {
	b, readErr := s.r.Peek(ahead)
	size, err := f(b)
	switch {
	case err == nil:
		s.skip(size)
		return nil
	case errors.Is(err, ErrTruncated) && readErr != nil && !errors.Is(readErr, io.EOF):
		return readErr
	case errors.Is(err, ErrTruncated) && readErr == nil:
		return errScriptTooLong // nothing else can be longer than ahead
	}
	return err
}

// skip skips bytes that were peeked at.
func (s *SnapshotReader) skip(n int) {
	s.r.Discard(n)
	s.at += int64(n)
}
