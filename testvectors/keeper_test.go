package testvectors

import (
	"slices"
	"testing"
)

// all keeps what it is given.
type all map[int]bool

func (k all) Spend(coin int) bool {
	had := k[coin]
	delete(k, coin)
	return had
}

func (k all) Made(first, end int) {
	for coin := first; coin < end; coin++ {
		k[coin] = true
	}
}

// Nobody finds more than Belady, who finds all where there is room, as all do.
func TestHitRatio(t *testing.T) {
	const rate, warm, blocks = 20, 500, 1000
	chain := func() *Spends { return NewSpends(3, rate) }
	ratio := func(k Keeper) float64 { return HitRatio(k, chain(), warm, blocks) }
	if got := ratio(all{}); got != 1 {
		t.Errorf("a keeper of all found %v of the coins", got)
	}
	last := 0.0
	for _, coins := range []int{1, 50, 200, 800, 3200, 100_000} {
		lru, bound := ratio(NewLRU(coins)), ratio(NewBelady(coins, chain(), warm+blocks))
		t.Logf("%d coins: LRU %.4f, bound %.4f", coins, lru, bound)
		if lru > bound || lru < last || coins <= 200 && lru == bound || coins == 100_000 && lru != 1 {
			t.Errorf("%d coins: an LRU found %.4f after %.4f, and no cache finds more than %.4f", coins, lru, last, bound)
		}
		last = lru
	}
}

// Each keeper drops, of three coins that it has room for two of, the right one.
func TestKeepersDrop(t *testing.T) {
	spends := &Spends{due: map[int][]int{2: {0}, 4: {2}, 9: {1}}}
	for name, tt := range map[string]struct {
		keeper Keeper
		want   []bool // whether coins 0, 1 and 2 are had
	}{
		"LRU":    {NewLRU(2), []bool{false, true, true}},
		"Belady": {NewBelady(2, spends, 10), []bool{true, false, true}},
	} {
		tt.keeper.Made(0, 3)
		var got []bool
		for coin := range 3 {
			got = append(got, tt.keeper.Spend(coin))
			if tt.keeper.Spend(coin) {
				t.Errorf("%s has coin %d after it was spent", name, coin)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s had %v, must have had %v", name, got, tt.want)
		}
	}
}

func TestSpendAges(t *testing.T) {
	const want = "34 % up to 6 blocks old, 40 % up to 144, 11 % up to 1008, 5 % up to 4320, 2 % up to 12960, 2 % up to 52560, the rest never"
	if got := SpendAges(); got != want {
		t.Errorf("got %q", got)
	}
}
