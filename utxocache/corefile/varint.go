package corefile

import (
	"bytes"
	"math"
)

// maxVarIntSize is the size of the largest VARINT of 64 bits.
const maxVarIntSize = 10

// AppendVarInt appends n as a VARINT of Bitcoin Core's serialize.h: digits to
// the base 128, the most significant first, the high bit set on all but the
// last, and one subtracted from all but the last so that every number has one
// encoding only. It is not the CompactSize of the network protocol, and bytes
// of encodings sort like numbers only below 16,512.
func AppendVarInt(dst []byte, n uint64) []byte {
	if n < 0x80 {
		return append(dst, byte(n))
	}
	var digits [maxVarIntSize]byte
	i := len(digits) - 1
	digits[i] = byte(n & 0x7f)
	for n > 0x7f {
		n = n>>7 - 1
		i--
		digits[i] = byte(n&0x7f) | 0x80
	}
	return append(dst, digits[i:]...)
}

// DecodeVarInt decodes the VARINT at the start of b and returns it with its
// size in bytes. A number that does not fit 64 bits is malformed.
func DecodeVarInt(b []byte) (n uint64, size int, err error) {
	return decodeVarInt(b, math.MaxUint64)
}

// decodeVarInt decodes a VARINT that may not be larger than limit, which is the
// largest value of an unsigned type.
func decodeVarInt(b []byte, limit uint64) (n uint64, size int, err error) {
	for i, digit := range b {
		if n > limit>>7 {
			return 0, 0, malformed("VARINT above %d", limit)
		}
		n = n<<7 | uint64(digit&0x7f)
		if digit&0x80 == 0 {
			return n, i + 1, nil
		}
		if n == limit {
			return 0, 0, malformed("VARINT above %d", limit)
		}
		n++
	}
	return 0, 0, ErrTruncated
}

// compareVarInt compares a and b as their VARINTs sort, byte by byte. This is
// the order of the coins of a transaction in Bitcoin Core's chainstate, whose
// keys end in the VARINT of the output's index, and so in a snapshot.
func compareVarInt(a, b uint32) int {
	var bufA, bufB [maxVarIntSize]byte
	return bytes.Compare(AppendVarInt(bufA[:0], uint64(a)), AppendVarInt(bufB[:0], uint64(b)))
}
