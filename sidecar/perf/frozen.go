package perf

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// A Frozen is why nothing is tried at an operator's word, and since when; the zero one is of
// what is not frozen.
type Frozen struct {
	Why   string    `json:"why"`
	Since time.Time `json:"since,omitzero"`
}

const (
	// frozenFile is the name of the file that is there while an operator's freeze holds.
	frozenFile = "frozen"
	// maxWhy is how long the reason of a freeze is at most, and maxFrozen its file, in bytes.
	maxWhy    = 200
	maxFrozen = 4 << 10
)

// freeze keeps that an operator's freeze holds, until thaw.
func (s *Store) freeze(z Frozen) error {
	b, err := json.Marshal(z)
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(s.dir, frozenFile), append(b, '\n'))
}

// thaw forgets that a freeze holds.
func (s *Store) thaw() error {
	err := os.Remove(filepath.Join(s.dir, frozenFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	return syncDir(s.dir)
}

// frozen returns the freeze that holds. Where what was kept of it cannot be read, one holds,
// and that is why.
func (s *Store) frozen() Frozen {
	name := filepath.Join(s.dir, frozenFile)
	z, err := readFrozen(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Frozen{}
	case err != nil:
		return Frozen{Why: fmt.Sprintf("an operator may have asked for it: %s does not tell: %v", name, err)}
	}
	return z
}

func readFrozen(name string) (z Frozen, err error) {
	info, err := os.Stat(name)
	if err != nil {
		return z, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFrozen {
		return z, errors.New("it is too large, or no file")
	}
	b, err := readUpTo(name, maxFrozen)
	if err != nil {
		return z, err
	}
	if err := json.Unmarshal(b, &z); err != nil {
		return z, err
	}
	if z.Why == "" || len(z.Why) > maxWhy {
		return z, fmt.Errorf("its reason has %d bytes", len(z.Why))
	}
	return z, nil
}
