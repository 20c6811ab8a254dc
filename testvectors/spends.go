package testvectors

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
)

// An age is a share of coins that are spent when they are up to some number of
// blocks old.
type age struct {
	share  float64
	blocks int
}

// ages is how old coins become: of those that outlive their block, a share up to
// each age, as much of it in one octave as in another. The rest is never spent.
// It is a mix in the manner of published statistics of spent outputs (three of
// four die within a day; one output of seventeen that the chain ever made is
// unspent), not a recording of the main network.
var ages = []age{
	{0.34, 6},      // an hour
	{0.40, 144},    // a day
	{0.11, 1_008},  // a week
	{0.05, 4_320},  // a month
	{0.02, 12_960}, // a quarter
	{0.02, 52_560}, // a year
}

// SpendAges says at which ages Spends spends coins, in words.
func SpendAges() string {
	var b strings.Builder
	for i, a := range ages {
		fmt.Fprintf(&b, "%.0f %% up to %d", 100*a.share, a.blocks)
		if i == 0 {
			b.WriteString(" blocks old")
		}
		b.WriteString(", ")
	}
	return b.String() + "the rest never"
}

// Spends is a chain as a cache of coins sees it: block after block, which coins
// are made, and which are spent. Each coin is spent once, or never. It depends
// on nothing but its seed and its rate, and is for one goroutine at a time.
type Spends struct {
	rng    *rand.Rand
	rate   int
	height int
	made   int
	due    map[int][]int // coins by the height at which they are spent
}

// NewSpends returns a chain without blocks, whose blocks make rate coins each
// that outlive them.
func NewSpends(seed uint64, rate int) *Spends {
	return &Spends{rng: rand.New(rand.NewPCG(seed, 0)), rate: rate, due: make(map[int][]int)}
}

// Next returns what the next block does. Coins are numbered in the order in which
// they are made: it makes those from first up to, and without, end. It spends
// coins of blocks before it, in random order.
func (s *Spends) Next() (first, end int, spent []int) {
	s.height++
	spent = s.due[s.height]
	delete(s.due, s.height)
	shuffle(s.rng, spent)
	first = s.made
	s.made += s.rate
	for coin := first; coin < s.made; coin++ {
		if n := s.age(); n > 0 {
			s.due[s.height+n] = append(s.due[s.height+n], coin)
		}
	}
	return first, s.made, spent
}

// age draws after how many blocks a coin is spent; 0 is never.
func (s *Spends) age() int {
	x := s.rng.Float64()
	youngest := 1
	for _, a := range ages {
		if x < a.share {
			span := float64(a.blocks+1) / float64(youngest)
			return int(float64(youngest) * math.Pow(span, s.rng.Float64()))
		}
		x -= a.share
		youngest = a.blocks + 1
	}
	return 0
}
