package sidecar

import (
	"testing"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/outrider-project/outrider/utxocache"
)

// The database is told of the coins that are the sidecar's own, and of no other.
func TestTestimonyOwn(t *testing.T) {
	op := func(i byte) wire.OutPoint { return wire.OutPoint{Hash: [32]byte{i}} }
	unspent := func(value int64, own bool) utxocache.Answer {
		return utxocache.Answer{State: utxocache.Unspent, Own: own, Coin: utxocache.Coin{Value: value, Height: 7}}
	}
	told := &testimony{
		ops:     []wire.OutPoint{op(1), op(2), op(4), op(5)},
		answers: []utxocache.Answer{unspent(1, true), unspent(2, false), {State: utxocache.Absent, Own: true}, unspent(5, true)},
	}
	// The third is of the block's own; the last was not asked for.
	got := told.own([]wire.OutPoint{op(1), op(2), op(3), op(4), op(5), op(6)})
	for i, want := range []int64{1, 0, 0, 0, 5, 0} {
		if got[i].Value != want || (got[i].Height == 0) != (want == 0) {
			t.Errorf("coin %d is %+v, not one of value %d", i, got[i], want)
		}
	}
	if got := new(testimony).own([]wire.OutPoint{op(1)}); len(got) != 1 || got[0].Height != 0 {
		t.Errorf("nothing was asked, and %+v is known", got)
	}
}
