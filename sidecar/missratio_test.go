package sidecar

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/perfcore"
	"github.com/outrider-project/outrider/utxocache"
)

// What is asked for again and again hits a memory that has room for it, and misses
// one that has not.
func TestMissRatio(t *testing.T) {
	const coins, budget = 40_000, 40_000 * coinBytes * 4 / 3 // a quarter is not accounted for
	reg := new(perfcore.Registry)
	m := newCoinRatio(budget, budget/16, reg)
	cache, err := utxocache.New(utxocache.Options{Refer: m.refer})
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	tip := utxocache.Tip{Height: 9}
	cache.Reset(tip, false)
	m.tell()
	for name, v := range ratios(reg) {
		if v != 0 {
			t.Errorf("%s is %v before anything was asked", name, v)
		}
	}
	ops, answers := make([]wire.OutPoint, coins), make([]utxocache.Answer, coins)
	for i := range ops {
		binary.BigEndian.PutUint64(ops[i].Hash[:], uint64(i))
	}
	for range 20 { // which fits the memory, and not half of it
		if err := cache.Fetch(tip.Hash, ops[:coins*3/4], answers[:coins*3/4]); err != nil {
			t.Fatal(err)
		}
	}
	m.tell()
	got := ratios(reg)
	if len(got) != 5 || got["0.25"] < 0.9 || got["0.5"] < 0.9 || got["1"] > 0.2 || got["4"] > 0.2 {
		t.Errorf("miss ratios %v", got)
	}
}

// ratios returns the miss ratios by the share of the memory.
func ratios(reg *perfcore.Registry) map[string]float64 {
	all := make(map[string]float64)
	for _, s := range reg.Series() {
		if strings.HasPrefix(s.Metric.Name, "outrider_utxo_miss_ratio") {
			all[s.Metric.Labels[1]] = s.Gauge.Value()
		}
	}
	return all
}
