package utxocache

import (
	"container/heap"
	"container/list"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/dgraph-io/ristretto/v2"

	"github.com/outrider-project/outrider/testvectors"
)

// A keeper is a cache of coins that a chain of spends is played to.
type keeper interface {
	// spend drops a coin, and reports whether it had it.
	spend(coin int) bool
	// made takes coins that a block made: from first up to, and without, end.
	made(first, end int)
}

// hitRatio returns which share of the spends k had, after warm blocks.
func hitRatio(k keeper, seed uint64, rate, warm, blocks int) float64 {
	s := testvectors.NewSpends(seed, rate)
	hits, spends := 0, 0
	for height := range warm + blocks {
		first, end, spent := s.Next()
		for _, coin := range spent {
			hit := k.spend(coin)
			if height >= warm {
				spends++
				if hit {
					hits++
				}
			}
		}
		k.made(first, end)
	}
	return float64(hits) / float64(spends)
}

// cacheKeeper is a Cache. Its coins have the most common script.
type cacheKeeper struct {
	t     testing.TB
	cache *Cache
	next  wire.MsgTx // what the next block spends
}

func coinOf(coin int) wire.OutPoint { return wire.OutPoint{Hash: hashOf(uint64(coin))} }

func (k *cacheKeeper) spend(coin int) bool {
	op := coinOf(coin)
	k.next.AddTxIn(&wire.TxIn{PreviousOutPoint: op})
	var a [1]Answer
	if err := k.cache.Fetch(tipOf(k.t, k.cache).Hash, []wire.OutPoint{op}, a[:]); err != nil {
		k.t.Fatal(err)
	}
	if a[0].State == Absent {
		k.t.Fatalf("coin %d is absent before it is spent", coin)
	}
	return a[0].State == Unspent
}

func (k *cacheKeeper) made(first, end int) {
	prev := tipOf(k.t, k.cache)
	b := Block{Tip: Tip{Hash: hashOf(1<<40 | uint64(prev.Height)), Height: prev.Height + 1}, Prev: prev.Hash}
	spends := k.next
	b.Txs, b.Txids = []*wire.MsgTx{{}, &spends}, []chainhash.Hash{hashOf(1<<41 | uint64(prev.Height)), hashOf(1<<42 | uint64(prev.Height))}
	for coin := first; coin < end; coin++ {
		b.Txs = append(b.Txs, &wire.MsgTx{TxOut: []*wire.TxOut{{Value: int64(coin), PkScript: make([]byte, 22)}}})
		b.Txids = append(b.Txids, hashOf(uint64(coin)))
	}
	apply(k.t, k.cache, b)
	k.next = wire.MsgTx{}
}

// ristrettoKeeper is ristretto alone, each coin of it a key, with its defaults:
// ten counters a coin.
type ristrettoKeeper struct {
	cache *ristretto.Cache[uint64, uint64]
}

