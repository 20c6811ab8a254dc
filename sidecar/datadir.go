package sidecar

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// checkDatadir reports that the data directory is none, or cannot be made or
// written to. It makes nothing.
func (c *Config) checkDatadir() error {
	for path := c.Datadir; ; path = filepath.Dir(path) {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist) && path != filepath.Dir(path):
			continue // it will be made, if that is possible in the one above
		case err != nil:
			return fmt.Errorf("datadir: %w", err)
		case !info.IsDir():
			return fmt.Errorf("datadir: %s is not a directory", path)
		case !writable(path):
			return fmt.Errorf("datadir: this user may not write to %s; make %s for it, or set datadir to a directory of its own", path, c.Datadir)
		}
		return nil
	}
}
