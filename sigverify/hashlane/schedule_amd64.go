//go:build !purego

package hashlane

import (
	"encoding/binary"
	"slices"
	"unsafe"
)

const (
	// window is how many messages are put in order at a time.
	window = 8192
	// maxSteps bounds the blocks that a lane hashes in one call of a kernel: a
	// step takes up to 0.5 µs.
	maxSteps = 64
	// maxLength is the longest message that a lane takes, so that a count of
	// bytes fits into 32 bits.
	maxLength = 1 << 30
	// fewMessages is op.few for messages of any lengths.
	fewMessages = 17
	// slack is how many steps a lane that is done may wait for others, so that
	// there are fewer calls of a kernel.
	slack = 2
	// maxComposed is the longest message in parts that is copied rather than
	// hashed where its parts are, in bytes.
	maxComposed = 448
	// resting is the number of bytes left of a lane without a message.
	resting = -blockSize
)

// A lane is what one lane of a kernel is at work on. A lane without a message
// has no rest.
type lane struct {
	message int32 // which one
	placed  int32 // bytes of it that are hashed or lie where the kernel reads
	rest    int32 // blocks to hash, padding among them
	run     int32 // those of the blocks that lie where the kernel reads
}

// A scratch is the memory that scheduling needs. It holds no pointers.
type scratch struct {
	digests      [32][32]byte
	state        [8][32]uint32
	composed     [32][maxComposed]byte // blocks that no message holds as they are
	length       [2][32]uint32
	offset, left [32]int32
	lanes        [32]lane
	values       [5][32]uint32
	keys         [window]uint8
	order        [window]uint16
}

var scratches = newSpares(func() *scratch { return new(scratch) })

// sums sets dst[i] to the SHA-256 of message i.
func (p path) sums(dst [][32]byte, msgs messages) {
	if p == (path{}) || len(dst) == 1 {
		sumEach(dst, msgs)
		return
	}
	s := scratches.take()
	defer scratches.give(s)
	for lo := 0; lo < len(dst); lo += window {
		hi := min(lo+window, len(dst))
		some := msgs.slice(lo, hi)
		s.sums(p, dst[lo:hi], &some)
	}
}

// sums is path.sums for at most window messages. The longest ones come first.
// What is longer than an even share of a lane would leave the other lanes without
// work at the end, and so is hashed two at a time, or one.
func (s *scratch) sums(p path, dst [][32]byte, msgs *messages) {
	total := 0
	for i := range dst {
		n := blocks(msgs.length(i))
		s.keys[i] = uint8(min(n, 255))
		total += n
	}
	order := s.sort(len(dst))
	long := 0
	for long < len(order) && s.keys[order[long]] == 255 {
		long++
	}
	slices.SortFunc(order[:long], func(a, b uint16) int {
		return msgs.length(int(b)) - msgs.length(int(a))
	})
	alone, width := 0, p.width(len(order), fewMessages)
	for alone < len(order) {
		length := msgs.length(int(order[alone]))
		if shares(length, total, width) {
			break
		}
		total -= blocks(length)
		alone++
	}
	s.narrow(p, dst, msgs, order[:alone])
	order = order[alone:]
	if width := p.width(len(order), fewMessages); width > 2 {
		s.run(width, dst, msgs, order)
	} else {
		s.narrow(p, dst, msgs, order)
	}
}

// shares reports whether a message takes a lane of width without leaving the
// others idle for long, beside messages of total blocks.
func shares(length, total, width int) bool {
	return length <= maxLength && blocks(length) <= total/width
}

// narrow sets dst[i] to the SHA-256 of message i for each i of order, two at a
// time or one.
func (s *scratch) narrow(p path, dst [][32]byte, msgs *messages, order []uint16) {
	for len(order) > 0 && (!p.shani || len(order) == 1 || msgs.length(int(order[0])) > maxLength) {
		m := msgs.part(int(order[0]))
		dst[order[0]] = sumOne(&m)
		order = order[1:]
	}
	s.run(2, dst, msgs, order)
}

// sort returns the numbers from 0 to n-1, n > 0: those with the greatest keys
// first, and those with equal keys in order.
func (s *scratch) sort(n int) []uint16 {
	keys, order := s.keys[:n], s.order[:n]
	var next [256]uint16
	for _, k := range keys {
		next[k]++
	}
	if int(next[keys[0]]) == n {
		for i := range order {
			order[i] = uint16(i)
		}
		return order
	}
	at := uint16(0)
	for k := 255; k >= 0; k-- {
		at, next[k] = at+next[k], at
	}
	for i, k := range keys {
		order[next[k]] = uint16(i)
		next[k]++
	}
	return order
}

