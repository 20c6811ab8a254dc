package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/dgraph-io/ristretto/v2"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/testvectors"
	"github.com/outrider-project/outrider/utxocache"
)

// hit/spend-once/100k is of a chain of one in 25 of the coins that mainnet's blocks
// make, so that as many coins are of as many days as 2.5 million are there.
const (
	hitCoins = 100_000
	hitRate  = 240 // coins a block
	hitSeed  = 1
	hitRing  = 288 // blocks
	// hitBytes is room for the rest of the coins below the ring.
	hitBytes = 7_450_000
)

// hitBlocks is how many blocks the chain has, of which the first fill the caches
// and the others count.
type hitBlocks struct{ warm, count int }

var allHitBlocks = hitBlocks{3000, 2000}

// A hitBench measures which share of the coins that blocks spend a cache of as many
// coins finds. Each coin is asked for once, when it is spent.
type hitBench struct {
	blocks hitBlocks
	// held is how many coins our cache held, at most, and bytes what one below the
	// ring took at the end, as accounted.
	held  int
	bytes float64
}

// ratio plays the chain to k, and returns the share in per cent.
func (b *hitBench) ratio(k testvectors.Keeper) float64 {
	return 100 * testvectors.HitRatio(k, testvectors.NewSpends(hitSeed, hitRate), b.blocks.warm, b.blocks.count)
}

// rows returns the row of our cache beside each other one.
func (b *hitBench) rows(ctx context.Context) ([]Row, error) {
	ours, err := b.ours(ctx)
	if err != nil {
		return nil, err
	}
	alone, err := newAloneKeeper()
	if err != nil {
		return nil, err
	}
	defer alone.cache.Close()
	chain := testvectors.NewSpends(hitSeed, hitRate)
	var rows []Row
	for _, anchor := range []struct {
		name   string
		keeper testvectors.Keeper
	}{
		{aloneAnchor, alone},
		{"LRU", testvectors.NewLRU(hitCoins)},
		{"Belady, the bound", testvectors.NewBelady(hitCoins, chain, b.blocks.warm+b.blocks.count)},
	} {
		rows = append(rows, moreIsBetter("hit/spend-once/100k", ours, "%", anchor.name, b.ratio(anchor.keeper)))
	}
	return rows, ctx.Err()
}

// ours returns the share of our cache.
func (b *hitBench) ours(ctx context.Context) (float64, error) {
	var metrics perfcore.Registry
	cache, err := utxocache.New(utxocache.Options{Blocks: hitRing, Bytes: hitBytes, Recorder: &metrics})
	if err != nil {
		return 0, err
	}
	defer cache.Close()
	cache.Reset(utxocache.Tip{Hash: numbered("block", 0)}, false)
	k := &cacheKeeper{cache: cache, ended: ctx.Err, ring: gauge(&metrics, "outrider_utxo_coins", "ring"), pages: gauge(&metrics, "outrider_utxo_coins", "ristretto")}
	ratio := b.ratio(k)
	if k.err != nil {
		return 0, k.err
	}
	if k.most > hitCoins {
		return 0, fmt.Errorf("the cache held %d coins, the others held %d", k.most, hitCoins)
	}
	b.held = k.most
	if coins := k.pages.Value(); coins > 0 {
		b.bytes = gauge(&metrics, "outrider_utxo_bytes", "ristretto").Value() / coins
	}
	return ratio, nil
}

// A cacheKeeper is a Cache, whose coins have the most common script. After its first
// error, or when it is told to end, it does nothing.
type cacheKeeper struct {
	cache       *utxocache.Cache
	ring, pages *perfcore.Gauge // the coins that it holds there
	ended       func() error    // why it is to end
	err         error
	spends      wire.MsgTx // what the next block spends
	most        int        // coins held at once
}

// numbered returns a hash that stands for a number.
func numbered(what string, n int) chainhash.Hash {
	return chainhash.HashH(binary.BigEndian.AppendUint64([]byte(what), uint64(n)))
}

func hitCoin(coin int) wire.OutPoint { return wire.OutPoint{Hash: numbered("coin", coin)} }

// Spend implements testvectors.Keeper.
func (k *cacheKeeper) Spend(coin int) bool {
	if k.err != nil {
		return false
	}
	op := hitCoin(coin)
	k.spends.AddTxIn(&wire.TxIn{PreviousOutPoint: op})
	a, _ := k.cache.Get(op)
	if a.State == utxocache.Absent {
		k.err = fmt.Errorf("coin %d is absent before it is spent", coin)
	}
	return a.State == utxocache.Unspent
}

// Made implements testvectors.Keeper.
func (k *cacheKeeper) Made(first, end int) {
	if k.err == nil {
		k.err = k.ended()
	}
	if k.err != nil {
		return
	}
	tip, _ := k.cache.Tip()
	height := int(tip.Height) + 1
	spends := k.spends
	k.spends = wire.MsgTx{}
	b := utxocache.Block{
		Tip: utxocache.Tip{Hash: numbered("block", height), Height: uint32(height)}, Prev: tip.Hash,
		Txs:   []*wire.MsgTx{{}, &spends},
		Txids: []chainhash.Hash{numbered("coinbase", height), numbered("spends", height)},
	}
	for coin := first; coin < end; coin++ {
		b.Txs = append(b.Txs, &wire.MsgTx{TxOut: []*wire.TxOut{{Value: int64(coin), PkScript: make([]byte, 22)}}})
		b.Txids = append(b.Txids, hitCoin(coin).Hash)
	}
	k.err = k.cache.Apply(b)
	k.most = max(k.most, int(k.ring.Value()+k.pages.Value()))
}

// gauge returns the gauge of a tier of the cache's.
func gauge(metrics *perfcore.Registry, name, tier string) *perfcore.Gauge {
	for _, s := range metrics.Series() {
		if s.Metric.Name == name && slices.Contains(s.Metric.Labels, tier) {
			return s.Gauge
		}
	}
	return nil
}

// An aloneKeeper is ristretto with a key for each coin, and ten counters, as its
// documentation advises. It is told of spends.
type aloneKeeper struct {
	cache *ristretto.Cache[uint64, uint64]
}

func newAloneKeeper() (*aloneKeeper, error) {
	cache, err := ristretto.NewCache(&ristretto.Config[uint64, uint64]{
		NumCounters: 10 * hitCoins, MaxCost: hitCoins, BufferItems: 64, IgnoreInternalCost: true,
		KeyToHash: func(coin uint64) (uint64, uint64) { return coin * 0x9e3779b97f4a7c15, 0 },
	})
	return &aloneKeeper{cache}, err
}

// Spend implements testvectors.Keeper.
func (k *aloneKeeper) Spend(coin int) bool {
	_, ok := k.cache.Get(uint64(coin))
	k.cache.Del(uint64(coin))
	return ok
}

// Made implements testvectors.Keeper.
func (k *aloneKeeper) Made(first, end int) {
	for coin := first; coin < end; coin++ {
		k.cache.Set(uint64(coin), 1, 1)
	}
	k.cache.Wait()
}
