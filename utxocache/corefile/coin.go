package corefile

import (
	"encoding/binary"
	"math"

	"github.com/btcsuite/btcd/wire/v2"
)

// MaxHeight is the largest height that a coin can have.
const MaxHeight = math.MaxInt32

// A Coin is a transaction output and where it was created.
type Coin struct {
	// Value is in satoshis, between 0 and MaxMoney.
	Value int64
	// Script is the output's locking script.
	Script []byte
	// Height is the height of the block that created the coin, MaxHeight at
	// most.
	Height uint32
	// Coinbase says that a coinbase transaction created it.
	Coinbase bool
}

// code returns height and coinbase flag as one number.
func (c *Coin) code() uint32 {
	code := c.Height << 1
	if c.Coinbase {
		code |= 1
	}
	return code
}

// AppendCoin appends c as Bitcoin Core's coin.h writes it to the chainstate
// (there XORed with the database's key) and to a snapshot: VARINT of
// 2·height + coinbase, VARINT of the compressed amount, compressed script.
func AppendCoin(dst []byte, c *Coin) []byte {
	return appendTxOut(AppendVarInt(dst, uint64(c.code())), c)
}

// appendTxOut appends the value and the script of c, as Bitcoin Core's
// TxOutCompression.
func appendTxOut(dst []byte, c *Coin) []byte {
	return AppendScript(AppendVarInt(dst, CompressAmount(c.Value)), c.Script)
}

// Decode sets c to the coin at the start of b, in the form of AppendCoin, and
// returns the number of bytes that it took. It writes the script over c.Script
// if that is large enough, and keeps no part of b. If there is an error, c is
// as it was.
func (c *Coin) Decode(b []byte) (size int, err error) {
	p, size, err := parseCoin(b, false)
	if err == nil {
		err = p.decode(c, c.Script[:0])
	}
	if err != nil {
		return 0, err
	}
	return size, nil
}

// A packedCoin is a coin that was found in bytes.
type packedCoin struct {
	code   uint32
	value  int64
	script compressedScript
}

// parseCoin finds the coin at the start of b, in the form of an undo record if
// undo is set, and returns it with its size in b.
func parseCoin(b []byte, undo bool) (p packedCoin, size int, err error) {
	code, size, err := decodeVarInt(b, math.MaxUint32)
	if err != nil {
		return packedCoin{}, 0, err
	}
	p.code = uint32(code)
	if undo && code > 1 { // the height is not 0
		_, n, err := decodeVarInt(b[size:], math.MaxUint32)
		if err != nil {
			return packedCoin{}, 0, err
		}
		size += n
	}
	x, n, err := DecodeVarInt(b[size:])
	if err != nil {
		return packedCoin{}, 0, err
	}
	size += n
	if p.value, err = DecompressAmount(x); err != nil {
		return packedCoin{}, 0, err
	}
	if p.script, n, err = parseScript(b[size:]); err != nil {
		return packedCoin{}, 0, err
	}
	return p, size + n, nil
}

// decode sets c to the coin, its script appended to the empty slice dst. If
// there is an error, c is as it was.
func (p *packedCoin) decode(c *Coin, dst []byte) error {
	script, err := p.script.appendTo(dst)
	if err != nil {
		return err
	}
	*c = Coin{Value: p.value, Script: script, Height: p.code >> 1, Coinbase: p.code&1 != 0}
	return nil
}

// AppendTxOutSer appends the bytes for which a coin stands in a hash of the
// UTXO set, as TxOutSer of Bitcoin Core's kernel/coinstats.cpp has them: they
// are what hash_serialized_3 is the hash of, one coin after another, and each
// is an element of the MuHash. They are the outpoint, 2·height + coinbase in
// four bytes, and the output as in a transaction; all little-endian.
func AppendTxOutSer(dst []byte, op wire.OutPoint, c *Coin) []byte {
	dst = append(dst, op.Hash[:]...)
	dst = binary.LittleEndian.AppendUint32(dst, op.Index)
	dst = binary.LittleEndian.AppendUint32(dst, c.code())
	dst = binary.LittleEndian.AppendUint64(dst, uint64(c.Value))
	dst = AppendCompactSize(dst, uint64(len(c.Script)))
	return append(dst, c.Script...)
}

// scripts is memory for many scripts.
type scripts []byte

// take returns an empty slice with room for n bytes, which no later call
// returns again before reset.
func (s *scripts) take(n int) []byte {
	if cap(*s)-len(*s) < n {
		*s = make([]byte, 0, max(n, 2*cap(*s), 1<<10))
	}
	from := len(*s)
	*s = (*s)[:from+n]
	return (*s)[from : from : from+n]
}

func (s *scripts) reset() { *s = (*s)[:0] }
