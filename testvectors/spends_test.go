package testvectors

import (
	"math"
	"slices"
	"testing"
)

// Every coin is spent once at most, after the block that made it, and as old as
// the mix says.
func TestSpends(t *testing.T) {
	const rate, blocks = 100, 3000
	s := NewSpends(1, rate)
	madeAt := make(map[int]int)
	var counts [3]int // spent within the first three ages, by coins that could
	var could [3]int
	for height := 1; height <= blocks; height++ {
		first, end, spent := s.Next()
		for _, coin := range spent {
			at, ok := madeAt[coin]
			if !ok {
				t.Fatalf("block %d spends coin %d, which is spent already or was never made", height, coin)
			}
			delete(madeAt, coin)
			for i := range counts {
				if height-at <= ages[i].blocks {
					if at+ages[i].blocks <= blocks {
						counts[i]++
					}
					break
				}
			}
		}
		if first != (height-1)*rate || end != height*rate {
			t.Fatalf("block %d makes coins %d to %d", height, first, end)
		}
		for coin := first; coin < end; coin++ {
			madeAt[coin] = height
		}
		for i := range could {
			if height+ages[i].blocks <= blocks {
				could[i] += rate
			}
		}
	}
	for i, a := range ages[:3] {
		if got := float64(counts[i]) / float64(could[i]); math.Abs(got-a.share) > 0.01 {
			t.Errorf("%.3f of the coins are spent at an age of up to %d blocks, must be %.3f", got, a.blocks, a.share)
		}
	}
}

func TestSpendsRepeat(t *testing.T) {
	a, b, other := NewSpends(1, 50), NewSpends(1, 50), NewSpends(2, 50)
	same := true
	for range 100 {
		_, _, x := a.Next()
		_, _, y := b.Next()
		_, _, z := other.Next()
		if !slices.Equal(x, y) {
			t.Fatal("one seed made two chains")
		}
		same = same && slices.Equal(x, z)
	}
	if same {
		t.Error("two seeds made one chain")
	}
}
