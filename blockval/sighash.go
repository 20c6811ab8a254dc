package blockval

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/btcsuite/btcd/wire/v2"
)

// A blankTx is a transaction's serialisation without witnesses in which every
// input's script is empty: what all its legacy signature hashes share.
type blankTx struct {
	bytes []byte
	// inputs is where the first input begins; each takes minTxIn bytes.
	inputs int
}

func newBlankTx(tx *wire.MsgTx) *blankTx {
	size := 4 + 9 + len(tx.TxIn)*minTxIn + 9 + 4
	for _, out := range tx.TxOut {
		size += 8 + 9 + len(out.PkScript)
	}
	b := binary.LittleEndian.AppendUint32(make([]byte, 0, size), uint32(tx.Version))
	b = appendCompactSize(b, len(tx.TxIn))
	inputs := len(b)
	for _, in := range tx.TxIn {
		b = append(b, in.PreviousOutPoint.Hash[:]...)
		b = binary.LittleEndian.AppendUint32(b, in.PreviousOutPoint.Index)
		b = append(b, 0)
		b = binary.LittleEndian.AppendUint32(b, in.Sequence)
	}
	b = appendCompactSize(b, len(tx.TxOut))
	for _, out := range tx.TxOut {
		b = binary.LittleEndian.AppendUint64(b, uint64(out.Value))
		b = appendCompactSize(b, len(out.PkScript))
		b = append(b, out.PkScript...)
	}
	b = binary.LittleEndian.AppendUint32(b, tx.LockTime)
	return &blankTx{bytes: b, inputs: inputs}
}

// A legacyHasher computes the legacy signature hashes of one transaction's
// inputs for SIGHASH_ALL, without copying the transaction for each. It keeps
// SHA-256's state after the inputs that come before, so that asking in
// ascending order costs half the hashing. It is not safe for concurrent use.
type legacyHasher struct {
	t *spendTx
	// prefix has hashed the first done bytes of the blank transaction.
	prefix hash.Cloner
	done   int
}

// all returns the signature hash of an input for a hash type that means all
// inputs and outputs, as SIGHASH_ALL does. scriptCode must hold no
// OP_CODESEPARATOR and not the signature.
func (l *legacyHasher) all(input int, scriptCode []byte, hashType uint32) [32]byte {
	// The input's script comes after its outpoint.
	const outpoint = 36
	blank := l.t.blankTx()
	start := blank.inputs + input*minTxIn
	if l.prefix == nil || start < l.done {
		l.prefix, l.done = sha256.New().(hash.Cloner), 0
	}
	l.prefix.Write(blank.bytes[l.done:start])
	l.done = start

	sha := cloneHash(l.prefix)
	sha.Write(blank.bytes[start : start+outpoint])
	var buf [9]byte
	sha.Write(appendCompactSize(buf[:0], len(scriptCode)))
	sha.Write(scriptCode)
	sha.Write(blank.bytes[start+outpoint+1:])
	sha.Write(binary.LittleEndian.AppendUint32(buf[:0], hashType))
	return doubleSum(sha)
}

// cloneHash returns a copy of h's state. The standard library's SHA-256 never
// fails to clone.
func cloneHash(h hash.Cloner) hash.Hash {
	c, err := h.Clone()
	if err != nil {
		panic("blockval: clone SHA-256: " + err.Error())
	}
	return c
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
