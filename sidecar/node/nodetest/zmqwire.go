package nodetest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
)

// A ZMQMessage is what bitcoind's notifiers publish, as three frames.
type ZMQMessage struct {
	Topic   string
	Body    []byte
	Counter uint32
}

// DecodeZMQRecording decodes the recorded messages of a bitcoind: a JSON object
// a line with topic, body (hex), seq and parts.
func DecodeZMQRecording(lines []byte) ([]ZMQMessage, error) {
	var recorded []ZMQMessage
	for line := range bytes.Lines(lines) {
		var m struct {
			Topic, Body string
			Seq         uint32
			Parts       int
		}
		if err := json.Unmarshal(line, &m); err != nil {
			return nil, fmt.Errorf("recorded message %d: %w", len(recorded), err)
		}
		body, err := hex.DecodeString(m.Body)
		if err != nil || m.Parts != 3 {
			return nil, fmt.Errorf("recorded message %d has %d parts and the body %q", len(recorded), m.Parts, m.Body)
		}
		recorded = append(recorded, ZMQMessage{m.Topic, body, m.Seq})
	}
	return recorded, nil
}

// A ZMQFault is a way in which a message of a Publisher goes wrong.
type ZMQFault int

const (
	// ZMQDrop sends nothing; the counter goes on.
	ZMQDrop ZMQFault = iota
	// ZMQDouble sends the message twice.
	ZMQDouble
	// ZMQSwap sends the message after the one that follows it.
	ZMQSwap
	// ZMQTruncate shortens one of the frames.
	ZMQTruncate
	// ZMQShuffle sends the frames in another order.
	ZMQShuffle
	// ZMQCut closes the connection within the message.
	ZMQCut
	// ZMQHuge announces a body of up to 2^63 bytes, and sends the first of it.
	ZMQHuge
	// ZMQReserved sets a reserved flag in a frame's header.
	ZMQReserved
	// ZMQInterleave sends PINGs and an unknown command between the frames, as a
	// publisher may.
	ZMQInterleave
	// ZMQSilence sends nothing any more on the connections that there are, and
	// keeps them open.
	ZMQSilence
	numZMQFaults
)

func (f ZMQFault) String() string {
	return [...]string{"drop", "double", "swap", "truncate", "shuffle", "cut", "huge", "reserved", "interleave", "silence"}[f]
}

// AllZMQFaults returns every fault.
func AllZMQFaults() []ZMQFault {
	var all []ZMQFault
	for f := range numZMQFaults {
		all = append(all, f)
	}
	return all
}

// spoil encodes m in the way of f.
func spoil(f ZMQFault, m ZMQMessage, rng *rand.Rand) []byte {
	parts := zmqParts(m)
	switch f {
	case ZMQTruncate:
		i := rng.IntN(len(parts))
		parts[i] = parts[i][:rng.IntN(max(1, len(parts[i])))]
	case ZMQShuffle:
		for string(parts[0]) == m.Topic && len(parts[2]) == 4 {
			rng.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		}
	case ZMQHuge:
		wire := appendZMQFrame(nil, 1, parts[0])
		size := uint64(1) << (25 + rng.IntN(39)) // 32 MiB, which is allowed, and up
		wire = binary.BigEndian.AppendUint64(append(wire, 3), size+1)
		return append(wire, parts[1]...)
	case ZMQReserved:
		wire := encodeZMQ(m)
		wire[0] |= 8 << rng.IntN(5)
		return wire
	case ZMQInterleave:
		ping := appendZMQFrame(nil, 4, []byte("\x04PING\x00\x00context"))
		wire := append(appendZMQFrame(nil, 1, parts[0]), ping...)
		wire = appendZMQFrame(appendZMQFrame(wire, 1, parts[1]), 4, []byte("\x05OTHER and more"))
		return appendZMQFrame(append(wire, ping...), 0, parts[2])
	}
	return encodeZMQParts(parts)
}

func zmqParts(m ZMQMessage) [][]byte {
	return [][]byte{[]byte(m.Topic), m.Body, binary.LittleEndian.AppendUint32(nil, m.Counter)}
}

func encodeZMQ(m ZMQMessage) []byte { return encodeZMQParts(zmqParts(m)) }

func encodeZMQParts(parts [][]byte) []byte {
	var wire []byte
	for i, part := range parts {
		var more byte
		if i < len(parts)-1 {
			more = 1
		}
		wire = appendZMQFrame(wire, more, part)
	}
	return wire
}

func appendZMQFrame(wire []byte, flags byte, body []byte) []byte {
	if len(body) > 255 {
		wire = binary.BigEndian.AppendUint64(append(wire, flags|2), uint64(len(body)))
	} else {
		wire = append(wire, flags, byte(len(body)))
	}
	return append(wire, body...)
}

func readZMQFrame(r *bufio.Reader) (flags byte, body []byte, err error) {
	if flags, err = r.ReadByte(); err != nil {
		return 0, nil, err
	}
	size := make([]byte, 1+7*(flags>>1&1))
	if _, err := io.ReadFull(r, size); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint64(append(make([]byte, 8-len(size)), size...))
	if n > 1<<20 {
		return 0, nil, errors.New("a subscriber does not send such frames")
	}
	body = make([]byte, n)
	_, err = io.ReadFull(r, body)
	return flags, body, err
}
