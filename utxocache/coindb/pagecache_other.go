//go:build !linux

package coindb

import "github.com/cockroachdb/pebble/v2/vfs"

// dropPages does nothing: the system has no call for it, or Go has none for that.
func dropPages(vfs.File, int64, int64) error { return nil }
