package hashlane

import (
	"crypto/sha256"
	"hash"
)

// blockSize is the size in bytes of the blocks that SHA-256 works on.
const blockSize = sha256.BlockSize

// messages are n messages in one of three forms: whole, in parts, or of equal
// size one after the other in data.
type messages struct {
	whole [][]byte
	parts []Parts
	data  []byte
	size  int
	n     int
}

// slice returns messages lo to hi-1.
func (m *messages) slice(lo, hi int) messages {
	s := messages{size: m.size, n: hi - lo}
	switch {
	case m.parts != nil:
		s.parts = m.parts[lo:hi]
	case m.whole != nil:
		s.whole = m.whole[lo:hi]
	default:
		s.data = m.data[lo*m.size : hi*m.size]
	}
	return s
}

// body returns message i, which is not in parts.
func (m *messages) body(i int) []byte {
	if m.whole != nil {
		return m.whole[i]
	}
	return m.data[i*m.size : (i+1)*m.size]
}

// part returns message i. Of a message that is not in parts, the body is all.
func (m *messages) part(i int) Parts {
	if m.parts != nil {
		return m.parts[i]
	}
	return Parts{Body: m.body(i)}
}

// length returns the size of p in bytes.
func (p *Parts) length() int { return len(p.Head) + len(p.Body) + len(p.Tail) }

// length returns the size of message i in bytes.
func (m *messages) length(i int) int {
	switch {
	case m.parts != nil:
		return m.parts[i].length()
	case m.whole != nil:
		return len(m.whole[i])
	}
	return m.size
}

// blocks returns how many blocks a message of n bytes has with its padding: a
// byte and a length of eight.
func blocks(n int) int { return (n + 8 + blockSize) / blockSize }

// A state is SHA-256's, for messages in parts. What is in it escapes to the heap,
// as it is used through an interface; a message does not, for it is copied.
type state struct {
	sha    hash.Hash
	digest [32]byte
	copied [4096]byte
}

var states = newSpares(func() *state { return &state{sha: sha256.New()} })

// sumOne returns the SHA-256 of m, without assembly of ours.
func sumOne(m *Parts) [32]byte {
	if len(m.Head)+len(m.Tail) == 0 {
		return sha256.Sum256(m.Body)
	}
	s := states.take()
	defer states.give(s)
	s.sha.Reset()
	for _, part := range [...][]byte{m.Head, m.Body, m.Tail} {
		for len(part) > 0 {
			n := copy(s.copied[:], part)
			s.sha.Write(s.copied[:n])
			part = part[n:]
		}
	}
	s.sha.Sum(s.digest[:0])
	return s.digest
}

// sumEach sets dst[i] to the SHA-256 of message i, one after the other.
func sumEach(dst [][32]byte, msgs messages) {
	for i := range dst {
		m := msgs.part(i)
		dst[i] = sumOne(&m)
	}
}
