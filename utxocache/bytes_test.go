package utxocache

import (
	"runtime"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"
	"github.com/dgraph-io/ristretto/v2"
)

// liveHeap returns the live heap.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// toldCoins makes n coins with scripts of 22 bytes, the most common length.
func toldCoins(n int) (ops []wire.OutPoint, coins []Coin) {
	for i := range n {
		ops = append(ops, wire.OutPoint{Hash: hashOf(uint64(i))})
		coins = append(coins, Coin{Value: 123_456 + int64(i), Script: make([]byte, 22), Height: 850_000})
	}
	return ops, coins
}

// The tables of maps double, so what a coin takes depends on how full they are.
// The sizes are an octave.
var octave = []int{50_000, 59_500, 70_500, 84_000}

// A coin from below the ring takes 120 bytes at most, all told: its record, its
// share of the page, of the index, and of ristretto.
func TestCoinBytes(t *testing.T) {
	const most = 120
	var measured, accounted int64
	for _, n := range octave {
		ops, coins := toldCoins(n)
		before := liveHeap()
		c := newCache(t, Options{Blocks: 1, Bytes: int64(n) * most})
		c.Reset(Tip{Height: 900_000}, false)
		c.Remember(Tip{}.Hash, ops, coins, false)
		after := liveHeap()
		runtime.KeepAlive(ops)
		runtime.KeepAlive(coins)
		if c.older.coins != n || c.older.lost != 0 {
			t.Fatalf("room for %d coins holds %d", n, c.older.coins)
		}
		perCoin := float64(after-before) / float64(n)
		t.Logf("%d coins: %.1f bytes a coin", n, perCoin)
		if perCoin > most {
			t.Errorf("%.1f bytes a coin, must be %d at most", perCoin, most)
		}
		measured += after - before
		accounted += c.older.bytes
		c.Close()
	}
	wantRatio(t, measured, accounted)
}

// Ristretto takes more for a key than a record leaves of 120 bytes. If it does not
// any more, each coin can have a key of its own.
func TestRistrettoBytes(t *testing.T) {
	const record = 36 + 4 + 4 + 1 + 22
	var measured, keys int64
	for _, n := range octave {
		before := liveHeap()
		cache, err := ristretto.NewCache(&ristretto.Config[uint64, uint64]{
			NumCounters: int64(n), MaxCost: int64(n), BufferItems: 64, IgnoreInternalCost: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			cache.Set(uint64(i)*0x9e3779b97f4a7c15, uint64(i), 1)
			if i%8192 == 0 {
				cache.Wait()
			}
		}
		cache.Wait()
		measured += liveHeap() - before
		keys += int64(n) - cache.RemainingCost()
		cache.Close()
	}
	t.Logf("%.1f bytes a key of ristretto's, with one counter for each, and %d a record", float64(measured)/float64(keys), record)
	if measured/keys+record <= 120 {
		t.Errorf("%d bytes a key", measured/keys)
	}
}

func TestRingBytes(t *testing.T) {
	var measured, accounted int64
	for _, n := range octave {
		before := liveHeap()
		c := newCache(t, Options{Blocks: 1000, Bytes: 1})
		c.Reset(Tip{}, true)
		var w workload
		outpoints := 0
		for outpoints < n {
			apply(t, c, w.block(tipOf(t, c), 100, 2, 3))
			outpoints = 300 * (len(c.view.Load().ring) - 1)
		}
		w.drop()
		after := liveHeap()
		measured += after - before
		accounted += c.Memory().Total()
		t.Logf("%d outpoints, %d coins in the ring: %d bytes an outpoint", outpoints, c.coins, (after-before)/int64(outpoints))
		c.Close()
	}
	wantRatio(t, measured, accounted)
}

func wantRatio(t *testing.T, measured, accounted int64) {
	t.Helper()
	ratio := float64(measured) / float64(accounted)
	t.Logf("measured/accounted %.3f", ratio)
	if ratio < 0.9 || ratio > 1.1 {
		t.Errorf("the heap grew by %d bytes, accounted %d", measured, accounted)
	}
}
