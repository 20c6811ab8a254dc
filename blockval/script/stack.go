package script

const (
	// arenaSize holds the results of operations until they are sorted out. It
	// is more than what maxStackSize elements that are results can take.
	arenaSize = 64 << 10
	// maxResult is the size of the longest result, a SHA-256.
	maxResult = 32
	// keptStack bounds the elements that a stack keeps room for when it is not
	// in use: a witness may have more.
	keptStack = 4 * maxStackSize
)

// A stack is what scripts work on. Its elements are never written to: they are
// parts of scripts and witnesses, of smallNums, or of the arena.
type stack struct {
	main [][]byte
	// alt is the alternative stack of the script that runs.
	alt [][]byte

	// arena holds results in its first used bytes. When it is full, what the
	// stacks still hold moves to spare, and the two change places.
	arena, spare []byte
	used         int
}

// smallNums are the numbers 0 to 16 as elements of one byte, and minusOne.
var (
	smallNums = [...]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	minusOne  = [...]byte{0x81}
)

// reset empties the stacks.
func (s *stack) reset() {
	if cap(s.main) > keptStack {
		s.main = nil
	}
	s.main, s.alt, s.used = s.main[:0], s.alt[:0], 0
}

func (s *stack) push(e []byte) { s.main = append(s.main, e) }

// top returns the n-th element from the top, counted from 1.
func (s *stack) top(n int) []byte { return s.main[len(s.main)-n] }

func (s *stack) drop(n int) { s.main = s.main[:len(s.main)-n] }

// has reports whether there are n elements.
func (s *stack) has(n int) bool { return len(s.main) >= n }

// result returns n bytes, of at most maxResult, that are in use for as long as a
// stack holds them.
func (s *stack) result(n int) []byte {
	switch {
	case s.arena == nil:
		s.arena = make([]byte, arenaSize)
	case s.used+n > len(s.arena):
		s.sortOut()
	}
	e := s.arena[s.used : s.used+n : s.used+n]
	s.used += n
	return e
}

// sortOut makes room in the arena. Every element that is short enough to be in it
// is moved, wherever it is. So many operations have run by then that the stacks
// are within maxStackSize, however many elements a witness began with.
func (s *stack) sortOut() {
	if s.spare == nil {
		s.spare = make([]byte, arenaSize)
	}
	s.arena, s.spare, s.used = s.spare, s.arena, 0
	for _, elements := range [...][][]byte{s.main, s.alt} {
		for i, e := range elements {
			if len(e) > 0 && len(e) <= maxResult {
				copy(s.arena[s.used:], e)
				elements[i] = s.arena[s.used : s.used+len(e) : s.used+len(e)]
				s.used += len(e)
			}
		}
	}
}

// pushNum pushes a number.
func (s *stack) pushNum(n int64) {
	switch {
	case n == 0:
		s.push(nil)
	case n > 0 && n < int64(len(smallNums)):
		s.push(smallNums[n : n+1 : n+1])
	case n == -1:
		s.push(minusOne[:])
	default:
		var buf [9]byte
		num := appendNum(buf[:0], n)
		e := s.result(len(num))
		copy(e, num)
		s.push(e)
	}
}

func (s *stack) pushBool(b bool) {
	if b {
		s.push(smallNums[1:2:2])
	} else {
		s.push(nil)
	}
}

// remove takes the n-th element from the top out.
func (s *stack) remove(n int) {
	at := len(s.main) - n
	s.main = append(s.main[:at], s.main[at+1:]...)
}

// insert puts e below the n elements at the top.
func (s *stack) insert(n int, e []byte) {
	s.main = append(s.main, nil)
	at := len(s.main) - 1 - n
	copy(s.main[at+1:], s.main[at:])
	s.main[at] = e
}

// swap exchanges the i-th and the j-th element from the top.
func (s *stack) swap(i, j int) {
	n := len(s.main)
	s.main[n-i], s.main[n-j] = s.main[n-j], s.main[n-i]
}
