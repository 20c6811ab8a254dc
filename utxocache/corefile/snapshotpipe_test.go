//go:build linux || darwin

package corefile

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// TestSnapshotPipe reads a snapshot out of a named pipe while it is written, in
// pieces that end anywhere, and one whose writer went away.
func TestSnapshotPipe(t *testing.T) {
	txs := set(t)
	file := writeSnapshot(t, txs)
	for _, cut := range []int{len(file), len(file) - 1, len(file) / 2, SnapshotHeaderSize, 10, 0} {
		pipe := filepath.Join(t.TempDir(), "pipe")
		if err := syscall.Mkfifo(pipe, 0o600); err != nil {
			t.Fatal(err)
		}
		var writer sync.WaitGroup
		writer.Go(func() {
			// Opening waits for the reader.
			w, err := os.OpenFile(pipe, os.O_WRONLY, 0)
			if err != nil {
				t.Error(err)
				return
			}
			for rest, n := file[:cut], 1; len(rest) > 0; n = n*2 + 1 {
				n = min(n, len(rest))
				if _, err := w.Write(rest[:n]); err != nil {
					t.Error(err)
					break
				}
				rest = rest[n:]
			}
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		})
		r, err := os.Open(pipe)
		if err != nil {
			t.Fatal(err)
		}
		got, err := readSnapshot(r)
		switch whole := cut == len(file); {
		case whole && err != nil:
			t.Errorf("whole: %v", err)
		case whole:
			for i := range got {
				got[i].Sort()
			}
			if !sameSet(got, txs) {
				t.Error("other coins came out of the pipe")
			}
		case !errors.Is(err, ErrTruncated):
			t.Errorf("cut at byte %d of %d: %v, want ErrTruncated", cut, len(file), err)
		}
		writer.Wait()
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}
