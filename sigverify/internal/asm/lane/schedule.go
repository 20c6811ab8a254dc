package main

import (
	"cmp"
	"slices"
)

// The cycles after which a result can be used, and how many operations of a
// kind begin in one cycle. They are those of AMD's Zen 5, measured; Intel's
// processors differ, but what hides these latencies hides theirs.
const (
	latencyMadd = 4
	latencyRest = 2
	latencyMask = 4
	latencyLoad = 7

	widthMadd  = 2
	widthShift = 2
	widthStore = 1
	widthAll   = 4
)

// maxMasks is how many masks may be alive: they are not spilled.
const maxMasks = 6

func (v *value) latency() int {
	switch {
	case v.op == opMaddLo || v.op == opMaddHi:
		return latencyMadd
	case v.isMask():
		return latencyMask
	case v.op == opRow:
		return latencyLoad
	}
	return latencyRest
}

// A kind is what competes for one of the widths.
type kind uint8

const (
	kindMadd kind = iota
	kindShift
	kindStore
	kindRest
)

func (v *value) kind() kind {
	switch v.op {
	case opMaddLo, opMaddHi:
		return kindMadd
	case opShr, opShl, opFunnel, opShuffle, opIsZero, opIsNonzero:
		return kindShift
	case opStore, opStoreMask, opStoreNarrow, opRow, opLoadMask:
		return kindStore
	}
	return kindRest
}

// schedule returns the computed values of b in an order that keeps the
// multipliers busy while at most about limit rows are alive. Values in memory
// are not part of it. The order is a function of b and limit alone.
func (b *block) schedule(limit int) []*value {
	n := len(b.values)
	before := make([]int, n)     // what v still waits for
	after := make([][]*value, n) // what waits for v
	uses := make([]int, n)       // the uses of v that are not scheduled
	readers := map[addr][]*value{}
	for _, v := range b.values {
		for _, in := range v.inputs() {
			uses[in.id]++
			if in.op == opLoad {
				readers[in.at] = append(readers[in.at], v)
			}
			if !in.isHome() {
				before[v.id]++
				after[in.id] = append(after[in.id], v)
			}
		}
	}
	// What is read from a place is read before a store to it.
	for _, v := range b.values {
		if v.op == opStore {
			for _, r := range readers[v.at] {
				if r != v {
					before[v.id]++
					after[r.id] = append(after[r.id], v)
				}
			}
		}
	}
	height := b.heights(after)

	// What has the longest way to go comes first, but the order in which values
	// were asked for counts as well: else too many sums are open at a time.
	urgency := func(v *value) int { return 4*height[v.id] - v.rank }

	var ready []*value
	for _, v := range b.values {
		if !v.isHome() && before[v.id] == 0 {
			ready = append(ready, v)
		}
	}
	start := make([]int, n) // the first cycle in which v can begin
	var order []*value
	alive, aliveMasks := 0, 0
	for cycle, idle := 0, 0; len(ready) > 0; cycle++ {
		slices.SortStableFunc(ready, func(x, y *value) int {
			return cmp.Or(cmp.Compare(urgency(y), urgency(x)), cmp.Compare(x.id, y.id))
		})
		width := map[kind]int{kindMadd: widthMadd, kindShift: widthShift, kindStore: widthStore, kindRest: widthAll}
		issued := 0
		for i := 0; i < len(ready) && issued < widthAll; {
			v := ready[i]
			growth := b.growth(v, uses)
			// When all wait for registers the most urgent goes ahead.
			blocked := growth > 0 && alive+growth > limit && idle < 2*latencyMadd
			if start[v.id] > cycle || width[v.kind()] == 0 || blocked || v.isMask() && aliveMasks >= maxMasks {
				i++
				continue
			}
			width[v.kind()]--
			issued++
			idle = 0
			alive += growth
			order = append(order, v)
			ready = slices.Delete(ready, i, i+1)
			if v.isMask() {
				aliveMasks++
			}
			for _, in := range v.inputs() {
				if uses[in.id]--; uses[in.id] == 0 && in.isMask() {
					aliveMasks--
				}
			}
			for _, a := range after[v.id] {
				start[a.id] = max(start[a.id], cycle+v.latency())
				if before[a.id]--; before[a.id] == 0 {
					ready = append(ready, a)
				}
			}
		}
		if issued == 0 {
			idle++
		}
	}
	return order
}

// growth returns by how much v changes the number of rows that are alive.
func (b *block) growth(v *value, uses []int) int {
	g := 0
	if !v.isStore() && !v.isMask() {
		g = 1
	}
	seen := map[*value]int{}
	for _, in := range v.inputs() {
		if in.isHome() || in.isMask() {
			continue
		}
		if seen[in]++; seen[in] == uses[in.id] {
			g--
		}
	}
	return g
}

// heights returns for each value the cycles from its start to the block's end.
func (b *block) heights(after [][]*value) []int {
	height := make([]int, len(b.values))
	for i := len(b.values) - 1; i >= 0; i-- {
		v := b.values[i]
		for _, a := range after[v.id] {
			height[v.id] = max(height[v.id], height[a.id])
		}
		height[v.id] += v.latency()
	}
	return height
}
