package corefile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// A record of blk*.dat or rev*.dat begins with the network's magic and the
// number of bytes that follow, four bytes each, little-endian.
const recordHeader = 8

const (
	// minBlock and maxBlock bound the size of a block.
	minBlock, maxBlock = 81, 4_000_000
	// maxUndo bounds the size of a CBlockUndo. A block's inputs, 41 bytes or
	// more each in a million, could spend scripts of MaxScriptSize bytes.
	maxUndo = 1_000_000 / 41 * (MaxScriptSize + 32)
)

// records are the records of one file.
type records struct {
	file     *Plain
	magic    uint32
	min, max uint32 // what the sizes are between
	trailer  int    // the bytes after a record that its size leaves out
}

// read reads the record at offset into buf, which it grows if it must, and
// returns what follows the record's header, with the trailer, and where the
// next record is. The error is io.EOF if there is none at offset: the file ends
// there, or what follows was only taken in advance.
func (r *records) read(offset int64, buf []byte) (data []byte, next int64, err error) {
	if offset < 0 {
		return nil, 0, malformed("offset %d", offset)
	}
	var header [recordHeader]byte
	n, err := r.file.ReadAt(header[:], offset)
	switch {
	case n < recordHeader && !errors.Is(err, io.EOF):
		return nil, 0, err
	case r.file.isZero(header[:n], offset): // also when n is 0
		return nil, 0, io.EOF
	case n < recordHeader:
		return nil, 0, ErrTruncated
	}
	size, err := r.size(header)
	if err != nil {
		return nil, 0, err
	}
	length := int(size) + r.trailer
	from := offset + recordHeader
	next = from + int64(length)
	// A file that lies about a size must not cost memory.
	var last [1]byte
	if n, err := r.file.ReadAt(last[:], next-1); n == 0 {
		return nil, 0, truncated(err)
	}
	data = slices.Grow(buf[:0], length)[:length]
	if n, err := r.file.ReadAt(data, from); n < length {
		return nil, 0, truncated(err)
	}
	return data, next, nil
}

// size returns the size that a record's header tells, if that can be one.
func (r *records) size(header [recordHeader]byte) (uint32, error) {
	if magic := binary.LittleEndian.Uint32(header[:]); magic != r.magic {
		return 0, fmt.Errorf("%w: %x", ErrMagic, header[:4])
	}
	size := binary.LittleEndian.Uint32(header[4:])
	if size < r.min || size > r.max {
		return 0, malformed("a record of %d bytes", size)
	}
	return size, nil
}

// find returns the offset of the first header of a record at or after offset
// that could be one; io.EOF if there is none.
func (r *records) find(offset int64) (int64, error) {
	var magic [4]byte
	binary.LittleEndian.PutUint32(magic[:], r.magic)
	window := make([]byte, 1<<16)
	for {
		n, err := r.file.ReadAt(window, offset)
		if n < recordHeader {
			if err == nil || errors.Is(err, io.EOF) {
				return 0, io.EOF
			}
			return 0, err
		}
		for at := 0; ; at++ {
			i := bytes.Index(window[at:n], magic[:])
			if i < 0 || at+i+recordHeader > n {
				break
			}
			at += i
			if _, err := r.size([recordHeader]byte(window[at:])); err == nil {
				return offset + int64(at), nil
			}
		}
		offset += int64(n - recordHeader + 1)
	}
}

// truncated returns what a read that came back with too little means.
func truncated(err error) error {
	if errors.Is(err, io.EOF) {
		return ErrTruncated
	}
	return err
}

// A BlockFile reads blk*.dat: blocks in the order in which they arrived, those
// of abandoned branches too. It may be read while Bitcoin Core writes it; what
// was not flushed yet is then the file's end, ErrTruncated, or a block of the
// wrong hash. It is for many goroutines at once if the file is.
type BlockFile struct{ records records }

// NewBlockFile returns a reader of a block file of the network. The key is zero
// where there is none.
func NewBlockFile(file io.ReaderAt, key Key, net wire.BitcoinNet) *BlockFile {
	return &BlockFile{records{file: NewPlain(file, key), magic: uint32(net), min: minBlock, max: maxBlock}}
}

