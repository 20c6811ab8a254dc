package blockval

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/sigverify/hashlane"
)

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
