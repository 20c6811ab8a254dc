//go:build !purego

package hashlane

import (
	"encoding/binary"
	"unsafe"
)

// chains replaces values[i] by what HASH160 makes of it when it is taken
// steps[i] times.
func (p path) chains(values [][20]byte, steps []int) {
	width := p.ripemdWidth()
	if width == 1 {
		for i := range values {
			chainOne(&values[i], steps[i])
		}
		return
	}
	s := scratches.take()
	defer scratches.give(s)
	for lo := 0; lo < len(values); lo += window {
		hi := min(lo+window, len(values))
		s.chains(width, values[lo:hi], steps[lo:hi])
	}
}

// chains is path.chains for at most window values. Chains of similar lengths go
// together, the longest ones first.
func (s *scratch) chains(width int, values [][20]byte, steps []int) {
	for i, n := range steps {
		s.keys[i] = uint8(min(max(n, 0), 255))
	}
	order := s.sort(len(values))
	for len(order) > 0 {
		some := order[:min(width, len(order))]
		order = order[len(some):]
		s.chainGroup(width, values, steps, some)
	}
}

// chainGroup makes the chains of the values whose numbers are in some, at most
// width. A kernel takes steps of 32 bits.
func (s *scratch) chainGroup(width int, values [][20]byte, steps []int, some []uint16) {
	left := 0
	for _, n := range some {
		left = max(left, steps[n])
	}
	words := unsafe.Slice(&s.values[0][0], 5*width)
	for i, n := range some {
		for w := range 5 {
			words[w*width+i] = binary.LittleEndian.Uint32(values[n][4*w:])
		}
	}
	for made := 0; made < left; {
		now := min(maxSteps, left-made)
		for i := range width {
			s.left[i] = 0
			if i < len(some) {
				s.left[i] = int32(min(max(steps[some[i]], made)-made, now))
			}
		}
		if width == 32 {
			chain160x32(&s.values, &s.left, now)
		} else {
			chain160x8((*[5][8]uint32)(unsafe.Pointer(&s.values)), (*[8]int32)(s.left[:8]), now)
		}
		made += now
	}
	for i, n := range some {
		for w := range 5 {
			binary.LittleEndian.PutUint32(values[n][4*w:], words[w*width+i])
		}
	}
}
