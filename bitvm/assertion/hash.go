package assertion

import (
	"encoding/binary"

	"github.com/consensys/gnark-crypto/ecc/bn254"
	"github.com/consensys/gnark-crypto/ecc/bn254/fp"
	"github.com/zeebo/blake3"
)

// A digest is the first half of a BLAKE3 hash.
type digest [hashSize]byte

// swapped returns d with the halves of each byte swapped.
func (d digest) swapped() digest {
	for i, x := range d {
		d[i] = x<<4 | x>>4
	}
	return d
}

// A message is what a digest is made of: words of 32 bytes, big-endian, but with the
// bytes of every four reversed (extern_hash_nibbles in BitVM's chunk/helpers.rs).
type message struct {
	words [14 * wordSize]byte // as many as any has
	n     int
}

func (m *message) element(e *fp.Element) {
	bits := e.Bits()
	for i := len(bits) - 1; i >= 0; i-- {
		binary.LittleEndian.PutUint32(m.words[m.n:], uint32(bits[i]>>32))
		binary.LittleEndian.PutUint32(m.words[m.n+4:], uint32(bits[i]))
		m.n += 8
	}
}

func (m *message) e2(e *bn254.E2) {
	m.element(&e.A0)
	m.element(&e.A1)
}

func (m *message) e6(e *bn254.E6) {
	m.e2(&e.B0)
	m.e2(&e.B1)
	m.e2(&e.B2)
}

// digest appends a digest as a word of which the first half is zero.
func (m *message) digest(d digest) {
	clear(m.words[m.n : m.n+hashSize])
	m.n += hashSize
	for i := 0; i < hashSize; i += 4 {
		binary.LittleEndian.PutUint32(m.words[m.n:], binary.BigEndian.Uint32(d[i:]))
		m.n += 4
	}
}

func (m *message) sum() digest {
	h := blake3.Sum256(m.words[:m.n])
	return digest(h[:hashSize])
}

// hashG1 returns the digest of two elements.
func hashG1(p *bn254.G1Affine) digest {
	var m message
	m.element(&p.X)
	m.element(&p.Y)
	return m.sum()
}

func hashE6(e *bn254.E6) digest {
	var m message
	m.e6(e)
	return m.sum()
}
