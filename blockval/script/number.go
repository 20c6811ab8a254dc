package script

// maxNumSize is how long a number may be that an operation calculates with;
// maxLockSize one that a lock time is compared with.
const (
	maxNumSize  = 4
	maxLockSize = 5
)

// decodeNum returns the number that b stands for, little-endian with the sign in
// the highest bit, of at most size bytes and, if minimal, no more than it takes.
// It is CScriptNum's constructor in Bitcoin Core.
func decodeNum(b []byte, minimal bool, size int) (int64, Error) {
	if len(b) > size {
		return 0, ErrScriptNum
	}
	if len(b) == 0 {
		return 0, OK
	}
	last := len(b) - 1
	if minimal && b[last]&0x7f == 0 && (last == 0 || b[last-1]&0x80 == 0) {
		return 0, ErrScriptNum
	}
	var n int64
	for i, x := range b {
		n |= int64(x) << (8 * i)
	}
	if b[last]&0x80 != 0 {
		return -(n &^ (0x80 << (8 * last))), OK
	}
	return n, OK
}

// appendNum appends the shortest form of n, CScriptNum::serialize in Bitcoin
// Core.
func appendNum(b []byte, n int64) []byte {
	if n == 0 {
		return b
	}
	size := uint64(n)
	if n < 0 {
		size = -size
	}
	for ; size > 0xff; size >>= 8 {
		b = append(b, byte(size))
	}
	sign := byte(0)
	if n < 0 {
		sign = 0x80
	}
	if size&0x80 != 0 {
		return append(b, byte(size), sign)
	}
	return append(b, byte(size)|sign)
}

// truth reports whether b counts as true: neither zero nor negative zero, of any
// length. It is CastToBool in Bitcoin Core.
func truth(b []byte) bool {
	for i, x := range b {
		if x != 0 {
			return x != 0x80 || i != len(b)-1
		}
	}
	return false
}
