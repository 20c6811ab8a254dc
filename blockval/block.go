package blockval

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/blockval/header"
)

// A Block is a decoded block with its hashes. It is only read once Parse has made it, and
// so is safe for concurrent use, with one exception: Txids and Wtxids that hashlane had
// computed wrong are mended by whoever finds out first, Intact, Begin or Check.
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

	// rehashed says that the standard library has hashed the block again, and
	// hashedWrong that hashlane had been wrong.
	rehashed, hashedWrong bool
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
