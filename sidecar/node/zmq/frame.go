package zmq

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The flags of a frame.
const (
	flagMore    = 1 << iota // more frames of the same message follow
	flagLong                // the size has eight bytes, not one
	flagCommand             // the frame is a command
)

// firstPiece is how much is allocated for a frame before any of it has come.
const firstPiece = 1 << 20

// A header is what precedes the body of a frame.
type header struct {
	flags byte
	size  uint64 // of the body, in bytes
}

func (h header) more() bool    { return h.flags&flagMore != 0 }
func (h header) command() bool { return h.flags&flagCommand != 0 }

// A protocolError says that the peer does not keep to the protocol, or not to
// what bitcoind makes of it.
type protocolError struct{ what string }

func (e *protocolError) Error() string { return "protocol violation: " + e.what }

func violation(format string, args ...any) error {
	return &protocolError{fmt.Sprintf(format, args...)}
}

// readHeader reads a header. What the specification forbids is refused: reserved
// flags, a command of several frames, sizes beyond 2^63-1. An io.EOF says that
// the stream ends before the header.
func readHeader(r *bufio.Reader) (header, error) {
	flags, err := r.ReadByte()
	if err != nil {
		return header{}, err
	}
	h := header{flags: flags}
	switch {
	case flags&^(flagMore|flagLong|flagCommand) != 0:
		return header{}, violation("frame with reserved flags %#02x", flags)
	case h.command() && h.more():
		return header{}, violation("command of several frames")
	}
	n := 1
	if flags&flagLong != 0 {
		n = 8
	}
	size, err := take(r, n)
	if err != nil {
		return header{}, err
	}
	for _, b := range size {
		h.size = h.size<<8 | uint64(b)
	}
	if h.size >= 1<<63 {
		return header{}, violation("frame of %d bytes", h.size)
	}
	return h, nil
}

// readBody reads a body of size bytes, which the caller has found acceptable.
// Memory grows with what arrives, not with what is announced.
func readBody(r io.Reader, size int) ([]byte, error) {
	body := make([]byte, min(size, firstPiece))
	for filled := 0; ; {
		if err := readFull(r, body[filled:]); err != nil {
			return nil, err
		}
		if filled = len(body); filled == size {
			return body, nil
		}
		grown := make([]byte, min(size, 2*filled))
		copy(grown, body)
		body = grown
	}
}

// take reads n bytes, no more than fit in the buffer. They are valid until the
// next read.
func take(r *bufio.Reader, n int) ([]byte, error) {
	b, err := r.Peek(n)
	if errors.Is(err, io.EOF) {
		return nil, io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	_, err = r.Discard(n)
	return b, err
}

// readFull fills p. A stream that ends before is an io.ErrUnexpectedEOF.
func readFull(r io.Reader, p []byte) error {
	_, err := io.ReadFull(r, p)
	if errors.Is(err, io.EOF) && len(p) > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}

// appendFrame appends a frame; flagLong is set as the size demands.
func appendFrame(b []byte, flags byte, body []byte) []byte {
	if len(body) > 255 {
		b = append(b, flags|flagLong)
		b = binary.BigEndian.AppendUint64(b, uint64(len(body)))
	} else {
		b = append(b, flags, byte(len(body)))
	}
	return append(b, body...)
}
