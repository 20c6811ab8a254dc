package utxocache

import (
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/dgraph-io/ristretto/v2"

	"github.com/outrider-project/outrider/testvectors"
)

// cacheKeeper is a Cache. Its coins have the most common script.
type cacheKeeper struct {
	t     testing.TB
	cache *Cache
	next  wire.MsgTx // what the next block spends
}

func coinOf(coin int) wire.OutPoint { return wire.OutPoint{Hash: hashOf(uint64(coin))} }

func (k *cacheKeeper) Spend(coin int) bool {
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

func (k *cacheKeeper) Made(first, end int) {
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

func (k *ristrettoKeeper) Spend(coin int) bool {
	_, ok := k.cache.Get(uint64(coin))
	k.cache.Del(uint64(coin))
	return ok
}

func (k *ristrettoKeeper) Made(first, end int) {
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

func (k *bucketKeeper) Spend(coin int) bool {
	b := k.bucketOf(coin)
	_, asked := k.cache.Get(b + 1)
	hit := k.inRing[coin] || asked && k.buckets[b][coin]
	delete(k.inRing, coin)
	delete(k.buckets[b], coin)
	return hit
}

func (k *bucketKeeper) Made(first, end int) {
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
	ratio := func(k testvectors.Keeper) float64 {
		return testvectors.HitRatio(k, testvectors.NewSpends(seed, rate), warm, blocks)
	}
	ours := ratio(&cacheKeeper{t: t, cache: c})
	held := c.coins + c.older.coins
	t.Logf("%d coins held at the end, %d of them in the ring; %.1f bytes a coin below it", held, c.coins, float64(c.older.bytes)/float64(c.older.coins))
	alone := ratio(newRistrettoKeeper(t, coins))
	buckets := ratio(newBucketKeeper(t, 288, coins-c.coins, 100))
	lru := ratio(testvectors.NewLRU(coins))
	bound := ratio(testvectors.NewBelady(coins, testvectors.NewSpends(seed, rate), warm+blocks))
	t.Logf("hits: ours %.4f, ring with buckets by hash %.4f, ristretto alone %.4f, LRU %.4f, no cache above %.4f", ours, buckets, alone, lru, bound)
	if held > coins {
		t.Errorf("%d coins held, the others held %d", held, coins)
	}
	if ours < 0.95 {
		t.Errorf("%.4f of the spends were hits, must be 0.95", ours)
	}
}