// run sets dst[i] to the SHA-256 of message i for each i of order, with the
// kernel of the width given.
func (s *scratch) run(width int, dst [][32]byte, msgs *messages, order []uint16) {
	// base is no part of s: what is stored in s outlives the call.
	var base [32]*byte
	lanes := s.lanes[:width]
	for i := range lanes {
		lanes[i] = lane{}
		base[i], s.offset[i], s.left[i] = s.idle(i)
	}
	for busy := false; busy || len(order) > 0; {
		// The lanes take steps until the first is done. If the others have little
		// more to do, it waits for them, so that all go on together.
		first, last, fresh := int32(maxSteps), int32(0), uint32(0)
		whole := true // all runs end with their message
		for i := range lanes {
			l := &lanes[i]
			if l.run == 0 {
				switch {
				case l.rest > 0:
					m := msgs.part(int(l.message))
					base[i] = s.place(width, i, l, &m)
				case len(order) > 0:
					base[i] = s.begin(width, i, msgs, int(order[0]))
					order = order[1:]
					fresh |= 1 << i
				default:
					continue
				}
			}
			first, last = min(first, l.run), max(last, l.run)
			whole = whole && l.run == l.rest
		}
		steps := first
		if width == 32 && whole && last <= first+slack {
			steps = last
		}
		s.advance(width, &base, steps, fresh)
		busy = false
		for i := range lanes {
			l := &lanes[i]
			if l.rest > steps {
				l.rest -= steps
				l.run -= steps
				busy = true
				continue
			}
			if l.rest > 0 {
				dst[l.message] = s.digests[i]
			}
			*l = lane{}
			base[i], s.offset[i], s.left[i] = s.idle(i)
		}
	}
}

// idle returns where lane i reads while it has no message: maxSteps blocks of s,
// if it reads at all.
func (s *scratch) idle(i int) (base *byte, offset, left int32) {
	return &s.composed[i][0], 0, resting
}

// begin makes lane i ready for a message, whose first blocks lie at base.
func (s *scratch) begin(width, i int, msgs *messages, message int) (base *byte) {
	n := msgs.length(message)
	l := &s.lanes[i]
	*l = lane{message: int32(message), rest: int32(blocks(n))}
	if width == 32 {
		s.length[0][i], s.length[1][i] = uint32(n>>29), uint32(n<<3)
		if msgs.parts == nil || n <= maxComposed {
			l.run = l.rest
			s.offset[i], s.left[i] = 0, int32(n)
			if msgs.parts == nil {
				return unsafe.SliceData(msgs.body(message))
			}
			compose(s.composed[i][:n], &msgs.parts[message], 0)
			return &s.composed[i][0]
		}
	} else if width == 8 {
		state := (*[8][8]uint32)(unsafe.Pointer(&s.state))
		for w, x := range initial {
			state[w][i] = x
		}
	} else {
		state := (*[2][8]uint32)(unsafe.Pointer(&s.state))
		state[i] = initial
	}
	m := msgs.part(message)
	return s.place(width, i, l, &m)
}

// initial is SHA-256's initial state (FIPS 180-4, section 5.3.3).
var initial = [8]uint32{
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
}

// place finds the next blocks of the message m of lane i. They lie at base: in
// the message itself, or composed. It updates the lane.
//
// The kernel of 32 lanes pads; for the others the padding is composed too.
func (s *scratch) place(width, i int, l *lane, m *Parts) (base *byte) {
	length, n := m.length(), 0
	left := length - int(l.placed)
	here := m.Head
	if at := int(l.placed) - len(m.Head); at < 0 {
		here = here[l.placed:]
	} else if at < len(m.Body) {
		here = m.Body[at:]
	} else {
		here = m.Tail[at-len(m.Body):]
	}
	pads := width == 32
	switch {
	case pads && len(here) == left:
		base, n, l.run = unsafe.SliceData(here), left, l.rest
	case left < 2*blockSize-8:
		to := s.composed[i][:2*blockSize]
		base, n, l.run = &to[0], left, l.rest
		compose(to[:left], m, int(l.placed))
		if !pads {
			clear(to[left:])
			to[left] = 0x80
			binary.BigEndian.PutUint64(to[l.rest*blockSize-8:], uint64(length)*8)
		}
	case len(here) >= blockSize:
		n = len(here) / blockSize * blockSize
		base, l.run = &here[0], int32(n/blockSize)
	default:
		base, n, l.run = &s.composed[i][0], blockSize, 1
		compose(s.composed[i][:blockSize], m, int(l.placed))
	}
	l.placed += int32(n)
	s.offset[i], s.left[i] = 0, int32(n)
	return base
}

// compose fills dst with the bytes of m from byte at on.
func compose(dst []byte, m *Parts, at int) {
	for _, part := range [...][]byte{m.Head, m.Body, m.Tail} {
		skip := min(at, len(part))
		at -= skip
		dst = dst[copy(dst, part[skip:]):]
	}
}

// advance calls the kernel of the width given.
func (s *scratch) advance(width int, base *[32]*byte, steps int32, fresh uint32) {
	switch width {
	case 32:
		advance32(&s.digests, &s.state, base, &s.offset, &s.left, &s.length, int(steps), fresh)
	case 8:
		advance8((*[8][32]byte)(s.digests[:8]), (*[8][8]uint32)(unsafe.Pointer(&s.state)),
			(*[8]*byte)(base[:8]), (*[8]int32)(s.offset[:8]), int(steps))
	case 2:
		advance2((*[2][32]byte)(s.digests[:2]), (*[2][8]uint32)(unsafe.Pointer(&s.state)),
			(*[2]*byte)(base[:2]), (*[2]int32)(s.offset[:2]), int(steps))
	}
	if width < 32 {
		for i := range width {
			s.offset[i] += steps * blockSize
		}
	}
}
