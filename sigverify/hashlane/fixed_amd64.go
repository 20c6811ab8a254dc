//go:build !purego

package hashlane

// maxGroups is how many groups a kernel gets at a time. A group takes below a
// microsecond where it is measured.
const maxGroups = 16

// kernel calls the kernel of o for groups of the width given.
func (o op) kernel(width int, dst, src *byte, groups int) {
	switch {
	case o == sum32 && width == 32:
		sum32x32(dst, src, groups)
	case o == sum32 && width == 8:
		sum32x8(dst, src, groups)
	case o == sum32 && width == 2:
		sum32x2(dst, src, groups)
	case o == double64 && width == 32:
		double64x32(dst, src, groups)
	case o == double64 && width == 8:
		double64x8(dst, src, groups)
	case o == double64 && width == 2:
		double64x2(dst, src, groups)
	case o == ripemd32 && width == 32:
		ripemd32x32(dst, src, groups)
	case o == ripemd32 && width == 8:
		ripemd32x8(dst, src, groups)
	}
}

// few is how many messages there must be for a kernel of 32 lanes to be faster
// than one of the SHA extensions on two at a time. It is measured where a group
// of 32 takes as long as 10 to 16 messages that way.
func (o op) few() int {
	if o == double64 {
		return 11
	}
	return 13
}

// width returns how many messages at a time are hashed best by a kernel, of n
// that there are; 1 means one after the other, without assembly of ours. few is
// as op.few has it.
func (p path) width(n, few int) int {
	switch {
	case n == 1:
		return 1
	case p.avx512 && (n >= few || !p.shani):
		return 32
	case p.shani:
		return 2
	case p.avx2:
		return 8
	}
	return 1
}

// ripemdWidth is width for RIPEMD-160, of any number of messages.
func (p path) ripemdWidth() int {
	switch {
	case p.avx512:
		return 32
	case p.avx2:
		return 8
	}
	return 1
}

// fixed sets the results of dst to o of the messages of src. dst may begin where
// src does.
func (p path) fixed(o op, dst, src []byte) {
	in, out := o.in(), o.out()
	for len(src) > 0 {
		n := len(src) / in
		width := p.width(n, o.few())
		if o == ripemd32 {
			width = p.ripemdWidth()
		}
		switch {
		case width == 1:
			o.each(dst, src)
			return
		case n < width:
			o.padded(width, dst, src)
			return
		}
		groups := min(n/width, maxGroups)
		o.kernel(width, &dst[0], &src[0], groups)
		dst, src = dst[groups*width*out:], src[groups*width*in:]
	}
}

// padded is fixed for fewer messages than a group has.
func (o op) padded(width int, dst, src []byte) {
	var from [32 * 64]byte
	var to [32 * 32]byte
	n := copy(from[:], src) / o.in()
	o.kernel(width, &to[0], &from[0], 1)
	copy(dst, to[:n*o.out()])
}
