package node

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/utxocache/corefile"
)

const (
	recordHeader = 8 // magic and size
	// minBlockRecord and maxBlockRecord are the sizes that a block can have;
	// maxUndoRecord is more than any undo record of a block has that could be
	// mined at a price.
	minBlockRecord, maxBlockRecord = header.Size + 1, maxBlockSize
	maxUndoRecord                  = 64 << 20
	// blockPeek and undoPeek are the bytes of a record that are looked at: the
	// header, and the number of transactions.
	blockPeek, undoPeek = header.Size, 9
	// recordWindow is what is read at once: a page, in which there may be many
	// small records.
	recordWindow = 4096
)

// A recordScan walks from record to record of a blk or rev file, and reads no
// more than the start of each.
type recordScan struct {
	file     io.ReaderAt
	size     int64 // of file
	key      corefile.Key
	net      wire.BitcoinNet
	min, max uint32 // sizes of a record
	trailer  int64  // bytes after a record that its size leaves out
	offset   int64  // of what comes next

	window []byte
	from   int64 // of window
}

// scanBlocks returns a scan of a blk file from its start.
func scanBlocks(file io.ReaderAt, size int64, key corefile.Key, net wire.BitcoinNet) *recordScan {
	return &recordScan{file: file, size: size, key: key, net: net, min: minBlockRecord, max: maxBlockRecord}
}

// scanUndo returns a scan of a rev file from its start.
func scanUndo(file io.ReaderAt, size int64, key corefile.Key, net wire.BitcoinNet) *recordScan {
	return &recordScan{
		file: file, size: size, key: key, net: net, min: 1, max: maxUndoRecord, trailer: chainhash.HashSize,
	}
}

// openRecords opens a blk or rev file and returns its size. One that is larger
// than bitcoind writes is an error: offsets are kept in 32 bits.
func openRecords(path string) (*os.File, int64, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err == nil && info.Size() > math.MaxUint32 {
		err = fmt.Errorf("%s has %d bytes, more than bitcoind would write", path, info.Size())
	}
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, info.Size(), nil
}

// A recordStart is the start of a record.
type recordStart struct {
	offset int64 // of the record's magic
	begins []byte
}

func (r *recordStart) header() header.Header { return header.Header(r.begins) }

// next returns the next record and its first bytes, peek of them if it has as
// many, which are valid until the next call. The error is io.EOF where the
// records end, the file, or a record that is not there as a whole. What is no
// record is skipped; it wraps corefile.ErrMagic if it is all that the file has.
func (r *recordScan) next(peek int) (recordStart, error) {
	for {
		raw, err := r.at(r.offset, recordHeader)
		if err != nil {
			return recordStart{}, err
		}
		if bytes.Count(raw, []byte{0}) == recordHeader { // taken in advance, and not obfuscated
			return recordStart{}, io.EOF
		}
		head := [recordHeader]byte(raw)
		r.key.XOR(head[:], r.offset)
		size := binary.LittleEndian.Uint32(head[4:])
		if binary.LittleEndian.Uint32(head[:]) != uint32(r.net) || size < r.min || size > r.max {
			if err := r.skip(); err != nil {
				return recordStart{}, err
			}
			continue
		}
		next := r.offset + recordHeader + int64(size) + r.trailer
		if next > r.size {
			return recordStart{}, io.EOF
		}
		n := min(peek, int(size))
		if raw, err = r.at(r.offset+recordHeader, n); err != nil {
			return recordStart{}, err
		}
		rec := recordStart{offset: r.offset, begins: bytes.Clone(raw)}
		r.key.XOR(rec.begins, r.offset+recordHeader)
		r.offset = next
		return rec, nil
	}
}

// skip goes to the next thing that looks like a record.
func (r *recordScan) skip() (err error) {
	from := r.offset
	if r.trailer > 0 {
		r.offset, err = corefile.NewUndoFile(r.file, r.key, r.net).Find(from + 1)
	} else {
		r.offset, err = corefile.NewBlockFile(r.file, r.key, r.net).Find(from + 1)
	}
	if err == io.EOF {
		r.offset = from
		if from == 0 {
			return fmt.Errorf("no record in the file: %w", corefile.ErrMagic)
		}
	}
	return err
}

// at returns n bytes of the file, as they are there; io.EOF if it has not as
// many.
func (r *recordScan) at(offset int64, n int) ([]byte, error) {
	if offset < r.from || offset+int64(n) > r.from+int64(len(r.window)) {
		if r.window == nil {
			r.window = make([]byte, recordWindow)
		}
		got, err := r.file.ReadAt(r.window[:recordWindow], offset)
		r.window, r.from = r.window[:got], offset
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if got < n {
			return nil, io.EOF
		}
	}
	at := int(offset - r.from)
	return r.window[at : at+n], nil
}
