package muhash

import (
	"bytes"
	"math/big"
	"testing"
)

// padded returns the first 384 bytes of b, with zeros if there are fewer.
func padded(b []byte) *[numberSize]byte {
	var p [numberSize]byte
	copy(p[:], b)
	return &p
}

// FuzzMul multiplies and divides any numbers as math/big does.
func FuzzMul(f *testing.F) {
	all := edges()
	for i := range all {
		f.Add(all[i].append(nil), all[len(all)-1-i].append(nil))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var x, y number
		x.decode(padded(a))
		y.decode(padded(b))
		checkMul(t, x, y)
		want := new(big.Int).ModInverse(y.big(), modulus)
		if want == nil {
			want = new(big.Int)
		}
		inverse := y.inverse()
		if inverse.big().Cmp(want) != 0 {
			t.Errorf("the inverse of %x is %x, want %x", y.big(), inverse.big(), want)
		}
	})
}

// FuzzState has any state that decodes encode to the same numbers, below the
// modulus, and be used.
func FuzzState(f *testing.F) {
	s := setOf([]byte("a"))
	s.Remove([]byte("b"))
	f.Add(s.Append(nil))
	f.Add(new(Set).Append(nil))
	f.Add(bytes.Repeat([]byte{0xff}, StateSize))
	f.Add(make([]byte, StateSize))
	f.Add(make([]byte, StateSize-1))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s Set
		if err := s.Decode(b); err != nil {
			if s != (Set{}) {
				t.Errorf("%v, and the set is %x", err, s.Append(nil))
			}
			return
		}
		o := &oracle{bigOf(b[:numberSize]), bigOf(b[numberSize:])}
		if got := s.Append(nil); !bytes.Equal(got, o.state()) {
			t.Errorf("%x becomes %x, want %x", b, got, o.state())
		}
		s.Insert([]byte("c"))
		s.Remove([]byte("d"))
		o.insert([]byte("c"))
		o.remove([]byte("d"))
		if got := s.Append(nil); !bytes.Equal(got, o.state()) {
			t.Errorf("%x becomes %x after more, want %x", b, got, o.state())
		}
		var back Set
		if err := back.Decode(s.Append(nil)); err != nil || back.Finalize() != s.Finalize() {
			t.Errorf("encoded and decoded, the set is another: %v", err)
		}
	})
}
