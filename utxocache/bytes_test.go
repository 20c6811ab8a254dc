package utxocache

import (
	"runtime"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/perfcore"
)

// heap returns the live heap.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// records makes n coins with scripts of 22 bytes, the most common length.
func records(n int) []*record {
	rs := make([]*record, n)
	for i := range rs {
		rs[i] = &record{
			coin:  Coin{Value: int64(i), Script: make([]byte, 22), Height: uint32(i)},
			op:    wire.OutPoint{Hash: hashOf(uint64(i))},
			state: Unspent,
		}
	}
	return rs
}

// The tables of ristretto's maps double, so what a coin takes depends on how
// full they are. The sizes are an octave.
var octave = []int{50_000, 59_500, 70_500, 84_000}

func TestCoinBytes(t *testing.T) {
	var measured, accounted int64
	for _, n := range octave {
		before := heap()
		o, err := newOlder(int64(n) * (entryBytes + recordBytes + 32))
		if err != nil {
			t.Fatal(err)
		}
		o.add(records(n))
		after := heap()
		if held := o.coins.Load(); held != int64(n) {
			t.Fatalf("room for %d coins holds %d", n, held)
		}
		measured += after - before
		accounted += o.bytes.Load()
		t.Logf("%d coins: %d bytes a coin", n, (after-before)/int64(n))
		o.close()
	}
	wantRatio(t, measured, accounted)
}

func TestRingBytes(t *testing.T) {
	var measured, accounted int64
	for _, n := range octave {
		reg := new(perfcore.Registry)
		before := heap()
		c := newCache(t, Options{Blocks: 1000, Bytes: 1, Recorder: reg})
		c.Reset(Tip{}, true)
		var w workload
		for len(c.recent) < n {
			apply(t, c, w.block(tipOf(t, c), 100, 2, 3))
		}
		w.drop()
		after := heap()
		measured += after - before
		accounted += int64(metric(t, reg, "outrider_utxo_bytes", "ring").Gauge.Value())
		t.Logf("%d outpoints, %d coins in the ring: %d bytes an outpoint", len(c.recent), c.unspent, (after-before)/int64(len(c.recent)))
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
