package utxo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/outrider-project/outrider/utxocache/corefile"
)

// A snapshot is the file or pipe from which coins are loaded.
type snapshot struct {
	file   *os.File
	reader *corefile.SnapshotReader
	// network is that of the header.
	network string
	// seekable says that it can be read again from its start.
	seekable bool
}

// openSnapshot opens a snapshot and reads its header. The name "-" is stdin. That
// a named pipe has no writer yet is waited for. With an error, what it returns is
// closed.
func openSnapshot(name string, stdin *os.File) (*snapshot, error) {
	s := &snapshot{file: stdin}
	if name != "-" {
		var err error
		if s.file, err = os.Open(name); err != nil {
			return s, fmt.Errorf("--snapshot: %w", err)
		}
	}
	info, err := s.file.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("--snapshot: %s is a directory", name)
	}
	if err == nil {
		s.seekable = info.Mode().IsRegular()
		err = s.begin(s.file)
	}
	if err != nil {
		return s, errors.Join(err, s.close())
	}
	return s, nil
}

// begin reads the header from the start of r.
func (s *snapshot) begin(r io.Reader) error {
	head := make([]byte, corefile.SnapshotHeaderSize)
	n, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	h, err := corefile.DecodeSnapshotHeader(head[:n])
	if err != nil {
		return err
	}
	if s.network, err = nameOf(h.Net); err != nil {
		return err
	}
	s.reader, err = corefile.NewSnapshotReader(io.MultiReader(bytes.NewReader(head), r), h.Net)
	return err
}

// highest reads a seekable snapshot to its end, and returns the greatest height of
// a coin. It goes back to the start then.
func (s *snapshot) highest(ctx context.Context, progress func(coins uint64)) (height uint32, err error) {
	var coins uint64
	for n := 1; ; n++ {
		if n%4096 == 0 {
			if err := ctx.Err(); err != nil {
				return 0, err
			}
			progress(coins)
		}
		tx, err := s.reader.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return 0, err
		}
		coins += uint64(len(tx.Coins))
		for i := range tx.Coins {
			height = max(height, tx.Coins[i].Height)
		}
	}
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	return height, s.begin(s.file)
}

// interrupt makes a read that waits return.
func (s *snapshot) interrupt() { _ = s.file.Close() } // what was read counts

func (s *snapshot) close() error {
	if err := s.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}
