package blockval

import (
	"encoding/binary"
	"fmt"

	"github.com/btcsuite/btcd/wire/v2"
)

// maxSize is the largest length or count that a serialisation may hold,
// MAX_SIZE in Bitcoin Core.
const maxSize = 0x02000000

// These are the smallest serialisations of their kinds, in bytes. A count that
// claims more elements than the rest of the data can hold is refused.
const (
	minTx          = 4 + 1 + 1 + 4 // no inputs, no outputs
	minTxIn        = 36 + 1 + 4    // an empty script
	minTxOut       = 8 + 1         // an empty script
	minWitnessItem = 1             // an empty element
)

// A decoder reads Bitcoin Core's serialisation from a byte slice, in place: the
// slices that it returns are parts of buf. The first failure is kept, and every
// read after it returns zero.
type decoder struct {
	buf []byte
	pos int
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("at byte %d: "+format, append([]any{d.pos}, args...)...)
		d.buf = d.buf[:d.pos]
	}
}

// left returns how many bytes are not read yet; 0 after a failure.
func (d *decoder) left() int { return len(d.buf) - d.pos }

// skip passes over n bytes.
func (d *decoder) skip(n int) {
	if n > d.left() {
		d.fail("%d bytes wanted, %d left", n, d.left())
		return
	}
	d.pos += n
}

// bytes reads n bytes; nil after a failure.
func (d *decoder) bytes(n int) []byte {
	if n > d.left() {
		d.fail("%d bytes wanted, %d left", n, d.left())
		return nil
	}
	b := d.buf[d.pos : d.pos+n : d.pos+n]
	d.pos += n
	return b
}

func (d *decoder) byte() byte {
	if b := d.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uint32() uint32 {
	if b := d.bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if b := d.bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// compactSize reads a CompactSize, which must be in its shortest form and at
// most maxSize, as ReadCompactSize in Bitcoin Core.
func (d *decoder) compactSize() uint64 {
	var n, least uint64
	switch first := d.byte(); first {
	case 0xfd:
		if b := d.bytes(2); b != nil {
			n, least = uint64(binary.LittleEndian.Uint16(b)), 0xfd
		}
	case 0xfe:
		n, least = uint64(d.uint32()), 1<<16
	case 0xff:
		n, least = d.uint64(), 1<<32
	default:
		n = uint64(first)
	}
	switch {
	case n < least:
		d.fail("CompactSize of %d is not in its shortest form", n)
		return 0
	case n > maxSize:
		d.fail("CompactSize of %d is above %d", n, maxSize)
		return 0
	}
	return n
}

// count reads how many elements of at least size bytes each follow.
func (d *decoder) count(size int) int {
	n := d.compactSize()
	if n > uint64(d.left()/size) {
		d.fail("%d elements of at least %d bytes wanted, %d bytes left", n, size, d.left())
		return 0
	}
	return int(n)
}

// length reads how many bytes follow.
func (d *decoder) length() int {
	// Nearly every length is one byte.
	if d.pos < len(d.buf) {
		if n := int(d.buf[d.pos]); n < 0xfd && n < d.left() {
			d.pos++
			return n
		}
	}
	return d.count(1)
}

// varBytes reads a length and as many bytes. It returns nil for none.
func (d *decoder) varBytes() []byte {
	n := d.length()
	if n == 0 {
		return nil
	}
	return d.bytes(n)
}

// witness reads a stack of witness elements; nil for none.
func (d *decoder) witness() wire.TxWitness {
	n := d.count(minWitnessItem)
	if n == 0 {
		return nil
	}
	items := make(wire.TxWitness, n)
	for i := range items {
		items[i] = d.varBytes()
	}
	return items
}
