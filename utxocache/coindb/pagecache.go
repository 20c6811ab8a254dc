package coindb

import (
	"errors"
	"os"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// An uncachedFile is a table of which look-ups leave nothing in the system's cache.
type uncachedFile struct{ vfs.File }

// openUncached has the system drop what it has of a table that is opened for look-ups. What is
// not on the disk yet could not be dropped.
func openUncached(f vfs.File) (vfs.File, error) {
	err := f.SyncData()
	if err == nil {
		err = dropPages(f, 0, 0)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return uncachedFile{f}, nil
}

// ReadAt implements vfs.File.
func (f uncachedFile) ReadAt(p []byte, at int64) (int, error) {
	n, err := f.File.ReadAt(p, at)
	if n == 0 {
		return n, err
	}
	page := int64(os.Getpagesize())
	from, to := at/page*page, (at+int64(n)+page-1)/page*page
	if dropped := dropPages(f.File, from, to-from); dropped != nil {
		return n, errors.Join(err, dropped)
	}
	return n, err
}

// forLookUps reports whether a file is opened to be read here and there, as Pebble opens tables;
// a compaction opens them once more.
func forLookUps(opts []vfs.OpenOption) bool { return slices.Contains(opts, vfs.RandomReadsOption) }
