package zmq

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"
)

const (
	// maxCommand bounds the body of a command. libzmq's READY has some 50
	// bytes.
	maxCommand = 8 << 10
	// maxContext bounds what a PING brings to be sent back.
	maxContext = 16
	// maxTTL bounds the time to live in a PING: libzmq computes its
	// milliseconds in 16 bits.
	maxTTL = 65 * time.Second
)

// splitCommand splits the body of a command into name and data.
func splitCommand(body []byte) (name string, data []byte, err error) {
	if len(body) == 0 || body[0] == 0 || len(body) < 1+int(body[0]) {
		return "", nil, violation("command without a name")
	}
	n := 1 + int(body[0])
	return string(body[1:n]), body[n:], nil
}

// appendCommand appends the frame of a command.
func appendCommand(b []byte, name string, data []byte) []byte {
	body := append([]byte{byte(len(name))}, name...)
	return appendFrame(b, flagCommand, append(body, data...))
}

// appendReady appends the READY command of a SUB socket.
func appendReady(b []byte) []byte {
	const property, value = "Socket-Type", "SUB"
	data := append([]byte{byte(len(property))}, property...)
	data = binary.BigEndian.AppendUint32(data, uint32(len(value)))
	return appendCommand(b, "READY", append(data, value...))
}

// appendSubscribe appends a subscription in the form of the peer's version.
func appendSubscribe(b []byte, v version, topic string) []byte {
	if v.commands() {
		return appendCommand(b, "SUBSCRIBE", []byte(topic))
	}
	return appendFrame(b, 0, append([]byte{1}, topic...))
}

// appendPing appends a PING without context. The peer may close the connection
// when it hears nothing for ttl from then on.
func appendPing(b []byte, ttl time.Duration) []byte {
	tenths := uint16(min(ttl, maxTTL) / (100 * time.Millisecond))
	return appendCommand(b, "PING", binary.BigEndian.AppendUint16(nil, tenths))
}

// pingContext returns what the data of a PING bring to be sent back.
func pingContext(data []byte) ([]byte, error) {
	if len(data) < 2 || len(data) > 2+maxContext {
		return nil, violation("PING with %d bytes of data", len(data))
	}
	return data[2:], nil
}

// checkHandshake checks that the peer's first command is the READY of a
// publisher. A READY that does not tell the type of its socket is accepted.
func checkHandshake(body []byte) error {
	name, data, err := splitCommand(body)
	if err != nil {
		return err
	}
	switch name {
	case "READY":
		return checkMetadata(data)
	case "ERROR":
		return refusal(data)
	}
	return violation("%q in place of READY", name)
}

// checkMetadata checks the properties that a READY brings.
func checkMetadata(data []byte) error {
	for len(data) > 0 {
		n := 1 + int(data[0])
		if n == 1 || len(data) < n+4 {
			return violation("READY with a malformed property")
		}
		name, size := string(data[1:n]), binary.BigEndian.Uint32(data[n:])
		data = data[n+4:]
		if uint64(size) > uint64(len(data)) {
			return violation("READY with a malformed property")
		}
		value := string(data[:size])
		data = data[size:]
		if strings.EqualFold(name, "Socket-Type") && value != "PUB" && value != "XPUB" {
			return violation("it is a socket of type %q, not a publisher", value)
		}
	}
	return nil
}

// refusal returns the error for an ERROR command.
func refusal(data []byte) error {
	if len(data) == 0 || len(data) != 1+int(data[0]) {
		return violation("malformed ERROR command")
	}
	return fmt.Errorf("%w: %q", errRefused, data[1:])
}
