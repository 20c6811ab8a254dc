//go:build unix

package utxo

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A named pipe whose writer comes later is waited for.
func TestLoadNamedPipe(t *testing.T) {
	w := newWorld(t, 30, 1000)
	path := filepath.Join(t.TempDir(), "utxo.pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	content, wrote := w.snapshot(t), make(chan error)
	go func() { wrote <- os.WriteFile(path, content, 0) }()
	o := small(LoadOptions{Place: Place{Datadir: t.TempDir()}, Snapshot: path, Height: w.height})
	l, err := Load(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
	w.check(t, l, o.Place)
}
