package blockval

import (
	"encoding/binary"
	"math"
	"runtime"
	"sync"
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
	b.Txids, b.Wtxids = make([]chainhash.Hash, n), make([]chainhash.Hash, n)
	hash := b.startHashing(raw)
	for i := range msg.Transactions {
		msg.Transactions[i] = &txs[i]
		b.layouts[i] = d.tx(&txs[i])
		if d.err != nil {
			break
		}
		b.StrippedSize += b.layouts[i].strippedSize()
		if done := i + 1; done%hashChunk == 0 || done == n {
			hash.chunks <- (done - 1) / hashChunk * hashChunk
		}
	}
	hash.finish()
	if d.left() > 0 {
		d.fail("%d bytes after the block", d.left())
	}
	if d.err != nil {
		bad := &Block{Hash: b.Hash, Header: b.Header, Size: b.Size, err: broken(BlockDecode, "%v", d.err)}
		bad.took = time.Since(start)
		return bad, bad.err
	}
	b.Msg = msg
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
const hashChunk = 256

// A hashing computes the ids of a block's transactions while these are decoded.
type hashing struct {
	b   *Block
	raw []byte
	// chunks takes the first of hashChunk transactions that are decoded.
	chunks  chan int
	helpers sync.WaitGroup
}

// startHashing starts as many helpers as there are other processors, if the block is
// worth it.
func (b *Block) startHashing(raw []byte) *hashing {
	chunks := (len(b.layouts) + hashChunk - 1) / hashChunk
	h := &hashing{b: b, raw: raw, chunks: make(chan int, chunks)}
	for range min(runtime.GOMAXPROCS(0), chunks) - 1 {
		h.helpers.Go(h.run)
	}
	return h
}

// finish hashes what is left, and returns when everything is hashed and the helpers
// have ended. No more chunks may come.
func (h *hashing) finish() {
	close(h.chunks)
	h.run()
	h.helpers.Wait()
}

// run hashes chunks until there will be no more.
func (h *hashing) run() {
	var (
		whole    [hashChunk][]byte
		stripped [hashChunk]hashlane.Parts
		ids      [hashChunk]chainhash.Hash
	)
	for from := range h.chunks {
		layouts := h.b.layouts[from:min(from+hashChunk, len(h.b.layouts))]
		n := 0
		for i, l := range layouts {
			whole[i] = h.raw[l.start:l.end]
			if l.hasWitness() {
				stripped[n] = hashlane.Parts{
					Head: h.raw[l.start : l.start+4], Body: h.raw[l.body:l.bodyEnd], Tail: h.raw[l.end-4 : l.end],
				}
				n++
			}
		}
		wtxids, txids := h.b.Wtxids[from:from+len(layouts)], h.b.Txids[from:from+len(layouts)]
		hashlane.DoubleSum256(wtxids, whole[:len(layouts)])
		hashlane.DoubleSumParts(ids[:n], stripped[:n])
		n = 0
		for i, l := range layouts {
			txids[i] = wtxids[i]
			if l.hasWitness() {
				txids[i] = ids[n]
				n++
			}
		}
	}
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
