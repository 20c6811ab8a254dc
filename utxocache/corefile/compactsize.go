package corefile

import (
	"encoding/binary"
	"math"
)

// MaxCompactSize is the largest CompactSize that counts something: MAX_SIZE of
// Bitcoin Core's serialize.h.
const MaxCompactSize = 0x02000000

// AppendCompactSize appends n as a CompactSize, the length prefix of the
// network protocol.
func AppendCompactSize(dst []byte, n uint64) []byte {
	switch {
	case n < 0xfd:
		return append(dst, byte(n))
	case n <= math.MaxUint16:
		return binary.LittleEndian.AppendUint16(append(dst, 0xfd), uint16(n))
	case n <= math.MaxUint32:
		return binary.LittleEndian.AppendUint32(append(dst, 0xfe), uint32(n))
	default:
		return binary.LittleEndian.AppendUint64(append(dst, 0xff), n)
	}
}

// DecodeCompactSize decodes the CompactSize at the start of b and returns it
// with its size in bytes. As ReadCompactSize of Bitcoin Core does by default, it
// takes only the shortest encoding of a number, and none above MaxCompactSize.
func DecodeCompactSize(b []byte) (n uint64, size int, err error) {
	if len(b) == 0 {
		return 0, 0, ErrTruncated
	}
	var least uint64
	switch b[0] {
	case 0xfd:
		size, least = 3, 0xfd
	case 0xfe:
		size, least = 5, math.MaxUint16+1
	case 0xff:
		size, least = 9, math.MaxUint32+1
	default:
		return uint64(b[0]), 1, nil
	}
	if len(b) < size {
		return 0, 0, ErrTruncated
	}
	var digits [8]byte
	copy(digits[:], b[1:size])
	n = binary.LittleEndian.Uint64(digits[:])
	switch {
	case n < least:
		return 0, 0, malformed("CompactSize %d in %d bytes", n, size)
	case n > MaxCompactSize:
		return 0, 0, malformed("CompactSize %d above %d", n, MaxCompactSize)
	}
	return n, size, nil
}
