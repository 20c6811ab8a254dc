//go:build !unix

package submit

import (
	"errors"
	"os"
)

// lock fails: without a lock that ends with its process, two submitters could share a
// journal, or a killed one keep it for ever.
func lock(*os.File) error {
	return errors.New("submitting is for Unix: there is no lock on files here")
}

func syncDir(string) error { return nil }