func newRistrettoKeeper(t testing.TB, coins int64) *ristrettoKeeper {
	cache, err := ristretto.NewCache(&ristretto.Config[uint64, uint64]{
		NumCounters: 10 * coins, MaxCost: coins, BufferItems: 64, IgnoreInternalCost: true,
		KeyToHash: func(coin uint64) (uint64, uint64) { return coin * 0x9e3779b97f4a7c15, 0 },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cache.Close)
	return &ristrettoKeeper{cache}
}

func (k *ristrettoKeeper) spend(coin int) bool {
	_, ok := k.cache.Get(uint64(coin))
	k.cache.Del(uint64(coin))
	return ok
}

func (k *ristrettoKeeper) made(first, end int) {
	for coin := first; coin < end; coin++ {
		k.cache.Set(uint64(coin), 1, 1)
	}
	k.cache.Wait()
}

// bucketKeeper is a ring of blocks with ristretto below it, where each key is a
// bucket of coins by their hash: another way to have few keys.
type bucketKeeper struct {
	cache   *ristretto.Cache[uint64, uint64]
	ring    [][]int
	inRing  map[int]bool
	buckets []map[int]bool
}

func newBucketKeeper(t testing.TB, blocks, coins, size int) *bucketKeeper {
	k := &bucketKeeper{ring: make([][]int, blocks), inRing: make(map[int]bool), buckets: make([]map[int]bool, 2*coins/size)}
	drop := func(i *ristretto.Item[uint64]) {
		if i.Value != 0 {
			k.buckets[i.Value-1] = nil
		}
	}
	var err error
	k.cache, err = ristretto.NewCache(&ristretto.Config[uint64, uint64]{
		NumCounters: int64(10 * len(k.buckets)), MaxCost: int64(coins), BufferItems: 64,
		IgnoreInternalCost: true, OnEvict: drop, OnReject: drop,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.cache.Close)
	return k
}

func (k *bucketKeeper) bucketOf(coin int) uint64 {
	return uint64(coin) * 0x9e3779b97f4a7c15 >> 32 % uint64(len(k.buckets))
}

func (k *bucketKeeper) spend(coin int) bool {
	b := k.bucketOf(coin)
	_, asked := k.cache.Get(b + 1)
	hit := k.inRing[coin] || asked && k.buckets[b][coin]
	delete(k.inRing, coin)
	delete(k.buckets[b], coin)
	return hit
}

func (k *bucketKeeper) made(first, end int) {
	for _, coin := range k.ring[0] {
		if !k.inRing[coin] {
			continue
		}
		delete(k.inRing, coin)
		b := k.bucketOf(coin)
		if k.buckets[b] == nil {
			k.buckets[b] = make(map[int]bool)
		}
		k.buckets[b][coin] = true
		// To set a key anew makes ristretto evict nothing, however large the
		// value has become.
		k.cache.Del(b + 1)
		k.cache.Set(b+1, b+1, int64(len(k.buckets[b])))
		k.cache.Wait()
	}
	var made []int
	for coin := first; coin < end; coin++ {
		made = append(made, coin)
		k.inRing[coin] = true
	}
	k.ring = append(k.ring[1:], made)
}

// lruKeeper drops the coin that was made first. No coin is asked for before it is
// spent, so this is also the one that was used least recently.
type lruKeeper struct {
	coins  int
	order  list.List
	places map[int]*list.Element
}

func (k *lruKeeper) spend(coin int) bool {
	e, ok := k.places[coin]
	if ok {
		k.order.Remove(e)
		delete(k.places, coin)
	}
	return ok
}

func (k *lruKeeper) made(first, end int) {
	for coin := first; coin < end; coin++ {
		k.places[coin] = k.order.PushBack(coin)
		if len(k.places) > k.coins {
			delete(k.places, k.order.Remove(k.order.Front()).(int))
		}
	}
}

// beladyKeeper drops the coin that is spent last, or never: no cache of as many
// coins can do better.
type beladyKeeper struct {
	coins int
	end   map[int]int // when a coin will be spent, if it will
	held  map[int]bool
	last  lastFirst
}

func newBeladyKeeper(coins int, seed uint64, rate, blocks int) *beladyKeeper {
	k := &beladyKeeper{coins: coins, end: make(map[int]int), held: make(map[int]bool)}
	s := testvectors.NewSpends(seed, rate)
	for range blocks {
		_, _, spent := s.Next()
		for _, coin := range spent {
			k.end[coin] = len(k.end)
		}
	}
	return k
}

func (k *beladyKeeper) spend(coin int) bool {
	held := k.held[coin]
	delete(k.held, coin)
	return held
}

func (k *beladyKeeper) made(first, end int) {
	for coin := first; coin < end; coin++ {
		dies, ok := k.end[coin]
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

// The ring and ristretto together find 95 of 100 coins that blocks spend, where
// they hold 100,000 coins: the chain is one of 1/25 of the main network's rate,
// so that these are about as many days of it as 2.5 million there.
func TestHitRatio(t *testing.T) {
	const coins, rate, seed = 100_000, 240, 1
	warm, blocks := 3000, 2000
	if testing.Short() {
		t.Skip("the hit ratio was not measured: it takes 5,000 blocks")
	}
	c := newCache(t, Options{Blocks: 288, Bytes: 7_550_000})
	c.Reset(Tip{Hash: hashOf(0)}, false)
	ours := hitRatio(&cacheKeeper{t: t, cache: c}, seed, rate, warm, blocks)
	held := c.coins + c.older.coins
	t.Logf("%d coins held at the end, %d of them in the ring; %.1f bytes a coin below it", held, c.coins, float64(c.older.bytes)/float64(c.older.coins))
	alone := hitRatio(newRistrettoKeeper(t, coins), seed, rate, warm, blocks)
	buckets := hitRatio(newBucketKeeper(t, 288, coins-c.coins, 100), seed, rate, warm, blocks)
	lru := hitRatio(&lruKeeper{coins: coins, places: make(map[int]*list.Element)}, seed, rate, warm, blocks)
	bound := hitRatio(newBeladyKeeper(coins, seed, rate, warm+blocks), seed, rate, warm, blocks)
	t.Logf("hits: ours %.4f, ring with buckets by hash %.4f, ristretto alone %.4f, LRU %.4f, no cache above %.4f", ours, buckets, alone, lru, bound)
	if held > coins {
		t.Errorf("%d coins held, the others held %d", held, coins)
	}
	if ours < 0.95 {
		t.Errorf("%.4f of the spends were hits, must be 0.95", ours)
	}
}
