package muhash

import (
	"bytes"
	"testing"
)

// TestBatch applies batches of many sizes by many goroutines, and compares with
// one element after another.
func TestBatch(t *testing.T) {
	rng := newRand(t)
	var b Batch
	for _, size := range []int{0, 1, minPart - 1, minPart, 2*minPart - 1, 2 * minPart, 10*minPart + 7} {
		for _, inserted := range []int{0, size / 3, size} {
			b.Reset()
			start := setOf([]byte("start"))
			start.Remove([]byte("never there"))
			want := *start
			for i := range size {
				e := randomElement(rng)
				if i < inserted {
					b.Insert(e)
					want.Insert(e)
				} else {
					b.Remove(e)
					want.Remove(e)
				}
			}
			if b.Len() != size {
				t.Errorf("%d elements, want %d", b.Len(), size)
			}
			for _, goroutines := range []int{-1, 0, 1, 2, 3, 8, 1000} {
				got := *start
				got.Apply(&b, goroutines)
				if !bytes.Equal(got.Append(nil), want.Append(nil)) {
					t.Errorf("%d elements, %d of them inserted, by %d goroutines: another set", size, inserted, goroutines)
				}
			}
		}
	}
}

// TestBatchParts has every element be in one part.
func TestBatchParts(t *testing.T) {
	for size := range 50 {
		for parts := 1; parts < 60; parts++ {
			var e elements
			var want, got []byte
			for i := range size {
				element := bytes.Repeat([]byte{byte(i)}, i%3)
				e.add(element)
				want = append(append(want, element...), '|')
			}
			least, most := size, 0
			for part := range parts {
				n := 0
				e.part(part, parts, func(element []byte) { got = append(append(got, element...), '|'); n++ })
				least, most = min(least, n), max(most, n)
			}
			if !bytes.Equal(got, want) || most-least > 1 {
				t.Fatalf("%d elements in %d parts of %d to %d: %x, want %x", size, parts, least, most, got, want)
			}
		}
	}
}
