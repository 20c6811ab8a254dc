package script

import (
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"hash"

	"github.com/btcsuite/btcd/wire/v2"
)

// hashBuffer is how many bytes a hashWriter gathers before it hashes them.
const hashBuffer = 4096

// A hashWriter is SHA-256 of what is written to it in Bitcoin's serialisation. It
// allocates only once, and hashes what fits its buffer in one call. Call reset
// before the first write. It is not safe for concurrent use.
type hashWriter struct {
	buf []byte
	// sha has hashed what no longer is in buf, if long.
	sha  hash.Hash
	long bool
	out  [32]byte
}

func newHashWriter() *hashWriter {
	return &hashWriter{buf: make([]byte, 0, hashBuffer+256), sha: sha256.New()}
}

// reset forgets what was written.
func (w *hashWriter) reset() { w.buf, w.long = w.buf[:0], false }

// flush makes room in the buffer.
func (w *hashWriter) flush() {
	if !w.long {
		w.sha.Reset()
		w.long = true
	}
	w.sha.Write(w.buf)
	w.buf = w.buf[:0]
}

// room makes sure that a few dozen bytes fit the buffer.
func (w *hashWriter) room() {
	if len(w.buf) >= hashBuffer {
		w.flush()
	}
}

// raw writes b as it is.
func (w *hashWriter) raw(b []byte) {
	if len(w.buf)+len(b) > cap(w.buf) {
		w.flush()
		if len(b) > hashBuffer {
			w.sha.Write(b)
			return
		}
	}
	w.buf = append(w.buf, b...)
}

func (w *hashWriter) byte(b byte) {
	w.room()
	w.buf = append(w.buf, b)
}

func (w *hashWriter) uint32(n uint32) {
	w.room()
	w.buf = binary.LittleEndian.AppendUint32(w.buf, n)
}

func (w *hashWriter) uint64(n uint64) {
	w.room()
	w.buf = binary.LittleEndian.AppendUint64(w.buf, n)
}

func (w *hashWriter) compactSize(n int) {
	w.room()
	w.buf = appendCompactSize(w.buf, n)
}

// hash writes a digest.
func (w *hashWriter) hash(h *[32]byte) {
	w.room()
	w.buf = append(w.buf, h[:]...)
}

// bytes writes b behind its length.
func (w *hashWriter) bytes(b []byte) {
	w.compactSize(len(b))
	w.raw(b)
}

func (w *hashWriter) outpoint(o *wire.OutPoint) {
	w.room()
	w.buf = append(w.buf, o.Hash[:]...)
	w.buf = binary.LittleEndian.AppendUint32(w.buf, o.Index)
}

func (w *hashWriter) output(o *wire.TxOut) {
	w.uint64(uint64(o.Value))
	w.bytes(o.PkScript)
}

// sum returns the SHA-256 of what was written.
func (w *hashWriter) sum() [32]byte {
	if !w.long {
		return sha256.Sum256(w.buf)
	}
	w.flush()
	return [32]byte(w.sha.Sum(w.out[:0]))
}

// doubleSum returns the SHA-256 of sum.
func (w *hashWriter) doubleSum() [32]byte {
	first := w.sum()
	return sha256.Sum256(first[:])
}

// A midstate is SHA-256's state after some bytes.
type midstate struct{ bytes []byte }

// save keeps the state after what was written.
func (m *midstate) save(w *hashWriter) {
	w.flush()
	// The standard library's SHA-256 never fails to tell its state.
	m.bytes, _ = w.sha.(encoding.BinaryAppender).AppendBinary(m.bytes[:0])
}

// load makes w what it was when m was saved.
func (m *midstate) load(w *hashWriter) {
	w.reset()
	w.long = true
	if err := w.sha.(encoding.BinaryUnmarshaler).UnmarshalBinary(m.bytes); err != nil {
		panic("script: restore SHA-256: " + err.Error())
	}
}
