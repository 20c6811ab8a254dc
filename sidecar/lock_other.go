//go:build !unix

package sidecar

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// lockDir takes the data directory for this process until unlock is called.
// A lock that a killed process left behind must be removed by hand.
func lockDir(dir string) (unlock func(), err error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory %s is in use by another sidecar, or one was killed (then remove %s): %w", dir, path, err)
	}
	return func() { _ = errors.Join(f.Close(), os.Remove(path)) }, nil
}
