package engine

import "maps"

// A budget bounds what experiments may cost: at most a share of what the
// incumbents would have cost meanwhile, and what verified changes have saved.
// Its unit is the cost of one slice.
type budget struct {
	share  float64
	slices float64 // all so far
	spent  float64
	saved  float64
	gain   float64 // that a slice saves by the changes that were promoted
	// by are the levels that the knobs of these changes have been given, by the knobs' numbers:
	// while one of them is elsewhere nobody knows what a slice saves.
	by map[int]int
}

// Advance is what a new program may spend: as if so many slices had passed.
const Advance = 250

// slice counts one slice, whoever ran in it.
func (b *budget) slice() {
	b.slices++
	b.saved += b.gain
}

// charge adds what one experiment cost more than the incumbent would have; what
// it cost less is not given back.
func (b *budget) charge(excess float64) { b.spent += max(excess, 0) }

// earn adds what a slice saves by a change. Where nothing is saved, as far as is known, nothing
// less is by a change that costs something.
func (b *budget) earn(gain float64, from, to []int) {
	b.gain = max(b.gain+gain, 0)
	by := make(map[int]int) // the one that there was may be in a memory
	maps.Copy(by, b.by)
	for i := range to {
		if from[i] != to[i] {
			by[i] = to[i]
		}
	}
	b.by = by
}

// lose notes that a slice saves less, or nothing, by changes that are undone.
func (b *budget) lose(gain float64) { b.gain = max(b.gain-gain, 0) }

// loseAll notes that a slice saves nothing any more, as far as is known.
func (b *budget) loseAll() { b.gain, b.by = 0, nil }

// forfeit gives up what was saved and is not spent: it was saved by what slices cost under
// other targets.
func (b *budget) forfeit() {
	b.loseAll()
	b.saved = min(b.saved, max(b.spent-b.share*(Advance+b.slices), 0))
}

// allows reports whether another experiment may begin.
func (b *budget) allows() bool { return b.spent <= b.granted() }

// granted is what all experiments so far may have cost.
func (b *budget) granted() float64 { return b.share*(Advance+b.slices) + b.saved }

// used returns the share of the budget that is spent. The last experiment may have taken
// it beyond one.
func (b *budget) used() float64 { return b.spent / b.granted() }

// regret returns the share of the cost that experiments have taken.
func (b *budget) regret() float64 {
	if b.slices == 0 {
		return 0
	}
	return b.spent / b.slices
}
