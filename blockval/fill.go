package blockval

import (
	"encoding/binary"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// A filler decodes transactions that a skimmer has passed over, into memory that has
// room for exactly what they hold. Scripts and elements are parts of raw.
type filler struct {
	raw []byte
	pos int

	ins     []wire.TxIn
	inPtrs  []*wire.TxIn
	outs    []wire.TxOut
	outPtrs []*wire.TxOut
	items   [][]byte
}

// newFiller returns one with memory for transactions in raw that hold p.
func newFiller(raw []byte, p parts) filler {
	return filler{
		raw: raw,
		ins: make([]wire.TxIn, p.ins), inPtrs: make([]*wire.TxIn, p.ins),
		outs: make([]wire.TxOut, p.outs), outPtrs: make([]*wire.TxOut, p.outs),
		items: make([][]byte, p.items),
	}
}

// after returns a filler for the transactions that follow those which hold p.
func (f filler) after(p parts) filler {
	f.ins, f.inPtrs = f.ins[p.ins:], f.inPtrs[p.ins:]
	f.outs, f.outPtrs = f.outs[p.outs:], f.outPtrs[p.outs:]
	f.items = f.items[p.items:]
	return f
}

// tx decodes the transaction at l into tx, which is zero.
func (f *filler) tx(tx *wire.MsgTx, l layout) {
	tx.Version = int32(binary.LittleEndian.Uint32(f.raw[l.start:]))
	f.pos = int(l.body)
	tx.TxIn = f.inputs()
	tx.TxOut = f.outputs()
	if l.hasWitness() {
		for _, in := range tx.TxIn {
			in.Witness = f.witness()
		}
	}
	tx.LockTime = binary.LittleEndian.Uint32(f.raw[l.end-4:])
}

func (f *filler) inputs() []*wire.TxIn {
	ins := take(&f.ins, f.count())
	ptrs := take(&f.inPtrs, len(ins))
	for i := range ins {
		in := &ins[i]
		outpoint := f.raw[f.pos : f.pos+36]
		f.pos += 36
		in.PreviousOutPoint.Hash = chainhash.Hash(outpoint[:32])
		in.PreviousOutPoint.Index = binary.LittleEndian.Uint32(outpoint[32:])
		in.SignatureScript = f.varBytes()
		in.Sequence = binary.LittleEndian.Uint32(f.raw[f.pos:])
		f.pos += 4
		ptrs[i] = in
	}
	return ptrs
}

func (f *filler) outputs() []*wire.TxOut {
	outs := take(&f.outs, f.count())
	ptrs := take(&f.outPtrs, len(outs))
	for i := range outs {
		out := &outs[i]
		out.Value = int64(binary.LittleEndian.Uint64(f.raw[f.pos:]))
		f.pos += 8
		out.PkScript = f.varBytes()
		ptrs[i] = out
	}
	return ptrs
}

func (f *filler) witness() wire.TxWitness {
	n := f.count()
	if n == 0 {
		return nil
	}
	items := take(&f.items, n)
	for i := range items {
		items[i] = f.varBytes()
	}
	return items
}

// take takes the first n elements of free.
func take[T any](free *[]T, n int) []T {
	taken := (*free)[:n:n]
	*free = (*free)[n:]
	return taken
}

// varBytes reads a length and as many bytes. It returns nil for none.
func (f *filler) varBytes() []byte {
	n := f.count()
	if n == 0 {
		return nil
	}
	b := f.raw[f.pos : f.pos+n : f.pos+n]
	f.pos += n
	return b
}

// count reads a CompactSize.
func (f *filler) count() int {
	n := int(f.raw[f.pos])
	if n < 0xfd {
		f.pos++
		return n
	}
	return f.longCount()
}

// longCount reads a CompactSize that is longer than a byte.
func (f *filler) longCount() int {
	first, rest := f.raw[f.pos], f.raw[f.pos+1:]
	switch first {
	case 0xfd:
		f.pos += 3
		return int(binary.LittleEndian.Uint16(rest))
	case 0xfe:
		f.pos += 5
		return int(binary.LittleEndian.Uint32(rest))
	}
	f.pos += 9
	return int(binary.LittleEndian.Uint64(rest))
}
