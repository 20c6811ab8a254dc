package zmq

import (
	"errors"
	"fmt"
	"io"
)

// greetingSize is the size of a greeting: signature, version, mechanism,
// as-server and filler.
const greetingSize = 64

// mechanismNull is the name of the NULL mechanism, padded.
const mechanismNull = "NULL\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// A version is a version of ZMTP.
type version struct{ major, minor byte }

// commands reports whether subscriptions and heartbeats are commands (3.1), or
// the former messages and the latter unknown (3.0). A version that is yet to
// come has to speak 3.1 with us.
func (v version) commands() bool {
	return v.major > 3 || v.minor >= 1
}

// appendGreeting appends the greeting of a ZMTP 3.1 client.
func appendGreeting(b []byte) []byte {
	b = append(b, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 3, 1)
	b = append(b, mechanismNull...)
	return append(b, make([]byte, greetingSize-12-len(mechanismNull))...)
}

// readGreeting reads the peer's greeting. Each part is judged as soon as it is
// there: a peer of another protocol may wait for us and send no more. Padding,
// as-server and filler are not looked at.
func readGreeting(r io.Reader) (version, error) {
	var g [greetingSize]byte
	if err := readFull(r, g[:10]); err != nil {
		return version{}, fmt.Errorf("read the greeting: %w", err)
	}
	if g[0] != 0xff || g[9] != 0x7f {
		return version{}, violation("it does not greet as a ZMTP peer: % x", g[:10])
	}
	if err := readFull(r, g[10:12]); err != nil {
		return version{}, fmt.Errorf("read the version: %w", err)
	}
	v := version{g[10], g[11]}
	if v.major < 3 {
		return version{}, violation("it speaks ZMTP %d, older than 3.0", v.major)
	}
	if err := readFull(r, g[12:]); err != nil {
		return version{}, fmt.Errorf("read the greeting: %w", err)
	}
	if string(g[12:32]) != mechanismNull {
		return version{}, violation("it wants the security mechanism %q, not NULL", g[12:32])
	}
	return v, nil
}

// errRefused says that the peer answered the handshake with an ERROR command.
var errRefused = errors.New("the publisher refuses the connection")
