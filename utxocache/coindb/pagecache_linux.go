package coindb

import (
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// dropPages has the system drop what it has cached of so many bytes of a file, 0 for all behind
// an offset. Pages of which only a part is meant stay.
func dropPages(f vfs.File, from, length int64) error {
	return unix.Fadvise(int(f.Fd()), from, length, unix.FADV_DONTNEED)
}
