package hashlane

import (
	"bytes"
	"testing"
)

// FuzzSums reads from data a batch of messages in parts, and compares the hashes
// of every path with those of others.
func FuzzSums(f *testing.F) {
	f.Add([]byte{}, uint8(0))
	f.Add(bytes.Repeat([]byte{55}, 400), uint8(3))
	f.Add(bytes.Repeat([]byte{119, 64, 0, 1}, 300), uint8(40))
	f.Fuzz(func(t *testing.T, data []byte, repeat uint8) {
		s := new(sample)
		r := newRand(t)
		for len(data) > 0 && len(s.whole) < 200 {
			n := min(int(data[0])*(1+int(repeat)%4), len(data)-1)
			s.whole = append(s.whole, data[1:1+n])
			data = data[1+n:]
		}
		if len(s.whole) > 0 {
			for range min(repeat, 40) {
				s.whole = append(s.whole, s.whole[r.IntN(len(s.whole))])
			}
		}
		s = newSample(r, s.whole)
		for _, p := range detect().fallbacks() {
			s.check(t, p)
		}
	})
}
