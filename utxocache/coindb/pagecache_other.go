//go:build !linux

package coindb

import "github.com/cockroachdb/pebble/v2/vfs"

// openUncached leaves the file as it is: the system has no call for it, or Go has none for that.
func openUncached(f vfs.File) (vfs.File, error) { return f, nil }
