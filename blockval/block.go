package blockval

import (
	"encoding/binary"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
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

	largest int        // the size in bytes of the largest transaction without its witnesses
	err     *RuleError // why it could not be decoded
	took    time.Duration
}

// Weight returns the block's weight (BIP141).
func (b *Block) Weight() int { return (witnessScaleFactor-1)*b.StrippedSize + b.Size }

// Parse decodes raw and computes its hashes, on as many processors as are worth it. The
// block's scripts are parts of raw, which must not be changed, and stays in memory as
// long as one of them is referred to; so do all inputs as long as one is, and all
// outputs.
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
	d := skimmer{decoder: decoder{buf: raw}}
	if uint64(len(raw)) > math.MaxUint32 {
		d.fail("%d bytes are more than any block has", len(raw))
	}
	if h := d.bytes(header.Size); h != nil {
		b.Header = header.Header(h)
		b.Hash = b.Header.Hash()
	}
	p := newParsing(b, raw)
	defer p.release()
	if p.skim(&d); d.err != nil {
		bad := &Block{Hash: b.Hash, Header: b.Header, Size: b.Size, err: broken(BlockDecode, "%v", d.err)}
		bad.took = time.Since(start)
		return bad, bad.err
	}
	p.fill()
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

// parseChunk is how many transactions are decoded and hashed together.
const parseChunk = 256

// A parsing is what Parse does with the transactions, first over all of them and then
// by chunks, on all processors.
type parsing struct {
	b   *Block
	raw []byte
	// layouts are where the transactions lie. Their memory is used again.
	layouts []layout
	// all is what the transactions hold, and before[i] what those before chunk i do.
	all    parts
	before []parts

	filler filler
	txs    []wire.MsgTx
	next   atomic.Int64 // the chunk that nobody has begun
}

const (
	// spareLayouts is of how many blocks the memory for layouts is kept, and
	// maxLayouts of how many transactions at most: a megabyte.
	spareLayouts = 2
	maxLayouts   = 1 << 16
)

// layoutMemory has memory for layouts. No block refers to it.
var layoutMemory = make(chan []layout, spareLayouts)

// newParsing returns a parsing of raw into b. It is to be released.
func newParsing(b *Block, raw []byte) *parsing {
	p := &parsing{b: b, raw: raw}
	select {
	case p.layouts = <-layoutMemory:
	default:
	}
	return p
}

// release gives the memory for layouts back.
func (p *parsing) release() {
	if n := cap(p.layouts); n == 0 || n > maxLayouts {
		return
	}
	select {
	case layoutMemory <- p.layouts[:0]:
	default:
	}
}

// skim finds where the transactions lie, or what is wrong with the block.
func (p *parsing) skim(s *skimmer) {
	n := s.count(minTx)
	p.b.StrippedSize = s.pos
	p.layouts = slices.Grow(p.layouts[:0], n)
	p.before = make([]parts, 0, (n+parseChunk-1)/parseChunk)
	for i := range n {
		if i%parseChunk == 0 {
			p.before = append(p.before, s.parts)
		}
		l := s.tx()
		if s.err != nil {
			return
		}
		p.layouts = append(p.layouts, l)
		p.b.StrippedSize += l.strippedSize()
		p.b.largest = max(p.b.largest, l.strippedSize())
	}
	p.all = s.parts
	if s.left() > 0 {
		s.fail("%d bytes after the block", s.left())
	}
}

// fill decodes and hashes the transactions.
func (p *parsing) fill() {
	b, n := p.b, len(p.layouts)
	b.Msg = &wire.MsgBlock{Header: wireHeader(&b.Header)}
	b.Txids, b.Wtxids = make([]chainhash.Hash, n), make([]chainhash.Hash, n)
	if n == 0 {
		return
	}
	p.txs, b.Msg.Transactions = make([]wire.MsgTx, n), make([]*wire.MsgTx, n)
	p.filler = newFiller(p.raw, p.all)
	var helpers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(p.before)) - 1 {
		helpers.Go(p.run)
	}
	p.run()
	helpers.Wait()
}

// run decodes and hashes chunks until none is left.
func (p *parsing) run() {
	for {
		chunk := int(p.next.Add(1)) - 1
		if chunk >= len(p.before) {
			return
		}
		from := chunk * parseChunk
		to := min(from+parseChunk, len(p.txs))
		f := p.filler.after(p.before[chunk])
		for i := from; i < to; i++ {
			f.tx(&p.txs[i], p.layouts[i])
			p.b.Msg.Transactions[i] = &p.txs[i]
		}
		p.hash(from, to)
	}
}

// hash computes the ids of the transactions from up to, but not including, to, which
// are at most parseChunk.
func (p *parsing) hash(from, to int) {
	var (
		whole    [parseChunk][]byte
		stripped [parseChunk]hashlane.Parts
		ids      [parseChunk]chainhash.Hash
	)
	raw, layouts := p.raw, p.layouts[from:to]
	n := 0
	for i, l := range layouts {
		whole[i] = raw[l.start:l.end]
		if l.hasWitness() {
			stripped[n] = hashlane.Parts{
				Head: raw[l.start : l.start+4], Body: raw[l.body:l.bodyEnd], Tail: raw[l.end-4 : l.end],
			}
			n++
		}
	}
	wtxids, txids := p.b.Wtxids[from:to], p.b.Txids[from:to]
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
