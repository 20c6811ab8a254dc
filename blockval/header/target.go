package header

// FromCompact decodes a target in the compact form of a header's bits: a byte
// of size and a mantissa of 23 bits with a sign. It follows arith_uint256's
// SetCompact in Bitcoin Core bit for bit: where overflow is set, value is what
// remains modulo 2^256, and where negative is set, value is the magnitude.
func FromCompact(compact uint32) (value Uint256, negative, overflow bool) {
	size := compact >> 24
	word := compact & 0x007fffff
	if size <= 3 {
		word >>= 8 * (3 - size)
		value[0] = uint64(word)
	} else {
		value[0] = uint64(word)
		value = value.lsh(uint(8 * (size - 3)))
	}
	negative = word != 0 && compact&0x00800000 != 0
	overflow = word != 0 && (size > 34 || word > 0xff && size > 33 || word > 0xffff && size > 32)
	return value, negative, overflow
}

// Compact encodes x in compact form, keeping its 23 or so leading bits, as
// arith_uint256's GetCompact in Bitcoin Core.
func (x Uint256) Compact() uint32 {
	size := uint32(x.bitLen()+7) / 8
	var word uint32
	if size <= 3 {
		word = uint32(x[0]) << (8 * (3 - size))
	} else {
		word = uint32(x.rsh(uint(8 * (size - 3)))[0])
	}
	// The mantissa's top bit is the sign: a value that would set it moves down
	// one byte.
	if word&0x00800000 != 0 {
		word >>= 8
		size++
	}
	return word | size<<24
}

// Work is an amount of proof of work: the number of hashes that finding a block
// or a chain of blocks takes on average. The zero value is none. Its layout is
// Uint256's; it is another type because more work is a lower target.
type Work Uint256

// BlockWork returns the work of a block with these bits, as GetBlockProof in
// Bitcoin Core: 2^256 / (target+1), and 0 for bits that encode no target.
func BlockWork(compact uint32) Work {
	target, negative, overflow := FromCompact(compact)
	if negative || overflow || target == (Uint256{}) {
		return Work{}
	}
	// 2^256 itself does not fit, but is at least target+1:
	// 2^256 / (t+1) = (2^256 - (t+1)) / (t+1) + 1 = ^t / (t+1) + 1.
	one := Uint256{1}
	not := Uint256{^target[0], ^target[1], ^target[2], ^target[3]}
	return Work(not.quo(target.add(one)).add(one))
}

// Work returns the block's own work: BlockWork of its bits.
func (h *Header) Work() Work { return BlockWork(h.Bits()) }

// Add returns w + v modulo 2^256.
func (w Work) Add(v Work) Work { return Work(Uint256(w).add(Uint256(v))) }

// Cmp returns -1 if w < v, 0 if w == v, and +1 if w > v.
func (w Work) Cmp(v Work) int { return Uint256(w).Cmp(Uint256(v)) }

// String returns w as 64 hexadecimal digits, as getblockheader's chainwork.
func (w Work) String() string { return Uint256(w).String() }
