package bench

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// checkDisk returns an error where what is read of a file in a directory cannot be left out of the
// system's memory, so that a look-up there is as fast as one that a cache answers.
func checkDisk(dir string) error {
	const tries = 8 // Linux keeps a page now and then that it has just written
	for range tries {
		if away, err := drops(dir); err != nil {
			return fmt.Errorf("look at the disk: %w", err)
		} else if away {
			return nil
		}
	}
	return fmt.Errorf("the row contrast looks coins up on a disk, and what is read in %s stays in memory, or the system does not tell: name a directory that is on a disk with --dir, or measure the others with --rows cpu,memory,database", dir)
}

// drops writes a file in a directory, has the system drop it, and reports whether it would have to be
// read from the disk.
func drops(dir string) (away bool, err error) {
	f, err := os.CreateTemp(dir, "disk-")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	page := make([]byte, os.Getpagesize())
	if _, err := f.Write(page); err != nil {
		return false, err
	}
	fd := int(f.Fd())
	if err := errors.Join(f.Sync(), unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED)); err != nil {
		return false, err
	}
	_, err = unix.Preadv2(fd, [][]byte{page}, 0, unix.RWF_NOWAIT)
	return errors.Is(err, unix.EAGAIN), nil
}
