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
// claims more elements than the rest of the data can hold is refused before
// anything is allocated for them.
const (
	minTx          = 4 + 1 + 1 + 4 // no inputs, no outputs
	minTxIn        = 36 + 1 + 4    // an empty script
	minTxOut       = 8 + 1         // an empty script
	minWitnessItem = 1             // an empty element

	// slabSize is how many elements a slab allocates at most at once. With one
	// more, the runtime's header would need memory of the next size.
	slabSize = 511
)

// A decoder reads Bitcoin Core's serialisation from a byte slice, in place: the
// slices that it returns are parts of buf. The first failure is kept, and every
// read after it returns zero.
type decoder struct {
	buf []byte
	pos int
	err error

	ins     slab[wire.TxIn]
	inPtrs  slab[*wire.TxIn]
	outs    slab[wire.TxOut]
	outPtrs slab[*wire.TxOut]
	items   slab[[]byte]
}

// A slab allocates elements of one type many at a time: up to slabSize, and towards
// the end of the data as many as are to be expected, going by what came before.
type slab[T any] struct {
	free  []T
	taken int
}

// take returns n zero elements for d.
func (s *slab[T]) take(d *decoder, n int) []T {
	if n > len(s.free) {
		if n >= slabSize/8 {
			s.taken += n
			return make([]T, n)
		}
		expected := float64(s.taken) * float64(d.left()) / float64(d.pos)
		s.free = make([]T, max(n, min(slabSize, slabSize/16+int(expected))))
	}
	s.taken += n
	out := s.free[:n:n]
	s.free = s.free[n:]
	return out
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("at byte %d: "+format, append([]any{d.pos}, args...)...)
	}
}

// left returns how many bytes are not read yet; 0 after a failure.
func (d *decoder) left() int {
	if d.err != nil {
		return 0
	}
	return len(d.buf) - d.pos
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

// varBytes reads a length and as many bytes. It returns nil for none.
func (d *decoder) varBytes() []byte {
	n := d.count(1)
	if n == 0 {
		return nil
	}
	return d.bytes(n)
}

// A layout says where the parts of a transaction's serialisation lie.
type layout struct {
	// start and end bound the whole; body and bodyEnd the inputs and outputs
	// with their counts. What precedes the body is the version, and a marker
	// and a flag if there is a witness; what follows are the witnesses, if
	// any, and the lock time.
	start, body, bodyEnd, end uint32
}

// strippedSize returns the size of the serialisation without witnesses.
func (l layout) strippedSize() int { return int(4 + l.bodyEnd - l.body + 4) }

// hasWitness reports whether the serialisation holds witnesses.
func (l layout) hasWitness() bool { return l.strippedSize() != int(l.end-l.start) }

// tx reads a transaction into tx, which is zero, as UnserializeTransaction in Bitcoin Core with
// witnesses allowed.
func (d *decoder) tx(tx *wire.MsgTx) layout {
	l := layout{start: uint32(d.pos)}
	tx.Version = int32(d.uint32())
	l.body = uint32(d.pos)
	tx.TxIn = d.inputs()
	var flags byte
	if len(tx.TxIn) > 0 {
		tx.TxOut = d.outputs()
	} else if flags = d.byte(); flags != 0 {
		// The empty list of inputs was the marker of the extended format.
		l.body = uint32(d.pos)
		tx.TxIn = d.inputs()
		tx.TxOut = d.outputs()
	}
	l.bodyEnd = uint32(d.pos)
	if flags&1 != 0 {
		flags ^= 1
		d.witnesses(tx.TxIn)
	}
	if flags != 0 {
		d.fail("transaction has unknown optional data %#02x", flags)
	}
	tx.LockTime = d.uint32()
	l.end = uint32(d.pos)
	return l
}

func (d *decoder) inputs() []*wire.TxIn {
	n := d.count(minTxIn)
	ptrs, ins := d.inPtrs.take(d, n), d.ins.take(d, n)
	for i := range ins {
		in := &ins[i]
		copy(in.PreviousOutPoint.Hash[:], d.bytes(32))
		in.PreviousOutPoint.Index = d.uint32()
		in.SignatureScript = d.varBytes()
		in.Sequence = d.uint32()
		if d.err != nil {
			return nil
		}
		ptrs[i] = in
	}
	return ptrs
}

func (d *decoder) outputs() []*wire.TxOut {
	n := d.count(minTxOut)
	ptrs, outs := d.outPtrs.take(d, n), d.outs.take(d, n)
	for i := range outs {
		out := &outs[i]
		out.Value = int64(d.uint64())
		out.PkScript = d.varBytes()
		if d.err != nil {
			return nil
		}
		ptrs[i] = out
	}
	return ptrs
}

// witnesses reads a witness for each input, of which one must not be empty.
func (d *decoder) witnesses(ins []*wire.TxIn) {
	some := false
	for _, in := range ins {
		in.Witness = d.witness()
		some = some || len(in.Witness) > 0
	}
	if !some {
		d.fail("superfluous witness record")
	}
}

func (d *decoder) witness() wire.TxWitness {
	n := d.count(minWitnessItem)
	if n == 0 {
		return nil
	}
	items := d.items.take(d, n)
	for i := range items {
		items[i] = d.varBytes()
		if d.err != nil {
			return nil
		}
	}
	return items
}
