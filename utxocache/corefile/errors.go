package corefile

import (
	"errors"
	"fmt"
)

// These are the errors that callers tell apart. They come wrapped.
var (
	// ErrTruncated says that the bytes end in the middle of something. The
	// file may still be in the writing.
	ErrTruncated = errors.New("the data ends too early")
	// ErrMalformed says that the bytes are not what the format allows.
	ErrMalformed = errors.New("malformed data")
	// ErrMagic says that something else stands where a record or a snapshot
	// should begin: it is for another network, the key is wrong, or the offset.
	ErrMagic = errors.New("wrong magic")
	// ErrChecksum says that an undo record does not have the checksum that it
	// should have: it is damaged, half written, or another block's.
	ErrChecksum = errors.New("wrong checksum")
)

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
}
