//go:build !unix

package sidecar

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// LockDir takes a directory with state for this process until unlock is called.
// A lock that a killed process left behind must be removed by hand.
func LockDir(dir string) (unlock func(), err error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("directory %s is in use by another outrider, or one was killed (then remove %s): %w", dir, path, err)
	}
	return func() { _ = errors.Join(f.Close(), os.Remove(path)) }, nil
}
