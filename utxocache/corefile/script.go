package corefile

import (
	"math"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
)

// MaxScriptSize is the size in bytes of the largest script that can run:
// MAX_SCRIPT_SIZE of Bitcoin Core's script.h.
const MaxScriptSize = 10_000

// The opcodes in scripts that have a short form.
const (
	opData20      = 0x14
	opData33      = 0x21
	opData65      = 0x41
	opReturn      = 0x6a
	opDup         = 0x76
	opEqual       = 0x87
	opEqualVerify = 0x88
	opHash160     = 0xa9
	opCheckSig    = 0xac
)

// A compressed script begins with one of these tags, a VARINT. From tagRaw on
// it says the length of the script that follows as it is.
const (
	tagP2PKH    = 0 // 20 bytes: the hash
	tagP2SH     = 1 // 20 bytes: the hash
	tagEven     = 2 // 32 bytes: x of a compressed key with even y
	tagOdd      = 3 // 32 bytes: x of a compressed key with odd y
	tagFullEven = 4 // 32 bytes: x of an uncompressed key with even y
	tagFullOdd  = 5 // 32 bytes: x of an uncompressed key with odd y
	tagRaw      = 6
)

// AppendScript appends a locking script, as Bitcoin Core's ScriptCompression
// does: a hash or key is kept without the opcodes around it, an uncompressed
// key without its y if it is on the curve.
func AppendScript(dst, script []byte) []byte {
	if tag, payload, ok := shortForm(script); ok {
		return append(append(dst, tag), payload...)
	}
	return append(AppendVarInt(dst, uint64(len(script))+tagRaw), script...)
}

// shortForm returns the tag and what follows it for a script that has a short
// form.
func shortForm(script []byte) (tag byte, payload []byte, ok bool) {
	switch s := script; {
	case len(s) == 25 && s[0] == opDup && s[1] == opHash160 && s[2] == opData20 &&
		s[23] == opEqualVerify && s[24] == opCheckSig:
		return tagP2PKH, s[3:23], true
	case len(s) == 23 && s[0] == opHash160 && s[1] == opData20 && s[22] == opEqual:
		return tagP2SH, s[2:22], true
	case len(s) == 35 && s[0] == opData33 && s[34] == opCheckSig && (s[1] == tagEven || s[1] == tagOdd):
		return s[1], s[2:34], true
	case len(s) == 67 && s[0] == opData65 && s[66] == opCheckSig && s[1] == 4 && onCurve(s[2:34], s[34:66]):
		return tagFullEven | s[65]&1, s[2:34], true
	}
	return 0, nil, false
}

// onCurve reports whether (x, y), 32 bytes each, is a point of secp256k1.
func onCurve(x, y []byte) bool {
	var fx, fy, left, right secp256k1.FieldVal
	if fx.SetByteSlice(x) || fy.SetByteSlice(y) {
		return false // not below the field's prime
	}
	left.SquareVal(&fy).Normalize()
	right.SquareVal(&fx).Mul(&fx).AddInt(7).Normalize()
	return left.Equals(&right)
}

// DecodeScript decodes the compressed script at the start of b, appends the
// script to dst and returns it with the number of bytes of b that it took. It
// keeps no part of b.
//
// As in Bitcoin Core, a script of more than MaxScriptSize bytes is skipped and
// becomes a single OP_RETURN. An uncompressed key whose x is on no point of the
// curve is malformed; Bitcoin Core, which never writes one, would read an empty
// script.
func DecodeScript(dst, b []byte) (script []byte, size int, err error) {
	c, size, err := parseScript(b)
	if err == nil {
		dst, err = c.appendTo(dst)
	}
	if err != nil {
		return nil, 0, err
	}
	return dst, size, nil
}

// A compressedScript is a compressed script that was found in bytes.
type compressedScript struct {
	tag     byte // tagRaw for all from tagRaw on
	tooLong bool // the script was, and is now unspendable
	payload []byte
}

// unspendable is what a script becomes that is too long.
var unspendable = []byte{opReturn}

// parseScript finds the compressed script at the start of b and returns it with
// its size in b.
func parseScript(b []byte) (c compressedScript, size int, err error) {
	tag, size, err := decodeVarInt(b, math.MaxUint32)
	if err != nil {
		return compressedScript{}, 0, err
	}
	length := uint64(32)
	switch {
	case tag >= tagRaw:
		length = tag - tagRaw
	case tag <= tagP2SH:
		length = 20
	}
	if length > uint64(len(b)-size) {
		return compressedScript{}, 0, ErrTruncated
	}
	c = compressedScript{tag: byte(min(tag, tagRaw)), payload: b[size : size+int(length)]}
	if length > MaxScriptSize {
		c.tooLong, c.payload = true, unspendable
	}
	return c, size + int(length), nil
}

// size returns the number of bytes that appendTo appends.
func (c compressedScript) size() int {
	switch c.tag {
	case tagP2PKH:
		return 25
	case tagP2SH:
		return 23
	case tagEven, tagOdd:
		return 35
	case tagFullEven, tagFullOdd:
		return 67
	default:
		return len(c.payload)
	}
}

// appendTo appends the script to dst. If there is an error it does not.
func (c compressedScript) appendTo(dst []byte) ([]byte, error) {
	switch c.tag {
	case tagP2PKH:
		dst = append(dst, opDup, opHash160, opData20)
		dst = append(dst, c.payload...)
		return append(dst, opEqualVerify, opCheckSig), nil
	case tagP2SH:
		dst = append(dst, opHash160, opData20)
		dst = append(dst, c.payload...)
		return append(dst, opEqual), nil
	case tagEven, tagOdd:
		dst = append(dst, opData33, c.tag)
		dst = append(dst, c.payload...)
		return append(dst, opCheckSig), nil
	case tagFullEven, tagFullOdd:
		var x, y secp256k1.FieldVal
		if x.SetByteSlice(c.payload) || !secp256k1.DecompressY(&x, c.tag == tagFullOdd, &y) {
			return dst, malformed("no point of the curve has the x %x", c.payload)
		}
		dst = append(dst, opData65, 4)
		dst = append(dst, c.payload...)
		dst = append(dst, y.Normalize().Bytes()[:]...)
		return append(dst, opCheckSig), nil
	default:
		return append(dst, c.payload...), nil
	}
}
