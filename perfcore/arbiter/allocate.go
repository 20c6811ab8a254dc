package arbiter

import (
	"fmt"
	"math"
	"slices"
)

// A Bidder wants memory, and says what it would save.
type Bidder struct {
	// Name is the knob's or the component's.
	Name string
	// Saved is what it saves with 0, 1, 2… units, in nanoseconds a second. It
	// need be neither concave nor rising; with more units than it has values
	// for it saves no more.
	Saved []float64
	// Floor is how many units it has whatever it saves.
	Floor int
}

// saved returns what the bidder saves with units.
func (b Bidder) saved(units int) float64 {
	if len(b.Saved) == 0 {
		return 0
	}
	return b.Saved[min(units, len(b.Saved)-1)]
}

// knee returns to how many units, and not below floor, the bidder can go down from now without
// saving less by more than tolerance than it would with any number up to reach. Where it already
// saves less than that, it goes down as far as nothing more is lost.
func (b Bidder) knee(now, floor, reach int, tolerance float64) int {
	most := b.saved(0)
	for u := range min(reach, len(b.Saved)-1) {
		most = max(most, b.saved(u+1))
	}
	least := min(most-tolerance, b.saved(now))
	for now > floor && b.saved(now-1) >= least {
		now--
		least = min(most-tolerance, max(least, b.saved(now)))
	}
	return now
}

// CacheSavings returns what a cache with a curve saves when it is asked
// rate times a second and a miss costs penalty nanoseconds more than a hit.
func CacheSavings(c Curve, rate, penalty float64) []float64 {
	saved := make([]float64, len(c))
	for u, miss := range c {
		saved[u] = rate * penalty * (c[0] - miss)
	}
	return saved
}

// A Headroom is the garbage collector as a bidder: with h bytes between the
// live heap and the goal it marks the live heap again each time that h bytes
// have been allocated.
type Headroom struct {
	// Allocated is bytes a second, Live the bytes that a cycle marks.
	Allocated, Live float64
	// Cost is nanoseconds of processor time for each byte marked.
	Cost float64
}

// Savings returns what 0, 1, 2… units of so many bytes save over one unit. A
// collector cannot run on none, so the bidder's Floor is 1 at least.
func (h Headroom) Savings(unit float64, units int) []float64 {
	saved := make([]float64, units+1)
	most := h.Cost * h.Allocated * h.Live / unit // with one unit
	for u := 2; u <= units; u++ {
		saved[u] = most * (1 - 1/float64(u))
	}
	return saved
}

// Allocate divides units between bidders and returns how many each has; they sum
// to at most units. Beyond the floors it gives, again and again, to the bidder
// that saves most for each unit over any number of them (the look-ahead of
// Qureshi and Patt's cache partitioning, 2006), so that a cache that is worth
// nothing until a whole loop fits into it is seen. Since small bids can leave
// too little for a large one, it also tries each bidder first, and returns the
// best; that saves at least half of what any division does, and nearly all of
// it where bids are small beside the whole. What nobody saves by stays free. It
// fails when the floors do not fit.
func Allocate(bidders []Bidder, units int) ([]int, error) {
	floors := make([]int, len(bidders))
	left := units
	for i, b := range bidders {
		if b.Floor < 0 {
			return nil, fmt.Errorf("bidder %s: a floor of %d is none", b.Name, b.Floor)
		}
		floors[i] = b.Floor
		left -= b.Floor
	}
	if left < 0 {
		return nil, fmt.Errorf("the floors of %d bidders do not fit into %d units", len(bidders), units)
	}
	best := lookAhead(bidders, slices.Clone(floors), left)
	saved := Saved(bidders, best)
	for i, b := range bidders {
		given, want := slices.Clone(floors), 0
		for n := 1; n <= left && b.Floor+n < len(b.Saved); n++ {
			if b.saved(b.Floor+n) > b.saved(b.Floor+want) {
				want = n
			}
		}
		given[i] += want
		given = lookAhead(bidders, given, left-want)
		if s := Saved(bidders, given); s > saved {
			best, saved = given, s
		}
	}
	return best, nil
}

// lookAhead gives what is left to the best bids, one after the other.
func lookAhead(bidders []Bidder, given []int, left int) []int {
	for left > 0 {
		who, jump, best := -1, 0, 0.0
		for i, b := range bidders {
			now := b.saved(given[i])
			for n := 1; n <= left && given[i]+n < len(b.Saved); n++ {
				if per := (b.saved(given[i]+n) - now) / float64(n); per > best {
					who, jump, best = i, n, per
				}
			}
		}
		if who < 0 {
			break
		}
		given[who] += jump
		left -= jump
	}
	return given
}

// Saved returns what the bidders save together with given.
func Saved(bidders []Bidder, given []int) float64 {
	var sum float64
	for i, b := range bidders {
		sum += b.saved(given[i])
	}
	return sum
}

// A Transfer is one step from one division of memory to another. Shrink comes
// first: a bidder in Grow may be told only when those in Shrink have confirmed
// what they gave back.
type Transfer struct {
	// Shrink and Grow are changes in units, none negative, by bidder.
	Shrink, Grow []int
}

// The rules of moving memory.
const (
	// worthShare is the least share of what is saved now that a move must
	// add, and worthErrors how many times the error of the estimate.
	worthShare  = 0.02
	worthErrors = 3
	// stepShare is the largest share of the units that one step moves.
	stepShare = 0.1
)

// Step returns the next step from now to the division that Allocate gives, of
// at most a tenth of the units, and whether it is worth taking: it must add 2 %
// to what is saved, and three times the error of that sum's estimate. The whole
// way is judged, not the step, for a cache may be worth nothing until half of a
// loop more fits.
func Step(bidders []Bidder, now []int, units int, errorOfSaved float64) (Transfer, bool, error) {
	to, err := Allocate(bidders, units)
	if err != nil {
		return Transfer{}, false, err
	}
	saved := Saved(bidders, now)
	gain := Saved(bidders, to) - saved
	if gain < worthShare*math.Abs(saved) || gain < worthErrors*errorOfSaved || gain <= 0 {
		return Transfer{}, false, nil
	}
	tr := Transfer{Shrink: make([]int, len(now)), Grow: make([]int, len(now))}
	used := 0
	for _, n := range now {
		used += n
	}
	budget := max(int(stepShare*float64(units)), 1)
	free := units - used
	for i := range now {
		if n := min(now[i]-to[i], budget); n > 0 {
			tr.Shrink[i] = n
			budget -= n
			free += n
		}
	}
	grow := max(int(stepShare*float64(units)), 1)
	for i := range now {
		if n := min(to[i]-now[i], free, grow); n > 0 {
			tr.Grow[i] = n
			free -= n
			grow -= n
		}
	}
	return tr, true, nil
}
