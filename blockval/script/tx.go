package script

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/btcsuite/btcd/wire/v2"
)

// A Tx is a transaction beside the outputs that it spends, with what the
// signature hashes of its inputs share. That is computed when it is first needed.
// A Tx is safe for concurrent use, and must not be copied after its first.
//
// Neither the transaction nor the outputs may change while the Tx is in use.
type Tx struct {
	// Msg is the transaction.
	Msg *wire.MsgTx
	// Prevouts are what the inputs spend, in their order: values in satoshis.
	Prevouts []wire.TxOut

	commonOnce, spentOnce, blankOnce sync.Once

	common commonHashes
	spent  spentHashes
	blank  blankTx
}

// blanks counts the blank forms that were made.
var blanks atomic.Uint64

// maxKept is how many bytes Reset keeps.
const maxKept = 1024

// Reset makes t another transaction, as a new Tx is, in the memory that it has, of
// which it keeps no more than a kilobyte. Nobody may use it meanwhile.
func (t *Tx) Reset(msg *wire.MsgTx, prevouts []wire.TxOut) {
	kept := t.blank.bytes[:0]
	if cap(kept) > maxKept {
		kept = nil
	}
	*t = Tx{Msg: msg, Prevouts: prevouts, blank: blankTx{bytes: kept}}
}

// commonHashes are the hashes that BIP143 and BIP341 share: of BIP341 the single
// SHA-256, of BIP143 that of it again.
type commonHashes struct {
	prevouts, sequences, outputs                   [32]byte
	doublePrevouts, doubleSequences, doubleOutputs [32]byte
}

// spentHashes are BIP341's hashes over what the inputs spend.
type spentHashes struct{ amounts, scripts [32]byte }

// commonHashes returns what BIP143 and BIP341 share. w is scratch memory.
func (t *Tx) commonHashes(w *hashWriter) *commonHashes {
	t.commonOnce.Do(func() {
		c := &t.common
		w.reset()
		for _, in := range t.Msg.TxIn {
			w.outpoint(&in.PreviousOutPoint)
		}
		c.prevouts = w.sum()
		w.reset()
		for _, in := range t.Msg.TxIn {
			w.uint32(in.Sequence)
		}
		c.sequences = w.sum()
		w.reset()
		for _, out := range t.Msg.TxOut {
			w.output(out)
		}
		c.outputs = w.sum()
		c.doublePrevouts = sha256.Sum256(c.prevouts[:])
		c.doubleSequences = sha256.Sum256(c.sequences[:])
		c.doubleOutputs = sha256.Sum256(c.outputs[:])
	})
	return &t.common
}

// spentHashes returns BIP341's hashes of the prevouts. w is scratch memory.
func (t *Tx) spentHashes(w *hashWriter) *spentHashes {
	t.spentOnce.Do(func() {
		w.reset()
		for i := range t.Prevouts {
			w.uint64(uint64(t.Prevouts[i].Value))
		}
		t.spent.amounts = w.sum()
		w.reset()
		for i := range t.Prevouts {
			w.bytes(t.Prevouts[i].PkScript)
		}
		t.spent.scripts = w.sum()
	})
	return &t.spent
}

// minTxIn is the size of an input's serialisation with an empty script, and
// outpointSize that of what comes before the script.
const (
	minTxIn      = 36 + 1 + 4
	outpointSize = 36
)

// A blankTx is a transaction's serialisation without witnesses in which every
// input's script is empty: what its legacy signature hashes share.
type blankTx struct {
	bytes []byte
	// number tells it from every other that there was, wherever its bytes lie.
	number uint64
	// inputs is where the first input begins; each takes minTxIn bytes.
	inputs int
}

// blankTx returns the transaction with empty scripts.
func (t *Tx) blankTx() *blankTx {
	t.blankOnce.Do(func() {
		size := 4 + 9 + len(t.Msg.TxIn)*minTxIn + 9 + 4
		for _, out := range t.Msg.TxOut {
			size += 8 + 9 + len(out.PkScript)
		}
		t.blank.set(t.Msg, slices.Grow(t.blank.bytes[:0], size))
	})
	return &t.blank
}

// set makes b the blank form of tx, in the memory of buf.
func (b *blankTx) set(tx *wire.MsgTx, buf []byte) {
	buf = binary.LittleEndian.AppendUint32(buf[:0], uint32(tx.Version))
	buf = appendCompactSize(buf, len(tx.TxIn))
	b.inputs = len(buf)
	for _, in := range tx.TxIn {
		buf = append(buf, in.PreviousOutPoint.Hash[:]...)
		buf = binary.LittleEndian.AppendUint32(buf, in.PreviousOutPoint.Index)
		buf = append(buf, 0)
		buf = binary.LittleEndian.AppendUint32(buf, in.Sequence)
	}
	buf = appendCompactSize(buf, len(tx.TxOut))
	for _, out := range tx.TxOut {
		buf = binary.LittleEndian.AppendUint64(buf, uint64(out.Value))
		buf = appendCompactSize(buf, len(out.PkScript))
		buf = append(buf, out.PkScript...)
	}
	b.bytes = binary.LittleEndian.AppendUint32(buf, tx.LockTime)
	b.number = blanks.Add(1)
}

// appendCompactSize appends n as a CompactSize.
func appendCompactSize(b []byte, n int) []byte {
	switch {
	case n < 0xfd:
		return append(b, byte(n))
	case n <= 0xffff:
		return binary.LittleEndian.AppendUint16(append(b, 0xfd), uint16(n))
	}
	return binary.LittleEndian.AppendUint32(append(b, 0xfe), uint32(n))
}

// compactSizeLen returns how many bytes n takes as a CompactSize.
func compactSizeLen(n int) int {
	switch {
	case n < 0xfd:
		return 1
	case n <= 0xffff:
		return 3
	}
	return 5
}
