package coindb

import (
	"errors"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// An uncachedFile is a table of which look-ups leave nothing in the system's cache.
type uncachedFile struct{ vfs.File }

// openUncached has the system drop what it has of a table that is opened for look-ups, but for
// what is not on the disk yet.
func openUncached(f vfs.File) (vfs.File, error) {
	if err := dropPages(f, 0, 0); err != nil {
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

// dropPages has the system drop what it has cached of so many bytes of a file, 0 for all behind
// an offset. Pages of which only a part is meant stay.
func dropPages(f vfs.File, from, length int64) error {
	return unix.Fadvise(int(f.Fd()), from, length, unix.FADV_DONTNEED)
}
