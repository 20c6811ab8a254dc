package testvectors

import (
	"container/heap"
	"container/list"
)

// A Keeper is a cache of coins that a chain of spends is played to.
type Keeper interface {
	// Spend drops a coin, and reports whether the keeper had it.
	Spend(coin int) bool
	// Made takes the coins that a block made, from first up to, and without,
	// end. It follows the block's spends.
	Made(first, end int)
}

// HitRatio plays the next blocks of s to k, and returns which share of the coins
// that the last of them spend k had: those after warm blocks.
func HitRatio(k Keeper, s *Spends, warm, blocks int) float64 {
	hits, spends := 0, 0
	for height := range warm + blocks {
		first, end, spent := s.Next()
		for _, coin := range spent {
			hit := k.Spend(coin)
			if height >= warm {
				spends++
				if hit {
					hits++
				}
			}
		}
		k.Made(first, end)
	}
	return float64(hits) / float64(spends)
}

// An LRU drops the coin that was made first. No coin is asked for before it is
// spent, so this is also the one that was used least recently. What is spent
// takes no room.
type LRU struct {
	coins  int
	order  list.List
	places map[int]*list.Element
}

// NewLRU returns an LRU of so many coins.
func NewLRU(coins int) *LRU { return &LRU{coins: coins, places: make(map[int]*list.Element)} }

// Spend implements Keeper.
func (k *LRU) Spend(coin int) bool {
	e, ok := k.places[coin]
	if ok {
		k.order.Remove(e)
		delete(k.places, coin)
	}
	return ok
}

// Made implements Keeper.
func (k *LRU) Made(first, end int) {
	for coin := first; coin < end; coin++ {
		k.places[coin] = k.order.PushBack(coin)
		if len(k.places) > k.coins {
			delete(k.places, k.order.Remove(k.order.Front()).(int))
		}
	}
}

// A Belady knows the future, and drops the coin that is spent last, or never: no
// cache of as many coins can do better.
type Belady struct {
	coins int
	dies  map[int]int // when a coin will be spent, if it will
	held  map[int]bool
	last  lastFirst
}

// NewBelady returns a Belady of so many coins, for the next blocks of s: which it
// plays, so it is to be given a chain of its own.
func NewBelady(coins int, s *Spends, blocks int) *Belady {
	k := &Belady{coins: coins, dies: make(map[int]int), held: make(map[int]bool)}
	for range blocks {
		_, _, spent := s.Next()
		for _, coin := range spent {
			k.dies[coin] = len(k.dies)
		}
	}
	return k
}

// Spend implements Keeper.
func (k *Belady) Spend(coin int) bool {
	held := k.held[coin]
	delete(k.held, coin)
	return held
}

// Made implements Keeper.
func (k *Belady) Made(first, end int) {
	for coin := first; coin < end; coin++ {
		dies, ok := k.dies[coin]
		if !ok {
			continue // never asked for
		}
		k.held[coin] = true
		heap.Push(&k.last, [2]int{dies, coin})
		for len(k.held) > k.coins {
			delete(k.held, heap.Pop(&k.last).([2]int)[1])
		}
	}
}

// lastFirst is a heap of coins by when they die, the last first.
type lastFirst [][2]int

func (h lastFirst) Len() int           { return len(h) }
func (h lastFirst) Less(i, j int) bool { return h[i][0] > h[j][0] }
func (h lastFirst) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *lastFirst) Push(x any)        { *h = append(*h, x.([2]int)) }
func (h *lastFirst) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}
