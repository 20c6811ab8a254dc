//go:build !linux

package bench

import "errors"

// checkDisk returns an error: a look-up finds in the system's cache what another has read.
func checkDisk(string) error {
	return errors.New("the row contrast looks coins up on a disk, past the system's cache, and only Linux can: measure the others with --rows cpu,memory,database")
}
