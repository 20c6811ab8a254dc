package bench

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// checkDisk returns an error where files of a directory are in memory only, so that a look-up that
// leaves nothing in the system's cache is as fast as others.
func checkDisk(dir string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("look at the disk of %s: %w", dir, err)
	}
	if st.Type == unix.TMPFS_MAGIC || st.Type == unix.RAMFS_MAGIC {
		return errors.New("the row contrast looks coins up on a disk, and the directory is in memory: name one that is on a disk with --dir, or measure the others with --rows cpu,memory,database")
	}
	return nil
}
