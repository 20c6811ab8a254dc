package blockval

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"math"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval/header"
	"github.com/outrider-project/outrider/sigverify/hashlane"
)

// A Block is a decoded block with its hashes. It is only read once Parse has
// made it, and so is safe for concurrent use.
type Block struct {
	Hash   chainhash.Hash
	Header header.Header
	// Msg is the block in btcd's form; nil when it could not be decoded. Its
	// scripts and witnesses are parts of the bytes that were parsed.
	Msg *wire.MsgBlock
	// Txids and Wtxids are the ids of the transactions, in order. The first of
	// Wtxids is the coinbase's own; the witness commitment has zero there.
	Txids, Wtxids []chainhash.Hash
	// Size and StrippedSize are the sizes in bytes of the serialisation, with
	// and without witnesses.
	Size, StrippedSize int

	layouts []layout
	err     *RuleError // why it could not be decoded
	took    time.Duration
}

// Weight returns the block's weight (BIP141).
func (b *Block) Weight() int { return (witnessScaleFactor-1)*b.StrippedSize + b.Size }

// Parse decodes raw and computes its hashes. The block's scripts are parts of
// raw, which must not be changed, and stays in memory as long as one of them is
// referred to.
//
// The bytes must be exactly one block in Bitcoin Core's serialisation: nothing
// after it, every CompactSize in its shortest form, no witness record without a
// witness. Else the error is a *RuleError with Rule BlockDecode. The block
// returned beside it has its Header and Hash, if raw is long enough for them,
// and nothing else; Check gives it a verdict with that error.
//
// Parse allocates at most 32 bytes for each byte of raw, and a constant.
func Parse(raw []byte) (*Block, error) {
	start := time.Now()
	b := &Block{Size: len(raw)}
	d := &decoder{buf: raw}
	if uint64(len(raw)) > math.MaxUint32 {
		d.fail("%d bytes are more than any block has", len(raw))
	}
	if h := d.bytes(header.Size); h != nil {
		b.Header = header.Header(h)
		b.Hash = b.Header.Hash()
	}
	msg := &wire.MsgBlock{Header: wireHeader(&b.Header)}
	n := d.count(minTx)
	b.StrippedSize = d.pos
	var txs []wire.MsgTx
	if n > 0 {
		txs = make([]wire.MsgTx, n)
		msg.Transactions = make([]*wire.MsgTx, n)
		b.layouts = make([]layout, n)
	}
	for i := range msg.Transactions {
		msg.Transactions[i] = &txs[i]
		b.layouts[i] = d.tx(&txs[i])
		if d.err != nil {
			break
		}
		b.StrippedSize += b.layouts[i].strippedSize()
	}
	if d.left() > 0 {
		d.fail("%d bytes after the block", d.left())
	}
	if d.err != nil {
		bad := &Block{Hash: b.Hash, Header: b.Header, Size: b.Size, err: broken(BlockDecode, "%v", d.err)}
		bad.took = time.Since(start)
		return bad, bad.err
	}
	b.Msg = msg
	b.hashTxs(raw)
	b.took = time.Since(start)
	return b, nil
}

// wireHeader returns h in btcd's form.
func wireHeader(h *header.Header) wire.BlockHeader {
	return wire.BlockHeader{
		Version:    h.Version(),
		PrevBlock:  h.Prev(),
		MerkleRoot: h.MerkleRoot(),
		Timestamp:  time.Unix(int64(h.Time()), 0),
		Bits:       h.Bits(),
		Nonce:      h.Nonce(),
	}
}

// hashChunk is how many transactions are hashed together.
const hashChunk = 128

// hashTxs computes the ids of the transactions from their serialisations.
func (b *Block) hashTxs(raw []byte) {
	n := len(b.layouts)
	b.Txids = make([]chainhash.Hash, n)
	b.Wtxids = make([]chainhash.Hash, n)
	room := min(n, hashChunk)
	whole := make([][]byte, 0, room)
	stripped := make([]hashlane.Parts, 0, room)
	ids := make([]chainhash.Hash, room)
	for from := 0; from < n; from += hashChunk {
		to := min(from+hashChunk, n)
		whole, stripped = whole[:0], stripped[:0]
		for _, l := range b.layouts[from:to] {
			whole = append(whole, raw[l.start:l.end])
			if l.hasWitness() {
				stripped = append(stripped, hashlane.Parts{
					Head: raw[l.start : l.start+4], Body: raw[l.body:l.bodyEnd], Tail: raw[l.end-4 : l.end],
				})
			}
		}
		hashlane.DoubleSum256(b.Wtxids[from:to], whole)
		hashlane.DoubleSumParts(ids[:len(stripped)], stripped)
		next := 0
		for i, l := range b.layouts[from:to] {
			if !l.hasWitness() {
				b.Txids[from+i] = b.Wtxids[from+i]
				continue
			}
			b.Txids[from+i] = ids[next]
			next++
		}
	}
}

// doubleSum returns the SHA-256 of the SHA-256 of what was written to sha.
func doubleSum(sha hash.Hash) chainhash.Hash {
	var buf [sha256.Size]byte
	return sha256.Sum256(sha.Sum(buf[:0]))
}

// isCoinbase reports whether tx has the form of a coinbase: one input, which
// spends the null outpoint.
func isCoinbase(tx *wire.MsgTx) bool {
	return len(tx.TxIn) == 1 && isNull(&tx.TxIn[0].PreviousOutPoint)
}

func isNull(op *wire.OutPoint) bool {
	return op.Index == wire.MaxPrevOutIndex && op.Hash == chainhash.Hash{}
}

// heightPush returns the script that pushes height, as CScript() << nHeight in
// Bitcoin Core.
func heightPush(height uint32) []byte {
	switch {
	case height == 0:
		return []byte{0}
	case height <= 16:
		return []byte{byte(0x50 + height)}
	}
	num := binary.LittleEndian.AppendUint32(nil, height)
	num = append(num, 0)
	for len(num) > 1 && num[len(num)-1] == 0 && num[len(num)-2] < 0x80 {
		num = num[:len(num)-1]
	}
	return append([]byte{byte(len(num))}, num...)
}