// Read reads the block whose record is at offset, into buf if that is large
// enough. It returns the block's bytes and the offset of the next record. The
// error is io.EOF where the records end. Otherwise it wraps ErrTruncated,
// ErrMagic, ErrMalformed or the file's error; Find then tells where to go on.
//
// Bitcoin Core's block index has the position of the block itself, which is 8
// more than the record's.
func (f *BlockFile) Read(offset int64, buf []byte) (block []byte, next int64, err error) {
	block, next, err = f.records.read(offset, buf)
	if err != nil && err != io.EOF {
		return nil, 0, fmt.Errorf("block record at byte %d: %w", offset, err)
	}
	return block, next, err
}

// Find returns the offset of the first thing at or after offset that looks like
// a record: the network's magic and a size that a block can have. The error is
// io.EOF if there is none. After a crash of Bitcoin Core there can be something
// else between records.
func (f *BlockFile) Find(offset int64) (int64, error) { return f.records.find(offset) }

// AppendBlockRecord appends the record of a block. It is as in a file without a
// key: Key.XOR makes it fit its place in one that has a key.
func AppendBlockRecord(dst []byte, net wire.BitcoinNet, block []byte) []byte {
	return append(appendHeader(dst, net, len(block)), block...)
}

func appendHeader(dst []byte, net wire.BitcoinNet, size int) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(net))
	return binary.LittleEndian.AppendUint32(dst, uint32(size))
}

// An UndoFile reads rev*.dat: what blocks spend, in about the order in which
// they were connected. A record does not say whose it is: UndoRecord.Verify
// tells. It may be read while Bitcoin Core writes it, and may lag behind the
// block file. It is for many goroutines at once if the file is.
type UndoFile struct{ records records }

// NewUndoFile returns a reader of an undo file of the network. The key is zero
// where there is none.
func NewUndoFile(file io.ReaderAt, key Key, net wire.BitcoinNet) *UndoFile {
	return &UndoFile{records{
		file: NewPlain(file, key), magic: uint32(net), min: 1, max: maxUndo, trailer: chainhash.HashSize,
	}}
}

// An UndoRecord is a CBlockUndo as it lies in a file.
type UndoRecord struct {
	// Data is what DecodeBlockUndo decodes.
	Data []byte
	// Checksum is the double SHA-256 of the hash of the block's predecessor and
	// Data.
	Checksum chainhash.Hash
}

// Read reads the record at offset, its Data into buf if that is large enough.
// It also returns the offset of the next record, and its errors are those of
// BlockFile.Read. The checksum is not verified.
func (f *UndoFile) Read(offset int64, buf []byte) (record UndoRecord, next int64, err error) {
	data, next, err := f.records.read(offset, buf)
	switch {
	case err == io.EOF:
		return UndoRecord{}, 0, err
	case err != nil:
		return UndoRecord{}, 0, fmt.Errorf("undo record at byte %d: %w", offset, err)
	}
	end := len(data) - chainhash.HashSize
	return UndoRecord{Data: data[:end], Checksum: chainhash.Hash(data[end:])}, next, nil
}

// Find returns the offset of the first thing at or after offset that looks like
// a record; io.EOF if there is none.
func (f *UndoFile) Find(offset int64) (int64, error) { return f.records.find(offset) }

// Verify returns an error that wraps ErrChecksum unless this is the whole and
// unchanged record of a block that follows the block prev. Blocks with the same
// predecessor are not told apart: what the record spends must fit the block
// besides.
func (r *UndoRecord) Verify(prev chainhash.Hash) error {
	if got := undoChecksum(prev, r.Data); got != r.Checksum {
		return fmt.Errorf("undo of the block after %s: %w", prev, ErrChecksum)
	}
	return nil
}

// AppendUndoRecord appends the record of an encoded CBlockUndo of a block that
// follows prev. It is as in a file without a key.
func AppendUndoRecord(dst []byte, net wire.BitcoinNet, prev chainhash.Hash, undo []byte) []byte {
	dst = append(appendHeader(dst, net, len(undo)), undo...)
	sum := undoChecksum(prev, undo)
	return append(dst, sum[:]...)
}

func undoChecksum(prev chainhash.Hash, undo []byte) chainhash.Hash {
	h := newDoubleHash()
	h.Write(prev[:])
	h.Write(undo)
	return h.sum()
}
