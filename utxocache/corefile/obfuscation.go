package corefile

import (
	"crypto/subtle"
	"io"
)

// KeySize is the size of a Key in bytes.
const KeySize = 8

// A Key is what blk*.dat and rev*.dat are XORed with, over and over from the
// start of the file: the contents of the file xor.dat beside them. The zero
// value leaves them as they are, which is right for a directory without
// xor.dat: one that Bitcoin Core before 28 made.
type Key [KeySize]byte

// ParseKey returns the key that a file xor.dat with the contents b holds.
func ParseKey(b []byte) (Key, error) {
	if len(b) < KeySize {
		return Key{}, ErrTruncated
	}
	if len(b) > KeySize {
		return Key{}, malformed("a key of %d bytes", len(b))
	}
	return Key(b), nil
}

// XOR obfuscates b, or makes it plain again. It begins at the given offset of
// the file.
func (k Key) XOR(b []byte, offset int64) {
	if k == (Key{}) {
		return
	}
	var pattern [512]byte
	for i := range pattern {
		pattern[i] = k[(uint64(offset)+uint64(i))%KeySize]
	}
	for len(b) > 0 {
		b = b[subtle.XORBytes(b, b, pattern[:]):]
	}
}

// Plain reads a file that is obfuscated with a key. It is an io.ReaderAt, for
// many goroutines at once if the file's is.
//
// Bitcoin Core takes space for its files in advance. That space holds zeros
// that are not obfuscated, and so is the key, over and over, when read this way.
type Plain struct {
	file io.ReaderAt
	key  Key
}

// NewPlain returns a reader of file.
func NewPlain(file io.ReaderAt, key Key) *Plain { return &Plain{file, key} }

// ReadAt implements io.ReaderAt.
func (p *Plain) ReadAt(b []byte, offset int64) (int, error) {
	n, err := p.file.ReadAt(b, offset)
	p.key.XOR(b[:n], offset)
	return n, err
}

// isZero reports whether b, read from this offset, is zero in the file.
func (p *Plain) isZero(b []byte, offset int64) bool {
	for i, c := range b {
		if c != p.key[(uint64(offset)+uint64(i))%KeySize] {
			return false
		}
	}
	return true
}
