package sidecar

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"time"

	"github.com/outrider-project/outrider/sidecar/node"
)

// A tipFile keeps the tip up to which everything is done. Two records take
// turns, each with a number and a checksum, so that a crash at any instant
// leaves the last one that was written whole.
//
//	offset  size  field
//	0       8     number, little-endian; the higher record is the current one
//	8       4     height, little-endian
//	12      32    block hash, internal byte order
//	44      4     CRC-32C of the 44 bytes before
type tipFile struct {
	file   *os.File
	number uint64
	tip    *node.Tip // nil when none was ever stored
	synced time.Time
}

const tipRecord = 48

// syncEvery bounds the work that a power failure undoes: within it, tips are
// with the operating system, which survives the end of this process only.
const syncEvery = time.Second

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// openTip opens or creates the file.
func openTip(path string) (*tipFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open stored tip: %w", err)
	}
	t := &tipFile{file: f}
	var both [2 * tipRecord]byte
	if n, err := f.ReadAt(both[:], 0); err != nil && err != io.EOF {
		return nil, errors.Join(fmt.Errorf("read stored tip %s (%d bytes): %w", path, n, err), f.Close())
	}
	for rec := range 2 {
		b := both[rec*tipRecord:][:tipRecord]
		number := binary.LittleEndian.Uint64(b)
		if crc32.Checksum(b[:44], castagnoli) != binary.LittleEndian.Uint32(b[44:]) || number <= t.number {
			continue
		}
		t.number = number
		t.tip = &node.Tip{Height: binary.LittleEndian.Uint32(b[8:]), Hash: [32]byte(b[12:44])}
	}
	return t, nil
}

// store makes tip the stored one.
func (t *tipFile) store(tip node.Tip) error {
	var b [tipRecord]byte
	number := t.number + 1
	binary.LittleEndian.PutUint64(b[:], number)
	binary.LittleEndian.PutUint32(b[8:], tip.Height)
	copy(b[12:], tip.Hash[:])
	binary.LittleEndian.PutUint32(b[44:], crc32.Checksum(b[:44], castagnoli))
	if _, err := t.file.WriteAt(b[:], int64(number%2)*tipRecord); err != nil {
		return fmt.Errorf("store tip %d: %w", tip.Height, err)
	}
	t.number, t.tip = number, &tip
	if time.Since(t.synced) < syncEvery {
		return nil
	}
	t.synced = time.Now()
	if err := t.file.Sync(); err != nil {
		return fmt.Errorf("store tip %d: %w", tip.Height, err)
	}
	return nil
}

// close syncs the file and closes it.
func (t *tipFile) close() error { return errors.Join(t.file.Sync(), t.file.Close()) }
