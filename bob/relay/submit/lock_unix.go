//go:build unix

package submit

import (
	"fmt"
	"os"
	"syscall"
)

// lock takes an open file for this process until it is closed or the process ends,
// however it ends.
func lock(f *os.File) error {
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("%s is in use by another submitter (%w)", f.Name(), err)
	}
	return nil
}

// syncDir makes the name of a new file in a directory last.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
