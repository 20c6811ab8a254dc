package utxocache

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"slices"
	"sync/atomic"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/dgraph-io/ristretto/v2"
)

// older holds the unspent coins from below the ring, in ristretto. It loses
// coins whenever it is written, never otherwise, and counts each one.
//
// Ristretto applies writes later, in a goroutine of its own: a deleted value
// may be seen again, and a lost one is gone before its callback runs. So the
// methods that write are called only while the Cache's mutex is held for
// writing, and wait before it is released: no reader runs beside them.
type older struct {
	cache *ristretto.Cache[uint64, *record]
	seed  maphash.Seed
	// mask is all ones; tests clear bits of it to make keys collide.
	mask uint64
	// coins and bytes are what is held, lost counts the coins lost since
	// clear. Ristretto's goroutine changes them too.
	coins, bytes atomic.Int64
	lost         atomic.Uint64
}

const (
	// entryBytes is the memory of a coin in ristretto beside its record:
	// ristretto's map and policy entries and the counters, at the average load
	// of their tables. TestCoinBytes measures it.
	entryBytes = 145
	// coinsPerWait is how many coins are written before waiting for ristretto
	// to apply them: it drops what exceeds its buffer of 32,768.
	coinsPerWait = 8192
)

func cost(r *record) int64 { return entryBytes + r.bytes() }

func newOlder(budget int64) (*older, error) {
	o := &older{seed: maphash.MakeSeed(), mask: ^uint64(0)}
	lose := func(i *ristretto.Item[*record]) {
		// One write may evict the same coin more than once; all but the first
		// eviction find no value.
		if i.Value != nil {
			o.lose(i.Value)
		}
	}
	var err error
	o.cache, err = ristretto.NewCache(&ristretto.Config[uint64, *record]{
		// One counter a coin: a coin is read once or twice in its life, so its
		// frequency tells little.
		NumCounters:        max(budget/(entryBytes+recordBytes), 64),
		MaxCost:            budget,
		BufferItems:        64,
		IgnoreInternalCost: true,
		OnEvict:            lose,
		OnReject:           lose,
		// A coin whose key is taken is rejected.
		ShouldUpdate: func(_, _ *record) bool { return false },
	})
	if err != nil {
		return nil, fmt.Errorf("ristretto: %w", err)
	}
	return o, nil
}

// key returns op's key. The seed is secret, so nobody can make coins whose
// keys collide.
func (o *older) key(op wire.OutPoint) uint64 {
	var b [chainhash.HashSize + 4]byte
	copy(b[:], op.Hash[:])
	binary.LittleEndian.PutUint32(b[chainhash.HashSize:], op.Index)
	return maphash.Bytes(o.seed, b[:]) & o.mask
}

// get returns op's coin, or nil.
func (o *older) get(op wire.OutPoint) *record {
	r, ok := o.cache.Get(o.key(op))
	if !ok || r.op != op {
		return nil
	}
	return r
}

// add takes over the records of coins that it does not hold.
func (o *older) add(records []*record) {
	for batch := range slices.Chunk(records, coinsPerWait) {
		for _, r := range batch {
			o.coins.Add(1)
			o.bytes.Add(cost(r))
			if !o.cache.Set(o.key(r.op), r, cost(r)) {
				o.lose(r)
			}
		}
		o.cache.Wait()
	}
}

// remove drops coins that get returned.
func (o *older) remove(records []*record) {
	for _, r := range records {
		o.cache.Del(o.key(r.op))
		o.coins.Add(-1)
		o.bytes.Add(-cost(r))
	}
	o.cache.Wait()
}

// lose counts a coin that ristretto gave up.
func (o *older) lose(r *record) {
	o.coins.Add(-1)
	o.bytes.Add(-cost(r))
	o.lost.Add(1)
}

// clear drops everything, and forgets that anything was ever lost.
func (o *older) clear() {
	o.cache.Clear()
	o.coins.Store(0)
	o.bytes.Store(0)
	o.lost.Store(0)
}

// close ends ristretto's goroutines.
func (o *older) close() {
	o.clear()
	o.cache.Close()
}
