package hashlane

import "crypto/sha256"

// An op is a hash of messages of one size, which lie one after the other, as do
// the results.
type op uint8

const (
	// sum32 is SHA-256 of 32 bytes.
	sum32 op = iota
	// double64 is SHA-256 of SHA-256 of 64 bytes.
	double64
	// ripemd32 is RIPEMD-160 of 32 bytes.
	ripemd32
)

// in returns the size of a message in bytes.
func (o op) in() int {
	if o == double64 {
		return 64
	}
	return 32
}

// out returns the size of a result in bytes.
func (o op) out() int {
	if o == ripemd32 {
		return 20
	}
	return 32
}

// one hashes one message, without assembly of ours. dst may be src's memory.
func (o op) one(dst, src []byte) {
	switch o {
	case sum32:
		h := sha256.Sum256(src[:32])
		copy(dst, h[:])
	case double64:
		h := sha256.Sum256(src[:64])
		h = sha256.Sum256(h[:])
		copy(dst, h[:])
	case ripemd32:
		h := ripemd160([32]byte(src))
		copy(dst, h[:])
	}
}

// each hashes all messages of src, one after the other.
func (o op) each(dst, src []byte) {
	in, out := o.in(), o.out()
	for len(src) > 0 {
		o.one(dst, src)
		dst, src = dst[out:], src[in:]
	}
}
