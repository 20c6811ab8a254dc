package perf

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/outrider-project/outrider/perfcore/snapshot"
)

// A Store keeps snapshots as files of one directory, at most snapshot.Size of
// them. It is a snapshot.Store; one process uses a directory at a time.
type Store struct{ dir string }

// suffix ends the name of a snapshot's file; before it stands the number, in 16
// hexadecimal digits, so that names sort like numbers.
const suffix = ".snap"

// unfinished is the pattern of the names of files that are being written.
const unfinished = ".new-*"

// OpenStore returns the store in dir, which it makes if it is not there. What a
// crash has left unfinished is removed.
func OpenStore(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of snapshots: %w", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, unfinished))
	for _, name := range left {
		err = errors.Join(err, os.Remove(name))
	}
	return &Store{dir}, err
}

// Put implements snapshot.Store: the file appears whole, and is on the disk when
// Put returns.
func (s *Store) Put(ctx context.Context, seq uint64, b []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(b) > snapshot.MaxEncoded {
		return fmt.Errorf("a snapshot has %d bytes, more than %d", len(b), snapshot.MaxEncoded)
	}
	numbers, err := s.numbers()
	if err != nil {
		return err
	}
	if n := len(numbers); n > 0 && numbers[n-1] > seq {
		return fmt.Errorf("there is a newer one, %d, which was not there, or could not be looked at, when the sidecar began: start it again", numbers[n-1])
	}
	if err := replaceFile(s.path(seq), b); err != nil {
		return err
	}
	numbers, err = s.numbers()
	for _, old := range numbers[:max(0, len(numbers)-snapshot.Size)] {
		err = errors.Join(err, os.Remove(s.path(old)))
	}
	return err
}

// All implements snapshot.Store. A file that is larger than any snapshot is cut
// off, so that its checksum tells; one that cannot be read is among them.
func (s *Store) All(ctx context.Context) ([]snapshot.Stored, error) {
	numbers, err := s.numbers()
	if err != nil {
		return nil, err
	}
	var all []snapshot.Stored
	for _, seq := range numbers[max(0, len(numbers)-snapshot.Size):] {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		b, err := readUpTo(s.path(seq), snapshot.MaxEncoded)
		all = append(all, snapshot.Stored{Seq: seq, Encoded: b, Err: err})
	}
	return all, nil
}

// numbers returns the numbers of what is kept, ascending. Other files are left
// alone.
func (s *Store) numbers() ([]uint64, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var numbers []uint64
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), suffix)
		if n, err := strconv.ParseUint(digits, 16, 64); ok && err == nil && len(digits) == 16 && e.Type()&^fs.ModeSymlink == 0 {
			numbers = append(numbers, n)
		}
	}
	slices.SortFunc(numbers, cmp.Compare)
	return numbers, nil
}

func (s *Store) path(seq uint64) string {
	return filepath.Join(s.dir, fmt.Sprintf("%016x%s", seq, suffix))
}

// readUpTo returns at most the first most bytes of a file.
func readUpTo(name string, most int) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, int64(most)))
}

// replaceFile writes a file that only this user may read, such that name is
// either what it was before or the whole of b, and on the disk.
func replaceFile(name string, b []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), unfinished) // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			if gone := os.Remove(f.Name()); !errors.Is(gone, fs.ErrNotExist) {
				err = errors.Join(err, gone)
			}
		}
	}()
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

// syncDir has the names in a directory on the disk when it returns, where the
// system can do that.
func syncDir(name string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
