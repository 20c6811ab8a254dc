//go:build unix

package signer

import (
	"os"
	"syscall"
	"testing"
)

// dupOf returns another descriptor of an open file.
func dupOf(t *testing.T, f *os.File) uintptr {
	t.Helper()
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	return uintptr(fd)
}
